"""The Splunk stand-in, judged by Splunk's own splunk-sdk, posing as two versions of splunkd.

A judge proves the client's side only: splunk-sdk accepts many replies that a real splunkd never
sends.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from splunklib import binding, client, results

from connectors.emulators.__main__ import SystemClock
from connectors.emulators.emulator import Keys
from connectors.emulators.scenario import SAVED_SEARCH, SAVED_SEARCHES
from connectors.emulators.splunk import Splunk
from connectors.emulators.store import StateFile
from tests.fake_clock import FakeClock
from tests.loopback_only import loopback_only

__all__ = ["loopback_only"]

HITS = "WMIC format hits"
WITH_SLASH = "Lateral movement / SMB"


@pytest.fixture(params=["9.2.1", "9.0.1"], ids=lambda version: f"splunkd-{version}")
def splunk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Splunk]:
    clock = FakeClock()
    emulator = Splunk(clock, store=StateFile(tmp_path / "splunk.json"))
    emulator.tune(version=request.param)
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


def connect(splunk: Splunk, **how: Any) -> Any:
    host, port = splunk.address
    given = how or {"splunkToken": splunk.credentials["token"]}
    return client.connect(host=host, port=port, scheme="http", **given)


def login_of(splunk: Splunk) -> dict[str, str]:
    return {name: splunk.credentials[name] for name in ("username", "password")}


def rows_of(stream: Any) -> list[dict[str, Any]]:
    return [row for row in results.JSONResultsReader(stream) if isinstance(row, dict)]


def test_splunk_when_the_sdk_reads_the_version_then_it_takes_the_right_api(splunk: Splunk) -> None:
    service = connect(splunk)

    assert ".".join(map(str, service.splunk_version)) == splunk.version
    assert service.disable_v2_api is (splunk.version == "9.0.1")


@pytest.mark.parametrize("how", ["password", "basic", "session", "token"])
def test_splunk_when_the_sdk_signs_in_then_each_way_works(splunk: Splunk, how: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "password": login_of(splunk),
        "basic": {**login_of(splunk), "basic": True},
        "session": {"token": connect(splunk, **login_of(splunk)).token},
        "token": {"splunkToken": splunk.credentials["token"]},
    }

    service = connect(splunk, **ways[how])

    assert [search.name for search in service.saved_searches.list()] == list(SAVED_SEARCHES)


def test_splunk_when_the_password_is_wrong_then_the_sdk_is_refused(splunk: Splunk) -> None:
    with pytest.raises(binding.AuthenticationError):
        connect(splunk, username=splunk.credentials["username"], password="wrong")


def test_splunk_when_the_token_is_wrong_then_the_sdk_is_refused(splunk: Splunk) -> None:
    with pytest.raises((binding.AuthenticationError, binding.HTTPError)):
        connect(splunk, splunkToken="wrong").saved_searches.list()


def test_splunk_when_the_sdk_makes_a_saved_search_then_it_is_there_until_deleted(
    splunk: Splunk,
) -> None:
    service = connect(splunk, **login_of(splunk), owner="nobody", app="search")

    made = service.saved_searches.create(WITH_SLASH, "index=main | head 2")
    again = service.saved_searches[WITH_SLASH]

    assert (made.name, again["search"]) == (WITH_SLASH, "index=main | head 2")
    assert again.access.app == "search"
    assert len(list(service.saved_searches.iter(pagesize=2))) == len(SAVED_SEARCHES) + 1
    service.saved_searches.delete(WITH_SLASH)
    assert WITH_SLASH not in service.saved_searches


def test_splunk_when_a_saved_search_is_unknown_then_the_sdk_raises_key_error(
    splunk: Splunk,
) -> None:
    with pytest.raises(KeyError):
        connect(splunk).saved_searches["nope"]


def test_splunk_when_the_sdk_dispatches_then_the_job_runs_and_has_the_rows(splunk: Splunk) -> None:
    splunk.tune(job_s=9.0)
    clock = splunk.clock
    assert isinstance(clock, FakeClock)
    search = connect(splunk).saved_searches[HITS]

    job = search.dispatch(**{"dispatch.now": "true"})
    states = []
    while not job.is_done():
        states.append(job["dispatchState"])
        clock.advance(2.5)

    assert states == ["QUEUED", "QUEUED", "RUNNING", "RUNNING"]
    assert job["resultCount"] == "4"
    assert job["isFailed"] == "0"
    rows = rows_of(job.results(output_mode="json", count=0))
    assert [row["host"] for row in rows] == [
        "INVENTORY3-SYNTHETIC",
        "WORKSTATION5",
        "INVENTORY2-SYNTHETIC",
        "INVENTORY1-SYNTHETIC",
    ]
    page = rows_of(job.results(output_mode="json", count=2, offset=1))
    assert [row["host"] for row in page] == ["WORKSTATION5", "INVENTORY2-SYNTHETIC"]
    assert job.sid in [past.sid for past in search.history()]


def test_splunk_when_the_job_still_runs_then_its_results_are_empty(splunk: Splunk) -> None:
    splunk.tune(job_s=60.0)

    job = connect(splunk).jobs.create("search index=main", exec_mode="normal")

    assert job.results(output_mode="json").read() == b""


def test_splunk_when_the_sdk_reads_xml_and_csv_then_multivalues_come_through(
    splunk: Splunk,
) -> None:
    splunk.add_event({"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational"})
    splunk._added[0].row["user"] = ["alice", "bob"]
    job = connect(splunk).jobs.create('search user="bob" | table _time user')

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        xml = [row for row in results.ResultsReader(job.results()) if isinstance(row, dict)]
    csv_text = job.results(output_mode="csv", count=0).read().decode()

    assert [row["user"] for row in xml] == [["alice", "bob"]]
    assert '"alice\nbob"' in csv_text


def test_splunk_when_the_sdk_exports_then_previews_come_first(splunk: Splunk) -> None:
    stream = connect(splunk).jobs.export("search index=main EventID=1", output_mode="json")
    reader = results.JSONResultsReader(stream)

    rows = [row for row in reader if isinstance(row, dict)]

    assert len(rows) == 1 + 10
    assert reader.is_preview is False


def test_splunk_when_the_sdk_asks_oneshot_then_the_rows_come_at_once(splunk: Splunk) -> None:
    stream = connect(splunk).jobs.oneshot("| makeresults | eval t=now()", output_mode="json")

    assert [row["t"] for row in rows_of(stream)] == [str(int(splunk.clock.now().timestamp()))]


@pytest.mark.parametrize(
    "search",
    ["index=main", "search index=main | delete", 'search "open', "search `macro`", "search [a]"],
)
def test_splunk_when_a_search_cannot_be_parsed_then_the_sdk_gets_400(
    splunk: Splunk, search: str
) -> None:
    with pytest.raises(binding.HTTPError) as refused:
        connect(splunk).jobs.create(search)

    assert refused.value.status == 400


def test_splunk_when_a_job_is_cancelled_then_its_sid_is_unknown(splunk: Splunk) -> None:
    service = connect(splunk)
    job = service.jobs.create("search index=main")
    job.cancel()
    job.cancel()

    assert job.sid not in [left.sid for left in service.jobs.list()]
    with pytest.raises(binding.HTTPError) as unknown:
        client.Job(service, job.sid).refresh()
    assert unknown.value.status == 404


def test_splunk_when_a_job_is_spoiled_then_its_status_says_so(splunk: Splunk) -> None:
    splunk.spoil_job(content={"isFailed": True, "dispatchState": "FAILED"})

    job = connect(splunk).jobs.create("search index=main")

    assert job.is_done()
    assert (job["isFailed"], job["dispatchState"]) == ("1", "FAILED")


def test_splunk_when_v2_is_asked_of_an_old_version_then_it_is_not_found(splunk: Splunk) -> None:
    if splunk.version != "9.0.1":
        splunk.tune(version="9.0.1")
    service = connect(splunk)

    with pytest.raises(binding.HTTPError) as unknown:
        service.get("search/v2/jobs")

    assert unknown.value.status == 404


# -- windows and caps, without the judge -----------------------------------------------------------


@pytest.fixture
def quiet() -> Splunk:
    return Splunk(FakeClock(), keys=Keys.fresh(Splunk.CREDENTIALS))


def found(splunk: Splunk, search: str, **times: float) -> list[dict[str, Any]]:
    from connectors.emulators.splunk_jobs import run_job

    fields = {name: f"{at:.0f}" for name, at in times.items()}
    events = [*splunk.events, *splunk._added]
    job = run_job("1", search, fields, events, splunk.clock.now())
    return [dict(row) for row in job.rows]


def test_window_when_an_edge_falls_on_an_event_then_start_counts_and_end_does_not(
    quiet: Splunk,
) -> None:
    row = quiet.add_event(
        {"EventID": 1, "CommandLine": "edge", "Channel": "Microsoft-Windows-Sysmon"}
    )
    indexed = float(str(row["_indextime"]))
    search = "search cmdline=edge"

    assert len(found(quiet, search, index_earliest=indexed, index_latest=indexed + 1)) == 1
    assert found(quiet, search, index_earliest=indexed - 9, index_latest=indexed) == []


def test_window_when_an_event_is_late_then_index_time_finds_it_and_event_time_does_not(
    quiet: Splunk,
) -> None:
    quiet.add_event({"EventID": 1, "CommandLine": "late"}, age_s=3 * 3600)
    now = quiet.clock.now().timestamp()

    assert len(found(quiet, "search cmdline=late", index_earliest=now - 60)) == 1
    assert found(quiet, "search cmdline=late", earliest_time=now - 60) == []


def test_window_when_an_event_is_not_visible_yet_then_it_shows_later_with_its_index_time(
    quiet: Splunk,
) -> None:
    clock = quiet.clock
    assert isinstance(clock, FakeClock)
    quiet.add_event({"EventID": 1, "CommandLine": "slow"}, visible_in_s=90)
    indexed = clock.now().timestamp()

    before = found(quiet, "search cmdline=slow")
    clock.advance(90)

    assert before == []
    assert found(quiet, "search cmdline=slow")[0]["_indextime"] == f"{indexed:.0f}"


def test_row_cap_when_set_then_a_job_keeps_no_more_rows(splunk: Splunk) -> None:
    splunk.tune(row_cap=3)

    job = connect(splunk).jobs.create("search index=main")

    assert job["resultCount"] == "3"
    assert len(rows_of(job.results(output_mode="json", count=0))) == 3


def test_page_cap_when_set_then_an_answer_holds_no_more_rows(splunk: Splunk) -> None:
    splunk.tune(page_cap=4)

    job = connect(splunk).jobs.create("search index=main EventID=1")

    assert job["resultCount"] == "10"
    assert len(rows_of(job.results(output_mode="json", count=0))) == 4


def test_saved_search_when_shipped_then_it_is_the_users_own_text() -> None:
    assert SAVED_SEARCH == (
        'sourcetype="XmlWinEventLog:Microsoft-Windows-Sysmon/Operational" '
        'process_name="wmic.exe" AND cmdline="*format*" '
        "| table _time process_name, cmdline, parent_process, user, host"
    )


def test_clock_when_the_machine_runs_then_time_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.001)

    assert clock.monotonic() > before
    assert clock.now().tzinfo is not None
