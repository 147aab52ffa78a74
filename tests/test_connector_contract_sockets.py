"""The contract on real sockets: lost answers, environment, proxies, plain http, certificates."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import (
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import Runtime
from tests.contract_bench import (
    EACH,
    ONCE,
    build,
    case_of,
)
from tests.contract_cases import Case
from tests.fake_clock import FakeClock
from tests.fake_product import (
    LOST,
    Conversation,
    Reply,
    Request,
    loopback_product,
)

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
