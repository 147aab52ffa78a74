"""May this Jira account do what we need, and does the project's create screen fit? Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from connectors.errors import AuthFailed, ConnectorError, Rejected
from connectors.model import CheckResult
from connectors.tickets.jira_dialect import Dialect
from connectors.tickets.jira_fields import create_screen, field_ids
from connectors.tickets.jira_product import JiraProduct
from connectors.tickets.jira_session import PRODUCT, JiraSession

# Keys and names of Jira's own project permissions; source: `GET /rest/api/3/mypermissions`,
# vendor's OpenAPI document, read 2026-11-25.
_PERMISSIONS = {
    "BROWSE_PROJECTS": "Browse Projects",
    "CREATE_ISSUES": "Create Issues",
    "ADD_COMMENTS": "Add Comments",
    "CREATE_ATTACHMENTS": "Create Attachments",
}
_TO_MOVE = {"TRANSITION_ISSUES": "Transition Issues"}
_ALWAYS_SENT = frozenset({"project", "issuetype", "summary", "description", "labels"})
_SET_BY_JIRA = frozenset({"reporter"})
_SHOWN_VALUES = 10


def check_project(
    session: JiraSession, dialect: Dialect, options: JiraProduct.Options
) -> list[CheckResult]:
    """One result for each thing that a ticket needs: the permissions, and on the create screen the
    fields that we set."""
    signed_in = _tried("Jira: sign in", lambda: _sign_in(session, dialect))
    if not signed_in.ok:
        return [signed_in]
    needed = {**_PERMISSIONS, **(_TO_MOVE if options.transitions else {})}
    return [
        signed_in,
        *_permissions(session, options.project, needed),
        _tried(
            f"Jira: create screen of {options.issue_type} in {options.project}",
            lambda: _screen(session, options),
        ),
    ]


def _sign_in(session: JiraSession, dialect: Dialect) -> None:
    me = session.read(session.path("myself"))
    if not dialect.is_known(me):
        raise AuthFailed(PRODUCT, "does not know who is asking: check the credentials")
    if me.get("active") is False:
        raise AuthFailed(PRODUCT, "the account is deactivated")


def _permissions(
    session: JiraSession, project: str, needed: dict[str, str]
) -> Iterator[CheckResult]:
    try:
        granted = _granted(session, needed, projectKey=project)
    except ConnectorError as fault:
        yield CheckResult(what=f"Jira: project {project}", ok=False, mend=fault.text)
        return
    for key, name in needed.items():
        has = key in granted
        mend = None if has else f"give the account the permission {name} in project {project}"
        yield CheckResult(what=f"Jira: permission {name}", ok=has, mend=mend)


def require_browse(session: JiraSession, project: str) -> None:
    """Errors: `AuthFailed` when the account may not see the project's issues; a failed look is its
    own fault."""
    if "BROWSE_PROJECTS" not in _granted(session, ("BROWSE_PROJECTS",), projectKey=project):
        text = f"give the account the permission Browse Projects in project {project}"
        raise AuthFailed(PRODUCT, text)


def require_transitions(session: JiraSession, issue_id: str) -> None:
    """Errors: `Rejected`, code `no_permission`, when the account may not move the issue; a failed
    look is its own fault."""
    if not set(_TO_MOVE) <= _granted(session, _TO_MOVE, issueId=issue_id):
        text = "give the account the permission Transition Issues: it is shown no transition"
        raise Rejected(PRODUCT, text, code="no_permission")


def _granted(session: JiraSession, asked: Iterable[str], **where: str) -> set[str]:
    params = {**where, "permissions": ",".join(asked)}
    listed = session.read(session.path("mypermissions"), params).get("permissions")
    return {
        key
        for key, entry in (listed.items() if isinstance(listed, dict) else ())
        if isinstance(entry, dict) and entry.get("havePermission") is True
    }


def _screen(session: JiraSession, options: JiraProduct.Options) -> None:
    fields = create_screen(session, options.project, options.issue_type)
    needed = {"labels", "description", *(["priority"] if options.priorities else [])}
    needed |= set(field_ids(session, options, fields).values())
    if missing := sorted(needed - set(fields)):
        raise Rejected(PRODUCT, f"put on the create screen: {', '.join(missing)}")
    wanted = [
        _asked(key, entry)
        for key, entry in fields.items()
        if key not in needed and _is_asked(key, entry)
    ]
    if wanted:
        names = session.http.redact(", ".join(wanted))
        raise Rejected(
            PRODUCT, f"set in options.fields, make optional, or give a default to: {names}"
        )


def _name(key: str, entry: dict[str, Any]) -> str:
    return f"{entry.get('name') or key} ({key})"


def _asked(key: str, entry: dict[str, Any]) -> str:
    """The field, and the first of the values that it takes, when Jira lists them."""
    listed = entry.get("allowedValues")
    values = [
        str(value.get("value") or value.get("name") or value.get("id"))
        for value in (listed if isinstance(listed, list) else [])
        if isinstance(value, dict)
    ]
    if not values:
        return _name(key, entry)
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return f"{_name(key, entry)}, which takes {' | '.join(values[:_SHOWN_VALUES])}{more}"


def _is_asked(key: str, entry: dict[str, Any]) -> bool:
    """A field that somebody must fill in and that we do not send."""
    is_open = entry.get("required") is True and entry.get("hasDefaultValue") is not True
    return is_open and key not in _ALWAYS_SENT | _SET_BY_JIRA


def _tried(what: str, probe: Callable[[], None]) -> CheckResult:
    try:
        probe()
    except ConnectorError as fault:
        return CheckResult(what=what, ok=False, mend=fault.text)
    return CheckResult(what=what, ok=True)
