"""Buttons over Socket Mode: each press is written down, acknowledged, and answered if need be.

No port is open for it: the connection goes out, with a token of its own (`app_token`). It judges no
answer.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Sequence

from connectors.chat.slack_calls import PRODUCT, SlackCalls, object_of, text_of
from connectors.chat.slack_ids import TIMESTAMP
from connectors.chat.slack_press import Home, press_of
from connectors.chat.slack_product import ACCOUNT
from connectors.chat.slack_socket import Socket, is_installed
from connectors.chat.slack_text import plain_text
from connectors.document import visible
from connectors.errors import ConnectorError, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.listening import Ear
from connectors.model import CheckResult, JsonObject, Press, Secret

log = logging.getLogger(__name__)

OPEN = "apps.connections.open"
NOT_INSTALLED = (
    "app_token needs the package slack_sdk, which is not installed: install stockade[socket], or "
    "take app_token out"
)
SHORTEST_S = 10.0
"""Slack ends a connection every few hours and asks for a new one; sooner than this is a fault."""
MOST_WHISPERS = 20


class SlackListening:
    """Connects again and again until the ear is stopped. `is_connected`: would a press be heard?"""

    def __init__(
        self, settings: HttpSettings, app_token: Secret | None, runtime: Runtime, says: SlackCalls
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._calls = None if app_token is None else SlackCalls(settings, app_token, runtime)
        self._says = says
        self._whispers: deque[JsonObject] = deque(maxlen=MOST_WHISPERS)
        self.is_connected = False

    @property
    def is_configured(self) -> bool:
        return self._calls is not None

    def open(self) -> str:
        """Errors: as any call's; `missing_scope` names connections:write.

        Source: https://docs.slack.dev/reference/methods/apps.connections.open, 2026-11-25.
        """
        if self._calls is None:
            raise Rejected(PRODUCT, "there is no app_token")
        url = text_of(self._calls.write(OPEN, {}).get("url"))
        if not url:
            raise Unavailable(PRODUCT, f"{OPEN} gave no address")
        return url

    def check(self) -> Sequence[CheckResult]:
        """Nothing where no buttons are wanted."""
        if not self.is_configured:
            return ()
        what = "Slack takes the app token (buttons)"
        if not is_installed():
            return [CheckResult(what=what, ok=False, mend=NOT_INSTALLED)]
        try:
            self.open()
        except ConnectorError as fault:
            return [CheckResult(what=what, ok=False, mend=fault.text)]
        return [CheckResult(what=what, ok=True)]

    def listen(self, home: Home, ear: Ear) -> None:
        """Errors: as `open`; `Unavailable` when a connection fails or ends at once."""
        if not is_installed():
            raise Rejected(PRODUCT, NOT_INSTALLED)
        try:
            while not ear.is_stopped():
                began = self._runtime.clock.monotonic()
                hearing = _Hearing(self, home, ear)
                hearing.run(self.open(), self._settings, self._runtime)
                if self._runtime.clock.monotonic() - began < SHORTEST_S and not ear.is_stopped():
                    raise Unavailable(PRODUCT, f"ended Socket Mode at once: {hearing.why_ended}")
        finally:
            self.is_connected = False

    def whisper(self, press: Press, text: str) -> None:
        """Tell the one who pressed, in our own channel, where only they see it."""
        if not ACCOUNT.fullmatch(press.account) or not press.channel:
            return
        body: JsonObject = {
            "channel": press.channel,
            "user": press.account,
            "text": plain_text(text),
        }
        if TIMESTAMP.fullmatch(press.message_id):
            body["thread_ts"] = press.message_id
        self._whispers.append(body)

    def say_whispers(self) -> None:
        """Not by the thread that hears: a press must not wait for it.

        Source: https://docs.slack.dev/reference/methods/chat.postEphemeral, 2026-11-25.
        """
        while self._whispers:
            try:
                self._says.write("chat.postEphemeral", self._whispers.popleft())
            except ConnectorError as fault:
                log.info("who pressed a button was not answered: %s", fault)


class _Hearing:
    """One connection's life."""

    def __init__(self, listening: SlackListening, home: Home, ear: Ear) -> None:
        self._listening = listening
        self._home = home
        self._ear = ear
        self._socket: Socket | None = None
        self._app = ""
        self.why_ended = "no reason was given"

    def run(self, url: str, settings: HttpSettings, runtime: Runtime) -> None:
        self._socket = Socket(url, settings, self._hear, emulated=runtime.emulated)
        self._socket.run(self._watch)

    def _watch(self) -> None:
        if self._listening.is_connected:
            self._ear.listens()
        if self._ear.is_stopped() and self._socket is not None:
            self._socket.end()
        self._listening.say_whispers()

    def _hear(self, text: str) -> None:
        """Source: https://docs.slack.dev/apis/events-api/using-socket-mode, 2026-11-25."""
        try:
            envelope = object_of(json.loads(text))
        except (ValueError, RecursionError):
            return
        kind = envelope.get("type")
        if kind == "hello":
            self._app = text_of(object_of(envelope.get("connection_info")).get("app_id"))
            self._listening.is_connected = True
            self._ear.listens()
        elif kind == "disconnect":
            self._disconnect(text_of(envelope.get("reason")))
        elif text_of(envelope.get("envelope_id")) and not self._ear.is_stopped():
            self._take(envelope)

    def _disconnect(self, reason: str) -> None:
        self.why_ended = visible(reason[:80]) or self.why_ended
        if reason == "link_disabled":
            raise Rejected(PRODUCT, "Socket Mode was turned off in the app's settings")
        if self._socket is not None:
            self._socket.end()

    def _take(self, envelope: JsonObject) -> None:
        """First written down, then acknowledged: an acknowledged press is never lost."""
        home = Home(
            user=self._home.user,
            team=self._home.team,
            channel=self._home.channel,
            app=self._app,
        )
        press = press_of(envelope, home)
        told = None if press is None else self._ear.presses(press)
        if self._socket is not None:
            self._socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        if press is not None and told and press.channel == home.channel:
            self._listening.whisper(press, told)
