"""One Socket Mode connection, carried by slack_sdk's own WebSocket.

The only place for `slack_sdk`. It never reads the environment's proxies, and connects to nothing
but TLS, the stand-ins of the demo and the tests aside. It knows no envelope.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from connectors.chat.slack_calls import PRODUCT
from connectors.document import visible
from connectors.errors import ConnectorError, Rejected, Unavailable
from connectors.http import HttpSettings, tls_context

# What the library would say is said here once, and not again with each try.
_SILENT = logging.getLogger(f"{__name__}.library")
_SILENT.disabled = True

WATCH_S = 0.5
PING_EVERY = 10
"""Watches between two pings: slack_sdk's own five seconds."""
BUFFER_BYTES = 65_536
SHORTEST_SECRET = 8
"""What is shorter in the address is no ticket, and would be found in any sentence."""
SHUT_RDWR = 2
"""As `socket` has it: wakes whoever waits for something to read."""


def is_installed() -> bool:
    try:
        import slack_sdk.socket_mode.builtin.connection  # noqa: F401  only whether it is there
    except ImportError:
        return False
    return True


class Socket:
    """From `run` until it is ended, by `end`, by Slack or by a fault."""

    def __init__(
        self, url: str, settings: HttpSettings, hear: Callable[[str], None], *, emulated: bool
    ) -> None:
        """Errors: `Rejected` for what cannot be connected to safely."""
        from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState

        _require_safe(url, settings, emulated=emulated)
        self._state: Any = ConnectionState()  # type: ignore[no-untyped-call]
        self._faults: list[Exception] = []
        self._is_over = False
        self._secrets = _secrets_in(url, settings.proxy)
        self._connection = Connection(
            url=url,
            logger=_SILENT,
            proxy=settings.proxy,
            receive_buffer_size=BUFFER_BYTES,
            on_message_listener=hear,
            on_error_listener=self._fail,
            on_close_listener=self._close,
            ssl_context=tls_context(settings),
        )

    def run(self, watch: Callable[[], None]) -> None:
        """Hear until it ends; `watch` is called about twice a second meanwhile, by another thread.
        Errors: what `hear` raised; `Unavailable` when the connection failed."""
        from slack_sdk.socket_mode.interval_runner import IntervalRunner

        connection: Any = self._connection
        connection.connect()
        if not connection.is_active():
            raise self._lost("no Socket Mode connection")
        connection.sock = _Ending(connection.sock)
        watching: Any = IntervalRunner(self._watching(watch), WATCH_S).start()
        try:
            connection.run_until_completion(self._state)
        finally:
            self._hang_up()
            watching.shutdown()
            connection.close()
        if self._faults and not self._is_over:
            raise self._lost("the Socket Mode connection ended")

    def send(self, text: str) -> None:
        """Errors: `Unavailable`."""
        from slack_sdk.errors import SlackClientNotConnectedError

        try:
            self._connection.send(text)
        except SlackClientNotConnectedError:
            raise Unavailable(PRODUCT, "the Socket Mode connection is gone") from None

    def end(self) -> None:
        """It ends now, and that is no fault. Repeat: harmless."""
        self._is_over = True
        self._hang_up()

    def _hang_up(self) -> None:
        self._state.terminated = True
        sock: Any = self._connection.sock
        if sock is not None:
            with suppress(OSError):  # the other side was faster
                sock.shutdown(SHUT_RDWR)

    def _watching(self, watch: Callable[[], None]) -> Callable[[], None]:
        done = 0

        def once() -> None:
            nonlocal done
            done += 1
            if done % PING_EVERY == 0:
                self._connection.check_state()
            if not self._connection.is_active():
                self._fail(Unavailable(PRODUCT, "it went silent"))
            watch()

        return once

    def _fail(self, fault: Exception) -> None:
        self._faults.append(fault)
        self._hang_up()

    def _close(self, code: int, reason: str | None) -> None:
        said = visible(self._redacted(reason or "")[:80])
        text = f"Slack closed it ({code} {said})"
        self._fail(Unavailable(PRODUCT, text))

    def _lost(self, what: str) -> ConnectorError:
        """The first fault: ours as it is, the connection's as one of the product."""
        fault = self._faults[0] if self._faults else None
        if fault is None:
            return Unavailable(PRODUCT, f"{what}: the handshake was refused")
        if isinstance(fault, ConnectorError):
            return fault
        why = visible(self._redacted(f"{type(fault).__name__}: {fault}")[:200])
        return Unavailable(PRODUCT, f"{what}: {why}", code="no_connection")

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class _Ending:
    """A socket whose end is a fault: slack_sdk would go on reading nothing."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        received: bytes = self._sock.recv(size)
        if not received:
            raise ConnectionResetError("the other side hung up")
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _secrets_in(url: str, proxy: str | None) -> list[str]:
    """What no fault may say, the longest first: slack_sdk writes the proxy's whole address into
    one, and a peer may say back what it was sent. The address we connect to is itself a ticket."""
    where = urlsplit(url)
    found = [where.query, *(value for _name, value in parse_qsl(where.query))]
    found = [one for one in found if len(one) >= SHORTEST_SECRET]
    password = urlsplit(proxy or "").password
    if password:
        user = unquote(urlsplit(proxy or "").username or "")
        found += [password, b64encode(f"{user}:{unquote(password)}".encode()).decode()]
    forms = {form for one in found for form in (one, quote(one, safe=""), unquote(one))}
    return sorted(filter(None, forms), key=len, reverse=True)


def _require_safe(url: str, settings: HttpSettings, *, emulated: bool) -> None:
    where = urlsplit(url)
    # On any other port slack_sdk speaks without TLS.
    is_tls = where.scheme == "wss" and where.port in (None, 443)
    is_stand_in = emulated and where.scheme == "ws" and where.hostname in ("127.0.0.1", "::1")
    if not is_tls and not is_stand_in:
        raise Rejected(PRODUCT, "gave a Socket Mode address that is not reached by TLS")
    if settings.fingerprint_sha256:
        text = "Socket Mode has a host of its own, which tls.fingerprint_sha256 does not know"
        raise Rejected(PRODUCT, f"{text}: use tls.ca_file, or take app_token out")
    if settings.proxy and urlsplit(settings.proxy).scheme != "http":
        raise Rejected(PRODUCT, "Socket Mode goes through an http proxy only: see `proxy`")
