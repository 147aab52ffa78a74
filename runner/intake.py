"""A poll's rows become alerts: those that are known by their key are only counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from connectors.model import Alert, Row, Window
from runner.alerts import AlertIds, make_alert
from runner.config import SearchConfig
from runner.journal import Tx, cases
from runner.routing import Admission

Admit = Callable[[Tx, SearchConfig, Alert], Admission]


class Taken(Struct, frozen=True, kw_only=True):
    """How many rows were what. `late`: new ones whose event lies before the window."""

    new: int
    known: int
    late: int


def take_rows(
    tx: Tx, siem: str, search: SearchConfig, window: Window, rows: Sequence[Row], admit: Admit
) -> Taken:
    """Store what is new, in the caller's transaction. Repeat: all is known. Errors: what `admit`
    raises; nothing of the transaction may be kept then."""
    ids = AlertIds(siem, search.name, search.identity)
    named = [(ids.of(row), row) for row in rows]
    known = cases.known_alerts(tx, [name for name, _ in named])
    admitted: list[Admission] = []
    late = 0
    for name, row in named:
        if name in known:
            continue
        alert = make_alert(
            row, siem=siem, search=search.name, identity=search.identity, fields=search.fields
        )
        # One row may come twice in the same answer.
        admission = admit(tx, search, alert)
        admitted.append(admission)
        if admission is not Admission.KNOWN and alert.occurred_at is not None:
            late += alert.occurred_at.timestamp() < window.start
    new = admitted.count(Admission.NEW)
    return Taken(new=new, known=len(rows) - new, late=late)
