"""The numbers are the journal's, as Prometheus's own parser reads them; no name is among them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from connectors.errors import OutcomeUnknown, Unavailable
from runner.cli_metrics import CONTAINMENT_BUCKETS_S, Faults, RunnerMetrics, buckets
from runner.metrics import gaps, union_s
from tests.command_line import QUICK, command_line
from tests.world import World, running_world
from tests.world_settings import HOST, SEARCH, USER

HOUR = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.tick()
        yield found


def text_of(world: World, faults: Faults | None = None) -> str:
    registry = CollectorRegistry()
    registry.register(RunnerMetrics(world.config, world.clock, faults or Faults()))
    return generate_latest(registry).decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in order of their names) → value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_when_a_host_was_isolated_then_they_tell_it_and_name_nobody(world: World) -> None:
    world.hit()
    world.tick()
    assert samples(text_of(world))["stockade_questions_open",] == 1
    world.clock.advance(100)
    world.yes(world.question())
    world.tick()
    text = text_of(world)
    found = samples(text)
    assert found["stockade_journal_readable",] == 1
    assert found["stockade_hits_total", SEARCH] == 1
    assert found["stockade_cases_opened_total",] == 1
    assert found["stockade_cases", "malicious"] == 1
    assert found["stockade_questions_open",] == 0
    assert found["stockade_isolated_devices",] == 1
    assert found["stockade_mode", "act"] == 1
    assert found["stockade_mode", "observe"] == 0
    assert found["stockade_decision_seconds_count", "approved"] == 1
    assert 100 <= found["stockade_decision_seconds_sum", "approved"] < 120
    assert found["stockade_decision_seconds_bucket", "approved", "60.0"] == 0
    assert found["stockade_decision_seconds_bucket", "approved", "120.0"] == 1
    assert found["stockade_decision_seconds_count", "denied"] == 0
    assert found["stockade_containment_seconds_count",] == 1
    assert found["stockade_containment_seconds_bucket", "+Inf"] == 1
    assert found["stockade_runs", "succeeded"] == 1
    assert found["stockade_paused",] == 0
    for name in (HOST, HOST.lower(), USER, "stager.example.test", world.case().id):
        assert name not in text


def test_metrics_when_the_search_is_not_seen_then_minutes_count_as_blind(world: World) -> None:
    assert samples(text_of(world))["stockade_blind_minutes", SEARCH] == 0
    world.splunk.misbehave(path="*", status=503, times=1000)
    world.ticks(3, 600)
    blind = samples(text_of(world))["stockade_blind_minutes", SEARCH]
    assert 24 <= blind <= 26, "all but the first five minutes of half an hour"


def test_metrics_when_the_canary_is_silent_then_minutes_count_as_blind(world: World) -> None:
    world.splunk.events.clear()
    world.clock.advance(3600)
    world.tick()
    before = samples(text_of(world))["stockade_blind_minutes", SEARCH]
    world.ticks(2, 60)
    after = samples(text_of(world))["stockade_blind_minutes", SEARCH]
    assert after - before == pytest.approx(2, abs=0.3)


def test_metrics_when_the_journal_cannot_be_read_then_no_number_stands_in(world: World) -> None:
    world.journal.close()
    world.journal.path.write_bytes(b"ruined" * 1000)
    assert samples(text_of(world)) == {("stockade_journal_readable",): 0}


def test_metrics_when_calls_fail_then_they_are_counted_by_product_and_kind(world: World) -> None:
    faults = Faults()
    faults.note(Unavailable("Splunk", "away"))
    faults.note(Unavailable("Splunk", "away"))
    faults.note(OutcomeUnknown("Slack", "lost"))
    found = samples(text_of(world, faults))
    assert found["stockade_connector_errors_total", "splunk", "unavailable"] == 2
    assert found["stockade_connector_errors_total", "slack", "outcome_unknown"] == 1


@pytest.mark.parametrize(
    ("whole", "blind_s"),
    [
        ([], HOUR - 300),
        ([0.0], HOUR - 300),
        ([3500.0], 3500 - 300),
        ([0.0, 60.0, 3500.0], 3500 - 60 - 300),
        ([-50.0, 3590.0], 3590 + 50 - 300),
        ([float(at) for at in range(0, 3600, 60)], 0),
        ([9000.0], HOUR - 300),
    ],
)
def test_blind_time_is_what_lies_between_whole_polls(whole: list[float], blind_s: float) -> None:
    assert union_s(gaps(whole, 0, HOUR), 0, HOUR) == blind_s


def test_union_when_spans_overlap_then_no_second_counts_twice() -> None:
    assert union_s([(10, 30), (0, 20), (25, 40), (90, 200)], 5, 100) == 35 + 10


def test_buckets_are_cumulative() -> None:
    found = dict(pair[:2] for pair in buckets([5, 6, 20_000], CONTAINMENT_BUCKETS_S))
    assert (found["5.0"], found["15.0"], found["+Inf"]) == (1, 2, 3)


# -- the command -----------------------------------------------------------------------------------


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_serve_with_metrics_then_they_are_answered_at_their_address_and_errors_are_counted(
    tmp_path: Path,
) -> None:
    port = free_port()
    with command_line(tmp_path, QUICK | {"metrics": {"listen": f"127.0.0.1:{port}"}}) as line:
        line.splunk.misbehave(path="*", status=503, times=3)
        with line.start("serve") as served:
            text = scraped(f"http://127.0.0.1:{port}/metrics", "connector_errors_total{")
            served.terminate()
            _, err = served.communicate(timeout=30)
    found = samples(text)
    assert found["stockade_journal_readable",] == 1
    assert found["stockade_connector_errors_total", "splunk", "unavailable"] >= 1
    assert (served.returncode, "Traceback" in err) == (0, False)


def scraped(url: str, wanted: str) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            text = requests.get(url, timeout=5).text
        except requests.ConnectionError:
            text = ""
        if wanted in text:
            return text
        time.sleep(0.1)
    raise AssertionError(f"nothing with {wanted} at {url}")


def test_serve_when_its_address_is_taken_then_it_works_without_metrics_and_says_so(
    tmp_path: Path,
) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            command_line(tmp_path, QUICK | {"metrics": {"listen": listen}}) as line,
            line.start("serve") as served,
        ):
            deadline = time.monotonic() + 30
            while not line.splunk.requests and time.monotonic() < deadline:
                time.sleep(0.05)
            served.terminate()
            _, err = served.communicate(timeout=30)
            assert line.splunk.requests
    assert served.returncode == 0
    assert f"metrics are not served at {listen}" in err


def test_serve_when_the_package_is_missing_then_one_sentence_and_two(tmp_path: Path) -> None:
    """A module of that name that cannot be imported stands before the real one."""
    with command_line(tmp_path, QUICK | {"metrics": {"listen": "127.0.0.1:9"}}) as line:
        (line.folder / "prometheus_client.py").write_text("raise ImportError")
        done = line("serve")
    assert done.code == 2
    assert done.err.startswith("metrics.listen needs the package prometheus_client")
    assert "stockade[metrics]" in done.err


def test_status_when_metrics_are_configured_then_nothing_of_them_is_loaded(tmp_path: Path) -> None:
    with command_line(tmp_path, QUICK | {"metrics": {"listen": "127.0.0.1:9464"}}) as line:
        (line.folder / "prometheus_client.py").write_text("raise ImportError")
        assert line("status").code == 0


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1", "127.0.0.1:0", "a b:1", "http://x:1"])
def test_configuration_when_the_address_is_none_then_it_is_refused(
    tmp_path: Path, listen: str
) -> None:
    with command_line(tmp_path, QUICK | {"metrics": {"listen": listen}}) as line:
        done = line("status")
    assert done.code == 2
    assert "metrics" in done.err
