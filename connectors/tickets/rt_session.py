"""How we speak to Request Tracker's REST 2.0: who we are, what it refuses, and how its lists end.

It trusts no list by itself: RT gives a list of what may not be seen as an empty one, with HTTP 200.
"""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.errors import OutcomeUnknown, Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import JsonObject, Secret

PRODUCT = "RT"

_PAGE = 100  # the most that RT gives
_MOST_PAGES = 500
_MEANING = {
    401: "the token was refused, or it has ended",
    403: "the account may not do this, or what was named does not exist",
    404: "it does not exist, or RT is not at this base_url",
    413: "this is larger than RT's web server allows",
}
# RT's own words may end in ` at /a/path.pm line 12.`, which helps nobody.
_PERL = re.compile(r"\s+at /\S+ line \d+\.?\s*$")


class RtSession:
    """Sends as the account whose token it has."""

    def __init__(self, settings: HttpSettings, runtime: Runtime, *, token: Secret) -> None:
        self._token = token
        self.http = HttpClient(PRODUCT, settings, runtime, secrets=(token,), explain=explain)

    def send(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        accept: Sequence[int] = (200,),
    ) -> Reply:
        return self.http.renewing(
            lambda: self.http.send(
                method,
                path,
                repeat=repeat,
                auth={"Authorization": f"token {self._token.reveal()}"},
                params=params,
                json=json,
                headers={"Accept": "application/json"},
                accept=accept,
            )
        )

    def read(self, path: str, params: Mapping[str, str | int] | None = None) -> JsonObject:
        """A JSON object. Repeat: harmless."""
        return object_of(self.send("GET", path, repeat=Repeat.SAFE, params=params))

    def pages(self, path: str, params: Mapping[str, str | int]) -> Iterator[JsonObject]:
        """The entries of a list, newest first. Only an empty page ends it: an ordinary account gets
        neither a total nor the next page's address, and pages are short of what it may not see."""
        newest_first = {**params, "per_page": _PAGE, "orderby": "id", "order": "DESC"}
        for page in range(1, _MOST_PAGES + 1):
            entries = entries_of(self.read(path, {**newest_first, "page": page}), "items")
            if not entries:
                return
            yield from entries
        raise Unavailable(PRODUCT, f"a list does not end after {_MOST_PAGES} pages")

    def search(self, query: str, *, fields: str = "", newest: bool = False) -> list[JsonObject]:
        """The first tickets that match a TicketSQL, oldest first; or the newest alone. Deleted ones
        are never among them."""
        params: dict[str, str | int] = {"query": query, "orderby": "id"}
        params |= {"order": "DESC", "per_page": 1} if newest else {"order": "ASC", "per_page": 20}
        if fields:
            params["fields"] = fields
        return entries_of(self.read(api_path("tickets"), params), "items")


def api_path(*parts: str) -> str:
    return path_of("REST", "2.0", *parts)


def object_of(reply: Reply) -> JsonObject:
    """Errors: no JSON object is `Unavailable` after a read, `OutcomeUnknown` after a write."""
    said = reply.json()
    if isinstance(said, dict):
        return said
    fault = OutcomeUnknown if reply.repeat is Repeat.ONCE else Unavailable
    raise fault(PRODUCT, "answered with JSON that is no object", status=reply.status)


def field_values(record: JsonObject) -> dict[str, list[str]]:
    """Name of each custom field that a ticket shows → its values. Errors: `Unavailable`."""
    found: dict[str, list[str]] = {}
    for entry in entries_of(record, "CustomFields"):
        values = entry.get("values")
        listed = values if isinstance(values, list) else []
        found[str(entry.get("name"))] = [str(value) for value in listed]
    return found


def links_of(record: JsonObject) -> set[str]:
    """What RT says may be done with a record: names such as `create` and `comment`."""
    return {str(entry.get("ref")) for entry in entries_of(record, "_hyperlinks")}


def entries_of(record: JsonObject, key: str) -> list[JsonObject]:
    """A list of objects in a record. Errors: `Unavailable` when it is none."""
    entries = record.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Unavailable(PRODUCT, f"does not show {key} where it was asked")
    return entries


def explain(status: int, body: bytes) -> str | None:
    """What a refusal means, and RT's own words, which come in the account's language."""
    try:
        decoded = jsonlib.loads(body)
    except (ValueError, RecursionError):
        decoded = None
    said = decoded.get("message") if isinstance(decoded, dict) else None
    words = _PERL.sub("", said) if isinstance(said, str) else ""
    meaning = _MEANING.get(status)
    if meaning and words:
        return f"{meaning}; RT says: {words}"
    return meaning or words or None
