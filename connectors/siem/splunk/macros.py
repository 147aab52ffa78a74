"""Which macros a saved search uses, and what they say: whoever may change a macro changes what the
search finds, and a macro that the account does not see makes it fail.

Source: docs.splunk.com REST API Reference "configs/conf-{file}/{name}"; macros.conf.spec; read
2026-11-25. That a role without administration may read them there is our reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from connectors.document import shorten
from connectors.errors import AuthFailed, NotFound
from connectors.http import path_of
from connectors.model import SavedSearch
from connectors.siem.splunk.jobs import content_of, is_set
from connectors.siem.splunk.rest import Rest

MOST = 30
"""How many macros are looked at, those inside of macros included."""
SHOWN = 300
_CALL = re.compile(r"`\s*([\w:.-]+)\s*(?:\((.*?)\))?\s*`", re.DOTALL)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')


class Macro(Struct, frozen=True, kw_only=True):
    """One macro as the account sees it. `name`: as in macros.conf, with the number of arguments.
    `fault`: why the search may not run with it; `unread`: why nobody knows what it says."""

    name: str
    definition: str = ""
    where: str = ""
    fault: str | None = None
    unread: str | None = None

    def sentence(self) -> str:
        if why := self.fault or self.unread:
            return f"macro {self.name}: {why}"
        return f"macro {self.name} ({self.where}) = {shorten(self.definition, SHOWN)}"


def names_in(text: str) -> tuple[str, ...]:
    """The macros that a text calls, each once, in order."""
    return tuple(dict.fromkeys(_stanza(call[1], call[2]) for call in _CALL.finditer(text)))


def _stanza(name: str, arguments: str | None) -> str:
    if arguments is None or not arguments.strip():
        return name
    return f"{name}({_QUOTED.sub('', arguments).count(',') + 1})"


def read_macros(rest: Rest, search: SavedSearch, text: str) -> Iterator[Macro]:
    """Each macro of the text, and those inside of them. Errors: as a read's; what is missing or
    may not be read is a value."""
    waiting, seen = list(names_in(text)), set[str]()
    while waiting and len(seen) < MOST:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        found = _read(rest, search, name)
        yield found
        waiting += names_in(found.definition)


def _read(rest: Rest, search: SavedSearch, name: str) -> Macro:
    path = path_of("servicesNS", search.owner, search.app, "configs", "conf-macros", name)
    try:
        reply = rest.read_json(path)
    except NotFound:
        missing = f"missing, or not shared with this account in the app {search.app}"
        return Macro(name=name, fault=missing)
    except AuthFailed as refused:
        if refused.status != 403:
            raise
        unread = "this account may not read it, so nobody knows what the search finds with it"
        return Macro(name=name, unread=unread)
    content = content_of(reply)
    acl = reply["entry"][0].get("acl") or {}
    sharing, app = str(acl.get("sharing") or "unknown"), str(acl.get("app") or search.app)
    fault: str | None = None
    if is_set(content.get("disabled")):
        fault = "it is disabled: enable it"
    elif sharing == "user":
        fault = "it is private, and another account sees another one or none: share it in the app"
    return Macro(
        name=name,
        definition=str(content.get("definition") or ""),
        where=f"app {app}, sharing {sharing}",
        fault=fault,
    )
