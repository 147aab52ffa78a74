"""The contract on what comes back: no JSON, JSON of another shape, and our own secrets."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.errors import (
    ConnectorError,
    OutcomeUnknown,
    Unavailable,
)
from tests.contract_bench import (
    EACH,
    NAMES,
    Bench,
    bench,
    each_call,
)
from tests.contract_cases import CASES
from tests.fake_product import (
    Fault,
    Reply,
    Request,
)

# -- bodies ----------------------------------------------------------------------------------------

HTML = b"<html><body>Please sign in</body></html>"


def _bodies() -> list[tuple[str, str, str, bytes]]:
    """Each call with each body that is none; an empty one only where a body is due."""
    found: list[tuple[str, str, str, bytes]] = []
    for name, call in each_call("calls"):
        case = CASES.get(name)
        if case is None or call not in case.bodyless:
            found.append((name, call, "application/json", b""))
        if case is None or call not in case.unread:
            found.append((name, call, "text/html", HTML))
    return found


@pytest.mark.parametrize(("name", "call", "kind", "body"), _bodies())
def test_body_when_no_json_where_json_was_due_then_an_error_with_status_and_type(
    name: str, call: str, kind: str, body: bytes
) -> None:
    at = bench(name)
    at.warm(call)

    def no_json(request: Request, good: Reply) -> Reply:
        is_hit = call in at.case.reads or not at.case.is_read(request)
        return Reply(good.status, body, {"Content-Type": kind}) if is_hit else good

    at.product.fault = no_json
    with pytest.raises(OutcomeUnknown if call in at.case.once else Unavailable) as caught:
        at.call(call)
    if call not in at.case.says_otherwise:
        assert "HTTP 20" in caught.value.text
        assert (kind if body else "empty body") in caught.value.text


WRONG: tuple[Any, ...] = (None, "text", 7, True, [], {}, [None], ["text"], [[]], {"x": 1})


def _mutations(value: Any) -> Iterator[Any]:
    """The value with each key dropped, nulled, of another type, and one added, at any depth."""
    yield from (None, [], {}, "text", 7)
    yield from _inner_mutations(value)


def _inner_mutations(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield {**value, "a_key_of_tomorrow": {"x": [1]}}
        for key, inner in value.items():
            yield {other: kept for other, kept in value.items() if other != key}
            yield from ({**value, key: wrong} for wrong in WRONG)
            for changed in _inner_mutations(inner):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for index, inner in enumerate(value[:1]):
            for changed in _inner_mutations(inner):
                yield [*value[:index], changed, *value[index + 1 :]]


def _escaped(name: str, run: Callable[[Bench], object], position: int, reply: Reply) -> str | None:
    """What escapes when the reply at this position is another one; a connector's error may."""
    at = bench(name)

    def mutated(_request: Request, good: Reply) -> Reply:
        return reply if len(at.product.requests) == position + 1 else good

    at.product.fault = mutated
    try:
        run(at)
    except ConnectorError:
        return None
    except Exception as error:  # noqa: BLE001 - whatever escapes is what this test looks for
        return f"{reply.body!r} → {type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize(("name", "call"), [*each_call("calls"), *((n, "check") for n in NAMES)])
def test_reply_when_fields_are_missing_or_new_then_only_connector_errors(
    name: str, call: str
) -> None:
    def run(at: Bench) -> object:
        return at.connector.check() if call == "check" else at.call(call)

    well = bench(name)
    run(well)
    assert well.product.replies
    for position, good in enumerate(well.product.replies):
        for value in _mutations(json.loads(good.body or b"{}")):
            assert _escaped(name, run, position, good.with_json(value)) is None


# -- secrets ---------------------------------------------------------------------------------------


def _leaky(secrets: list[str], status: int) -> Fault:
    """A product that says our secrets back in every field that is ever read, and in its HTML."""
    text = " ".join(secrets)
    bodies = [
        json.dumps({"messages": [{"type": "ERROR", "text": text}], "error": text, "ok": False}),
        json.dumps({"errors": [{"code": status, "message": text}], "resources": []}),
        json.dumps({"errorMessages": [text], "errors": {"summary": text}, "message": text}),
        json.dumps({"ok": False, "error": "missing_scope", "needed": text, "errors": [text]}),
        f"<html><title>{text}</title></html>",
    ]
    turns = iter(range(10_000))

    def fault(_request: Request, good: Reply) -> Reply:
        body = bodies[next(turns) % len(bodies)]
        kind = "text/html" if body.startswith("<") else "application/json"
        answered = status or good.status
        return Reply(answered, body.encode(), {"Content-Type": kind, "X-Cs-Region": text})

    return fault


@pytest.mark.parametrize("status", [0, 308, 400, 401, 403, 404, 409, 429, 500, 503])
@EACH
def test_secret_when_the_product_says_it_back_then_in_no_text_of_ours(
    name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    at = bench(name)
    secrets = [*at.case.credentials.values(), *at.case.more_secrets]
    said = [repr(at.connector), repr(vars(at.connector)), str(at.connector)]
    for call in at.case.calls():
        for _ in range(5):
            at.product.fault = _leaky(secrets, status)
            try:
                at.call(call)
            except ConnectorError as error:
                said += [repr(error), *traceback.format_exception(error)]
                said.append(repr(vars(error)))
    at.product.fault = _leaky(secrets, status)
    said += [repr(result) for result in at.connector.check()]
    told = "\n".join([*said, caplog.text])
    assert [secret for secret in secrets if secret in told] == []
