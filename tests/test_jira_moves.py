"""Moving a ticket: which transition is taken, held against the vendor's OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from responses import RequestsMock

from connectors.errors import OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import CaseStage, Secret, TicketMove, TicketRef
from connectors.tickets.jira import Jira
from tests.fake_clock import FakeClock
from tests.jira_documents import BASE, assert_in_vendor_document
from tests.strict_responses import StrictRegistry

TICKET = TicketRef(id="10042", key="SEC-42", url=f"{BASE}/browse/SEC-42")
ISSUE = f"{BASE}/rest/api/3/issue/10042"
WAYS = f"{ISSUE}/transitions"
REQUIRED = {"resolution": {"required": True, "name": "Resolution", "hasDefaultValue": False}}
MOVE = TicketMove(from_status="Open", to_status="Done", transition="31", is_untouched=True)


@pytest.fixture
def api() -> Iterator[RequestsMock]:
    with RequestsMock(registry=StrictRegistry, assert_all_requests_are_fired=True) as mock:
        yield mock
        for call in mock.calls:
            assert_in_vendor_document(call.request)


def jira(**transitions: str) -> Jira:
    return Jira(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=BASE),
        credentials={
            "email": Secret("bot@example.test"),
            "api_token": Secret("token-0001-5ec2e75ec2e7"),
        },
        options=msgspec.convert({"project": "SEC", "transitions": transitions}, Jira.Options),
        runtime=Runtime(clock=FakeClock()),
    )


def is_in(api: RequestsMock, name: str, category: str = "new") -> None:
    status = {"name": name, "statusCategory": {"key": category}}
    api.get(ISSUE, json={"fields": {"status": status}})


def way(key: str, name: str, to: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"id": key, "name": name, "to": {"name": to}, "fields": fields or {}}


def leads(api: RequestsMock, *ways: dict[str, Any]) -> None:
    api.get(WAYS, json={"transitions": list(ways)})


@pytest.mark.parametrize(
    ("wanted", "due"),
    [("done", ("31", "Done")), ("Start work", ("21", "Doing")), ("Done", ("31", "Done"))],
)
def test_plan_when_a_status_or_a_transition_has_the_name_then_that_way(
    api: RequestsMock, wanted: str, due: tuple[str, str]
) -> None:
    is_in(api, "Open")
    leads(api, way("21", "Start work", "Doing"), way("31", "Close", "Done"), way("4", "Done", "No"))
    move = jira(closed=wanted).plan_move(TICKET, CaseStage.CLOSED)
    assert move is not None
    assert (move.transition, move.to_status) == due
    assert (move.from_status, move.is_untouched) == ("Open", True)


def test_plan_when_the_stage_has_none_then_nothing_is_asked() -> None:
    assert jira(closed="Done").plan_move(TICKET, CaseStage.CONTAINED) is None


def test_plan_when_it_is_there_then_no_transition_is_looked_for(api: RequestsMock) -> None:
    is_in(api, "Done", "done")
    move = jira(closed="done").plan_move(TICKET, CaseStage.CLOSED)
    assert move == TicketMove(
        from_status="Done", to_status="Done", transition=None, is_untouched=False
    )


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ((way("2", "Go", "Doing"),), "there are: Go → Doing"),
        ((way("3", "Close", "Done", REQUIRED),), "the transition Close from Open asks for: Res"),
        ((way("3", "A", "Done"), way("4", "B", "Done")), "several.*: A, B; name one of them"),
    ],
)
def test_plan_when_no_way_is_sure_then_refused_by_its_names(
    api: RequestsMock, ways: tuple[dict[str, Any], ...], said: str
) -> None:
    is_in(api, "Open")
    leads(api, *ways)
    with pytest.raises(Rejected, match=said) as fault:
        jira(closed="Done").plan_move(TICKET, CaseStage.CLOSED)
    assert fault.value.code == "no_transition"


def test_plan_when_one_of_two_ways_asks_for_nothing_then_that_one(api: RequestsMock) -> None:
    is_in(api, "Open")
    leads(api, way("3", "Close", "Done", REQUIRED), way("4", "Drop", "Done"))
    move = jira(closed="Done").plan_move(TICKET, CaseStage.CLOSED)
    assert move is not None
    assert move.transition == "4"


@pytest.mark.parametrize("body", [{}, {"transitions": None}])
def test_plan_when_jira_shows_no_transitions_then_unavailable(
    api: RequestsMock, body: dict[str, Any]
) -> None:
    is_in(api, "Open")
    api.get(WAYS, json=body)
    with pytest.raises(Unavailable):
        jira(closed="Done").plan_move(TICKET, CaseStage.CLOSED)


def test_move_when_the_ticket_is_where_the_way_begins_then_it_is_sent(api: RequestsMock) -> None:
    is_in(api, "Open")
    api.post(WAYS, status=204)
    jira().move_ticket(TICKET, MOVE)
    assert json.loads(api.calls[-1].request.body or b"") == {"transition": {"id": "31"}}


def test_move_when_it_is_there_then_nothing_is_sent(api: RequestsMock) -> None:
    is_in(api, "Done", "done")
    jira().move_ticket(TICKET, MOVE)
    assert len(api.calls) == 1


def test_move_when_somebody_moved_it_then_rejected_and_nothing_is_sent(api: RequestsMock) -> None:
    is_in(api, "Waiting")
    with pytest.raises(Rejected, match="in Waiting, not in Open") as fault:
        jira().move_ticket(TICKET, MOVE)
    assert fault.value.code == "moved"
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("status", "due"), [(400, Rejected), (409, Rejected), (500, OutcomeUnknown)]
)
def test_move_when_jira_says_no_then_grouped_and_sent_once(
    api: RequestsMock, status: int, due: type[Exception]
) -> None:
    is_in(api, "Open")
    api.post(WAYS, status=status, json={"errorMessages": ["no"], "errors": {}})
    with pytest.raises(due):
        jira().move_ticket(TICKET, MOVE)
    assert len(api.calls) == 2


def test_options_when_a_stage_is_unknown_then_the_known_ones_are_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="in_progress, on_hold, contained, closed"):
        jira(solved="Done")


@pytest.mark.parametrize(
    ("granted", "said", "code"),
    [
        (True, "no transition leads from Open to Done; there are: none", "no_transition"),
        (False, "give the account the permission Transition Issues", "no_permission"),
    ],
)
def test_plan_when_no_transition_is_shown_then_the_permission_tells_why(
    api: RequestsMock, granted: bool, said: str, code: str
) -> None:
    is_in(api, "Open")
    leads(api)
    listed = {"TRANSITION_ISSUES": {"havePermission": granted}}
    api.get(f"{BASE}/rest/api/3/mypermissions", json={"permissions": listed})
    with pytest.raises(Rejected, match=said) as fault:
        jira(closed="Done").plan_move(TICKET, CaseStage.CLOSED)
    assert fault.value.code == code


def change(created: str, was: str, to: str, field: str = "status") -> dict[str, Any]:
    return {
        "created": created,
        "items": [{"field": field, "fromString": was, "toString": to}],
    }


@pytest.mark.parametrize(
    ("status", "histories", "taken"),
    [
        ("Done", [], True),
        ("Open", [], False),
        ("Open", [change("2026-11-25T12:00:01.000+0000", "Open", "Done")], True),
        ("Open", [change("2026-11-25T12:57:00.000+0100", "Open", "Done")], True),
        ("Open", [change("2026-11-25T11:50:00.000+0000", "Open", "Done")], False),
        ("Open", [change("2026-11-25T12:00:01.000+0000", "Open", "Waiting")], False),
        ("Open", [change("2026-11-25T12:00:01.000+0000", "Open", "Done", "resolution")], False),
        ("Waiting", [change("no time", "Open", "Done")], True),
        ("Open", [None, {"items": 5}, {"items": [None]}], False),
    ],
)
def test_look_after_a_lost_answer_when_the_ticket_went_that_way_then_it_was_moved(
    api: RequestsMock, status: str, histories: list[Any], taken: bool
) -> None:
    body = {"fields": {"status": {"name": status}}, "changelog": {"histories": histories}}
    api.get(ISSUE, json=body)
    since = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    assert jira().was_moved(TICKET, MOVE, since) is taken


@pytest.mark.parametrize("body", [{}, {"fields": {"status": {"name": "Open"}}}])
def test_look_when_jira_shows_no_changes_then_unavailable_and_no_guess(
    api: RequestsMock, body: dict[str, Any]
) -> None:
    api.get(ISSUE, json=body)
    with pytest.raises(Unavailable):
        jira().was_moved(TICKET, MOVE, datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
