"""What must hold for the chat that stands in for the first: another product, and people who can
answer there.

It is called by `runner/config_rules.py` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runner import config_shapes as shapes
from runner import config_types as made
from runner.config_connectors import Reading
from runner.yaml_reader import Path as Where

AFTER = ("approvals", "fallback_after_s")


class FallbackRules:
    """`check()` reports each fault and goes on. Who of several has no account there is a warning:
    the others can still answer."""

    def __init__(
        self, reading: Reading, people: Mapping[str, made.Person], roles: Mapping[str, str]
    ) -> None:
        self._reading = reading
        self._shape = reading.shape.approvals
        self._people = people
        self._roles = roles

    def check(self) -> None:
        name = self._roles.get(made.FALLBACK)
        after_s = self._shape.fallback_after_s
        if name is None:
            if after_s is not None and made.FALLBACK not in self._reading.keys(("roles",)):
                text = f"approvals.fallback_after_s is given, but roles has no `{made.FALLBACK}`"
                self._reading.add(AFTER, text, "Bind a second chat, or leave it out.", "fallback")
            return
        self._after(made.FALLBACK_AFTER_S if after_s is None else after_s)
        self._product(name)

    def _after(self, after_s: int) -> None:
        if after_s >= self._shape.expires_s:
            text = "approvals.fallback_after_s is not before the question expires"
            mend = f"Give less than {self._shape.expires_s} seconds."
            self._reading.add(AFTER, text, mend, "fallback")

    def _product(self, name: str) -> None:
        """One product is down as a whole, and a person has one account for each."""
        connectors = self._reading.shape.connectors
        where = ("roles", made.FALLBACK)
        first, second = connectors.get(self._roles.get("chat", "")), connectors.get(name)
        if "chat" not in self._roles:
            text = f"roles.{made.FALLBACK}: there is no first chat that it could stand in for"
            self._reading.add(where, text, "Bind `chat:` first.", "fallback")
        elif first is not None and second is not None and first.type == second.type:
            text = (
                f"roles.{made.FALLBACK}: `{name}` is {second.type} like roles.chat: it would be "
                "down with it, and people have one account there"
            )
            self._reading.add(where, text, "Bind a chat of another product.", "fallback")
        elif second is not None:
            self._accounts(second.type)

    def _accounts(self, product: str) -> None:
        for where, approvers, quorum in self._lists():
            strangers = [name for name in approvers if name not in self._people]
            if strangers and not all(map(self._is_away, strangers)):
                continue  # A group of the fall-back chat: who is in it is known to that alone.
            key = ".".join(map(str, where))
            able = [name for name in approvers if self._can_answer(name)]
            if len(able) < (quorum if strangers else min(quorum, len(approvers))):
                away = "; a user group cannot be read while its chat is down" if strangers else ""
                text = (
                    f"{key}: {len(able)} of them can answer in the fall-back chat, and a question "
                    f"needs {quorum}{away}"
                )
                mend = f"Add people who have `{product}:`, or lower the quorum."
                self._reading.add(where, text, mend, "fallback")
        shape = self._shape
        lists = [approvers for _, approvers, _ in self._lists()]
        names = [*(name for one in lists for name in one), *shape.escalate_to, *shape.mention]
        for name in dict.fromkeys(names):
            if name in self._people and not self._can_answer(name):
                text = f"people.{name} has no {product} account: no answer in the fall-back chat"
                self._reading.warnings.append(text)

    def _is_away(self, name: str) -> bool:
        """Is it a user group of the first chat, which nobody can read while that is down?"""
        first = self._reading.shape.connectors.get(self._roles.get("chat", ""))
        pattern = shapes.GROUPS.get(first.type) if first is not None else None
        return pattern is not None and pattern.fullmatch(name) is not None

    def _lists(self) -> Iterator[tuple[Where, tuple[str, ...], int]]:
        """Where a list of approvers stands, the list, and how many of it a question needs."""
        shape = self._shape
        yield ("approvals", "approvers"), shape.approvers, shape.quorum
        for kind, tier in shape.tiers.items():
            yield ("approvals", "tiers", kind, "approvers"), tier.approvers, tier.quorum
        common = self._common()
        if common is not None:
            yield ("approvals", "tiers"), *common

    def _common(self) -> tuple[tuple[str, ...], int] | None:
        """Who may answer for devices of every kind, as one card may show them."""
        shape = self._shape
        if not shape.tiers:
            return None
        rules = [(set(tier.approvers), tier.quorum) for tier in shape.tiers.values()]
        if len(shape.tiers) < 3:  # the kinds without a tier
            rules.append((set(shape.approvers), shape.quorum))
        names = set.intersection(*(approvers for approvers, _ in rules))
        return tuple(sorted(names)), max(quorum for _, quorum in rules)

    def _can_answer(self, name: str) -> bool:
        person = self._people.get(name)
        return person is not None and person.fallback_account is not None
