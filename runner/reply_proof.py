"""Whether it was proved that people's replies can be read: where, as whom, by whom, when.

A proof is good for exactly the place in which it was made: another workspace, channel or account is
another place. `stockade check --send` makes it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from connectors.model import ChatPlace
from runner.journal import Tx

KEY = "replies_proved"


class ReplyProof(Struct, frozen=True, kw_only=True):
    """A person typed a word that was made up for it, and the runner's own call read it. `person`:
    their name in the configuration, where they are in it."""

    place: ChatPlace
    account: str
    person: str | None
    at: datetime
    message: str


def proof_of(tx: Tx, connector: str) -> ReplyProof | None:
    """What was proved for a connector last, wherever that was."""
    return _proofs(tx).get(connector)


def note_proof(tx: Tx, connector: str, proof: ReplyProof) -> None:
    """Repeat: the later proof stands."""
    _save(tx, {**_proofs(tx), connector: proof})
    tx.entry("replies_proved", {"connector": connector}, proof)


def drop_proof(tx: Tx, connector: str, why: str) -> None:
    """Replies can be read no more. Repeat: harmless."""
    left = _proofs(tx)
    if left.pop(connector, None) is not None:
        _save(tx, left)
        tx.entry("replies_unproved", {"connector": connector}, {"why": why})


def _proofs(tx: Tx) -> dict[str, ReplyProof]:
    text = tx.meta(KEY)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, ReplyProof])


def _save(tx: Tx, proofs: dict[str, ReplyProof]) -> None:
    tx.set_meta(KEY, msgspec.json.encode(proofs).decode() if proofs else None)
