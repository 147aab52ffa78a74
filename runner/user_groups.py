"""Who is in the groups of the chat product that stand among the approvers, as chat says it now.

A group names people; it makes nobody known. Only members who are in the configuration may answer:
of nobody else could be said whether a question is about their own account, or whether two accounts
are one person. A group that cannot be read is nobody.
"""

from __future__ import annotations

from typing import cast

from connectors.base import Chat
from connectors.errors import ConnectorError
from connectors.model import Clock
from runner.config import FALLBACK, Approvals, Config
from runner.config_shapes import GROUPS
from runner.electing import with_members
from runner.roles import Roles

FRESH_S = 30.0
"""How long one reading serves: a product allows so many a minute."""


class UserGroups:
    """Reads the groups when answers are counted. `faults`: a sentence for each that could not be
    read last; `strangers`: how many members nobody under `people` is, by group."""

    def __init__(self, config: Config, roles: Roles, clock: Clock) -> None:
        self._config = config
        self._roles = roles
        self._clock = clock
        self._read_at: float | None = None
        self._policy = config.approvals
        self.members: dict[str, tuple[str, ...]] = {}
        self.faults: dict[str, str] = {}
        self.strangers: dict[str, int] = {}

    def policy(self) -> Approvals:
        """The approvals with people in place of groups."""
        if not self._config.approvals.groups:
            return self._config.approvals
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= FRESH_S:
            self._read_at = now
            self._read()
        return self._policy

    def _read(self) -> None:
        self.members, self.faults, self.strangers = {}, {}, {}
        chat, names = self._chat()
        for group in self._config.approvals.groups:
            try:
                accounts = chat.read_group(group)
            except ConnectorError as fault:
                self.faults[group] = f"user group {group} cannot be read: {fault.text}"
                continue
            self.members[group] = tuple(names[one] for one in accounts if one in names)
            self.strangers[group] = len([one for one in accounts if one not in names])
        self._policy = with_members(self._config.approvals, self.members)

    def _chat(self) -> tuple[Chat, dict[str | None, str]]:
        """The chat whose groups these are, and whose account there is whose."""
        people, config = self._config.people.values(), self._config
        if config.connectors[config.roles["chat"]].type in GROUPS:
            names = {person.account: person.name for person in people}
            return cast(Chat, self._roles.connector("chat")), names
        names = {person.fallback_account: person.name for person in people}
        return cast(Chat, self._roles.connector(FALLBACK)), names
