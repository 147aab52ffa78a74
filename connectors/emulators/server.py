"""How a stand-in is served: threads on 127.0.0.1, answers spoiled on the way as asked.

It knows no product, and it listens nowhere but on loopback.
"""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from connectors.emulators.faults import Misbehaviour, Misbehaviours
from connectors.emulators.wire import Answer, Call
from connectors.model import Clock

LOOPBACK = "127.0.0.1"


class Served(Protocol):
    """What is served: `connectors/emulators/emulator.py` keeps it."""

    PRODUCT: ClassVar[str]
    clock: Clock
    faults: Misbehaviours
    crashes: list[str]
    stopping: Event

    def aside(self, call: Call) -> Answer | None: ...
    def respond(self, call: Call, fault: Misbehaviour | None) -> Answer: ...


class LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, emulator: Served, port: int) -> None:
        self.emulator = emulator
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        super().__init__((LOOPBACK, port), _Handler)

    def serve(self) -> None:
        """Answer in threads of its own until `end`."""
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        """Stop listening and cut the connections that are open."""
        self.shutdown()
        self.server_close()
        with self._open_lock:
            left = list(self._open)
        for request in left:
            _hang_up(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no fault of ours; all else is kept for the test to see."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.emulator.crashes.append(f"{type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LoopbackServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the emulator keeps its own log."""

    def version_string(self) -> str:
        return self.server.emulator.PRODUCT

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header tells the stand-in's clock, which a test may have set."""
        now = self.server.emulator.clock.now().timestamp()
        return super().date_time_string(now if timestamp is None else timestamp)

    def _serve(self) -> None:
        emulator = self.server.emulator
        call = self._read()
        aside = emulator.aside(call)
        if aside is not None:
            self._send(aside, None)
            return
        fault = emulator.faults.take(call.method, call.path, call.query)
        if fault is not None and fault.delay_before_s:
            emulator.stopping.wait(fault.delay_before_s)
        answer = emulator.respond(call, fault)
        if fault is not None and fault.delay_after_s:
            emulator.stopping.wait(fault.delay_after_s)
        if fault is not None and (fault.refuse or fault.lose_answer):
            self._drop()
        else:
            self._send(answer, fault)

    def _read(self) -> Call:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        return Call(
            method=self.command,
            path=url.path,
            query=url.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )

    def _send(self, answer: Answer, fault: Misbehaviour | None) -> None:
        wants_close = self.headers.get("Connection", "").lower() == "close"
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        # Splunk's own client drops a body unread when this header is missing.
        self.send_header("Connection", "Close" if wants_close else "Keep-Alive")
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self._send_body(answer.body, fault)

    def _send_body(self, body: bytes, fault: Misbehaviour | None) -> None:
        if fault is None or (fault.cut_after_bytes is None and not fault.drip_s):
            self.wfile.write(body)
            return
        part = body if fault.cut_after_bytes is None else body[: fault.cut_after_bytes]
        for index in range(len(part) if fault.drip_s else 0):
            if self.server.emulator.stopping.wait(fault.drip_s):
                break
            self.wfile.write(part[index : index + 1])
        if not fault.drip_s:
            self.wfile.write(part)
        if fault.cut_after_bytes is not None:
            self._drop()

    def _drop(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster
