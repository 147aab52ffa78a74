"""The contract that every connector keeps, applied to each line of the registry.

A connector is added with one line in `connectors/registry.py` and one case in
`tests/contract_cases.py`; all of this then holds for it or fails.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import ssl
import subprocess
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

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
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret
from connectors.registry import CONNECTORS, load_connector
from tests.contract_cases import CASES, Case
from tests.fake_clock import FakeClock
from tests.fake_product import (
    LOST,
    Conversation,
    FakeTransport,
    Fault,
    Reply,
    Request,
    json_reply,
    loopback_product,
)

NAMES = sorted(CONNECTORS)
PURE = {"card_sha256"}
"""Role methods that send nothing."""


def case_of(name: str) -> Case:
    if name not in CASES:
        pytest.fail(
            f"the connector {name!r} has no case: describe its fake product and its calls in "
            "tests/contract_cases.py, and the whole contract applies to it",
            pytrace=False,
        )
    return CASES[name]


def build(name: str, base_url: str, runtime: Runtime, **settings: Any) -> Any:
    case, cls = case_of(name), load_connector(name)
    return cls(
        name=f"{name}-test",
        tenant="tenant-1",
        settings=HttpSettings(base_url=base_url, **settings),
        credentials={key: Secret(value) for key, value in case.credentials.items()},
        options=msgspec.convert(dict(case.options), cls.Options),
        runtime=runtime,
    )


@dataclass
class Bench:
    """A connector, the product that it talks to, and the clock between them."""

    name: str
    case: Case
    product: Conversation
    clock: FakeClock
    connector: Any

    def call(self, name: str) -> object:
        return self.case.calls()[name](self.connector)

    def warm(self, name: str) -> None:
        """Call once while all is well, so that tokens and versions are known."""
        self.call(name)
        # Past what is kept for a minute (a product's clock), not past a session.
        self.clock.advance(120)
        self.product.forget()
        self.clock.sleeps.clear()

    def break_with(self, reply: Reply) -> None:
        """Answer everything but signing in with this."""
        self.product.fault = lambda request, good: good if self.case.is_session(request) else reply

    def due_error(self, call: str, status: int, rule: type[ConnectorError]) -> Any:
        return self.case.told.get((call, status), rule)


def bench(name: str) -> Bench:
    case = case_of(name)
    product, clock = Conversation(case.answer), FakeClock()
    runtime = Runtime(clock=clock, transport=lambda: FakeTransport(product))
    return Bench(name, case, product, clock, build(name, "https://product.example.test", runtime))


def each_call(kind: str) -> list[tuple[str, str]]:
    """(connector, call) for all calls of a kind; a connector without a case still shows up."""
    found: list[tuple[str, str]] = []
    for name in NAMES:
        calls = getattr(CASES[name], kind) if name in CASES else {"no case": None}
        found += [(name, call) for call in (calls() if callable(calls) else calls)]
    return found


ALL_CALLS = pytest.mark.parametrize(("name", "call"), each_call("calls"))
READS = pytest.mark.parametrize(("name", "call"), each_call("reads"))
ONCE = pytest.mark.parametrize(("name", "call"), each_call("once"))
EACH = pytest.mark.parametrize("name", NAMES)


# -- shape -----------------------------------------------------------------------------------------


@EACH
def test_connector_when_registered_then_keeps_its_role_and_names_its_type(name: str) -> None:
    cls = load_connector(name)
    assert issubclass(cls, Connector)
    assert name == cls.TYPE
    assert isinstance(bench(name).connector, ROLES[cls.ROLE])


@EACH
def test_case_when_written_then_calls_every_method_of_the_role(name: str) -> None:
    role = ROLES[load_connector(name).ROLE]
    methods = {key for key, value in vars(role).items() if inspect.isfunction(value)}
    due = {key for key in methods if not key.startswith("_")} - PURE - {"check"}
    assert {call.partition(" ")[0] for call in case_of(name).calls()} == due
    assert set(actions_of(role)) <= set(case_of(name).once)


@EACH
def test_options_when_a_key_is_unknown_then_refused(name: str) -> None:
    options = {**case_of(name).options, "no_such_key": 1}
    with pytest.raises(msgspec.ValidationError, match="no_such_key"):
        msgspec.convert(options, load_connector(name).Options)


@EACH
def test_containment_when_declared_then_has_an_inverse_with_the_same_target(name: str) -> None:
    cls = load_connector(name)
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


@pytest.mark.parametrize("status", [302, 307, 308])
@ALL_CALLS
def test_redirect_when_answered_then_not_followed(name: str, call: str, status: int) -> None:
    at = bench(name)
    at.warm(call)
    at.break_with(Reply(status, b"", {"Location": "https://elsewhere.example.test/"}))
    with pytest.raises(ConnectorError):
        at.call(call)
    hosts = {request.headers.get("host") for request in at.product.requests}
    assert hosts <= {None, "product.example.test"}


@pytest.mark.parametrize(("status", "wait_s"), [(429, 7), (503, 3)])
@ALL_CALLS
def test_call_when_told_to_wait_then_waits_as_told(
    name: str, call: str, status: int, wait_s: int
) -> None:
    at = bench(name)
    if status == 503 and at.case.waits_on_503 is not None and call not in at.case.waits_on_503:
        pytest.skip("the product means something of its own by this status: its own tests hold it")
    at.warm(call)
    told = json_reply(at.case.refusal("slow down"), status, Retry_After=str(wait_s))
    replies = iter([told])
    at.product.fault = lambda request, good: next(replies, good)
    at.call(call)
    assert sum(at.clock.sleeps) >= wait_s


@pytest.mark.parametrize("status", [429, 503])
@ALL_CALLS
def test_call_when_told_to_wait_for_long_then_gives_the_time_and_does_not_sleep(
    name: str, call: str, status: int
) -> None:
    at = bench(name)
    if status == 503 and at.case.waits_on_503 is not None and call not in at.case.waits_on_503:
        pytest.skip("the product means something of its own by this status: its own tests hold it")
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


# -- bodies ----------------------------------------------------------------------------------------

HTML = b"<html><body>Please sign in</body></html>"


@pytest.mark.parametrize(("kind", "body"), [("text/html", HTML), ("application/json", b"")])
@ALL_CALLS
def test_body_when_no_json_where_json_was_due_then_an_error_with_status_and_type(
    name: str, call: str, kind: str, body: bytes
) -> None:
    at = bench(name)
    if call in at.case.bodyless and (not body or call == "cancel_search"):
        pytest.skip("no body is due for this call")
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
        for value in _mutations(json.loads(good.body)):
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


# -- sockets ---------------------------------------------------------------------------------------


def _real(name: str, url: str, **settings: Any) -> Any:
    return build(name, url, Runtime(clock=FakeClock(), emulated=True), **settings)


@ONCE
def test_write_when_its_answer_is_lost_then_outcome_unknown_and_sent_once(
    name: str, call: str
) -> None:
    case = case_of(name)
    product = Conversation(case.answer)
    with loopback_product(product) as url:
        connector = _real(name, url)
        case.once[call](connector)
        product.forget()
        product.fault = lambda request, good: good if _is_harmless(case, request) else LOST
        with pytest.raises(OutcomeUnknown):
            case.once[call](connector)
    assert len([r for r in product.requests if not _is_harmless(case, r)]) == 1


def _is_harmless(case: Case, request: Request) -> bool:
    return case.is_read(request) or case.is_session(request)


@EACH
def test_read_when_its_answer_is_lost_then_repeated_and_answered(name: str) -> None:
    case = case_of(name)
    product = Conversation(case.answer)
    lost = iter([LOST])
    product.fault = lambda request, good: next(lost, good)
    with loopback_product(product) as url:
        next(iter(case.reads.values()))(_real(name, url))
    assert product.requests[0] == product.requests[1]


@EACH
def test_environment_when_it_names_a_proxy_and_a_netrc_then_neither_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = case_of(name)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stranger password not-ours\n")
    product, proxy = Conversation(case.answer), Conversation(lambda _request: Reply(502))
    with loopback_product(product) as url, loopback_product(proxy) as proxy_url:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy_url)
            monkeypatch.setenv(variable.lower(), proxy_url)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        next(iter(case.reads.values()))(_real(name, url))
    assert proxy.requests == []
    assert product.requests
    assert not any("c3RyYW5nZXI6" in str(request.headers) for request in product.requests)


@EACH
def test_proxy_when_configured_then_used(name: str) -> None:
    case = case_of(name)
    product, proxy = Conversation(case.answer), Conversation(case.answer)
    with loopback_product(product) as url, loopback_product(proxy) as proxy_url:
        next(iter(case.reads.values()))(_real(name, url, proxy=proxy_url))
    assert proxy.requests
    assert product.requests == []


@pytest.mark.parametrize(
    ("url", "is_emulated"),
    [("http://127.0.0.1:1", False), ("http://192.0.2.1", True), ("http://localhost:1", True)],
)
@EACH
def test_plain_http_when_not_an_emulator_on_loopback_then_refused(
    name: str, url: str, is_emulated: bool
) -> None:
    with pytest.raises(Rejected, match="plain http"):
        build(name, url, Runtime(clock=FakeClock(), emulated=is_emulated))


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1."""

    file: Path
    context: ssl.SSLContext
    fingerprint: str


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    file, key = folder / "cert.pem", folder / "key.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)]
    subprocess.run([openssl, *made.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    return Certificate(file, context, sha256(der).hexdigest())


@EACH
def test_tls_when_pinned_or_trusted_then_answers_and_else_refuses(
    name: str, certificate: Certificate
) -> None:
    case = case_of(name)
    product = Conversation(case.answer)
    read = next(iter(case.reads.values()))
    wrong = replace(certificate, fingerprint="0" * 64).fingerprint
    with loopback_product(product, certificate.context) as url:
        for settings in ({}, {"fingerprint_sha256": wrong}):
            with pytest.raises(Unavailable, match="certificate"):
                read(_real(name, url, **settings))
        assert product.requests == []
        read(_real(name, url, ca_file=str(certificate.file)))
        read(_real(name, url, fingerprint_sha256=certificate.fingerprint))
    assert product.requests
