"""Prometheus metrics of a serving runner: read off the journal at each scrape, on their own port.

Off unless configured. It opens the journal for reading in the scrape's own thread, tells no name of
a host or a user, and takes nothing from whoever asks. `prometheus_client` is loaded here only.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from connectors.errors import ConnectorError
from connectors.model import Clock
from runner.config import Config
from runner.journal import Journal, JournalError
from runner.metrics import Numbers, read_numbers

if TYPE_CHECKING:
    from prometheus_client.samples import Exemplar

log = logging.getLogger(__name__)

DECISION_BUCKETS_S = (30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)
CONTAINMENT_BUCKETS_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)
READ_TIMEOUT_S = 10


class Faults:
    """How often a product failed to do what was asked, since this process began."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def note(self, fault: ConnectorError) -> None:
        with self._lock:
            self._counts[fault.product.lower(), _word(type(fault))] += 1

    def counts(self) -> dict[tuple[str, str], int]:
        with self._lock:
            return dict(self._counts)


def _word(fault: type[ConnectorError]) -> str:
    """`OutcomeUnknown` → `outcome_unknown`."""
    name = fault.__name__
    return "".join("_" + c.lower() if c.isupper() and n else c.lower() for n, c in enumerate(name))


class RunnerMetrics(Collector):
    """What is told at a scrape. A journal that cannot be read gives `stockade_journal_readable`
    0 and nothing else: no old number stands in."""

    def __init__(self, config: Config, clock: Clock, faults: Faults) -> None:
        self._config = config
        self._clock = clock
        self._faults = faults

    def describe(self) -> Iterable[Metric]:
        """Nothing: the journal is not read before somebody asks."""
        return ()

    def collect(self) -> Iterator[Metric]:
        readable = GaugeMetricFamily("stockade_journal_readable", "1 when the journal can be read")
        try:
            journal = Journal(self._config.state_dir, self._clock)
            with closing(journal), journal.read() as tx:
                numbers = read_numbers(tx, self._config)
        except JournalError as fault:
            log.error("metrics: %s", fault)
            readable.add_metric([], 0)
            yield readable
            return
        readable.add_metric([], 1)
        yield readable
        yield from _counters(numbers, self._faults.counts())
        yield from _gauges(numbers)
        yield from _histograms(numbers)


def _counters(numbers: Numbers, faults: dict[tuple[str, str], int]) -> Iterator[Metric]:
    hits = CounterMetricFamily("stockade_hits", "Hits stored, each once", labels=["search"])
    for search, count in sorted(numbers.hits.items()):
        hits.add_metric([search], count)
    yield hits
    yield CounterMetricFamily(
        "stockade_cases_opened", "Cases opened", value=float(numbers.cases_opened)
    )
    errors = CounterMetricFamily(
        "stockade_connector_errors",
        "Calls to a product that failed, since the runner was started",
        labels=["connector", "kind"],
    )
    for labels, count in sorted(faults.items()):
        errors.add_metric(labels, count)
    yield errors


def _gauges(numbers: Numbers) -> Iterator[Metric]:
    yield _gauge("cases", "Cases that are kept", "assessment", numbers.cases)
    yield _gauge("runs", "Runs that are kept", "status", numbers.runs)
    yield _gauge(
        "blind_minutes",
        "Minutes of the last 24 hours in which a search was not seen",
        "search",
        numbers.blind_minutes,
    )
    yield _gauge(
        "last_whole_poll_timestamp_seconds",
        "When a search was last polled to its end",
        "search",
        numbers.last_whole_polls,
    )
    modes = {mode: float(mode == numbers.mode) for mode in ("observe", "practice", "act")}
    yield _gauge("mode", "1 for the mode that holds", "mode", modes)
    for name, text, value in (
        ("questions_open", "Questions that wait for people", numbers.questions_open),
        ("isolated_devices", "Devices that are, or may be, cut off", numbers.isolated),
        ("paused", "1 while the runner is paused", numbers.is_paused),
    ):
        yield GaugeMetricFamily(f"stockade_{name}", text, value=float(value))


def _gauge(
    name: str, text: str, label: str, values: dict[str, int] | dict[str, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"stockade_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _histograms(numbers: Numbers) -> Iterator[Metric]:
    decisions = HistogramMetricFamily(
        "stockade_decision_seconds",
        "From a question's opening to its decision",
        labels=["decision"],
    )
    for decision, times in sorted(numbers.decisions.items()):
        decisions.add_metric([decision], buckets(times, DECISION_BUCKETS_S), sum(times))
    yield decisions
    contained = buckets(numbers.containments, CONTAINMENT_BUCKETS_S)
    yield HistogramMetricFamily(
        "stockade_containment_seconds",
        "From a request to the read that confirmed it",
        buckets=contained,
        sum_value=sum(numbers.containments),
    )


def buckets(
    times: Sequence[float], bounds: Sequence[float]
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """How many are at most as long as each bound, and all of them."""
    counted = [(str(bound), float(sum(time <= bound for time in times))) for bound in bounds]
    return [*counted, ("+Inf", float(len(times)))]


class _Handler(WSGIRequestHandler):
    """Nobody who asks slowly keeps a thread, and no address reaches the log."""

    timeout = READ_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving_metrics(config: Config, clock: Clock, faults: Faults) -> Iterator[None]:
    """Answer scrapes for the time of the block. An address that cannot be had is told, and the
    runner does its work without."""
    registry = CollectorRegistry()
    registry.register(RunnerMetrics(config, clock, faults))
    host, _, port = str(config.metrics and config.metrics.listen).rpartition(":")
    try:
        server = make_server(
            host.strip("[]"), int(port), make_wsgi_app(registry), ThreadingWSGIServer, _Handler
        )
    except (OSError, OverflowError) as fault:
        log.error("metrics are not served at %s:%s: %s", host, port, fault)
        yield
        return
    with server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
