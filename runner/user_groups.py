"""Who is in the groups of the chat product that stand among the approvers, as chat says it now.

A group names people; it makes nobody known. Only members who are in the configuration may answer:
of nobody else could be said whether a question is about their own account, or whether two accounts
are one person. A group that cannot be read is nobody.
"""

from __future__ import annotations

from threading import Lock
from typing import cast

from msgspec import Struct

from connectors.base import Chat
from connectors.errors import ConnectorError
from connectors.model import Clock
from runner.config import FALLBACK, Approvals, Config
from runner.config_shapes import GROUPS
from runner.electing import with_members
from runner.roles import Roles

FRESH_S = 30.0
"""How long one reading serves: a product allows so many a minute."""


class _Reading(Struct, frozen=True, kw_only=True):
    """One reading of all groups. `at`: monotonic seconds, when it began."""

    at: float
    policy: Approvals
    members: dict[str, tuple[str, ...]] = {}
    faults: dict[str, str] = {}
    strangers: dict[str, int] = {}


class UserGroups:
    """Reads the groups when answers are counted; several threads may ask: one reads, and the others
    wait for it. `faults`: a sentence for each that could not be read last; `strangers`: how many
    members nobody under `people` is, by group."""

    def __init__(self, config: Config, roles: Roles, clock: Clock) -> None:
        self._config = config
        self._roles = roles
        self._clock = clock
        self._reading: _Reading | None = None
        self._turn = Lock()

    @property
    def members(self) -> dict[str, tuple[str, ...]]:
        return {} if self._reading is None else self._reading.members

    @property
    def faults(self) -> dict[str, str]:
        return {} if self._reading is None else self._reading.faults

    @property
    def strangers(self) -> dict[str, int]:
        return {} if self._reading is None else self._reading.strangers

    def policy(self) -> Approvals:
        """The approvals with people in place of groups."""
        if not self._config.approvals.groups:
            return self._config.approvals
        with self._turn:
            now, last = self._clock.monotonic(), self._reading
            if last is None or now - last.at >= FRESH_S:
                # Whole or not at all: half a reading would call a member a stranger.
                last = self._reading = self._read(now)
            return last.policy

    def _read(self, now: float) -> _Reading:
        members: dict[str, tuple[str, ...]] = {}
        faults: dict[str, str] = {}
        strangers: dict[str, int] = {}
        chat, names = self._chat()
        for group in self._config.approvals.groups:
            try:
                accounts = chat.read_group(group)
            except ConnectorError as fault:
                faults[group] = f"user group {group} cannot be read: {fault.text}"
                continue
            members[group] = tuple(names[one] for one in accounts if one in names)
            strangers[group] = len([one for one in accounts if one not in names])
        return _Reading(
            at=now,
            policy=with_members(self._config.approvals, members),
            members=members,
            faults=faults,
            strangers=strangers,
        )

    def _chat(self) -> tuple[Chat, dict[str | None, str]]:
        """The chat whose groups these are, and whose account there is whose."""
        people, config = self._config.people.values(), self._config
        if config.connectors[config.roles["chat"]].type in GROUPS:
            names = {person.account: person.name for person in people}
            return cast(Chat, self._roles.connector("chat")), names
        names = {person.fallback_account: person.name for person in people}
        return cast(Chat, self._roles.connector(FALLBACK)), names
