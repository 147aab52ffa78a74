"""What becomes of the rows of a poll: each an alert, admitted once, and counted."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from connectors.model import Alert, Row, Window
from runner.config import SearchConfig
from runner.journal import Tx
from runner.journal.poll_records import Poll
from runner.routing import Admission

Admit = Callable[[Tx, SearchConfig, Alert], Admission]


class Admitting(Struct, frozen=True, kw_only=True):
    """Whose rows they are, and who takes their alerts in."""

    siem: str
    search: SearchConfig
    admit: Admit


def store_rows(tx: Tx, to: Admitting, window: Window, chunk: list[Row], poll: Poll) -> Poll:
    """Store the rows in the caller's transaction; the poll's record with them counted."""
    if not chunk:
        return poll
    # Imported here: most polls bring no row.
    from runner.alerts import make_alert

    counts = dict.fromkeys(Admission, 0)
    late = 0
    for row in chunk:
        alert = make_alert(
            row,
            siem=to.siem,
            search=to.search.name,
            identity=to.search.identity,
            fields=to.search.fields,
        )
        admitted = to.admit(tx, to.search, alert)
        counts[admitted] += 1
        if admitted is not Admission.KNOWN and alert.occurred_at is not None:
            late += alert.occurred_at.timestamp() < window.start
    return msgspec.structs.replace(
        poll,
        rows=poll.rows + len(chunk),
        new=poll.new + counts[Admission.NEW],
        known=poll.known + counts[Admission.KNOWN] + counts[Admission.REPEAT],
        late=poll.late + late,
    )
