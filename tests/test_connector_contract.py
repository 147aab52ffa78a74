"""The contract that every connector keeps, applied to each line of the registry.

A connector is added with one line in `connectors/registry.py` and one file in
`tests/contract_cases/`; all of this then holds for it or fails. Here: its shape, its permissions,
and what it makes of refusals. Its siblings hold bodies and secrets, and what only a socket shows.
"""

from __future__ import annotations

import inspect

import msgspec
import pytest

from connectors.base import ROLES, Connector, Effect, actions_of
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.moving import MovesTickets
from tests.contract_bench import (
    ALL_CALLS,
    EACH,
    ONCE,
    PURE,
    READS,
    Bench,
    bench,
    case_of,
    class_of,
    each_call,
    waits,
)
from tests.fake_product import (
    Reply,
    Request,
    json_reply,
)

# -- shape -----------------------------------------------------------------------------------------


@EACH
def test_connector_when_registered_then_keeps_its_role_and_names_its_type(name: str) -> None:
    cls = class_of(name)
    assert issubclass(cls, Connector)
    assert name.partition(",")[0] == cls.TYPE
    assert isinstance(bench(name).connector, ROLES[cls.ROLE])


@EACH
def test_case_when_written_then_calls_every_method_of_the_role(name: str) -> None:
    role = ROLES[class_of(name).ROLE]
    can_move = isinstance(bench(name).connector, MovesTickets)
    both = {**vars(role), **(vars(MovesTickets) if can_move else {})}
    methods = {key for key, value in both.items() if inspect.isfunction(value)}
    due = {key for key in methods if not key.startswith("_")} - PURE - {"check", "check_search"}
    assert {call.partition(" ")[0] for call in case_of(name).calls()} == due
    assert set(actions_of(role)) <= set(case_of(name).once)


@EACH
def test_options_when_a_key_is_unknown_then_refused(name: str) -> None:
    options = {**case_of(name).options, "no_such_key": 1}
    with pytest.raises(msgspec.ValidationError, match="no_such_key"):
        msgspec.convert(options, class_of(name).Options)


@EACH
def test_containment_when_declared_then_has_an_inverse_with_the_same_target(name: str) -> None:
    cls = class_of(name)
    actions = actions_of(ROLES[cls.ROLE])
    for action in actions.values():
        if action.effect is Effect.CONTAIN:
            assert action.inverse is not None
            assert actions[action.inverse].effect is Effect.RELEASE
            there, back = getattr(cls, action.name), getattr(cls, action.inverse)
            assert inspect.signature(there) == inspect.signature(back)


@ALL_CALLS
def test_call_when_all_is_well_then_answers(name: str, call: str) -> None:
    at = bench(name)
    at.call(call)
    assert at.product.requests


@READS
def test_read_when_called_then_sends_nothing_but_reads(name: str, call: str) -> None:
    at = bench(name)
    at.call(call)
    sent = [request for request in at.product.requests if not at.case.is_session(request)]
    assert [request.path for request in sent if not at.case.is_read(request)] == []


@EACH
def test_selector_when_empty_then_refused_before_any_call(name: str) -> None:
    at = bench(name)
    for what, call in at.case.empty_selectors.items():
        with pytest.raises(Rejected):
            call(at.connector)
        assert at.product.requests == [], what


@EACH
def test_selector_when_two_things_match_then_never_silently_the_first(name: str) -> None:
    for fault, call, due in case_of(name).twins:
        at = bench(name)
        at.product.fault = fault
        assert call(at.connector) == due


# -- permissions -----------------------------------------------------------------------------------


@EACH
def test_check_when_all_is_granted_then_all_is_ok(name: str) -> None:
    results = bench(name).connector.check()
    assert results
    assert [result for result in results if not result.ok] == []


@EACH
def test_check_when_a_permission_is_missing_then_names_it(name: str) -> None:
    assert case_of(name).no_permission
    for fault, word in case_of(name).no_permission:
        at = bench(name)
        at.product.fault = fault
        missing = [result for result in at.connector.check() if not result.ok]
        assert any(word in f"{result.what}: {result.mend}" for result in missing), (word, missing)
        assert all(result.mend for result in missing), missing


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "rule"),
    [(400, Rejected), (401, AuthFailed), (403, AuthFailed), (404, NotFound), (418, Rejected)],
)
@ALL_CALLS
def test_refusal_when_4xx_then_grouped_by_what_to_do(
    name: str, call: str, status: int, rule: type[ConnectorError]
) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(json_reply(at.case.refusal("said no"), status))
    due = at.due_error(call, status, rule)
    if due is None:
        at.call(call)
        return
    with pytest.raises(due) as caught:
        at.call(call)
    assert type(caught.value) is due
    assert caught.value.status in (status, None)


@pytest.mark.parametrize("status", [400, 403, 500])
@ALL_CALLS
def test_refusal_when_its_text_is_hostile_then_short_and_without_control_characters(
    name: str, call: str, status: int
) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(json_reply(at.case.refusal("\x1b[2J\u202e\r\nforged line " * 1000), status))
    with pytest.raises(ConnectorError) as caught:
        at.call(call)
    assert caught.value.text.isprintable()
    assert len(caught.value.text) < 1000
    assert (caught.value.code or "").isprintable()


@pytest.mark.parametrize("status", [302, 307, 308])
@ALL_CALLS
def test_redirect_when_answered_then_not_followed(name: str, call: str, status: int) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(Reply(status, b"", {"Location": "https://elsewhere.example.test/"}))
    with pytest.raises(ConnectorError):
        at.call(call)
    assert {request.host for request in at.product.requests} == {"product.example.test"}


@pytest.mark.parametrize(
    ("name", "call", "status", "wait_s"),
    [(*pair, 429, 7) for pair in each_call("calls")]
    + [(*pair, 503, 3) for pair in each_call("calls") if waits(pair)],
)
def test_call_when_told_to_wait_then_waits_as_told(
    name: str, call: str, status: int, wait_s: int
) -> None:
    at = bench(name)
    at.warm(call)
    told = json_reply(at.case.refusal("slow down"), status, Retry_After=str(wait_s))
    replies = iter([told])
    at.product.fault = lambda request, good: next(replies, good)
    at.call(call)
    assert sum(at.clock.sleeps) >= wait_s


@pytest.mark.parametrize(
    ("name", "call", "status"),
    [(*pair, 429) for pair in each_call("calls")]
    + [(*pair, 503) for pair in each_call("calls") if waits(pair)],
)
def test_call_when_told_to_wait_for_long_then_gives_the_time_and_does_not_sleep(
    name: str, call: str, status: int
) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(json_reply(at.case.refusal("slow down"), status, Retry_After="240"))
    with pytest.raises(Unavailable) as caught:
        at.call(call)
    assert caught.value.retry_after_s == 240
    assert sum(at.clock.sleeps) <= 10


@READS
def test_read_when_the_product_breaks_then_unavailable(name: str, call: str) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(json_reply(at.case.refusal("broken"), 500))
    with pytest.raises(Unavailable):
        at.call(call)


@ONCE
def test_write_when_the_product_breaks_then_outcome_unknown_and_sent_once(
    name: str, call: str
) -> None:
    at = bench(name)
    at.warm(call)
    broken = json_reply(at.case.refusal("broken"), 500)
    at.product.fault = lambda request, good: good if at.case.is_read(request) else broken
    with pytest.raises(OutcomeUnknown):
        at.call(call)
    assert len(_writes(at)) == 1


def _writes(at: Bench) -> list[Request]:
    return [
        request
        for request in at.product.requests
        if not at.case.is_read(request) and not at.case.is_session(request)
    ]


@EACH
def test_error_when_hidden_inside_a_2xx_then_an_error(name: str) -> None:
    assert case_of(name).hidden_errors
    for call, reply, due in case_of(name).hidden_errors:
        at = bench(name)
        at.warm(call)
        at.break_with(reply)
        with pytest.raises(due) as caught:
            at.call(call)
        assert type(caught.value) is due, (call, reply)
