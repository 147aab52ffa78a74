"""`connectors/http.py` over real sockets on loopback: cut and dripping bodies, TLS, a proxy."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from connectors.errors import OutcomeUnknown, Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Runtime
from tests.fake_clock import FakeClock

CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMZTAuV5jSfn33DA+
6YQVZKf2wPL5Vnejw1udkg/B4FuhRANCAAQT1Ci/Wmn5SN6BRBo9+Kcqo+ji5cT1
g8L8XkxCpomciYt7TVtcmR+YXr1zWK+GWtvyXucMydJogbjB/EoILrmJ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBdTCCARqgAwIBAgIBATAKBggqhkjOPQQDAjAgMR4wHAYDVQQDDBVsb29wYmFj
ay5leGFtcGxlLnRlc3QwIBcNMjQwMTAxMDAwMDAwWhgPMjEyNDAxMDEwMDAwMDBa
MCAxHjAcBgNVBAMMFWxvb3BiYWNrLmV4YW1wbGUudGVzdDBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABBPUKL9aaflI3oFEGj34pyqj6OLlxPWDwvxeTEKmiZyJi3tN
W1yZH5hevXNYr4Za2/Je5wzJ0miBuMH8SgguuYmjQzBBMA8GA1UdEwEB/wQFMAMB
Af8wDwYDVR0RBAgwBocEfwAAATAdBgNVHQ4EFgQU5567Yo2eQ05GdGBCPEEOwwWn
NhEwCgYIKoZIzj0EAwIDSQAwRgIhAJkogWEUHbELonec1ZcUfetRIXQcJqfarvrz
ICZqCWlnAiEAti3b+kox665LTHoxm3GDvbse4efoTTEThQsQwHbejlA=
-----END CERTIFICATE-----
"""
"""A key and its certificate that were made for this file, for 127.0.0.1; they open nothing."""
PIN = "03f14aadec78ecdf2434153eccd20bbbc033f2d7054caad049d36ed7f8f7c87b"

Handler = Callable[[socket.socket], None]
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n"
    b"Connection: close\r\n\r\n" + b'{"a": 1}'
)


class Server:
    """Accepts on loopback and hands each connection to `handler`; counts what came."""

    def __init__(self, handler: Handler) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                self._handler(connection)

    def close(self) -> None:
        # Waking `accept` needs the shutdown; closing alone leaves it waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def serving(handler: Handler) -> Iterator[Server]:
    server = Server(handler)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=5)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            break
        head += part
    return head


def answering(reply: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(reply)

    return handle


def client_of(server: Server, clock: FakeClock | None = None) -> HttpClient:
    settings = HttpSettings(base_url=f"http://127.0.0.1:{server.port}")
    return HttpClient("product", settings, Runtime(clock=clock or FakeClock(), emulated=True))


CUT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CUT_BODIES = {
    "shorter than its length": CUT + b'Content-Length: 50\r\n\r\n{"results": []}',
    "chunked, and the last chunk is missing": CUT
    + b'Transfer-Encoding: chunked\r\n\r\n1f\r\n{"results":[{"host":"WS-1"},{"ho\r\n',
    "a chunk breaks off": CUT + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"results":[',
    "nothing at all": b"",
}


@pytest.mark.parametrize("reply", CUT_BODIES.values(), ids=CUT_BODIES)
def test_send_when_a_body_breaks_off_then_a_read_is_repeated_and_a_write_is_not(
    reply: bytes,
) -> None:
    with serving(answering(reply)) as server:
        with pytest.raises(Unavailable):
            client_of(server).send("GET", "/", repeat=Repeat.SAFE)
        assert server.connections == 3
        with pytest.raises(OutcomeUnknown):
            client_of(server).send("POST", "/", repeat=Repeat.ONCE)
        assert server.connections == 4


def test_json_when_the_answer_ends_within_its_header_then_it_is_no_answer() -> None:
    # The standard library takes this for a whole answer without a body.
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Le")) as server:
        reply = client_of(server).send("POST", "/", repeat=Repeat.ONCE)
    with pytest.raises(OutcomeUnknown):
        reply.json()


def test_send_when_a_broken_read_comes_whole_the_second_time_then_that_is_the_answer() -> None:
    replies = iter([CUT_BODIES["a chunk breaks off"], OK])

    def handle(connection: socket.socket) -> None:
        answering(next(replies))(connection)

    with serving(handle) as server:
        assert client_of(server).send("GET", "/", repeat=Repeat.SAFE).json() == {"a": 1}


class HastyClock(FakeClock):
    """Three seconds pass at every look."""

    def monotonic(self) -> float:
        self.advance(3)
        return super().monotonic()


def test_send_when_a_body_drips_then_the_call_ends_at_its_deadline() -> None:
    gone = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(CUT + b"Content-Length: 100000\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x")
                gone.wait(0.02)
        except OSError:
            gone.set()

    with serving(drip) as server:
        with pytest.raises(OutcomeUnknown, match="too slow"):
            client_of(server, HastyClock()).send("POST", "/", repeat=Repeat.ONCE)
        assert gone.wait(5), "the connection stayed open"


def test_send_when_nothing_listens_then_a_write_is_tried_again_because_nothing_was_sent() -> None:
    with serving(answering(OK)) as server:
        client = client_of(server, clock := FakeClock())
    with pytest.raises(Unavailable, match="no connection"):
        client.send("POST", "/", repeat=Repeat.ONCE)
    assert clock.sleeps == [0.5, 1.0]


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "loopback.pem"
    path.write_text(CERTIFICATE)
    return path


def over_tls(certificate: Path, handler: Handler) -> Handler:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            handler(secured)

    return handle


def tls_client(
    port: int, *, ca: Path | None = None, pin: str | None = None, proxy: str | None = None
) -> HttpClient:
    settings = HttpSettings(
        base_url=f"https://127.0.0.1:{port}",
        ca_file=str(ca) if ca else None,
        fingerprint_sha256=pin,
        proxy=proxy,
    )
    return HttpClient("product", settings, Runtime(clock=FakeClock()))


def colons(pin: str) -> str:
    return ":".join(pin[at : at + 2] for at in range(0, len(pin), 2)).upper()


@pytest.mark.parametrize("pin", [PIN, colons(PIN)])
def test_send_when_the_certificate_is_the_pinned_one_then_it_is_trusted(
    certificate: Path, pin: str
) -> None:
    with serving(over_tls(certificate, answering(OK))) as server:
        reply = tls_client(server.port, pin=pin).send("GET", "/", repeat=Repeat.SAFE)
    assert reply.json() == {"a": 1}


def test_send_when_the_certificate_is_in_the_ca_file_then_it_is_trusted(certificate: Path) -> None:
    with serving(over_tls(certificate, answering(OK))) as server:
        reply = tls_client(server.port, ca=certificate).send("GET", "/", repeat=Repeat.SAFE)
    assert reply.json() == {"a": 1}


@pytest.mark.parametrize("pin", [None, hashlib.sha256(b"another").hexdigest()])
def test_send_when_the_certificate_is_another_then_no_request_is_sent(
    certificate: Path, pin: str | None
) -> None:
    seen: list[bytes] = []

    def note(connection: socket.socket) -> None:
        seen.append(read_head(connection))

    with serving(over_tls(certificate, note)) as server, pytest.raises(Unavailable) as caught:
        tls_client(server.port, pin=pin).send("POST", "/", repeat=Repeat.ONCE)
    assert caught.value.code == "certificate"
    assert not any(seen)


def test_send_when_tls_meets_plain_http_then_nothing_was_sent() -> None:
    with serving(lambda connection: connection.sendall(OK)) as server:
        with pytest.raises(Unavailable, match="no connection"):
            tls_client(server.port).send("POST", "/", repeat=Repeat.ONCE)
        assert server.connections == 3


# -- proxy -----------------------------------------------------------------------------------------


def tunnelling(status: bytes = b"200 Connection established") -> Handler:
    """A proxy for CONNECT that carries bytes both ways, or says no."""

    def handle(connection: socket.socket) -> None:
        target = read_head(connection).split()[1].decode()
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as far:
            back = threading.Thread(target=carry, args=(far, connection), daemon=True)
            back.start()
            carry(connection, far)
            back.join(timeout=5)

    return handle


def carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_send_when_a_proxy_is_set_then_the_pin_still_decides(certificate: Path) -> None:
    with (
        serving(over_tls(certificate, answering(OK))) as server,
        serving(tunnelling()) as proxy,
    ):
        address = f"http://127.0.0.1:{proxy.port}"
        right = tls_client(server.port, pin=PIN, proxy=address)
        assert right.send("GET", "/", repeat=Repeat.SAFE).json() == {"a": 1}
        wrong = tls_client(server.port, pin=hashlib.sha256(b"x").hexdigest(), proxy=address)
        with pytest.raises(Unavailable) as caught:
            wrong.send("POST", "/", repeat=Repeat.ONCE)
        assert proxy.connections == 2
    assert caught.value.code == "certificate"


def test_send_when_the_proxy_says_407_then_it_is_named_and_its_password_is_not() -> None:
    with serving(tunnelling(b"407 Proxy Authentication Required: hunter2")) as proxy:
        client = tls_client(9, proxy=f"http://user:hunter2@127.0.0.1:{proxy.port}")
        with pytest.raises(Unavailable) as caught:
            client.send("POST", "/", repeat=Repeat.ONCE)
    assert "proxy" in caught.value.text
    assert "407" in caught.value.text
    assert "hunter2" not in str(caught.value)
