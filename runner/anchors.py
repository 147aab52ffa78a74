"""An anchor: an entry's number and the beginning of its hash, short enough to stand on a card.

Whoever rewrites the whole journal makes a chain that is whole again. What cards, threads and
tickets show is out of his reach, and does not fit it any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.journal import Tx

_DIGITS = 16
_FORM = r"[0-9]{1,15}:[0-9a-f]{16,64}"
_SHOWN = re.compile(rf"\banchor\s+({_FORM})\b", re.IGNORECASE)


def latest(tx: Tx) -> str:
    """The anchor of the last entry. A text that is made anew after a crash shows a later one, and
    that holds as well: the chain only grows."""
    return _text(*tx.head())


def of_decision(tx: Tx, approval_id: str, state: str) -> str | None:
    """The anchor of the entry that settled a question; None while there is none."""
    row = tx.one(
        "select seq, sha256 from entry where kind = ? and json_extract(refs, '$.approval') = ?",
        f"question_{state}",
        approval_id,
    )
    return None if row is None else _text(*row)


def _text(seq: int, sha256: str) -> str:
    return f"{seq}:{sha256[:_DIGITS]}"


def is_anchor(text: str) -> bool:
    return re.fullmatch(_FORM, text) is not None


def shown_in(text: str) -> list[str]:
    """Each anchor that a card, a thread or a ticket shows, once, in reading order."""
    return list(dict.fromkeys(found.lower() for found in _SHOWN.findall(text)))


def faults(tx: Tx, anchors: Iterable[str]) -> list[str]:
    """A sentence for each anchor that does not fit the chain."""
    return [fault for anchor in anchors if (fault := _fault(tx, anchor)) is not None]


def _fault(tx: Tx, anchor: str) -> str | None:
    seq, _, begun = anchor.partition(":")
    row = tx.one("select sha256 from entry where seq = ?", int(seq))
    if row is None:
        return f"there is no entry {seq}, which the anchor {anchor} names: the chain was cut off"
    if not str(row[0]).startswith(begun):
        return f"entry {seq} is another than the anchor {anchor} names: the chain was rewritten"
    return None
