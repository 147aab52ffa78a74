"""A page of results read fast, where all of it is plain: nearly every page of a backlog is.

It never reads otherwise than `jobs.read_page`: whatever is not plain is left to that.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from connectors.siem.splunk.jobs import Page


class _Body(Struct):
    results: Raw
    messages: object = None
    preview: object = None


_BODY = msgspec.json.Decoder(_Body)
_ROWS = msgspec.json.Decoder(list[dict[str, str]])


def plain_page(body: bytes) -> Page | None:
    """The page, when nothing is said about it, each value of each row is one text, and no name
    comes twice; else None."""
    try:
        told = _BODY.decode(body)
        results = bytes(told.results)
        rows: list[Any] = _ROWS.decode(results)
    except (msgspec.DecodeError, RecursionError):
        return None
    is_told_once = all(body.count(b'"%b"' % name) <= 1 for name in (b"results", b"messages"))
    if told.messages or told.preview not in (None, False) or not is_told_once:
        return None
    return Page(tuple(rows), ()) if _quotes(results) == 4 * sum(map(len, rows)) else None


def _quotes(text: bytes) -> int | None:
    """How many quotation marks stand around names and values; None where it cannot be told fast. A
    name that came twice has left its quotes, and not its value."""
    if b'\\\\"' in text:
        return None
    return text.count(b'"') - text.count(b'\\"')
