"""Which transition brings a ticket where a case's stage belongs, and sending it.

Transitions differ from workflow to workflow, so they are read off the ticket each time. It refuses
to guess: a way that is not there, or that asks for fields, is named and not taken.
Source: `GET` and `POST /rest/api/3/issue/{issueIdOrKey}/transitions`; v2 names the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import Rejected, Unavailable
from connectors.http import Repeat
from connectors.model import TicketMove
from connectors.tickets.jira_check import require_transitions
from connectors.tickets.jira_session import PRODUCT, JiraSession

_UNTOUCHED = "new"
"""Jira's own key of the category *To Do*, whatever the language."""
_CLOCKS_APART = timedelta(minutes=5)
"""How far Jira's clock may be behind ours."""


def planned(session: JiraSession, issue: str, wanted: str) -> TicketMove:
    """The way from where the ticket is to `wanted`: the name of a status, or of a transition.
    `issue`: the ticket's path. Errors: `Rejected`."""
    name, category = status_of(session, issue)
    if name.casefold() == wanted.casefold():
        return TicketMove(
            from_status=name,
            to_status=name,
            transition=None,
            is_untouched=category == _UNTOUCHED,
        )
    found = _transition(session, issue, name, wanted)
    return TicketMove(
        from_status=name,
        to_status=_target(found),
        transition=str(found["id"]),
        is_untouched=category == _UNTOUCHED,
    )


def status_of(session: JiraSession, issue: str) -> tuple[str, str]:
    """The status's name, and its category's key. Errors: `Unavailable` when Jira shows neither."""
    fields = session.read(issue, {"fields": "status"}).get("fields")
    status = fields.get("status") if isinstance(fields, dict) else None
    category = status.get("statusCategory") if isinstance(status, dict) else None
    key = category.get("key") if isinstance(category, dict) else None
    if not isinstance(status, dict) or not isinstance(key, str):
        raise Unavailable(PRODUCT, "does not say the category of the ticket's status")
    return str(status.get("name", "")), key


def move(session: JiraSession, issue: str, planned: TicketMove) -> None:
    """Take the transition, unless the ticket is there. Errors: `Rejected` with code `moved` when it
    is neither there nor where the way begins."""
    name, _ = status_of(session, issue)
    if name == planned.to_status or planned.transition is None:
        return
    if name != planned.from_status:
        text = f"the ticket is in {_shown(session, name)}, not in {planned.from_status}"
        raise Rejected(PRODUCT, text, code="moved")
    session.send(
        "POST",
        f"{issue}/transitions",
        repeat=Repeat.ONCE,
        json={"transition": {"id": planned.transition}},
        accept=(204,),
    )


def was_taken(session: JiraSession, issue: str, planned: TicketMove, since: datetime) -> bool:
    """Did the ticket go this way since then, wherever it is by now? Somebody may have moved it on,
    or back. Errors: `Unavailable` when Jira does not show the changes.

    Source: `GET /rest/api/3/issue/{issueIdOrKey}` with `expand=changelog`, newest first; v2 names
    the same. The vendor's OpenAPI document, read 2026-11-25.
    """
    shown = session.read(issue, {"fields": "status", "expand": "changelog"})
    fields, changes = shown.get("fields"), shown.get("changelog")
    status = fields.get("status") if isinstance(fields, dict) else None
    listed = changes.get("histories") if isinstance(changes, dict) else None
    if not isinstance(status, dict) or not isinstance(listed, list):
        raise Unavailable(PRODUCT, "does not show the ticket's changes")
    if status.get("name") == planned.to_status:
        return True
    way = (planned.from_status, planned.to_status)
    return way in _ways_taken(listed, since - _CLOCKS_APART)


def _ways_taken(listed: list[Any], since: datetime) -> Iterator[tuple[str, str]]:
    """From which status to which the ticket went, of what Jira tells of later than then."""
    for change in listed:
        if not isinstance(change, dict):
            continue
        items = change.get("items")
        if not isinstance(items, list) or not _is_later(change.get("created"), since):
            continue
        for item in items:
            if isinstance(item, dict) and item.get("field") == "status":
                yield str(item.get("fromString")), str(item.get("toString"))


def _is_later(created: Any, since: datetime) -> bool:
    """A time that cannot be read is taken for later: nothing is repeated because of it."""
    try:
        at = datetime.fromisoformat(str(created))
    except ValueError:
        return True
    return at.tzinfo is None or at >= since


def _transition(session: JiraSession, issue: str, now: str, wanted: str) -> dict[str, Any]:
    params = {"expand": "transitions.fields"}
    listed = session.read(f"{issue}/transitions", params).get("transitions")
    if not isinstance(listed, list):
        raise Unavailable(PRODUCT, "does not show the ticket's transitions")
    if not listed:
        # Jira shows none to whoever may take none: that is another fault than no way.
        require_transitions(session, issue.rpartition("/")[2])
    ways = [way for way in listed if isinstance(way, dict) and way.get("id") and _target(way)]
    found = [way for way in ways if _target(way).casefold() == wanted.casefold()]
    found = found or [w for w in ways if str(w.get("name")).casefold() == wanted.casefold()]
    if not found:
        names = ", ".join(dict.fromkeys(f"{way.get('name')} → {_target(way)}" for way in ways))
        text = f"no transition leads from {now} to {wanted}; there are: {names or 'none'}"
        raise Rejected(PRODUCT, session.http.redact(text), code="no_transition")
    open_ways = [way for way in found if not _asked(way)]
    if not open_ways:
        names = ", ".join(_asked(found[0]))
        text = f"the transition {found[0].get('name')} from {now} asks for: {names}"
        raise Rejected(PRODUCT, session.http.redact(text), code="no_transition")
    if len({str(way["id"]) for way in open_ways}) > 1:
        names = ", ".join(str(way.get("name")) for way in open_ways)
        text = f"several transitions lead from {now} to {wanted}: {names}; name one of them"
        raise Rejected(PRODUCT, session.http.redact(text), code="no_transition")
    return open_ways[0]


def _target(way: dict[str, Any]) -> str:
    to = way.get("to")
    return str(to.get("name") or "") if isinstance(to, dict) else ""


def _asked(way: dict[str, Any]) -> list[str]:
    """The fields that somebody must fill in to go this way."""
    fields = way.get("fields")
    return [
        str(entry.get("name") or key)
        for key, entry in (fields.items() if isinstance(fields, dict) else ())
        if isinstance(entry, dict)
        and entry.get("required") is True
        and entry.get("hasDefaultValue") is not True
    ]


def _shown(session: JiraSession, name: str) -> str:
    return session.http.redact(name)
