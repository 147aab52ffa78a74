"""Alerts and cases: what came in, what it belongs to."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.model import Alert
from runner.journal.records import Case, CaseStatus
from runner.journal.transaction import Tx, instant

REPEAT_WINDOW = timedelta(hours=24)
"""A case takes repeats until this long without one."""
MOST_LINKS = 20
"""A case names so many others on its host at most, the newest: a flood on one machine must not cost
the square of its size."""


class Suppressed(Struct, frozen=True, kw_only=True):
    """How often a suppression was met, in alerts, and when last."""

    hits: int
    last_at: datetime | None


def knows_alert(tx: Tx, alert_id: str) -> bool:
    return tx.one("select 1 from alert where id = ?", alert_id) is not None


def known_alerts(tx: Tx, alert_ids: list[str]) -> set[str]:
    """Those of the alerts that are stored already."""
    asked = msgspec.json.encode(alert_ids).decode()
    rows = tx.all("select id from alert where id in (select value from json_each(?))", asked)
    return {str(row[0]) for row in rows}


def add_alert(tx: Tx, alert: Alert, case_id: str) -> int:
    """Store an alert; its ordinal number in this journal."""
    tx.change(
        "insert into alert (id, case_id, search, received_at, body) values (?, ?, ?, ?, ?)",
        alert.id,
        case_id,
        alert.search,
        tx.now_s(),
        msgspec.json.encode(alert).decode(),
    )
    return alert_number(tx, alert.id)


def alert_number(tx: Tx, alert_id: str) -> int:
    return int(tx.one("select n from alert where id = ?", alert_id)[0])


def last_alert_number(tx: Tx) -> int:
    return int(tx.one("select coalesce(max(n), 0) from alert")[0])


def case_of_alert(tx: Tx, alert_id: str) -> str | None:
    row = tx.one("select case_id from alert where id = ?", alert_id)
    return None if row is None else str(row[0])


def read_alert(tx: Tx, alert_id: str) -> Alert:
    row = tx.one("select body from alert where id = ?", alert_id)
    return msgspec.json.decode(row[0], type=Alert)


def users_of(tx: Tx, case_id: str) -> set[str]:
    """The users of a case's alerts: whose accounts it concerns."""
    rows = tx.all("select body from alert where case_id = ? order by n limit 1000", case_id)
    users = (msgspec.json.decode(row[0], type=Alert).user for row in rows)
    return {user for user in users if user is not None}


def alerts_of(tx: Tx, case_id: str, limit: int) -> list[Alert]:
    """The first alerts of a case, oldest first."""
    rows = tx.all("select body from alert where case_id = ? order by n limit ?", case_id, limit)
    return [msgspec.json.decode(row[0], type=Alert) for row in rows]


def suppressed(tx: Tx) -> dict[str, Suppressed]:
    """Suppression → what it made benign. It is read off the cases, so that nothing can count an
    alert twice."""
    rows = tx.all(
        "select json_extract(body, '$.assessment.suppression') as suppression,"
        " sum(json_extract(body, '$.alert_count')), max(last_at) from cases"
        " group by 1"
    )
    return {row[0]: Suppressed(hits=row[1], last_at=instant(row[2])) for row in rows if row[0]}


def open_case_with_key(tx: Tx, key: str) -> Case | None:
    """The case that still takes repeats of this key."""
    row = tx.one(
        "select body from cases where key = ? and last_at > ? order by last_at desc limit 1",
        key,
        tx.now_s() - REPEAT_WINDOW.total_seconds(),
    )
    return None if row is None else msgspec.json.decode(row[0], type=Case)


def new_case(tx: Tx, alert: Alert, key: str, host: str | None) -> Case:
    """Open a case for an alert, linked with the newest cases on the same host. Its id follows from
    the alert, so that a repeat opens the same one."""
    now = tx.clock.now()
    case = Case(
        id="case-" + hashlib.sha256(f"{key}:{alert.id}".encode()).hexdigest()[:10],
        key=key,
        alert_id=alert.id,
        search=alert.search,
        status=CaseStatus.NEW,
        alert_count=1,
        first_at=now,
        last_at=now,
        host=host,
        linked=_on_host(tx, host),
    )
    save(tx, case, revise=False)
    for other_id in case.linked:
        other = read(tx, other_id)
        linked = (*other.linked, case.id)[-MOST_LINKS:]
        save(tx, msgspec.structs.replace(other, linked=linked))
    tx.entry("case_opened", {"case": case.id, "alert": alert.id}, {"host": host})
    return case


def _on_host(tx: Tx, host: str | None) -> tuple[str, ...]:
    if host is None:
        return ()
    rows = tx.all(
        "select id from cases where host = ? order by last_at desc limit ?", host, MOST_LINKS
    )
    return tuple(str(row[0]) for row in rows)


def add_repeat(tx: Tx, case: Case) -> Case:
    repeated = msgspec.structs.replace(
        case, alert_count=case.alert_count + 1, last_at=tx.clock.now()
    )
    return save(tx, repeated, revise=False)


def read(tx: Tx, case_id: str) -> Case:
    return msgspec.json.decode(tx.one("select body from cases where id = ?", case_id)[0], type=Case)


def find(tx: Tx, case_id: str) -> Case | None:
    row = tx.one("select body from cases where id = ?", case_id)
    return None if row is None else msgspec.json.decode(row[0], type=Case)


def save(tx: Tx, case: Case, *, revise: bool = True) -> Case:
    """Store a case; `revise` marks that its ticket must be told."""
    if revise:
        case = msgspec.structs.replace(case, revision=case.revision + 1)
    tx.change(
        "insert into cases values (?, ?, ?, ?, ?, 0, ?) on conflict (id) do update set"
        " key = excluded.key, host = excluded.host, last_at = excluded.last_at,"
        " revision = excluded.revision, body = excluded.body",
        case.id,
        case.key,
        case.host,
        case.last_at.timestamp(),
        case.revision,
        msgspec.json.encode(case).decode(),
    )
    return case


def set_status(tx: Tx, case_id: str, status: CaseStatus) -> None:
    """Where the case stands. Repeat: no change, and no news for its ticket."""
    case = find(tx, case_id)
    if case is not None and case.status is not status:
        save(tx, msgspec.structs.replace(case, status=status), revise=False)


def revise(tx: Tx, case_id: str) -> None:
    """Something that the ticket tells has changed. An unknown case is left alone."""
    case = find(tx, case_id)
    if case is not None:
        save(tx, case)


def unreported(tx: Tx, after: str, limit: int) -> list[Case]:
    """Cases whose ticket does not tell all yet, by id, from the one after `after` on."""
    rows = tx.all(
        "select body from cases where revision > reported and id > ?"
        " and json_extract(body, '$.ticket') is not null order by id limit ?",
        after,
        limit,
    )
    return [msgspec.json.decode(row[0], type=Case) for row in rows]


def has_unreported(tx: Tx) -> bool:
    return tx.one("select 1 from cases where revision > reported limit 1") is not None


def pass_over_unticketed(tx: Tx) -> None:
    """Nobody is to be told of them: the ticket, should there be one later, is opened with all that
    is known by then. Thousands may wait without one, and are not to be looked at in each round."""
    tx.change(
        "update cases set reported = revision where revision > reported"
        " and json_extract(body, '$.ticket') is null"
    )


def set_reported(tx: Tx, case_id: str, revision: int) -> None:
    tx.change("update cases set reported = ? where id = ?", revision, case_id)


def every(tx: Tx, limit: int = 100) -> list[Case]:
    """The newest cases first."""
    rows = tx.all("select body from cases order by last_at desc limit ?", limit)
    return [msgspec.json.decode(row[0], type=Case) for row in rows]
