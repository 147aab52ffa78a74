"""Fake products: a connector's whole HTTP conversation, answered by one function.

`FakeTransport` answers inside the process, at the place where `requests` would open a connection;
`loopback_product` answers on a real socket of 127.0.0.1, for what only a socket can show. Both keep
every request that arrived, and an answer may be faulted on its way out.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ssl import SSLContext
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from tests.fake_clock import DEFAULT_START


@dataclass(frozen=True)
class Request:
    """One request as the product received it. `path` is decoded, without the query; `host` is whom
    the client meant (empty on a socket, where it is whoever listens)."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """What the product answers. `is_lost`: the request is read, and no answer comes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_lost: bool = False

    def with_json(self, value: Any) -> Reply:
        return replace(self, body=json.dumps(value).encode())


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(status, json.dumps(value).encode(), {**kind, **named})


LOST = Reply(is_lost=True)

Answer = Callable[[Request], Reply]
Fault = Callable[[Request, Reply], Reply]


class Conversation:
    """Answers as `answer` does, faulted by `fault`, and remembers what was asked and answered."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.fault: Fault | None = None
        self.requests: list[Request] = []
        self.replies: list[Reply] = []

    def reply_to(self, request: Request) -> Reply:
        self.requests.append(request)
        reply = self._answer(request)
        if self.fault is not None:
            reply = self.fault(request, reply)
        self.replies.append(reply)
        return reply

    def forget(self) -> None:
        self.requests.clear()
        self.replies.clear()


class FakeTransport(HTTPAdapter):
    """Carries each request to a conversation instead of a network."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__()
        self._conversation = conversation

    def send(self, request: PreparedRequest, *_args: Any, **_options: Any) -> Response:
        reply = self._conversation.reply_to(_received(request))
        raw = HTTPResponse(
            body=BytesIO(reply.body),
            headers={"Date": format_datetime(DEFAULT_START, usegmt=True), **reply.headers},
            status=reply.status,
            preload_content=False,
        )
        return self.build_response(request, raw)


def _received(request: PreparedRequest) -> Request:
    body = request.body or b""
    return _request(
        request.method or "",
        request.url or "",
        {name.lower(): str(text) for name, text in request.headers.items()},
        body.encode() if isinstance(body, str) else bytes(body),
    )


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, parts.netloc, unquote(parts.path), query, headers, body)


@contextmanager
def loopback_product(conversation: Conversation, tls: SSLContext | None = None) -> Iterator[str]:
    """Serve a conversation on 127.0.0.1 and give its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: the conversation holds all that a test asks for."""

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): text for name, text in self.headers.items()}
            reply = conversation.reply_to(_request(self.command, self.path, headers, body))
            self.close_connection = True
            if not reply.is_lost:
                self._give(reply)

        def _give(self, reply: Reply) -> None:
            self.send_response(reply.status)
            sent = {"Connection": "close", "Content-Length": str(len(reply.body))}
            for name, text in {**sent, **reply.headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(reply.body)
            self.wfile.flush()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that turns away during the handshake is what a test wanted."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
