"""Whether the account may do in its room what it must; each missing permission by its name."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.chat.matrix_calls import PRODUCT, MatrixCalls, object_of, text_of
from connectors.chat.matrix_events import MESSAGE, REACTION
from connectors.document import visible
from connectors.errors import ConnectorError, NotFound, Unavailable
from connectors.model import CheckResult, JsonObject

FIRST_WITH_MIGHTY_CREATORS = 12
"""From this room version on, a room's creators stand above all power levels."""


class RoomCheck:
    """Looks at one room as one account; changes nothing."""

    def __init__(self, calls: MatrixCalls, room: str, me: str) -> None:
        self._calls = calls
        self._room = room
        self._me = me

    def results(self) -> Sequence[CheckResult]:
        membership = self._membership()
        if not membership.ok:
            return [membership]
        return [membership, self._in_use(), self._unencrypted(), *self._powers()]

    def _state(self, kind: str, key: str = "", **params: str) -> JsonObject:
        return self._calls.read("v3", "rooms", self._room, "state", kind, key, **params)

    def _membership(self) -> CheckResult:
        what = f"{self._me} is in room {self._room}"
        mend = f"invite {self._me} to the room, and let it join"
        try:
            said = text_of(self._state("m.room.member", self._me).get("membership"))
        except ConnectorError as fault:
            return CheckResult(what=what, ok=False, mend=f"{mend} ({fault.text})")
        if said == "join":
            return CheckResult(what=what, ok=True)
        mend = f"{mend} (its membership is {visible(said[:20]) or 'unknown'})"
        return CheckResult(what=what, ok=False, mend=mend)

    def _in_use(self) -> CheckResult:
        """After a room's upgrade people are in another one, and would see no card of this."""
        what = "the room was not replaced by another"
        try:
            said = text_of(self._state("m.room.tombstone").get("replacement_room"))
        except NotFound:
            return CheckResult(what=what, ok=True)
        except ConnectorError as fault:
            return CheckResult(what=what, ok=False, mend=f"cannot be read: {fault.text}")
        mend = f"name the room that replaced it: {visible(said[:250]) or 'unknown'}"
        return CheckResult(what=what, ok=False, mend=mend)

    def _unencrypted(self) -> CheckResult:
        what = "the room is not encrypted"
        try:
            self._state("m.room.encryption")
        except NotFound:
            return CheckResult(what=what, ok=True)
        except ConnectorError as fault:
            return CheckResult(what=what, ok=False, mend=f"cannot be read: {fault.text}")
        mend = "encryption cannot be turned off again: make a new room without it, and name that"
        return CheckResult(what=what, ok=False, mend=mend)

    def _powers(self) -> Sequence[CheckResult]:
        try:
            mine, levels = self._power(), self._levels()
            return [self._may_send(kind, mine, levels) for kind in (MESSAGE, REACTION)]
        except ConnectorError as fault:
            what = "the room's power levels can be read"
            return [CheckResult(what=what, ok=False, mend=fault.text)]

    def _may_send(self, kind: str, mine: int | None, levels: JsonObject) -> CheckResult:
        needed = _level(object_of(levels.get("events")).get(kind, levels.get("events_default", 0)))
        what = f"{self._me} may send {kind}"
        if mine is None or mine >= needed:
            return CheckResult(what=what, ok=True)
        mend = f"{kind} needs power level {needed}, and {self._me} has {mine}: raise it"
        return CheckResult(what=what, ok=False, mend=mend)

    def _levels(self) -> JsonObject:
        try:
            return self._state("m.room.power_levels")
        except NotFound:
            return {}

    def _power(self) -> int | None:
        """Our own power level; None for a creator that stands above all of them."""
        if self._is_mighty():
            return None
        levels = self._levels()
        users = object_of(levels.get("users"))
        return _level(users.get(self._me, levels.get("users_default", 0)))

    def _is_mighty(self) -> bool:
        created = self._state("m.room.create", format="event")
        content = object_of(created.get("content"))
        version = text_of(content.get("room_version"))
        if not version.isdecimal() or int(version) < FIRST_WITH_MIGHTY_CREATORS:
            return False
        others = content.get("additional_creators")
        return created.get("sender") == self._me or (
            isinstance(others, list) and self._me in others
        )


def _level(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Unavailable(PRODUCT, "gave a power level that is no number")
