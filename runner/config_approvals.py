"""What must hold in `approvals`: known people with an account, and no quorum that cannot be met.

It is called by `runner/config_rules.py` only.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner import config_shapes as shapes
from runner import config_types as made
from runner.config_connectors import Reading
from runner.schema import closest
from runner.yaml_reader import Path as Where

SUPERUSER = "root"


class ApprovalRules:
    """`approvals()` reports each fault and goes on, so that one reading finds everything."""

    def __init__(
        self, reading: Reading, people: Mapping[str, made.Person], roles: Mapping[str, str]
    ) -> None:
        self._reading = reading
        self._shape = reading.shape.approvals
        self._people = people
        self._roles = roles

    def approvals(self) -> made.Approvals:
        shape = self._shape
        groups = self._groups()
        for key in ("approvers", "mention", "escalate_to"):
            self._all_answer(("approvals", key), getattr(shape, key))
        for kind, tier in shape.tiers.items():
            self._all_answer(("approvals", "tiers", kind, "approvers"), tier.approvers)
        self._quorum(are_counted=not groups & set(shape.approvers))
        if not groups:
            self._tiers()
        self._escalation()
        self._logins()
        return made.Approvals(
            approvers=shape.approvers,
            quorum=shape.quorum,
            expires_s=shape.expires_s,
            mention=shape.mention,
            tiers={
                str(kind): made.Tier(approvers=tier.approvers, quorum=tier.quorum)
                for kind, tier in shape.tiers.items()
            },
            escalate_to=shape.escalate_to,
            escalate_after_s=shape.escalate_after_s,
            cli=shape.cli,
            fallback_after_s=(
                made.FALLBACK_AFTER_S if shape.fallback_after_s is None else shape.fallback_after_s
            ),
            groups=tuple(sorted(groups)),
        )

    def _groups(self) -> set[str]:
        """Names that are nobody's and look like a group's id of the chat product. How many people
        are in one is known to the product alone: `stockade check` counts them."""
        bound = [self._roles.get(role, "") for role in ("chat", made.FALLBACK)]
        chats = [self._reading.shape.connectors.get(name) for name in bound]
        patterns = [shapes.GROUPS[one.type] for one in chats if one and one.type in shapes.GROUPS]
        tiers = (name for tier in self._shape.tiers.values() for name in tier.approvers)
        names = {*self._shape.approvers, *self._shape.escalate_to, *tiers}
        nobodys = names - set(self._reading.keys(("people",)))
        return {name for name in nobodys if any(one.fullmatch(name) for one in patterns)}

    def _all_answer(self, where: Where, names: tuple[str, ...]) -> None:
        for number, name in enumerate(names):
            self._answers((*where, number), name)

    def _answers(self, where: Where, name: str) -> None:
        """Whoever may answer, or is called, must be a known person with an account in the chat."""
        key = ".".join(map(str, where[:-1]))
        if name in self._groups() and where[1] != "mention":
            return
        if name not in self._reading.keys(("people",)):
            text = f"{key}: `{name}` is none of the people"
            known = list(self._people)
            mend = closest(name, known) if known else "Add this person under `people`."
            self._reading.add(where, text, mend, "approver")
            return
        chat = self._reading.shape.connectors.get(self._roles.get("chat", ""))
        person = self._people.get(name)
        if chat is not None and person is not None and person.account is None:
            text = f"{key}: {name} has no {chat.type} account"
            self._reading.add(where, text, f"Add `{chat.type}:` to people.{name}.", "approver")

    def _quorum(self, *, are_counted: bool) -> None:
        shape = self._shape
        is_faulty = "approvers" in self._reading.keys(("approvals",)) and bool(
            self._reading.root.find(("approvals", "approvers")).value != []
        )
        distinct = len(set(shape.approvers))
        if distinct < len(shape.approvers):
            mend = "Name each person once."
            self._reading.add(
                ("approvals", "approvers"), "approvals.approvers repeats", mend, "approver"
            )
        if not shape.approvers:
            if self._reading.shape.mode is not made.Mode.OBSERVE and not is_faulty:
                mode = self._reading.shape.mode.value
                text = f"approvals.approvers names nobody, and mode {mode} asks"
                mend = "Name at least one of the people: an empty list is not everybody."
                self._reading.add(("approvals", "approvers"), text, mend, "approver")
        elif are_counted and shape.quorum > distinct:
            text = f"approvals.quorum is {shape.quorum}, but there are {distinct} approvers"
            mend = "Lower the quorum, or name more approvers."
            self._reading.add(("approvals", "quorum"), text, mend, "quorum")

    def _tiers(self) -> None:
        """A card may show devices of every kind: enough people must be able to answer for all."""
        shape = self._shape
        if not shape.tiers:
            return
        groups = [set(tier.approvers) for tier in shape.tiers.values()]
        needed = max(tier.quorum for tier in shape.tiers.values())
        if len(shape.tiers) < 3:  # the kinds without a tier
            groups.append(set(shape.approvers))
            needed = max(needed, shape.quorum)
        common = set.intersection(*groups)
        if len(common) < needed:
            text = (
                f"approvals.tiers: a question about devices of every kind needs {needed}, but "
                f"{len(common)} may answer for all kinds"
            )
            mend = "Name the same people in enough tiers, or lower the quorum."
            self._reading.add(("approvals", "tiers"), text, mend, "quorum")

    def _escalation(self) -> None:
        shape = self._shape
        if shape.escalate_after_s is None:
            return
        where = ("approvals", "escalate_after_s")
        if not shape.escalate_to:
            text = "approvals.escalate_after_s is given, but approvals.escalate_to names nobody"
            self._reading.add(where, text, "Add `escalate_to:` and names.", "approver")
        elif shape.escalate_after_s >= shape.expires_s:
            text = "approvals.escalate_after_s is not before the question expires"
            mend = f"Give less than {shape.expires_s} seconds."
            self._reading.add(where, text, mend, "approver")

    def _logins(self) -> None:
        """Answers on the runner's machine need people whom it knows."""
        shape = self._shape
        if not shape.cli:
            return
        tiers = (name for tier in shape.tiers.values() for name in tier.approvers)
        names = {*shape.approvers, *shape.escalate_to, *tiers}
        # Anybody may be in a group.
        names |= set(self._people) if self._groups() else set()
        known = [self._people[name] for name in names if name in self._people]
        if not any(person.os_user for person in known):
            mend = "Add `os_user:` to the people who may answer here, or leave `cli` out."
            text = "approvals.cli is on, but no approver has an os_user"
            self._reading.add(("approvals", "cli"), text, mend, "approver")
        for person in known:
            if person.os_user == SUPERUSER:
                text = f"people.{person.name}: os_user {person.os_user} is everybody who may be it"
                mend = "Name the login of one person, or switch approvals.cli off."
                self._reading.add(("people", person.name, "os_user"), text, mend, "approver")
