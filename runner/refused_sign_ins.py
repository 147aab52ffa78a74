"""Which sign-in a product refused, so that no later process sends the same secret again.

It keeps no secret: a salted scrypt hash tells whether it is still the same one. A person who mends
the secret, or runs `stockade check`, ends it. A product refuses a good secret, too, while its own
directory is down: so it is tried once more after an hour, then ever more seldom.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.model import Secret
from runner.journal import Journal, Tx

_KEY = "refused_sign_in:"
FIRST_REST = timedelta(hours=1)
LONGEST_REST = timedelta(days=1)
"""The rest doubles with each refusal. Accounts are commonly locked by five to ten failures within
half an hour, or an hour at most."""


class Refusal(Struct, frozen=True, kw_only=True):
    """One refused sign-in. `digest` is of the secrets, salted with the address and the time.
    `times`: how often the same ones were refused."""

    where: str
    at: datetime
    text: str
    digest: str = ""
    times: int = 1

    @property
    def until(self) -> datetime:
        """When they may be tried once more."""
        # Five doublings pass a day; more would only make the number large.
        doubled: int = 2 ** min(self.times - 1, 5)
        return self.at + min(FIRST_REST * doubled, LONGEST_REST)

    def sentence(self) -> str:
        at = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        return (
            f"{self.where} refused the sign-in at {at} ({self.text}). It is not sent again before "
            f"{self.until:%Y-%m-%d %H:%M} UTC, so that the account is not locked: mend the secret, "
            "or run stockade check"
        )


class JournalRefusals:
    """`RefusedSignIns` in a journal. Each method is one transaction."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def told(self, where: str, secrets: Sequence[Secret]) -> str | None:
        with self._journal.read() as tx:
            known = _find(tx, where)
            now = tx.clock.now()
        if known is None or now >= known.until or not _is_same(known, secrets):
            return None
        return known.sentence()

    def note(self, where: str, secrets: Sequence[Secret], text: str) -> None:
        with self._journal.write() as tx:
            known = _find(tx, where)
            times = 1 + (known.times if known and _is_same(known, secrets) else 0)
            refusal = Refusal(where=where, at=tx.clock.now(), text=text, times=times)
            refusal = msgspec.structs.replace(refusal, digest=_digest(refusal, secrets))
            tx.set_meta(_KEY + where, msgspec.json.encode(refusal).decode())
            tx.entry("sign_in_refused", {"where": where}, {"text": text})

    def forget(self, where: str) -> None:
        with self._journal.read() as tx:
            is_known = _find(tx, where) is not None
        if is_known:
            with self._journal.write() as tx:
                tx.set_meta(_KEY + where, None)

    def forget_all(self) -> None:
        """A person looks: each sign-in may be tried once more."""
        with self._journal.read() as tx:
            known = refused(tx)
        for refusal in known:
            self.forget(refusal.where)


def refused(tx: Tx) -> list[Refusal]:
    """Every sign-in that is not sent again."""
    rows = tx.all("select value from meta where key like ? order by key", _KEY + "%")
    return [msgspec.json.decode(row[0], type=Refusal) for row in rows]


def _find(tx: Tx, where: str) -> Refusal | None:
    kept = tx.meta(_KEY + where)
    return None if kept is None else msgspec.json.decode(kept, type=Refusal)


def _is_same(known: Refusal, secrets: Sequence[Secret]) -> bool:
    return hmac.compare_digest(known.digest, _digest(known, secrets))


def _digest(refusal: Refusal, secrets: Sequence[Secret]) -> str:
    salt = f"{refusal.where} {refusal.at.isoformat()}".encode()
    # Each with its length: no two lists of secrets read alike.
    texts = [secret.reveal().encode() for secret in secrets]
    joined = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
    return hashlib.scrypt(joined, salt=salt, n=2**14, r=8, p=1).hex()
