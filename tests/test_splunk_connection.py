"""The Splunk client over a strict registry: which calls are made, what their answers become."""

from __future__ import annotations

import itertools
import json
import logging
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import requests
from requests import PreparedRequest
from responses import RequestsMock

from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import (
    EventQuery,
    Operator,
    SavedSearch,
    SearchJob,
    SearchPhase,
    Secret,
    Term,
    Window,
)
from connectors.registry import load_connector
from connectors.siem.splunk.connection import Splunk
from tests.fake_clock import FakeClock
from tests.strict_responses import strict_responses as strict_responses

BASE = "https://splunk.example.test:8089"
TOKEN = "tok3n-made-up-5ec2e75ec2e7"
INFO = BASE + "/services/server/info"
V2 = BASE + "/services/search/v2/jobs"
V1 = BASE + "/services/search/jobs"
SEARCH = SavedSearch(name="WMIC format hits")
DISPATCH = BASE + "/servicesNS/nobody/search/saved/searches/WMIC%20format%20hits/dispatch"
WINDOW = Window(start=1000, end=1300, event_start=500, event_end=90_000)
SID = "soar__nobody__search__RMD5abc_at_1764072000_1"
DATE = "Wed, 25 Nov 2026 12:00:07 GMT"
JOB = SearchJob(sid=SID, started_at=datetime(2026, 11, 25, 12, tzinfo=UTC))
QUERY = EventQuery(
    index="main",
    start=datetime(2026, 11, 25, 11, tzinfo=UTC),
    end=datetime(2026, 11, 25, 12, tzinfo=UTC),
    terms=(Term(fields=("host",), operator=Operator.EQUALS, values=("WS-1",)),),
    fields=("_time", "host"),
    limit=10,
)
DONE: dict[str, Any] = {
    "dispatchState": "DONE",
    "isDone": True,
    "isFailed": False,
    "isFinalized": False,
    "isZombie": False,
    "resultCount": 2,
    "messages": [],
}
QUOTA = (
    "The maximum number of concurrent historical searches for this user has been reached."
    " concurrency_context=user_instance-wide, current_concurrency=3, concurrency_limit=3"
)


def make(clock: FakeClock | None = None, base: str = BASE, **options: Any) -> Splunk:
    return Splunk(
        name="splunk",
        tenant="example",
        settings=HttpSettings(base_url=base),
        credentials={"token": Secret(TOKEN)},
        options=msgspec.convert(options, Splunk.Options),
        runtime=Runtime(clock=clock or FakeClock()),
    )


def told(text: str, kind: str = "ERROR") -> dict[str, Any]:
    return {"messages": [{"type": kind, "text": text}]}


def status_of(**content: Any) -> dict[str, Any]:
    return {"entry": [{"content": {**DONE, **content}}], "messages": []}


def form_of(request: PreparedRequest) -> dict[str, str]:
    assert isinstance(request.body, str)
    return dict(parse_qsl(request.body, keep_blank_values=True, strict_parsing=True))


def query_of(request: PreparedRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(str(request.url)).query))


@pytest.fixture
def splunkd(strict_responses: RequestsMock) -> RequestsMock:
    """A 9.2.1 that tells its version; everything else is registered by the test."""
    strict_responses.assert_all_requests_are_fired = False
    strict_responses.get(
        INFO, json={"generator": {"version": "9.2.1"}, "entry": []}, headers={"Date": DATE}
    )
    return strict_responses


def test_registry_when_asked_for_splunk_then_it_is_this_class() -> None:
    assert load_connector("splunk") is Splunk


# -- version and clock -----------------------------------------------------------------------------


def test_server_time_when_read_then_it_is_splunks_and_grows_by_the_monotonic_clock(
    splunkd: RequestsMock,
) -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    splunk = make(clock)
    assert splunk.server_time() == datetime(2026, 11, 25, 12, 0, 7, tzinfo=UTC)
    clock.advance(30)
    assert splunk.server_time() == datetime(2026, 11, 25, 12, 0, 37, tzinfo=UTC)
    assert len(splunkd.calls) == 1
    clock.advance(31)
    splunk.server_time()
    assert len(splunkd.calls) == 2, "a reading older than a minute is read again"


@pytest.mark.parametrize("date", [None, "", "soon", "Wed, 99 Nov 2026"])
def test_server_time_when_no_date_is_told_then_no_other_clock_stands_in(
    strict_responses: RequestsMock, date: str | None
) -> None:
    headers = {"Date": date} if date is not None else {}
    strict_responses.get(INFO, json={"generator": {"version": "9.2.1"}}, headers=headers)
    with pytest.raises(Unavailable) as caught:
        make().server_time()
    assert caught.value.code == "no_clock"


@pytest.mark.parametrize(
    ("version", "has_v2"),
    [
        ("9.2.1", True),
        ("9.0.2", True),
        ("9.0.2209", True),
        ("10.0.0", True),
        ("9.0.1", False),
        ("8.2.9", False),
        ("8.2.2201.1", False),
    ],
)
def test_fetch_rows_when_the_version_is_old_then_results_come_by_get_from_v1(
    strict_responses: RequestsMock, version: str, has_v2: bool
) -> None:
    strict_responses.get(INFO, json={"generator": {"version": version}})
    page = {"results": [{"host": "WS-1"}]}
    if has_v2:
        strict_responses.post(f"{V2}/{SID}/results", json=page)
    else:
        strict_responses.get(f"{V1}/{SID}/results", json=page)
    assert list(make().fetch_rows(JOB, 1)) == [{"host": "WS-1"}]
    sent = strict_responses.calls[1].request
    asked = form_of(sent) if has_v2 else query_of(sent)
    assert asked == {"count": "1", "offset": "0", "output_mode": "json"}


@pytest.mark.parametrize(("version", "has_v2"), [("9.0.2208", False), ("9.0.2209", True)])
def test_fetch_rows_when_splunk_cloud_then_v2_begins_with_9_0_2209(
    strict_responses: RequestsMock, version: str, has_v2: bool
) -> None:
    cloud = {"entry": [{"content": {"instance_type": "cloud"}}]}
    strict_responses.get(INFO, json={"generator": {"version": version}, **cloud})
    add = strict_responses.post if has_v2 else strict_responses.get
    add(f"{V2 if has_v2 else V1}/{SID}/results", json={"results": [{"host": "WS-1"}]})
    assert list(make().fetch_rows(JOB, 1)) == [{"host": "WS-1"}]


@pytest.mark.parametrize(
    "body", [{}, {"generator": {}, "entry": [{"content": {}}]}, [], {"generator": {"version": "x"}}]
)
def test_version_when_it_is_not_told_then_the_call_is_unavailable(
    strict_responses: RequestsMock, body: object
) -> None:
    strict_responses.get(INFO, json=body)
    with pytest.raises(Unavailable):
        make().search_status(JOB)


# -- starting --------------------------------------------------------------------------------------


def test_start_saved_search_when_dispatched_then_exactly_this_is_sent(
    strict_responses: RequestsMock,
) -> None:
    clock = FakeClock()
    strict_responses.post(DISPATCH, status=201, json={"sid": SID})
    job = make(clock).start_saved_search(SEARCH, WINDOW)
    assert job == SearchJob(
        sid=SID,
        started_at=clock.now(),
        row_cap=500_000,
        event_start=WINDOW.event_start,
        event_end=WINDOW.event_end,
    )
    request = strict_responses.calls[0].request
    assert form_of(request) == {
        "trigger_actions": "0",
        "force_dispatch": "1",
        "dispatch.index_earliest": "1000",
        "dispatch.index_latest": "1300",
        "dispatch.earliest_time": "500",
        "dispatch.latest_time": "90000",
        "dispatch.max_count": "500000",
        "dispatch.ttl": "600",
        "dispatch.auto_cancel": "300",
        "output_mode": "json",
    }
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_start_saved_search_when_its_name_is_odd_then_it_stays_one_segment(
    strict_responses: RequestsMock,
) -> None:
    base = BASE + "/servicesNS/nobody/soc/saved/searches/"
    url = base + "Lateral%20%252F%20SMB%3F%23%C3%A9/dispatch"
    strict_responses.post(url, status=201, json={"sid": SID})
    make().start_saved_search(SavedSearch(name="Lateral / SMB?#é", app="soc"), WINDOW)
    assert strict_responses.calls[0].request.url == url


@pytest.mark.parametrize(
    "search",
    [SavedSearch(name=""), SavedSearch(name="x", owner="-"), SavedSearch(name="x", app="-")],
)
def test_start_saved_search_when_it_names_no_one_search_then_nothing_is_sent(
    strict_responses: RequestsMock, search: SavedSearch
) -> None:
    with pytest.raises(Rejected):
        make().start_saved_search(search, WINDOW)
    assert len(strict_responses.calls) == 0


def test_start_event_query_when_started_then_exactly_this_is_sent(splunkd: RequestsMock) -> None:
    splunkd.post(V2, status=201, json={"sid": "1764072000.7"})
    job = make().start_event_query(QUERY)
    assert (job.sid, job.row_cap) == ("1764072000.7", 11)
    form = form_of(splunkd.calls[1].request)
    assert form == {
        "search": 'search index="main" (host="WS-1") | head 11 | fields "_time", "host"'
        " | fields - _raw",
        "exec_mode": "normal",
        "earliest_time": str(int(QUERY.start.timestamp())),
        "latest_time": str(int(QUERY.end.timestamp())),
        "max_count": "11",
        "timeout": "600",
        "auto_cancel": "300",
        "output_mode": "json",
    }


def test_start_event_query_when_a_value_is_unsafe_then_nothing_is_sent(
    strict_responses: RequestsMock,
) -> None:
    term = Term(fields=("host",), operator=Operator.EQUALS, values=("WS-1`",))
    with pytest.raises(Rejected) as caught:
        make().start_event_query(msgspec.structs.replace(QUERY, terms=(term,)))
    assert caught.value.code == "unsafe_value"
    assert len(strict_responses.calls) == 0


@pytest.mark.parametrize("context", ["user_instance-wide", "instance-wide"])
def test_start_when_too_many_searches_run_then_it_is_unavailable_with_the_figures(
    strict_responses: RequestsMock, context: str
) -> None:
    clock = FakeClock()
    text = QUOTA.replace("user_instance-wide", context)
    strict_responses.post(DISPATCH, status=503, json=told(text, "FATAL"))
    with pytest.raises(Unavailable) as caught:
        make(clock).start_saved_search(SEARCH, WINDOW)
    error = caught.value
    assert (error.code, error.status, error.retry_after_s) == ("search_quota", 503, 30.0)
    assert f"concurrency_context={context}" in error.text
    assert len(strict_responses.calls) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 503, "body": "<html><title>Service Unavailable</title>"},
        {"status": 503, "json": told("Splunk is shutting down")},
        {"status": 502, "body": "<html><title>Bad Gateway</title>"},
        {"status": 500, "json": told("Internal Server Error")},
        {"status": 201, "json": {}},
        {"status": 201, "json": {"sid": ""}},
        {"status": 201, "json": {"sid": 7}},
        {"status": 201, "json": [SID]},
        {"status": 201, "body": ""},
        {"status": 200, "body": "<response><sid>1.1</sid></response>", "content_type": "text/xml"},
        {"body": requests.ReadTimeout("slow")},
        {"body": requests.ConnectionError("reset")},
    ],
    ids=str,
)
def test_start_when_a_job_may_be_running_then_the_outcome_is_unknown_and_it_is_sent_once(
    strict_responses: RequestsMock, reply: dict[str, Any]
) -> None:
    strict_responses.post(DISPATCH, **reply)
    with pytest.raises(OutcomeUnknown):
        make().start_saved_search(SEARCH, WINDOW)
    assert len(strict_responses.calls) == 1


def test_start_when_a_503_says_when_then_it_was_not_taken(strict_responses: RequestsMock) -> None:
    strict_responses.post(DISPATCH, status=503, headers={"Retry-After": "20"}, body="busy")
    with pytest.raises(Unavailable) as caught:
        make().start_saved_search(SEARCH, WINDOW)
    assert caught.value.retry_after_s == 20.0


@pytest.mark.parametrize(
    ("status", "body", "content_type", "expected", "word"),
    [
        (401, json.dumps(told("call not properly authenticated", "WARN")), "application/json",
         AuthFailed, "call not properly authenticated"),
        (401, '<response><messages><msg type="WARN">synthetic auth</msg></messages></response>',
         "text/xml", AuthFailed, "synthetic auth"),
        (403, json.dumps(told("insufficient permission")), "application/json",
         AuthFailed, "insufficient permission"),
        (404, json.dumps(told("Could not find object id=x")), "application/json",
         NotFound, "app search, owner nobody"),
        (400, json.dumps(told("Error in 'SearchParser'", "FATAL")), "application/json",
         Rejected, "SearchParser"),
        (403, "<html><head><title>Blocked by policy</title></head></html>", "text/html",
         AuthFailed, "a web page, not splunkd: Blocked by policy"),
    ],
)  # fmt: skip
def test_start_when_splunk_says_no_then_its_words_are_shown(
    strict_responses: RequestsMock,
    status: int,
    body: str,
    content_type: str,
    expected: type[Rejected],
    word: str,
) -> None:
    strict_responses.post(DISPATCH, status=status, body=body, content_type=content_type)
    with pytest.raises(expected) as caught:
        make().start_saved_search(SEARCH, WINDOW)
    assert type(caught.value) is expected
    assert word in caught.value.text


# -- following -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", [{"status": 204}, {"status": 200, "body": b""}, {"status": 200, "body": b" \n"}]
)
def test_search_status_when_splunk_knows_nothing_yet_then_it_runs(
    splunkd: RequestsMock, reply: dict[str, Any]
) -> None:
    splunkd.get(f"{V2}/{SID}", **reply)
    assert make().search_status(JOB).phase is SearchPhase.RUNNING


@pytest.mark.parametrize(
    ("content", "phase"),
    [
        ({}, SearchPhase.COMPLETE),
        ({"isFailed": "1"}, SearchPhase.FAILED),
        ({"resultCount": 500_000}, SearchPhase.TRUNCATED),
        ({"messages": [{"type": "WARN", "text": "peer down"}]}, SearchPhase.PARTIAL),
    ],
    ids=str,
)
def test_search_status_when_the_job_is_read_then_its_phase_is_told(
    splunkd: RequestsMock, content: dict[str, Any], phase: SearchPhase
) -> None:
    splunkd.get(f"{V2}/{SID}", json=status_of(**content))
    assert make().search_status(JOB).phase is phase


def test_search_status_when_the_sid_is_unknown_then_the_job_is_lost(splunkd: RequestsMock) -> None:
    splunkd.get(f"{V2}/{SID}", status=404, json=told("Unknown sid.", "FATAL"))
    found = make().search_status(JOB)
    assert found.phase is SearchPhase.LOST
    assert "Unknown sid." in found.messages[0]


def test_search_status_when_a_proxy_says_404_then_the_job_is_not_given_up(
    splunkd: RequestsMock,
) -> None:
    splunkd.get(f"{V2}/{SID}", status=404, body="<html><title>nginx 404</title></html>")
    with pytest.raises(Unavailable, match="nginx 404"):
        make().search_status(JOB)


@pytest.mark.parametrize(
    "reply",
    [
        {"body": "<html><title>Bad Gateway</title>", "status": 502, "content_type": "text/html"},
        {"body": "<html><title>Log in</title>", "content_type": "text/html"},
        {"body": '{"entry": [{"con', "content_type": "application/json"},
        {"json": {"entry": []}},
    ],
    ids=str,
)
def test_search_status_when_the_answer_is_none_then_it_is_unavailable(
    splunkd: RequestsMock, reply: dict[str, Any]
) -> None:
    splunkd.get(f"{V2}/{SID}", **reply)
    with pytest.raises(Unavailable):
        make().search_status(JOB)


def test_search_status_when_the_row_cap_is_set_lower_then_it_is_asked_for_and_judged_by(
    splunkd: RequestsMock,
) -> None:
    splunk = make(row_cap=2)
    splunkd.post(DISPATCH, status=201, json={"sid": SID})
    splunkd.get(f"{V2}/{SID}", json=status_of(resultCount=2))
    job = splunk.start_saved_search(SEARCH, WINDOW)
    assert form_of(splunkd.calls[0].request)["dispatch.max_count"] == "2"
    assert splunk.search_status(job).phase is SearchPhase.TRUNCATED


def test_search_status_when_a_job_was_kept_by_an_earlier_process_then_its_cap_is_still_known(
    splunkd: RequestsMock,
) -> None:
    splunkd.post(V2, status=201, json={"sid": SID})
    splunkd.get(f"{V2}/{SID}", json=status_of(resultCount=11))
    kept = msgspec.json.encode(make().start_event_query(QUERY))
    job = msgspec.json.decode(kept, type=SearchJob)
    assert make().search_status(job).phase is SearchPhase.TRUNCATED


# -- rows ------------------------------------------------------------------------------------------


def paging(total: int, page_cap: int = 50_000) -> Callable[[PreparedRequest], Any]:
    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        form = form_of(request)
        offset, count = int(form["offset"]), int(form["count"])
        numbers = range(offset, min(offset + count, offset + page_cap, total))
        body = {"results": [{"n": str(number)} for number in numbers], "messages": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(body)

    return answer


@pytest.mark.parametrize(("total", "page_cap", "calls"), [
    (1, 50_000, 1), (101, 50_000, 1), (5000, 50_000, 1), (5001, 50_000, 2), (12_000, 1000, 12),
])  # fmt: skip
def test_fetch_rows_when_there_are_more_than_a_page_then_all_come_once_and_in_order(
    splunkd: RequestsMock, total: int, page_cap: int, calls: int
) -> None:
    splunkd.add_callback("POST", f"{V2}/{SID}/results", paging(total, page_cap))
    rows = [row["n"] for row in make().fetch_rows(JOB, total)]
    assert rows == [str(number) for number in range(total)]
    assert len(splunkd.calls) == calls + 1
    assert all(1 <= int(form_of(call.request)["count"]) <= 5000 for call in splunkd.calls[1:])


def test_fetch_rows_when_there_are_120_000_then_memory_holds_only_pages(
    splunkd: RequestsMock,
) -> None:
    splunkd.add_callback("POST", f"{V2}/{SID}/results", paging(120_000))
    # The registry keeps each answer it gave; the client must not.
    rows = make().fetch_rows(JOB, 120_000)
    first = list(itertools.islice(rows, 5000))
    splunkd.calls.reset()
    tracemalloc.start()
    count = 0
    for _ in rows:
        count += 1
        if count % 5000 == 0:
            splunkd.calls.reset()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(first) + count == 120_000
    assert peak < 12_000_000, f"{peak} bytes"


def test_fetch_rows_when_there_are_none_then_nothing_is_asked(
    strict_responses: RequestsMock,
) -> None:
    assert list(make().fetch_rows(JOB, 0)) == []
    assert len(strict_responses.calls) == 0


@pytest.mark.parametrize(
    "reply",
    [
        {"json": {"results": []}},
        {"json": {"results": [], "messages": [{"type": "INFO", "text": "x"}]}},
        {"status": 204},
        {"body": b""},
        {"json": {"messages": []}},
        {"json": {"preview": True, "results": [{"n": "5000"}]}},
        {"body": '{"results":[{"host":"WS-1"},{"ho', "content_type": "application/json"},
        {"body": "<html>", "content_type": "text/html"},
        {"json": {"results": [{"n": "x"}], "messages": [{"type": "FATAL", "text": "synthetic"}]}},
        {"status": 404, "json": told("Unknown sid.")},
        {"status": 502, "body": "bad gateway"},
        {"body": requests.ReadTimeout("slow")},
    ],
    ids=str,
)
def test_fetch_rows_when_a_later_page_is_missing_then_it_is_unavailable_after_the_first(
    splunkd: RequestsMock, reply: dict[str, Any]
) -> None:
    first = {"results": [{"n": str(number)} for number in range(5000)]}
    splunkd.post(f"{V2}/{SID}/results", json=first)
    splunkd.post(f"{V2}/{SID}/results", **reply)
    rows = make().fetch_rows(JOB, 5001)
    assert len(list(itertools.islice(rows, 5000))) == 5000
    with pytest.raises(Unavailable):
        next(rows)


@pytest.mark.parametrize("kind", ["WARN", "ERROR"])
def test_fetch_rows_when_a_page_doubts_what_the_status_called_complete_then_it_is_unavailable(
    splunkd: RequestsMock, kind: str
) -> None:
    doubt = [{"type": kind, "text": "search peer idx-2 is down"}]
    splunkd.post(f"{V2}/{SID}/results", json={"results": [{"n": "0"}], "messages": doubt})
    splunkd.get(f"{V2}/{SID}", json=status_of())
    with pytest.raises(Unavailable, match="idx-2 is down") as caught:
        list(make().fetch_rows(JOB, 1))
    assert caught.value.code == "incomplete"


def test_fetch_rows_when_the_status_already_said_partial_then_the_rows_are_given(
    splunkd: RequestsMock,
) -> None:
    doubt = [{"type": "WARN", "text": "search peer idx-2 is down"}]
    splunkd.post(f"{V2}/{SID}/results", json={"results": [{"n": "0"}], "messages": doubt})
    splunkd.get(f"{V2}/{SID}", json=status_of(messages=doubt))
    assert list(make().fetch_rows(JOB, 1)) == [{"n": "0"}]


def test_fetch_rows_when_the_warning_is_declared_harmless_then_no_status_is_asked(
    splunkd: RequestsMock,
) -> None:
    doubt = [{"type": "WARN", "text": "Field extractor name=x is unusually slow"}]
    splunkd.post(f"{V2}/{SID}/results", json={"results": [{"n": "0"}], "messages": doubt})
    splunk = make(ignored_warnings=["is unusually slow"])
    assert list(splunk.fetch_rows(JOB, 1)) == [{"n": "0"}]


def test_fetch_rows_when_a_page_is_fuller_than_asked_then_no_more_rows_come_than_the_job_has(
    splunkd: RequestsMock,
) -> None:
    splunkd.post(f"{V2}/{SID}/results", json={"results": [{"n": "0"}, {"n": "1"}, {"n": "2"}]})
    assert list(make().fetch_rows(JOB, 2)) == [{"n": "0"}, {"n": "1"}]


def test_fetch_rows_when_a_read_breaks_once_then_the_page_is_read_again(
    splunkd: RequestsMock,
) -> None:
    splunkd.post(f"{V2}/{SID}/results", body=requests.ConnectionError("reset"))
    splunkd.post(f"{V2}/{SID}/results", json={"results": [{"n": "0"}]})
    assert list(make().fetch_rows(JOB, 1)) == [{"n": "0"}]


@pytest.mark.parametrize("reply", [
    {"json": {"messages": []}}, {"status": 404, "json": told("Unknown sid.")}, {"body": b""},
])  # fmt: skip
def test_cancel_search_when_the_job_is_there_or_gone_then_it_is_done(
    splunkd: RequestsMock, reply: dict[str, Any]
) -> None:
    splunkd.post(f"{V2}/{SID}/control", **reply)
    make().cancel_search(JOB)
    assert form_of(splunkd.calls[1].request) == {"action": "cancel", "output_mode": "json"}


# -- options, secrets, lint ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": 1},
        {"row_cap": 0},
        {"row_cap": 500_001},
        {"ignored_warnings": [""]},
        {"ignored_warnings": ["warn"]},
    ],
)
def test_options_when_they_are_wrong_then_they_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Splunk.Options)


def test_splunk_when_the_token_is_empty_then_it_is_refused() -> None:
    with pytest.raises(Rejected, match="token"):
        Splunk(
            name="splunk",
            tenant="example",
            settings=HttpSettings(base_url=BASE),
            credentials={"token": Secret(" ")},
            options=Splunk.Options(),
            runtime=Runtime(clock=FakeClock()),
        )


def test_splunk_when_the_token_is_echoed_then_no_error_log_or_status_shows_it(
    splunkd: RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    splunk = make()
    splunkd.post(DISPATCH, status=503, json=told(f"{QUOTA} {TOKEN}"))
    splunkd.post(DISPATCH, status=404, json=told(f"no such {TOKEN}"))
    splunkd.post(DISPATCH, status=201, json={"sid": f"sid-{TOKEN}"})
    warning = [{"type": "WARN", "text": f"for {TOKEN}"}]
    splunkd.get(f"{V2}/{SID}", json=status_of(messages=warning))
    shown = repr(splunk)
    for expected in (Unavailable, NotFound):
        with pytest.raises(expected) as caught:
            splunk.start_saved_search(SEARCH, WINDOW)
        shown += str(caught.value) + repr(caught.value)
    splunk.start_saved_search(SEARCH, WINDOW)
    shown += repr(splunk.search_status(JOB).messages)
    assert TOKEN not in shown + caplog.text
    assert "***" in shown


def test_package_when_read_then_no_search_holds_its_connection() -> None:
    package = Path(__file__).parent.parent / "connectors/siem/splunk"
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(package.glob("*.py")))
    assert '"exec_mode": "normal"' in code
    assert code.count('"exec_mode"') == code.count('"exec_mode": "normal"')
    assert "status_buckets" not in code


# -- check -----------------------------------------------------------------------------------------

CONTEXT = BASE + "/services/authentication/current-context"
SAVED = BASE + "/servicesNS/-/-/saved/searches"


def context(*capabilities: str) -> dict[str, Any]:
    content = {"username": "stockade", "roles": ["stockade"], "capabilities": list(capabilities)}
    return {"entry": [{"content": content}]}


def role(**content: Any) -> dict[str, Any]:
    limits = {"srchFilter": "", "srchTimeWin": 1_209_600, "srchJobsQuota": 6}
    return {"entry": [{"content": {**limits, **content}}]}


def register_check(mock: RequestsMock, **replaced: dict[str, Any]) -> None:
    replies: dict[str, tuple[str, str, dict[str, Any]]] = {
        "context": ("GET", CONTEXT, {"json": context("search")}),
        "saved": ("GET", SAVED, {"json": {"entry": [{"name": "x", "content": {}}]}}),
        "role": ("GET", BASE + "/services/authorization/roles/stockade", {"json": role()}),
        "start": ("POST", V2, {"status": 201, "json": {"sid": SID}}),
        "status": ("GET", f"{V2}/{SID}", {"json": status_of(resultCount=1)}),
        "control": ("POST", f"{V2}/{SID}/control", {"json": {}}),
    }
    for name, (method, url, reply) in replies.items():
        mock.add(method, url, **replaced.get(name, reply))


def test_check_when_all_is_well_then_each_thing_is_named_and_the_job_is_cancelled(
    splunkd: RequestsMock,
) -> None:
    register_check(splunkd)
    found = make().check()
    assert [result for result in found if not result.ok or result.mend] == []
    assert len(found) == 8
    assert any("9.2.1" in result.what for result in found)
    assert str(splunkd.calls[-1].request.url).endswith("/control")


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"context": {"status": 401, "json": told("not authenticated")}}, ["new token"]),
        ({"context": {"json": context()}}, ["search = enabled"]),
        (
            {"context": {"json": context("search", "run_collect", "delete_by_keyword")}},
            ["delete_by_keyword, run_collect"],
        ),
        ({"role": {"json": role(srchFilter="host=WS-*")}}, ["srchFilter", "`host=WS-*`"]),
        ({"role": {"json": role(srchTimeWin=86_400)}}, ["srchTimeWin to 777600", "86400"]),
        ({"role": {"json": role(srchJobsQuota="1")}}, ["srchJobsQuota to 3"]),
        ({"saved": {"json": {"entry": []}}}, ["share the saved search"]),
        ({"saved": {"status": 403, "json": told("denied")}}, ["permission", "denied"]),
        ({"start": {"status": 403, "json": told("denied")}}, ["permission", "denied"]),
        ({"start": {"status": 503, "json": told(QUOTA)}}, ["concurrency_limit=3"]),
        ({"status": {"json": status_of(resultCount=0)}}, ["srchIndexesAllowed"]),
        (
            {"status": {"json": status_of(isFailed=True, resultCount=1)}},
            ["look at the search head"],
        ),
        (
            {"status": {"json": status_of(isDone=False, dispatchState="QUEUED", resultCount=1)}},
            ["it is QUEUED"],
        ),
        ({"context": {"status": 502, "body": "<title>Bad Gateway</title>"}}, ["Bad Gateway"]),
    ],
    ids=str,
)
def test_check_when_something_is_missing_then_it_is_named(
    splunkd: RequestsMock, replaced: dict[str, Any], words: list[str]
) -> None:
    register_check(splunkd, **replaced)
    mends = [result.mend or "" for result in make().check() if not result.ok]
    assert len(mends) == 1
    assert all(word in mends[0] for word in words), mends


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [
        ({"searchEarliestTime": 500, "searchLatestTime": 90_000}, True),
        ({"searchEarliestTime": "500.000", "searchLatestTime": "90000.0"}, True),
        ({"searchEarliestTime": 0, "searchLatestTime": 0}, True),
        ({"searchEarliestTime": 900, "searchLatestTime": 90_000}, False),
        ({"searchEarliestTime": 500, "searchLatestTime": 1200}, False),
    ],
)
def test_search_status_when_less_time_was_searched_than_asked_then_the_answer_is_not_whole(
    splunkd: RequestsMock, content: dict[str, Any], is_whole: bool
) -> None:
    splunkd.get(f"{V2}/{SID}", json=status_of(**content))
    job = msgspec.structs.replace(JOB, event_start=500, event_end=90_000)
    status = make(ignored_warnings=["the time range was narrowed"]).search_status(job)
    assert (status.phase is SearchPhase.COMPLETE) == is_whole
    assert any("srchTimeWin" in text for text in status.messages) != is_whole


@pytest.mark.parametrize(
    "text",
    [
        "Search not executed: The maximum disk usage quota for this user has been reached.",
        "Search not executed: The minimum free disk space (5000MB) reached for /opt/splunk.",
        "This search could not be dispatched because the role-based concurrency limit of"
        " historical searches for role=stockade has been reached.",
    ],
)
def test_start_when_any_limit_keeps_the_search_from_starting_then_nothing_was_started(
    splunkd: RequestsMock, text: str
) -> None:
    splunkd.post(DISPATCH, status=503, json=told(text))
    with pytest.raises(Unavailable, match=r"HTTP 503") as caught:
        make().start_saved_search(SEARCH, WINDOW)
    assert caught.value.code == "search_quota"


@pytest.mark.parametrize("status", [403, 404])
def test_check_when_the_role_may_not_read_itself_then_it_is_said_to_be_not_looked_at(
    splunkd: RequestsMock, status: int
) -> None:
    register_check(splunkd, role={"status": status, "json": told("denied")})
    found = make().check()
    assert [one.what for one in found if "not looked at" in one.what]
    assert all(one.ok for one in found)


@pytest.mark.parametrize("limit", [-1, 0, "-1", None])
def test_check_when_the_role_has_no_limits_then_they_are_well(
    splunkd: RequestsMock, limit: object
) -> None:
    register_check(splunkd, role={"json": role(srchTimeWin=limit, srchJobsQuota=limit)})
    assert all(one.ok for one in make().check())


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("https://acme.splunkcloud.com:8089", "IP allow list"),
        ("https://splunk.example.test:8089", "no connection"),
    ],
)
def test_check_when_nothing_can_be_reached_then_splunk_cloud_is_told_by_its_allow_list(
    strict_responses: RequestsMock, base: str, words: str
) -> None:
    refused = requests.exceptions.ConnectTimeout("timed out")
    strict_responses.get(base + "/services/authentication/current-context", body=refused)
    (found,) = make(base=base).check()
    assert words in str(found.mend)
    assert ("allow list" in str(found.mend)) == ("splunkcloud" in base)


def test_check_when_a_cloud_address_has_no_port_then_it_is_named(
    strict_responses: RequestsMock,
) -> None:
    base = "https://acme.splunkcloud.com"
    strict_responses.get(
        base + "/services/authentication/current-context",
        status=303,
        headers={"Location": "/en-US/"},
    )
    (found,) = make(base=base).check()
    assert "write :8089" in str(found.mend)
