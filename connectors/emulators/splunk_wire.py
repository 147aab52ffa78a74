"""How Splunk writes its answers: Atom XML by default, JSON when asked.

Shapes from the requests and readers of splunk-sdk 2.1.1, 2026-11-25.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from connectors.emulators.wire import Answer, json_answer
from connectors.model import JsonObject, Row

XML = "text/xml; charset=UTF-8"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPACES = (
    ' xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://dev.splunk.com/ns/rest"'
    ' xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
)
_UPDATED = "2026-11-25T00:00:00+00:00"
ACL: JsonObject = {
    "app": "search",
    "owner": "nobody",
    "sharing": "app",
    "perms": {"read": ["*"], "write": ["admin"]},
}


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that Splunk lists. `link` is its path, as the client will call it."""

    name: str
    link: str
    content: Mapping[str, Any]
    messages: tuple[tuple[str, str], ...] = ()
    acl: Mapping[str, str] = {}
    """What of its access list differs from that of all."""


class Writer:
    """Writes in the form that the call asked for (`output_mode`)."""

    def __init__(self, mode: str, version: str) -> None:
        self._mode = mode
        self._version = version

    @property
    def is_json(self) -> bool:
        return self._mode == "json"

    def feed(
        self, title: str, entries: Sequence[Entry], status: int = 200, total: int | None = None
    ) -> Answer:
        """A list of entries, `total` of them in all pages."""
        count = len(entries) if total is None else total
        if self.is_json:
            return json_answer(self._envelope(entries, count), status)
        body = "".join(_entry_xml(entry) for entry in entries)
        return _xml(
            f"{_HEAD}<feed{_SPACES}><title>{title}</title><updated>{_UPDATED}</updated>"
            f"<opensearch:totalResults>{count}</opensearch:totalResults>{body}</feed>",
            status,
        )

    def entry(self, entry: Entry) -> Answer:
        """One entry alone: in XML without a feed around it, as for a job."""
        if self.is_json:
            return json_answer(self._envelope([entry], 1))
        return _xml(_HEAD + _entry_xml(entry, _SPACES))

    def _envelope(self, entries: Sequence[Entry], total: int) -> JsonObject:
        return {
            "links": {},
            "origin": "http://127.0.0.1/services",
            "updated": _UPDATED,
            "generator": {"build": "0", "version": self._version},
            "entry": [_entry_json(entry) for entry in entries],
            "paging": {"total": total, "perPage": max(30, len(entries)), "offset": 0},
            "messages": [],
        }

    def message(self, status: int, kind: str, text: str) -> Answer:
        if self.is_json:
            return json_answer({"messages": [{"type": kind, "text": text}]}, status)
        inner = f"<messages><msg type={quoteattr(kind)}>{escape(text)}</msg></messages>"
        return _xml(f"{_HEAD}<response>{inner}</response>", status)

    def value(self, name: str, value: str, status: int = 200) -> Answer:
        """One named value: a session key, a sid."""
        if self.is_json:
            return json_answer({name: value}, status)
        return _xml(f"{_HEAD}<response><{name}>{escape(value)}</{name}></response>", status)

    def rows(self, page: RowPage) -> Answer:
        if self.is_json:
            return json_answer(_rows_json(page))
        if self._mode == "csv":
            return _rows_csv(page)
        return _rows_xml(page)


class RowPage(Struct, frozen=True, kw_only=True):
    """Some rows of a job's result."""

    rows: list[Row]
    fields: list[str]
    offset: int = 0
    preview: bool = False
    messages: tuple[tuple[str, str], ...] = ()


def _xml(text: str, status: int = 200) -> Answer:
    return Answer(status=status, body=text.encode(), content_type=XML)


def _entry_json(entry: Entry) -> JsonObject:
    content = dict(entry.content)
    if entry.messages:
        content["messages"] = [{"type": kind, "text": text} for kind, text in entry.messages]
    return {
        "name": entry.name,
        "id": "http://127.0.0.1" + entry.link,
        "updated": _UPDATED,
        "links": {"alternate": entry.link},
        "author": "nobody",
        "acl": {**ACL, **entry.acl},
        "content": content,
    }


def _entry_xml(entry: Entry, spaces: str = "") -> str:
    keys = "".join(
        f"<s:key name={quoteattr(name)}>{_value_xml(value)}</s:key>"
        for name, value in {**entry.content, "eai:acl": ACL}.items()
    )
    link = quoteattr(entry.link)
    return (
        f"<entry{spaces}><title>{escape(entry.name)}</title>"
        f"<id>http://127.0.0.1{escape(entry.link)}</id><updated>{_UPDATED}</updated>"
        f'<link href={link} rel="alternate"/><author><name>nobody</name></author>'
        f'<content type="text/xml"><s:dict>{keys}</s:dict></content></entry>'
    )


def _value_xml(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        keys = "".join(
            f"<s:key name={quoteattr(name)}>{_value_xml(inner)}</s:key>"
            for name, inner in value.items()
        )
        return f"<s:dict>{keys}</s:dict>"
    if isinstance(value, list):
        items = "".join(f"<s:item>{_value_xml(inner)}</s:item>" for inner in value)
        return f"<s:list>{items}</s:list>"
    return escape(str(value))


def _rows_json(page: RowPage) -> JsonObject:
    return {
        "preview": page.preview,
        "init_offset": page.offset,
        "messages": [{"type": kind, "text": text} for kind, text in page.messages],
        "fields": [{"name": name} for name in page.fields],
        "results": page.rows,
        "highlighted": {},
    }


def _rows_csv(page: RowPage) -> Answer:
    out = io.StringIO()
    writer = csv.DictWriter(out, page.fields)
    writer.writeheader()
    for row in page.rows:
        # Splunk joins a multivalue field by line breaks where the form has no lists.
        writer.writerow({k: "\n".join(v) if isinstance(v, list) else v for k, v in row.items()})
    return Answer(body=out.getvalue().encode(), content_type="text/csv; charset=UTF-8")


def _rows_xml(page: RowPage) -> Answer:
    order = "".join(f"<field>{escape(name)}</field>" for name in page.fields)
    rows = "".join(
        f"<result offset='{page.offset + number}'>"
        + "".join(f"<field k={quoteattr(k)}>{_texts_xml(v)}</field>" for k, v in row.items())
        + "</result>"
        for number, row in enumerate(page.rows)
    )
    meta = f"<meta><fieldOrder>{order}</fieldOrder></meta>"
    return _xml(f"{_HEAD}<results preview='{int(page.preview)}'>\n{meta}{rows}</results>")


def _texts_xml(value: str | list[str]) -> str:
    texts = value if isinstance(value, list) else [value]
    return "".join(f"<value><text>{escape(text)}</text></value>" for text in texts)
