"""How the suppressions do: what each met, and which of them want a person's eye."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from msgspec import Struct

from runner.config import Config
from runner.journal import Journal, cases
from runner.suppression_file import Suppression, Suppressions, read_suppressions

UNUSED_AFTER = timedelta(days=60)
"""A suppression that met nothing for so long is proposed for removal."""


class Use(Struct, frozen=True, kw_only=True):
    """One entry of the file, and how it does. `said`: why somebody should look at it, or None."""

    entry: Suppression
    hits: int
    last_at: datetime | None
    said: str | None


def uses_of(journal: Journal, config: Config) -> tuple[Use, ...]:
    """Every entry of the file with its hits."""
    with journal.read() as tx:
        today = tx.clock.now().date()
        met = cases.suppressed(tx)
    found = []
    for entry in read_suppressions(config.suppressions_file, today).entries:
        seen = met.get(entry.id)
        last_at = seen.last_at if seen else None
        said = _wants_a_look(config, entry, today, last_at)
        found.append(Use(entry=entry, hits=seen.hits if seen else 0, last_at=last_at, said=said))
    return tuple(found)


def _wants_a_look(
    config: Config, entry: Suppression, today: date, last_at: datetime | None
) -> str | None:
    """Why an entry wants a person's eye."""
    if today >= entry.expires:
        return f"it ended on {entry.expires} and does nothing; remove it, or decide anew"
    if entry.search not in config.searches:
        return f"there is no search {entry.search}, so it does nothing; remove it"
    since = max(last_at.date(), entry.created) if last_at else entry.created
    if today - since >= UNUSED_AFTER:
        return f"no hit for {(today - since).days} days; remove it"
    return None


def ended(config: Config, known: Suppressions, today: date) -> list[str]:
    """A sentence for whatever of the file does nothing: its faults, entries that ended."""
    said = [f"nothing is suppressed: {fault}" for fault in known.faults]
    if known.is_missing:
        said.append(f"{config.suppressions_file} is not there; nothing is suppressed")
    for entry in known.entries:
        if today >= entry.expires:
            said.append(f"{entry.id} ended on {entry.expires} and does nothing; remove it")
        elif entry.search not in config.searches:
            said.append(f"{entry.id} is for {entry.search}, which is no search; remove it")
    return said
