"""Putting a shipped search into Splunk: read what is there, show the difference, write, read back.

What was written carries the hash of its own settings in its description, so that a search that
somebody has edited since is told apart from one that only grew old.

Source: docs.splunk.com REST API Reference "saved/searches", 2026-11-25.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from connectors.errors import ConnectorError, NotFound, OutcomeUnknown
from connectors.http import Repeat, path_of
from connectors.model import JsonObject, SavedSearch
from connectors.siem.splunk.jobs import content_of
from connectors.siem.splunk.macros import Macro, read_macros
from connectors.siem.splunk.rest import Rest, saved_search_path
from connectors.siem.splunk.shipped import conf_stanza

_MARK = re.compile(r"Written by Stockade, sha256 ([0-9a-f]{64})")
_MARKED = (
    "search",
    "disabled",
    "dispatch.allow_partial_results",
    "dispatch.earliest_time",
    "dispatch.latest_time",
    "is_scheduled",
)
"""What the hash is over: the settings that every shipped search has."""
_TRUE, _FALSE = ("1", "true", "t"), ("0", "false", "f")


class Standing(StrEnum):
    """What Splunk holds under the name."""

    MISSING = "missing"
    SAME = "same"
    OLD = "old"
    """As we wrote it once, and the product ships another one now."""
    EDITED = "edited"
    """Somebody else's, or changed since we wrote it."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a write would change. `found`: the settings as read, for a look before the write."""

    search: SavedSearch
    wanted: dict[str, str]
    found: dict[str, str]
    standing: Standing
    difference: str
    macros: tuple[Macro, ...] = ()
    """What the search in Splunk stands on besides; the shipped ones use none."""


class Install:
    """One Splunk, under an account that may write where it is to write."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def plan(self, search: SavedSearch, settings: Mapping[str, str]) -> Plan:
        """Compare; changes nothing. Errors: as a read's."""
        wanted = {**settings, "description": _mark(settings)}
        content = self._read(search)
        if content is None:
            difference = _difference(search.name, {}, wanted)
            return Plan(
                search=search,
                wanted=wanted,
                found={},
                standing=Standing.MISSING,
                difference=difference,
            )
        found = _told(content, wanted)
        return Plan(
            search=search,
            wanted=wanted,
            found=found,
            standing=_standing(found, wanted, content),
            difference=_difference(search.name, found, wanted),
            macros=tuple(read_macros(self._rest, search, found["search"])),
        )

    def write(self, plan: Plan) -> str | None:
        """Write what was planned, read it back, and give what differs from it (None: nothing).

        Errors: `ConnectorError` code `changed_meanwhile` when it is no longer what was shown; as a
        write's. Repeat: writes the same once more.
        """
        content = self._read(plan.search)
        if (_told(content, plan.wanted) if content is not None else {}) != plan.found:
            text = "the search was changed while you looked; nothing was written"
            raise ConnectorError("splunk", text, code="changed_meanwhile")
        try:
            self._send(plan)
        except OutcomeUnknown:
            # What was stored says whether the lost answer was a good one.
            if self._read(plan.search) is None:
                raise
        content = self._read(plan.search)
        if content is None:
            return f"there is no {plan.search.name!r} after it was written"
        now = _told(content, plan.wanted)
        return _difference(plan.search.name, now, plan.wanted) or None

    def _send(self, plan: Plan) -> None:
        search = plan.search
        if plan.standing is Standing.MISSING:
            path = path_of("servicesNS", search.owner, search.app, "saved", "searches")
            form = {"name": search.name, **plan.wanted}
        else:
            path, form = saved_search_path(search), plan.wanted
        self._rest.post(path, form, repeat=Repeat.ONCE, accept=(200, 201))

    def _read(self, search: SavedSearch) -> JsonObject | None:
        try:
            return content_of(self._rest.read_json(saved_search_path(search)))
        except NotFound:
            return None


def _standing(found: dict[str, str], wanted: dict[str, str], content: JsonObject) -> Standing:
    if found == wanted:
        return Standing.SAME
    mark = _MARK.search(str(content.get("description") or ""))
    return Standing.OLD if mark and mark[1] == _sha256(found) else Standing.EDITED


def _told(content: JsonObject, wanted: Mapping[str, str]) -> dict[str, str]:
    """The settings that are ours to write, as Splunk tells them; a switch as 0 or 1."""
    return {key: _plain(content.get(key), is_switch=wanted[key] in ("0", "1")) for key in wanted}


def _plain(value: object, *, is_switch: bool) -> str:
    text = "" if value is None else str(value).strip()
    if is_switch and text.lower() in _TRUE + _FALSE:
        return "1" if text.lower() in _TRUE else "0"
    return text


def _mark(settings: Mapping[str, str]) -> str:
    return f"Written by Stockade, sha256 {_sha256(settings)}"


def _sha256(settings: Mapping[str, str]) -> str:
    marked = [settings[key] for key in _MARKED]
    return hashlib.sha256(json.dumps(marked).encode()).hexdigest()


def _difference(name: str, found: dict[str, str], wanted: dict[str, str]) -> str:
    """A unified difference between two stanzas; nothing when they are alike."""
    before = conf_stanza(name, found).splitlines() if found else []
    after = conf_stanza(name, wanted).splitlines()
    lines = difflib.unified_diff(before, after, "in Splunk", "shipped", lineterm="", n=99)
    return "\n".join(lines)
