"""Socket Mode of the Slack stand-in: a small WebSocket server on 127.0.0.1.

Judged by slack_sdk's own client. One frame is one message; what a client sends is masked, what it
receives is not (RFC 6455). Envelopes as in docs.slack.dev/apis/events-api/using-socket-mode,
2026-11-25.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import struct
from base64 import b64encode
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.model import JsonObject

APP = "A0STOCKADE"
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


class SocketMode:
    """All connections of one app. An envelope goes to the newest one, as it may at Slack."""

    def __init__(self) -> None:
        self._tickets: set[str] = set()
        self._open: list[_Client] = []
        self._acknowledged: list[str] = []
        self.connections = 0
        """How many there ever were."""
        self._changed = Condition()
        self._server: _Server | None = None

    # -- the product -------------------------------------------------------------------------------

    def open(self) -> str:
        """An address that one connection may use, once."""
        if self._server is None:
            self._server = _Server(self)
            Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        ticket = secrets.token_hex(16)
        self._tickets.add(ticket)
        return f"ws://127.0.0.1:{self._server.server_address[1]}/link/?ticket={ticket}&app_id={APP}"

    def stop(self) -> None:
        self.drop()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    # -- for tests ---------------------------------------------------------------------------------

    def send(self, envelope: JsonObject) -> bool:
        """False when nobody is connected."""
        with self._changed:
            client = self._open[-1] if self._open else None
        return client is not None and client.send(_TEXT, json.dumps(envelope).encode())

    def is_acknowledged(self, envelope_id: str, within_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: envelope_id in self._acknowledged, within_s)

    def is_connected(self, within_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._open), within_s)

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Slack asks for a new connection, and ends this one."""
        self.send({"type": "disconnect", "reason": reason, "debug_info": {"host": "emulated"}})

    def drop(self) -> None:
        """Every connection ends without a word."""
        with self._changed:
            clients = list(self._open)
        for client in clients:
            client.hang_up()

    # -- inside ------------------------------------------------------------------------------------

    def takes(self, ticket: str) -> bool:
        try:
            self._tickets.remove(ticket)
        except KeyError:
            return False
        return True

    def enter(self, client: _Client) -> None:
        hello = {
            "type": "hello",
            "num_connections": len(self._open) + 1,
            "debug_info": {"host": "emulated", "approximate_connection_time": 18060},
            "connection_info": {"app_id": APP},
        }
        client.send(_TEXT, json.dumps(hello).encode())
        with self._changed:
            self._open.append(client)
            self.connections += 1
            self._changed.notify_all()

    def leave(self, client: _Client) -> None:
        with self._changed:
            if client in self._open:
                self._open.remove(client)
            self._changed.notify_all()

    def hear(self, text: bytes) -> None:
        said = json.loads(text)
        with self._changed:
            self._acknowledged.append(str(said.get("envelope_id")))
            self._changed.notify_all()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, mode: SocketMode) -> None:
        self.mode = mode
        super().__init__(("127.0.0.1", 0), _Client)


class _Client(BaseRequestHandler):
    """One connection."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self._stream = self.request.makefile("rb")
        mode = self.server.mode
        try:
            if not self._shake_hands():
                return
            mode.enter(self)
            while self._hear():
                pass
        except OSError:
            return  # the other side was faster
        finally:
            mode.leave(self)
            self._stream.close()

    def send(self, opcode: int, data: bytes) -> bool:
        if len(data) < 126:
            head = struct.pack("!BB", 0x80 | opcode, len(data))
        elif len(data) < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 126, len(data))
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, len(data))
        try:
            self.request.sendall(head + data)
        except OSError:
            return False
        return True

    def hang_up(self) -> None:
        try:
            self.request.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was faster

    def _shake_hands(self) -> bool:
        line = self._stream.readline(4096).decode("latin-1")
        headers: dict[str, str] = {}
        while (header := self._stream.readline(4096).decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        path = [*line.split(" "), "", ""][1]
        ticket = parse_qs(urlsplit(path).query).get("ticket", [""])[0]
        if not self.server.mode.takes(ticket):
            self.request.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return False
        key = headers.get("sec-websocket-key", "") + _MAGIC
        accept = b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        upgrade = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        )
        self.request.sendall(f"{upgrade}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        return True

    def _hear(self) -> bool:
        """One frame; False when there are no more."""
        head = self._stream.read(2)
        if len(head) < 2:
            return False
        opcode, size = head[0] & 0x0F, head[1] & 0x7F
        if size >= 126:
            form, width = ("!H", 2) if size == 126 else ("!Q", 8)
            size = int(struct.unpack(form, self._stream.read(width))[0])
        mask = self._stream.read(4)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self._stream.read(size)))
        if opcode == _PING:
            self.send(_PONG, data)
        elif opcode == _TEXT:
            self.server.mode.hear(data)
        return opcode != _CLOSE


def pressed(user: JsonObject, channel: str, message: JsonObject, button: JsonObject) -> JsonObject:
    """The envelope of one press, as Slack sends it. `user`: `id` and `team_id`.

    Source: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload, 2026-11-25.
    """
    number = secrets.randbelow(900_000) + 100_000
    action: JsonObject = {
        name: value for name, value in button.items() if name not in ("style", "confirm")
    }
    action.update(block_id="b0", action_ts=f"{message['ts'].partition('.')[0]}.{number}")
    team = {"id": user["team_id"], "domain": "emulated"}
    payload: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": user["id"], "username": user.get("name"), "team_id": user["team_id"]},
        "api_app_id": APP,
        "token": "verification",
        "container": {
            "type": "message",
            "message_ts": message["ts"],
            "channel_id": channel,
            "is_ephemeral": False,
        },
        "trigger_id": f"1.2.{number}",
        "team": team,
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": channel, "name": "response"},
        "message": message,
        "state": {"values": {}},
        "response_url": "https://hooks.slack.example.test/actions/none",
        "actions": [action],
    }
    return {
        "envelope_id": f"envelope-{number}-{secrets.token_hex(4)}",
        "payload": payload,
        "type": "interactive",
        "accepts_response_payload": False,
    }
