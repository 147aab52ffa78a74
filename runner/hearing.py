"""Who hears answers in chat while `serve` runs: one thread beside the ticks, and what it has heard.

It decides nothing: what is heard hastens a look, and a button that was pressed is written down
(`runner/pressing.py`). While nobody listens, the cards are read every few seconds as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from connectors.errors import ConnectorError, Unavailable
from connectors.model import Clock, Press
from runner.config import FALLBACK, Config
from runner.journal import Fenced, Journal, JournalError
from runner.roles import Roles

if TYPE_CHECKING:
    from connectors.listening import Ear
    from runner.context import Carry
    from runner.pressing import Pressing

log = logging.getLogger(__name__)

SLICE_S = 0.1
"""How long a nap goes on after something was heard, at most."""
FIRST_PAUSE_S = 1.0
MOST_PAUSE_S = 60.0
STEADY_S = 60.0
"""Who listened for so long begins with the short pause again."""
MOST_HEARD = 1000
FAREWELL_S = 1.0
"""How long the end waits for a call under way; the thread ends with the process at the latest."""


class Hearing:
    """Started by `serve` alone. `start` and `stop` may be repeated."""

    def __init__(
        self, journal: Journal, config: Config, roles: Roles, clock: Clock, carry: Carry
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._clock = clock
        self._carry = carry
        self._listeners: list[_Listener] = []
        self._heard = Heard()

    def start(self) -> None:
        """Listen from now on, where chat can be listened to. Repeat: harmless."""
        if self._listeners:
            return
        # Imported here: cron listens to nothing.
        from runner.pressing import Pressing

        pressing = Pressing(self._journal, self._config, self._heard.note)
        for role in ("chat", FALLBACK):
            if self._roles.has(role):
                listening = partial(self._listen, role)
                listener = _Listener(listening, self._clock, self._carry, self._heard, pressing)
                self._listeners.append(listener)
                listener.start()

    def _listen(self, role: str, ear: Ear) -> None:
        from connectors.listening import Listens

        chat = self._roles.connector(role)
        if isinstance(chat, Listens):
            chat.listen(ear)

    def stop(self) -> None:
        """End it within about a second. Repeat: harmless."""
        for listener in self._listeners:
            listener.end()
        for listener in self._listeners:
            listener.join()
        self._listeners = []

    def nap(self, seconds: float) -> None:
        """Sleep, until something is heard at the latest."""
        if not any(listener.is_alive() for listener in self._listeners):
            self._clock.sleep(seconds)
            return
        until = self._clock.monotonic() + seconds
        self._clock.sleep(min(seconds, SLICE_S))
        while not self._heard.is_any() and (left_s := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left_s, SLICE_S))

    def is_listening(self) -> bool:
        """Does a connection stand?"""
        return any(listener.is_listening() for listener in self._listeners)

    def is_any(self) -> bool:
        return self._heard.is_any()

    def take(self, among: Collection[str]) -> str | None:
        """The message of these that something happened to first; None for none. What happened to
        any other message is forgotten."""
        return self._heard.take(among)


class Heard:
    """What was heard and not taken yet; written by one thread and taken by others."""

    def __init__(self) -> None:
        self._messages: dict[str, None] = {}
        self._taking = Lock()

    def note(self, message_id: str) -> None:
        with self._taking:
            if len(self._messages) < MOST_HEARD:
                self._messages[message_id] = None

    def is_any(self) -> bool:
        return bool(self._messages)

    def take(self, among: Collection[str]) -> str | None:
        with self._taking:
            known = [message_id for message_id in self._messages if message_id in among]
            self._messages = dict.fromkeys(known[1:])
        return known[0] if known else None


class _Listener:
    """One thread's life, and the ear that the connector talks to."""

    def __init__(
        self,
        listen: Callable[[Ear], None],
        clock: Clock,
        carry: Carry,
        heard: Heard,
        pressing: Pressing,
    ) -> None:
        self._connect = listen
        self._clock = clock
        self._carry = carry
        self._heard = heard
        self._pressing = pressing
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="listening", daemon=True)
        self._since: float | None = None
        self._is_told: bool | None = None
        """Was it last said that it listens, or that it does not?"""

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(FAREWELL_S)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def is_listening(self) -> bool:
        return self._since is not None and self.is_alive()

    # -- the ear -----------------------------------------------------------------------------------

    def is_stopped(self) -> bool:
        return self._stopping.is_set()

    def listens(self) -> None:
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        if self._is_told is None or (not self._is_told and now - self._since >= STEADY_S):
            log.info(
                "answers in chat are heard at once%s", "" if self._is_told is None else " again"
            )
            self._is_told = True

    def stirs(self, message_id: str) -> None:
        self._heard.note(message_id)

    def presses(self, press: Press) -> str | None:
        try:
            return self._pressing.note(press)
        except (Fenced, JournalError) as fault:
            raise Unavailable("the journal", str(fault)) from None

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self.is_stopped():
            lost = self._listen()
            if lost is None:
                return
            if self._since is not None and self._clock.monotonic() - self._since >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            self._since = None
            self._tell(lost)
            told_s = lost.retry_after_s if isinstance(lost, Unavailable) else None
            self._pause(max(pause_s, told_s or 0))
            pause_s = min(pause_s * 2, MOST_PAUSE_S)

    def _listen(self) -> ConnectorError | None:
        """None when there is nothing to listen to, or it is over."""
        faults: list[ConnectorError] = []

        def work() -> None:
            try:
                self._connect(self)
            except ConnectorError as fault:
                faults.append(fault)

        try:
            broken = self._carry("listening to chat", work)
        except (Fenced, JournalError) as fault:
            # Whoever ticks meets it, too, and decides what it means. This thread goes on: once it
            # has ended, nothing begins it again.
            return Unavailable("the journal", str(fault))
        if broken is not None:
            return Unavailable("chat", broken)
        return faults[0] if faults else None

    def _tell(self, lost: ConnectorError) -> None:
        """Once, however often it is tried: a line a minute would be read by nobody."""
        if self._is_told is not False and not self.is_stopped():
            text = "answers in chat are not heard at once, but read every few seconds: %s"
            log.warning(text, lost)
            self._is_told = False

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self.is_stopped() and (left_s := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left_s, SLICE_S * 5))
