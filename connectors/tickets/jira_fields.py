"""The custom fields of a new ticket: their ids, and the case's values in them.

A name is looked up on the create screen and never guessed. A case's value is written only where it
is a plain word: a custom field may render markup, and a host's name is the attacker's to choose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.errors import NotFound, Rejected, Unavailable
from connectors.model import JsonObject
from connectors.tickets.jira_product import CUSTOM_FIELD, JiraProduct, case_value
from connectors.tickets.jira_session import PRODUCT, JiraSession

_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,253}[A-Za-z0-9])?")
UNKNOWN, UNUSUAL = "unknown", "unusual value"


def create_screen(session: JiraSession, project: str, issue_type: str) -> dict[str, dict[str, Any]]:
    """Id of a field → what Jira says of it, for what can be filled in when a ticket is opened.
    Errors: `NotFound` for the issue type.
    Source: `GET /rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes` and, below it,
    `/{issueTypeId}`; v2 names the same, with the entries under `values`."""
    types = session.path("issue", "createmeta", project, "issuetypes")
    found = {
        str(entry.get("name")): str(entry.get("id"))
        for entry in session.pages(types, ("issueTypes", "createMetaIssueType", "values"))
        if isinstance(entry, dict)
    }
    if issue_type not in found:
        names = session.http.redact(", ".join(sorted(found)) or "none")
        raise NotFound(PRODUCT, f"the project has no issue type {issue_type}; it has: {names}")
    type_path = session.path("issue", "createmeta", project, "issuetypes", found[issue_type])
    fields = {
        str(entry.get("fieldId") or entry.get("key") or ""): entry
        for entry in session.pages(type_path, ("fields", "results", "values"))
        if isinstance(entry, dict)
    }
    if not fields:
        raise Unavailable(PRODUCT, "shows no field of the create screen")
    return fields


def field_ids(
    session: JiraSession, options: JiraProduct.Options, screen: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """What `options.fields` calls a field → its id. Errors: `Rejected` for a name that no custom
    field on the screen has, or several have."""
    return {name: _field_id(session, name, screen) for name in options.fields}


def needs_screen(options: JiraProduct.Options) -> bool:
    """Is a field called by its name, so that the create screen must be read?"""
    return any(not CUSTOM_FIELD.fullmatch(name) for name in options.fields)


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """A configured value with the case's values put in, at any depth."""
    if (name := case_value(value)) is not None:
        said = known.get(name) or UNKNOWN
        return said if _PLAIN.fullmatch(said) else UNUSUAL
    if isinstance(value, dict):
        return {key: filled(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, known) for inner in value]
    return value


def filled_fields(
    options: JiraProduct.Options, ids: Mapping[str, str], known: Mapping[str, str]
) -> JsonObject:
    """The custom fields of one ticket, by id."""
    return {ids.get(name, name): filled(value, known) for name, value in options.fields.items()}


def _field_id(session: JiraSession, name: str, screen: Mapping[str, Mapping[str, Any]]) -> str:
    if CUSTOM_FIELD.fullmatch(name):
        return name
    found = [
        key
        for key, entry in screen.items()
        if str(entry.get("name")) == name and CUSTOM_FIELD.fullmatch(key)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        text = f"several custom fields are called {name}: {', '.join(found)}; write the id"
        raise Rejected(PRODUCT, text)
    has = [str(one.get("name")) for key, one in screen.items() if CUSTOM_FIELD.fullmatch(key)]
    known = session.http.redact(", ".join(sorted(has)) or "none")
    text = f"no custom field on the create screen is called {name}; there are: {known}"
    raise Rejected(PRODUCT, text)
