"""TLS with an authority of one's own: a real chain, a real connector, a real `stockade check`.

The certificates are made anew for each run by the openssl command; they open nothing.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Runtime
from runner.checks import check
from tests.fake_clock import FakeClock
from tests.test_http_wire import OK, read_head, serving, tunnelling
from tests.world import running_world

PAST = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]
FUTURE = ["-startdate", "21000101000000Z", "-enddate", "21000201000000Z"]
NOW = ["-days", "2"]
MENDS = {
    "expired": "have it renewed at the product",
    "another name": "write a name that it holds into base_url",
    "self-signed": "Point tls.ca_file at its certificate",
}
CONFIG = """\
[ca]
default_ca = one
[one]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """A private authority in a folder; `file` is what a configuration would trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "ca.pem"
        (folder / "index.txt").touch()
        (folder / "ca.cnf").write_text(CONFIG.format(folder=folder))
        usage = ["-addext", "keyUsage=critical,keyCertSign"]
        key = str(folder / "ca.key")
        self._key(["-x509", "-days", "2", "-subj", "/CN=Own authority", *usage], key, self.file)

    def _key(self, what: list[str], key: str, out: Path) -> None:
        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl(*new, *what, "-keyout", key, "-out", str(out))

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def issue(self, name: str, alternative: str, valid: list[str]) -> ssl.SSLContext:
        """A server's side with a certificate for `alternative`, signed by this authority."""
        folder = self._folder
        key, asked, cert = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.pem"
        names = ["-addext", f"subjectAltName={alternative}"]
        self._key(["-subj", f"/CN={name}", *names], str(key), asked)
        ours = ["-config", str(folder / "ca.cnf"), "-cert", str(self.file)]
        ours += ["-keyfile", str(folder / "ca.key")]
        files = ["-in", str(asked), "-out", str(cert)]
        self._openssl("ca", "-batch", "-notext", *ours, *valid, *files)
        return _server_side(cert, key)

    def self_signed(self) -> ssl.SSLContext:
        key, cert = self._folder / "self.key", self._folder / "self.pem"
        names = ["-addext", "subjectAltName=IP:127.0.0.1"]
        self._key(["-x509", "-days", "2", "-subj", "/CN=self", *names], str(key), cert)
        return _server_side(cert, key)


def _server_side(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("NOTHING IS PROVED OF A PRIVATE AUTHORITY: no openssl command")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority) -> dict[str, ssl.SSLContext]:
    return {
        "good": authority.issue("good", "IP:127.0.0.1", NOW),
        "expired": authority.issue("expired", "IP:127.0.0.1", PAST),
        "not yet": authority.issue("notyet", "IP:127.0.0.1", FUTURE),
        "another name": authority.issue("another", "DNS:other.example.test", NOW),
        "self-signed": authority.self_signed(),
    }


def read_request(connection: socket.socket) -> bytes:
    """A request whole: its head, and as much after it as Content-Length says."""
    request = read_head(connection)
    head = request.partition(b"\r\n\r\n")[0]
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    wanted = len(head) + 4 + int(length[1]) if length else len(request)
    while len(request) < wanted and (part := connection.recv(65536)):
        request += part
    return request


class Seen:
    """What reached the server behind TLS."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []


@contextmanager
def tls_server(context: ssl.SSLContext, onward: int | None = None) -> Iterator[tuple[str, Seen]]:
    """Answers each request with `OK`, or carries it on to a port of loopback."""
    seen = Seen()

    def handle(plain: socket.socket) -> None:
        seen.connections += 1
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
            if onward is None:
                seen.requests.append(read_head(secured))
                secured.sendall(OK)
                return
            # One thread: a TLS connection cannot be read and written by two at a time.
            with socket.create_connection(("127.0.0.1", onward)) as far:
                request = read_request(secured)
                seen.requests.append(request)
                far.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
                while part := far.recv(65536):
                    secured.sendall(part)

    with serving(handle) as server:
        yield f"https://127.0.0.1:{server.port}", seen


def client(url: str, clock: FakeClock, **settings: Any) -> HttpClient:
    return HttpClient("product", HttpSettings(base_url=url, **settings), Runtime(clock=clock))


def test_send_when_the_authority_is_in_ca_file_then_trusted_and_without_it_refused(
    authority: Authority, contexts: dict[str, ssl.SSLContext]
) -> None:
    clock = FakeClock()
    with tls_server(contexts["good"]) as (url, seen):
        with pytest.raises(Unavailable) as caught:
            client(url, clock).send("GET", "/", repeat=Repeat.SAFE)
        assert (caught.value.code, seen.requests) == ("certificate", [])
        assert "authority is not known here: point tls.ca_file at" in caught.value.text
        pinned = client(url, clock, fingerprint_sha256="00" * 32)
        with pytest.raises(Unavailable, match=r"another one than tls\.fingerprint_sha256 says"):
            pinned.send("GET", "/", repeat=Repeat.SAFE)
        assert not any(seen.requests), "nothing is sent to another server than the pinned one"
        trusting = client(url, clock, ca_file=str(authority.file))
        assert trusting.send("GET", "/", repeat=Repeat.SAFE).json() == {"a": 1}


@pytest.mark.parametrize(
    ("which", "why", "mend"),
    [
        ("expired", "certificate has expired", "have it renewed at the product"),
        ("not yet", "certificate is not yet valid", "look at this machine's clock"),
        ("another name", "IP address mismatch", "write a name that it holds into base_url"),
        ("self-signed", "self-signed certificate", "Point tls.ca_file at its certificate"),
    ],
)
def test_send_when_the_certificate_is_no_good_then_one_line_says_what_mends_it_and_none_repeats(
    authority: Authority, contexts: dict[str, ssl.SSLContext], which: str, why: str, mend: str
) -> None:
    clock = FakeClock()
    with tls_server(contexts[which]) as (url, seen), pytest.raises(Unavailable) as caught:
        client(url, clock, ca_file=str(authority.file)).send("GET", "/", repeat=Repeat.SAFE)
    assert caught.value.code == "certificate"
    assert mend in caught.value.text
    assert why in caught.value.text
    assert "\n" not in caught.value.text
    assert (seen.connections, seen.requests, clock.sleeps) == (1, [], [])


def test_send_when_a_proxy_is_set_then_it_carries_the_call_and_the_authority_still_decides(
    authority: Authority, contexts: dict[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    clock = FakeClock()
    with tls_server(contexts["good"]) as (url, seen), serving(tunnelling()) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        trusted = {"ca_file": str(authority.file)}
        client(url, clock, **trusted, proxy=address).send("GET", "/", repeat=Repeat.SAFE)
        assert proxy.connections == 1
        client(url, clock, **trusted).send("GET", "/", repeat=Repeat.SAFE)
        assert proxy.connections == 1
        assert len(seen.requests) == 2
        with pytest.raises(Unavailable) as caught:
            client(url, clock, proxy=address).send("GET", "/", repeat=Repeat.SAFE)
        assert caught.value.code == "certificate"
        assert len(seen.requests) == 2


@pytest.mark.parametrize("which", ["expired", "another name", "self-signed", "good"])
def test_check_when_falcon_stands_behind_tls_then_only_the_good_certificate_passes(
    authority: Authority, contexts: dict[str, ssl.SSLContext], which: str, tmp_path: Path
) -> None:
    with running_world(tmp_path) as world:
        port = int(world.falcon.base_url.rpartition(":")[2])
        with tls_server(contexts[which], onward=port) as (url, seen):
            tls = {"ca_file": str(authority.file)}
            world.restart({"connectors": {"falcon": {"base_url": url, "tls": tls}}})
            result = check(world.service)
    lines = [line for line in result.text.splitlines() if " edr (falcon)" in line]
    if which == "good":
        assert seen.requests
        assert all(line.startswith("ok ") for line in lines), result.text
    else:
        assert seen.requests == []
        [line] = lines
        assert line.startswith("BAD ")
        assert MENDS[which] in line
