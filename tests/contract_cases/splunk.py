"""Splunk, for the contract suite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.errors import (
    OutcomeUnknown,
    Unavailable,
)
from connectors.model import (
    EventQuery,
    Operator,
    SavedSearch,
    SearchJob,
    Term,
    Window,
)
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

_JOB = SearchJob(sid="scheduler__nobody__search__1", started_at=datetime(2026, 11, 25, tzinfo=UTC))
_RUN = "scheduler__nobody__search__RMD5abc_at_1764072000_1"
_WINDOW = Window(start=1764068400, end=1764072000, event_start=1763463600, event_end=1764158400)
_QUERY = EventQuery(
    index="main",
    start=datetime(2026, 11, 24, tzinfo=UTC),
    end=datetime(2026, 11, 25, tzinfo=UTC),
    terms=(Term(fields=("process",), operator=Operator.CONTAINS, values=("x.xsl",)),),
    fields=("host", "process"),
)
_JOBS = "/services/search/v2/jobs"


def _answer(request: Request) -> Reply:
    path = request.path
    if path == "/services/server/info":
        return json_reply({"generator": {"version": "9.3.1"}, "entry": [{"content": {}}]})
    if path == "/services/authentication/current-context":
        content = {"username": "stockade", "roles": ["stockade"], "capabilities": ["search"]}
        return json_reply({"entry": [{"content": content}], "messages": []})
    if path.endswith("/history"):
        return json_reply({"entry": [{"name": _RUN, "content": {}}], "messages": []})
    if path == "/servicesNS/nobody/search/saved/searches/wmic":
        return json_reply({"entry": [{"content": {"dispatch.max_count": 9}}], "messages": []})
    if path == "/servicesNS/-/-/saved/searches":
        return json_reply({"entry": [{"name": "wmic", "content": {}}], "messages": []})
    if path.endswith(("/dispatch", "/search/v2/jobs")):
        return json_reply({"sid": _JOB.sid}, 201)
    if path.endswith("/control"):
        return json_reply({"messages": [{"type": "INFO", "text": "Search job cancelled."}]})
    if path.endswith("/results"):
        rows = [{"host": "WS-042", "process": ["a", "b"]}, {"host": "WS-043"}]
        found = {"preview": False, "init_offset": 0, "messages": [], "results": rows}
        return json_reply(found)
    if path in (f"{_JOBS}/{_JOB.sid}", f"{_JOBS}/{_RUN}"):
        status = {
            "dispatchState": "DONE",
            "isDone": True,
            "isFailed": False,
            "isFinalized": False,
            "isZombie": False,
            "resultCount": 2,
            "searchEarliestTime": 1764068400,
            "searchLatestTime": 1764072000,
            "messages": [],
        }
        return json_reply({"entry": [{"content": status}], "messages": []})
    return json_reply(_error("no such path"), 404)


def _error(text: str, kind: str = "ERROR") -> dict[str, Any]:
    return {"messages": [{"type": kind, "text": text}]}


def _is_job(request: Request) -> bool:
    return request.path.endswith(("/dispatch", "/search/v2/jobs"))


_HIDDEN_FATAL = json_reply({"results": [{"host": "a"}], **_error("x", "FATAL")})

CASE = Case(
    credentials={"token": "made-up-splunk-token-5ec2e75ec2e7"},
    answer=_answer,
    reads={
        "server_time": lambda siem: siem.server_time(),
        "search_status": lambda siem: siem.search_status(_JOB),
        "fetch_rows": lambda siem: list(siem.fetch_rows(_JOB, 2)),
        "list_runs": lambda siem: siem.list_runs(SavedSearch(name="wmic"), 1764068400, 60),
        "cancel_search": lambda siem: siem.cancel_search(_JOB),
    },
    once={
        "start_saved_search": lambda siem: siem.start_saved_search(
            SavedSearch(name="wmic"), _WINDOW
        ),
        "start_event_query": lambda siem: siem.start_event_query(_QUERY),
    },
    is_read=lambda request: not _is_job(request),
    refusal=_error,
    no_permission=(
        (
            only(
                "/current-context",
                json_reply({"entry": [{"content": {"username": "u", "capabilities": []}}]}),
            ),
            "search",
        ),
        (only("/v2/jobs", json_reply(_error("denied"), 403)), "permission"),
        (only("/current-context", json_reply(_error("not authed"), 401)), "token"),
    ),
    hidden_errors=(
        ("start_saved_search", json_reply({"messages": []}, 201), OutcomeUnknown),
        ("fetch_rows", _HIDDEN_FATAL, Unavailable),
        ("fetch_rows", json_reply({"results": [], "messages": []}), Unavailable),
    ),
    told={
        # Not known to the search head any more: a value that a poll goes on from.
        ("search_status", 404): None,
        ("fetch_rows", 404): Unavailable,
        ("cancel_search", 404): None,
    },
    # A busy search head says nothing at all, and that is "running".
    bodyless=frozenset({"search_status", "cancel_search"}),
    unread=frozenset({"cancel_search"}),
    # No rows where rows were promised is an error by its own words.
    says_otherwise=frozenset({"fetch_rows"}),
    waits_on_503=frozenset(
        {"server_time", "list_runs", "search_status", "fetch_rows", "cancel_search"}
    ),
    # Nothing is chosen by a name that two things may have: searches have a name space.
    twins=(),
    empty_selectors={
        "start_saved_search": lambda siem: siem.start_saved_search(SavedSearch(name=""), _WINDOW),
        "start_event_query": lambda siem: siem.start_event_query(
            EventQuery(index="main", start=_QUERY.start, end=_QUERY.end, terms=(), fields=("host",))
        ),
    },
)
