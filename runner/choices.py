"""What a card offers: the answers that people may give, and which of them is which. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.model import Choice, Device
from runner.context import Question
from runner.journal.records import Approval, AskedChoice, ChoiceRole
from runner.masking import mask_secrets

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "keycap_ten")
YES = Choice(name="approve", emoji="white_check_mark", label="approve")
NO = Choice(name="deny", emoji="x", label="deny")
WORDS = ("approve", "deny")
YES_ROLES = (ChoiceRole.APPROVE, ChoiceRole.PICK, ChoiceRole.ANSWER)
NO_ROLES = (ChoiceRole.DENY, ChoiceRole.VETO)
"""What the words `approve` and `deny` may stand for."""


def choices_of(question: Question, devices: Sequence[Device]) -> tuple[AskedChoice, ...]:
    """A general question's own answers; for devices, yes, no and the numbers."""
    if question.answers:
        return answers_for(question.answers)
    return choices_for(devices, pick=question.pick)


def answers_for(answers: dict[str, str]) -> tuple[AskedChoice, ...]:
    """A number for each named answer, in the order of the playbook; never a yes or a no."""
    return tuple(
        AskedChoice(choice=Choice(name=name, emoji=emoji, label=label), role=ChoiceRole.ANSWER)
        for emoji, (name, label) in zip(NUMBERS, answers.items(), strict=False)
    )


def choices_for(devices: Sequence[Device], *, pick: bool) -> tuple[AskedChoice, ...]:
    """What the card offers: yes and no, and a veto for each device of a wave; or, where the
    identity is open, the candidates and no. Devices past the tenth have no number of their own."""
    deny = AskedChoice(choice=NO, role=ChoiceRole.DENY)
    numbered = list(zip(NUMBERS, devices, strict=False))
    if pick:
        picks = [
            _numbered(emoji, device, ChoiceRole.PICK, "isolate this one")
            for emoji, device in numbered
        ]
        return (*picks, deny)
    approve = AskedChoice(choice=YES, role=ChoiceRole.APPROVE)
    if len(devices) < 2:
        return (approve, deny)
    vetoes = [
        _numbered(emoji, device, ChoiceRole.VETO, "not this one") for emoji, device in numbered
    ]
    return (approve, deny, *vetoes)


def _numbered(emoji: str, device: Device, role: ChoiceRole, label: str) -> AskedChoice:
    choice = Choice(
        name=f"{role}-{device.device_id}",
        emoji=emoji,
        label=f"{label}: {device.hostname}, id {device.device_id}",
    )
    return AskedChoice(choice=choice, role=role, device_id=device.device_id)


def offered_for(choices: Sequence[AskedChoice], word: str) -> list[AskedChoice]:
    """The choices that `approve` or `deny` may stand for."""
    roles = YES_ROLES if word == "approve" else NO_ROLES
    return [asked for asked in choices if asked.role in roles]


def meant_by(choices: Sequence[AskedChoice], word: str, which: str | None) -> AskedChoice | None:
    """What `approve` or `deny` stands for, with the number of a device or answer, or an answer's
    name; None when that is not clear."""
    offered = offered_for(choices, word)
    if which is None:
        found = [one for one in offered if one.role in (ChoiceRole.APPROVE, ChoiceRole.DENY)]
    else:
        found = [one for one in offered if which in (number_of(one), one.choice.name)]
    return found[0] if len(found) == 1 else None


def number_of(asked: AskedChoice) -> str | None:
    """Its number on the card, as people type it."""
    emoji = asked.choice.emoji
    return str(NUMBERS.index(emoji) + 1) if emoji in NUMBERS else None


def said_by(approval: Approval, emoji: str) -> str:
    """What an answer said, in words; emoji are a chat's own."""
    asked = next((one for one in approval.choices if one.choice.emoji == emoji), None)
    names = {item.device.device_id: item.device.hostname for item in approval.items}
    if asked is None:
        return "answered with something else"
    host = names.get(asked.device_id or "", "")
    return {
        ChoiceRole.APPROVE: "approved",
        ChoiceRole.DENY: "denied",
        ChoiceRole.VETO: f"vetoed {host}",
        ChoiceRole.PICK: f"picked {host}",
        ChoiceRole.ANSWER: f"answered «{mask_secrets(asked.choice.label)}»",
    }[asked.role]


def is_pick(approval: Approval) -> bool:
    """Were the devices alternatives, of which a person picks one?"""
    return any(asked.role is ChoiceRole.PICK for asked in approval.choices)


def is_general(approval: Approval) -> bool:
    """Is it about no device, so that an answer sends nothing and allows nothing?"""
    return any(asked.role is ChoiceRole.ANSWER for asked in approval.choices)


def is_no_of(approval: Approval, emoji: str) -> bool:
    """Does this answer say no: to all, or to one device?"""
    return any(one.choice.emoji == emoji and one.role in NO_ROLES for one in approval.choices)


def noes_of(approval: Approval, device_id: str) -> frozenset[str]:
    """The emoji that mean no to this device."""
    return frozenset(
        asked.choice.emoji
        for asked in approval.choices
        if asked.role is ChoiceRole.DENY
        or (asked.role is ChoiceRole.VETO and asked.device_id == device_id)
    )
