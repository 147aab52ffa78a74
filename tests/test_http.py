"""`connectors/http.py` over a strict registry: mapping, repeats, waits, redaction, bodies."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests import exceptions as rx
from responses import RequestsMock
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
)
from urllib3.exceptions import SSLError as Urllib3SSLError

from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of, retry_after_s
from connectors.model import Secret
from tests.fake_clock import FakeClock
from tests.strict_responses import StrictRegistry
from tests.strict_responses import strict_responses as strict_responses

BASE = "https://siem.example.test:8089"
URL = BASE + "/thing"
SECRET = "s3cr3t-t0ken/with+signs-5ec2e75ec2e7"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def make_client(
    clock: FakeClock | None = None, *, settings: HttpSettings | None = None
) -> HttpClient:
    return HttpClient(
        "product",
        settings or HttpSettings(base_url=BASE),
        Runtime(clock=clock or FakeClock()),
        secrets=[Secret(SECRET)],
        explain=lambda _status, body: body.decode("utf-8", "replace"),
    )


def send(client: HttpClient, repeat: Repeat, method: str = "POST") -> Reply:
    return client.send(method, "/thing", repeat=repeat, auth={"Authorization": f"Bearer {SECRET}"})


def refused() -> MaxRetryError:
    reason = NewConnectionError(None, "refused")  # type: ignore[arg-type]
    return MaxRetryError(None, "/thing", reason)  # type: ignore[arg-type]


def tls_fault(inner: ssl.SSLError) -> MaxRetryError:
    return MaxRetryError(None, "/thing", Urllib3SSLError(inner))  # type: ignore[arg-type]


def with_reason(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


LOST, NEVER_SENT, REJECTED, REFUSED_CERTIFICATE = "lost", "never sent", "rejected", "certificate"
FAULTS: list[tuple[Exception, str]] = [
    (rx.RequestException("x"), LOST),
    (rx.HTTPError("x"), LOST),
    (rx.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError())), LOST),
    (rx.ConnectionError(refused()), NEVER_SENT),
    (rx.ProxyError("407"), NEVER_SENT),
    (rx.SSLError(tls_fault(ssl.SSLCertVerificationError("bad"))), REFUSED_CERTIFICATE),
    (rx.SSLError(tls_fault(with_reason("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"))), LOST),
    (rx.SSLError(tls_fault(with_reason("WRONG_VERSION_NUMBER"))), NEVER_SENT),
    (rx.Timeout("x"), LOST),
    (rx.ConnectTimeout(ConnectTimeoutError("x")), NEVER_SENT),
    (rx.ReadTimeout("x"), LOST),
    (rx.URLRequired("x"), REJECTED),
    (rx.TooManyRedirects("x"), LOST),
    (rx.MissingSchema("x"), REJECTED),
    (rx.InvalidSchema("x"), REJECTED),
    (rx.InvalidURL("x"), REJECTED),
    (rx.InvalidHeader("two lengths in the answer"), LOST),
    (rx.InvalidProxyURL("x"), REJECTED),
    (rx.ChunkedEncodingError("x"), LOST),
    (rx.ContentDecodingError("x"), LOST),
    (rx.StreamConsumedError("x"), LOST),
    (rx.RetryError("x"), LOST),
    (rx.UnrewindableBodyError("x"), LOST),
    (rx.InvalidJSONError("x"), LOST),
    (rx.JSONDecodeError("x", "y", 0), LOST),
    (DecodeError("urllib3's own, which requests lets through"), LOST),
]


def test_fault_table_when_requests_grows_a_class_then_it_must_be_judged() -> None:
    known = {
        member
        for member in vars(rx).values()
        if isinstance(member, type)
        and issubclass(member, rx.RequestException)
        and not issubclass(member, Warning)
    }
    assert known == {type(fault) for fault, _ in FAULTS if isinstance(fault, rx.RequestException)}


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=lambda value: repr(value)[:60])
def test_send_when_a_write_breaks_then_only_what_was_never_sent_goes_out_again(
    strict_responses: RequestsMock, fault: Exception, kind: str
) -> None:
    clock = FakeClock()
    strict_responses.post(URL, body=fault)
    with pytest.raises(ConnectorError) as caught:
        send(make_client(clock), Repeat.ONCE)
    expected = {
        LOST: (OutcomeUnknown, 1),
        NEVER_SENT: (Unavailable, 3),
        REJECTED: (Rejected, 1),
        REFUSED_CERTIFICATE: (Unavailable, 1),
    }[kind]
    assert (type(caught.value), len(strict_responses.calls)) == expected
    assert len(clock.sleeps) == len(strict_responses.calls) - 1


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=lambda value: repr(value)[:60])
def test_send_when_a_read_breaks_then_it_is_tried_three_times(
    strict_responses: RequestsMock, fault: Exception, kind: str
) -> None:
    strict_responses.get(URL, body=fault)
    with pytest.raises(ConnectorError) as caught:
        send(make_client(), Repeat.SAFE, "GET")
    expected = {
        LOST: (Unavailable, 3),
        NEVER_SENT: (Unavailable, 3),
        REJECTED: (Rejected, 1),
        REFUSED_CERTIFICATE: (Unavailable, 1),
    }[kind]
    assert (type(caught.value), len(strict_responses.calls)) == expected


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (204, Unavailable, OutcomeUnknown),
        (301, Rejected, Rejected),
        (308, Rejected, Rejected),
        (400, Rejected, Rejected),
        (401, AuthFailed, AuthFailed),
        (403, AuthFailed, AuthFailed),
        (404, NotFound, NotFound),
        (408, Unavailable, OutcomeUnknown),
        (409, Rejected, Rejected),
        (429, Unavailable, Unavailable),
        (500, Unavailable, OutcomeUnknown),
        (502, Unavailable, OutcomeUnknown),
        (503, Unavailable, OutcomeUnknown),
        (504, Unavailable, OutcomeUnknown),
    ],
)
def test_send_when_a_status_is_not_accepted_then_its_group_is_told(
    strict_responses: RequestsMock,
    status: int,
    read: type[ConnectorError],
    write: type[ConnectorError],
) -> None:
    body = "" if status == 204 else "no"
    strict_responses.get(URL, status=status, body=body)
    strict_responses.post(URL, status=status, body=body)
    for repeat, method, expected in ((Repeat.SAFE, "GET", read), (Repeat.ONCE, "POST", write)):
        with pytest.raises(ConnectorError) as caught:
            send(make_client(), repeat, method)
        assert type(caught.value) is expected
        assert caught.value.status == status


def test_send_when_told_to_wait_then_it_waits_as_told_and_goes_on(
    strict_responses: RequestsMock,
) -> None:
    clock = FakeClock()
    strict_responses.post(URL, status=503, headers={"Retry-After": "2"})
    strict_responses.post(URL, status=429, headers={"Retry-After": "3"})
    strict_responses.post(URL, json={"done": True})
    assert send(make_client(clock), Repeat.ONCE).json() == {"done": True}
    assert clock.sleeps == [2.0, 3.0]


def test_send_when_the_wait_is_longer_than_the_call_then_it_gives_the_wait_back_unslept(
    strict_responses: RequestsMock,
) -> None:
    clock = FakeClock()
    strict_responses.get(URL, status=429, headers={"Retry-After": "7200"})
    with pytest.raises(Unavailable) as caught:
        send(make_client(clock), Repeat.SAFE, "GET")
    assert caught.value.retry_after_s == 300.0
    assert clock.sleeps == []
    assert len(strict_responses.calls) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 12 ", 12.0),
        ("-5", 0.0),
        ("1e9", 300.0),
        ("7200", 300.0),
        ("inf", 300.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Wed, 25 Nov 2026 12:01:30 GMT", 90.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2026 12:01:30", 90.0),
        ("Wed, 99 Foo 2026", None),
    ],
)
def test_retry_after_when_read_then_it_is_clamped_or_nothing(
    value: str, expected: float | None
) -> None:
    assert retry_after_s({"Retry-After": value}, NOW) == expected


def test_retry_after_when_falcon_gives_an_epoch_then_it_is_the_distance_from_now() -> None:
    headers = {"X-RateLimit-RetryAfter": str(int(NOW.timestamp()) + 30), "Retry-After": "1"}
    assert retry_after_s(headers, NOW) == 30.0


@given(st.text())
def test_retry_after_when_anything_comes_then_it_is_none_or_within_bounds(value: str) -> None:
    found = retry_after_s({"Retry-After": value}, NOW)
    assert found is None or 0.0 <= found <= 300.0


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html><title>Bad Gateway</title></html>", "text/html"),
        (b"", "application/json"),
        (b'{"results":[{"host":"WS-1"},{"ho', "application/json"),
        (b'{"a":1}', "text/plain"),
        (b"\xff\xfe\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
def test_json_when_the_body_is_none_then_a_read_is_unavailable_and_a_write_unknown(
    strict_responses: RequestsMock, body: bytes, content_type: str
) -> None:
    strict_responses.get(URL, body=body, content_type=content_type)
    strict_responses.post(URL, body=body, content_type=content_type)
    with pytest.raises(Unavailable) as caught:
        send(make_client(), Repeat.SAFE, "GET").json()
    assert caught.value.status == 200
    assert "HTTP 200" in caught.value.text
    with pytest.raises(OutcomeUnknown):
        send(make_client(), Repeat.ONCE).json()


def test_json_when_it_starts_with_a_byte_order_mark_then_it_is_read(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(URL, body=b'\xef\xbb\xbf{"a":1}', content_type="application/json")
    assert send(make_client(), Repeat.SAFE, "GET").json() == {"a": 1}


@pytest.mark.parametrize(
    "echo", [SECRET, "s3cr3t-t0ken%2Fwith%2Bsigns-5ec2e75ec2e7", f"Authorization: Bearer {SECRET}"]
)
def test_send_when_the_product_echoes_the_secret_then_nobody_sees_it(
    strict_responses: RequestsMock, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    caplog.set_level(logging.DEBUG)
    strict_responses.get(URL, status=400, body=f"you sent {echo}\x1b[31m")
    with pytest.raises(Rejected) as caught:
        send(make_client(), Repeat.SAFE, "GET")
    shown = str(caught.value) + repr(caught.value) + caplog.text
    assert "t0ken" not in shown
    assert "\x1b" not in shown
    assert "you sent" in caught.value.text


@pytest.mark.parametrize("spoiled", ["line\nbreak", "r\u00e9sum\u00e9", "nul\x00", "t\u2028x"])
def test_send_when_a_credential_cannot_be_a_header_then_it_is_refused_unshown(
    strict_responses: RequestsMock, spoiled: str
) -> None:
    with pytest.raises(Rejected) as caught:
        make_client().send(
            "GET", "/thing", repeat=Repeat.SAFE, auth={"Authorization": f"Bearer {spoiled}"}
        )
    assert spoiled not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(strict_responses.calls) == 0


@pytest.mark.parametrize("cut", range(4, 30, 5))
@pytest.mark.parametrize("secret", [SECRET, 'quo"ted\\back-slash'])
def test_send_when_the_products_words_are_cut_inside_the_secret_then_no_half_of_it_is_seen(
    strict_responses: RequestsMock, secret: str, cut: int
) -> None:
    strict_responses.get(URL, status=400, json={"said": secret})
    client = HttpClient(
        "product",
        HttpSettings(base_url=BASE),
        Runtime(clock=FakeClock()),
        secrets=[Secret(secret)],
        explain=lambda _status, body: body.decode()[:cut],
    )
    with pytest.raises(Rejected) as caught:
        client.send("GET", "/thing", repeat=Repeat.SAFE)
    assert not any(part in str(caught.value) for part in ("s3cr", "quo", "back"))


def test_send_when_json_holds_what_json_cannot_then_it_is_rejected_and_never_unknown(
    strict_responses: RequestsMock,
) -> None:
    with pytest.raises(Rejected):
        make_client().send("POST", "/thing", repeat=Repeat.ONCE, json={"a": float("nan")})
    assert len(strict_responses.calls) == 0


def test_send_when_redirected_then_no_second_host_is_asked(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(URL, status=302, headers={"Location": "https://evil.example.test/"})
    with pytest.raises(Rejected, match="redirect"):
        send(make_client(), Repeat.SAFE, "GET")
    assert [call.request.url for call in strict_responses.calls] == [URL]


def test_send_when_the_product_sets_a_cookie_then_it_is_not_sent_back(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(URL, headers={"Set-Cookie": "splunkd_8089=abc; Path=/; HttpOnly"})
    client = make_client()
    for _ in range(2):
        send(client, Repeat.SAFE, "GET")
    assert all("Cookie" not in call.request.headers for call in strict_responses.calls)


def test_send_when_environment_and_netrc_say_otherwise_then_they_are_not_read(
    strict_responses: RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine siem.example.test login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.test:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(netrc))
    strict_responses.get(URL, json={})
    client = make_client()
    send(client, Repeat.SAFE, "GET")
    client.send("GET", "/thing", repeat=Repeat.SAFE)
    first, second = (call.request for call in strict_responses.calls)
    assert first.headers["Authorization"] == f"Bearer {SECRET}"
    assert "Authorization" not in second.headers
    sent_with = first.req_kwargs  # type: ignore[attr-defined]
    assert not sent_with["proxies"]
    assert sent_with["verify"] is True


@pytest.mark.parametrize(
    "base_url",
    [
        "http://siem.example.test:8089",
        "http://127.0.0.1:8089",
        "ftp://siem.example.test",
        "siem.example.test",
        "https://",
        "https://user:password@siem.example.test",
        "https://siem.example.test/?token=x",
        "https://siem.example.test/#x",
    ],
)
def test_client_when_the_address_is_not_plain_https_then_it_is_refused(base_url: str) -> None:
    with pytest.raises(Rejected) as caught:
        make_client(settings=HttpSettings(base_url=base_url))
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "is_allowed"),
    [
        ("http://127.0.0.1:8089", True),
        ("http://[::1]:8089", True),
        ("http://localhost:8089", False),
        ("http://192.0.2.1:8089", False),
        ("ftp://127.0.0.1", False),
    ],
)
def test_client_when_emulated_then_plain_http_is_for_loopback_only(
    base_url: str, is_allowed: bool
) -> None:
    runtime = Runtime(clock=FakeClock(), emulated=True)
    if is_allowed:
        HttpClient("product", HttpSettings(base_url=base_url), runtime)
    else:
        with pytest.raises(Rejected):
            HttpClient("product", HttpSettings(base_url=base_url), runtime)


@pytest.mark.parametrize("pin", ["", "ab", "a" * 40, "z" * 64, "a" * 64 + "\n"])
def test_client_when_the_pin_is_no_sha256_then_it_is_refused(pin: str) -> None:
    with pytest.raises(Rejected, match="fingerprint"):
        make_client(settings=HttpSettings(base_url=BASE, fingerprint_sha256=pin))


def test_client_when_the_ca_file_is_missing_or_no_certificate_then_it_is_refused(
    tmp_path: Path,
) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(Rejected, match="ca_file"):
            make_client(settings=HttpSettings(base_url=BASE, ca_file=str(path)))


def test_path_of_when_a_segment_holds_a_slash_then_it_stays_one_segment() -> None:
    assert path_of("a", "b/c d", "\u00e9?#%") == "/a/b%2Fc%20d/%C3%A9%3F%23%25"


def test_client_when_shown_then_no_secret_is_in_it() -> None:
    assert SECRET not in repr(make_client())


def test_send_when_two_calls_follow_then_each_has_its_own_budget(
    strict_responses: RequestsMock,
) -> None:
    clock = FakeClock()
    strict_responses.get(URL, body=requests.ReadTimeout("slow"))
    client = make_client(clock)
    for _ in range(2):
        with pytest.raises(Unavailable):
            send(client, Repeat.SAFE, "GET")
    assert clock.sleeps == [0.5, 1.0, 0.5, 1.0]


def test_strict_registry_when_a_call_is_not_registered_then_no_handler_of_ours_can_hide_it() -> (
    None
):
    with RequestsMock(registry=StrictRegistry) as mock:
        assert len(mock.calls) == 0
        with pytest.raises(pytest.fail.Exception, match="unregistered call: GET"):
            send(make_client(), Repeat.SAFE, "GET")
