"""Which replies in a card's thread are answers: `approve CODE`, `deny CODE`, with a number or not.

Pure. The whole message must be that and nothing else; whatever looks like an answer and is none is
given with its fault, so that it can be said why it does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.model import Answer, ThreadReply
from runner.choices import is_pick, meant_by, offered_for
from runner.journal.records import Approval, ChoiceRole

# ASCII only: without it, other alphabets' letters would be taken for these.
_ANSWER = re.compile(r"(approve|deny) ([a-z]{5})(?: ([1-9]|10))?", re.ASCII | re.IGNORECASE)

OTHER_CODE = "that is not this question's code"
UNCLEAR = "this question does not offer that; the card shows what may be typed"


def answers_in(replies: Sequence[ThreadReply], approval: Approval) -> tuple[Answer, ...]:
    """What was answered, each account's answer once. The `choice` of one with a fault is its first
    word, so that a flood of them by one account is two at the most."""
    found: dict[tuple[str, str], Answer] = {}
    for reply in replies:
        said = None if reply.is_ours else _ANSWER.fullmatch(reply.text)
        if said is None:
            continue
        word, code, which = said[1].lower(), said[2].upper(), said[3]
        asked = meant_by(approval.choices, word, which)
        fault = reply.fault
        if fault is None and code != approval.code:
            fault = OTHER_CODE
        if fault is None and asked is None:
            fault = UNCLEAR
        choice = word if fault is not None or asked is None else asked.choice.emoji
        answer = Answer(account=reply.account, choice=choice, is_typed=True, fault=fault)
        found[answer.account, answer.choice] = answer
    return tuple(found.values())


def how_to_type(approval: Approval) -> str:
    """What a card says of it."""
    yes, no = f"approve {approval.code}", f"deny {approval.code}"
    roles = {asked.role for asked in approval.choices}
    if ChoiceRole.ANSWER in roles:
        return f"or type in this card's thread: {yes} N, with the number of the answer"
    if is_pick(approval):
        return f"or type in this card's thread: {yes} N, with the number of the device; or {no}"
    text = f"or type in this card's thread: {yes}, or {no}"
    several = len(offered_for(approval.choices, "deny")) > 1
    return f"{text}; or {no} N, not the device of that number" if several else text
