"""The command `serve`: signals, what is told of each round, and the metrics beside it."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from connectors.http import Runtime
from runner.cli_log import complain
from runner.result import Result
from runner.service import Service, Tick
from runner.ticks import serve, tick_text

if TYPE_CHECKING:
    from connectors.errors import ConnectorError
    from connectors.model import Clock
    from runner.config import Config
    from runner.journal import Journal

NO_METRICS = (
    "metrics.listen needs the package prometheus_client, which is not installed: "
    "install stockade[metrics], or take `metrics` out of the configuration"
)


def serve_command(config: Config, journal: Journal, clock: Clock, log_format: str) -> Result:
    """Serve until SIGTERM or SIGINT. Exit code 2 when what the metrics need is not installed."""
    try:
        metrics, on_fault = _metrics(config, clock)
    except ImportError:
        return Result(code=2, data={"error": NO_METRICS}, text=NO_METRICS)
    runtime = Runtime(clock=clock, emulated=config.emulated, on_fault=on_fault)
    service = Service(config, journal, runtime)
    stops: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stops.append(received))
    # Told without --verbose, too: whether answers are heard at once is not seen otherwise.
    logging.getLogger("runner.hearing").setLevel(logging.INFO)
    gc.enable()
    with metrics:
        return serve(service, lambda: bool(stops), _teller(log_format))


def _metrics(
    config: Config, clock: Clock
) -> tuple[AbstractContextManager[None], Callable[[ConnectorError], None] | None]:
    if config.metrics is None:
        return nullcontext(), None
    from runner.cli_metrics import Faults, serving_metrics

    faults = Faults()
    return serving_metrics(config, clock, faults), faults.note


def _teller(log_format: str) -> Callable[[Tick], None]:
    """Say what a round came to, once as long as it stays the same."""
    shown: list[str] = []

    def show(tick: Tick) -> None:
        text = tick_text(tick)
        if text and text != (shown[-1] if shown else ""):
            complain(text, log_format)
        shown[:] = [text]

    return show
