r"""What does a hit's row say: values, times, and what identifies it?

A row comes from outside and may hold anything: lists, words that mean "missing", text that no
database stores. Nothing here raises for what a row holds, and nothing here guesses.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from connectors.model import Row

MISSING = frozenset(
    {"", "-", "--", "?", "(none)", "(null)", "<none>", "<null>", "n/a", "nil", "none", "null"}
    | {"undefined", "unknown"}
)
"""What products write where they have no value; compared without case and outer blanks."""

EVENT_ADDRESS = ("index", "_bkt", "_cd", "_indextime")
"""Where Splunk keeps an event: names one event for ever."""

UTC_BY_DEFINITION = frozenset({"UtcTime"})
"""Fields whose text has no zone because their name is the zone (Sysmon)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{1,12}(\.\d{0,12})?(e\+?\d{1,2})?", re.IGNORECASE | re.ASCII)
_ISO = re.compile(
    r"(?P<clock>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,12}))?"
    r"\s?(?P<zone>Z|[+-]\d\d:?\d\d)?",
    re.IGNORECASE | re.ASCII,
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def values_of(row: Row, field: str) -> tuple[str, ...]:
    """A field's distinct values without what means "missing", plain blanks around them removed."""
    found = (storable(text).strip(" \t\r\n") for text in texts_of(row, field))
    return tuple(dict.fromkeys(text for text in found if text.strip().casefold() not in MISSING))


def texts_of(row: Row, field: str) -> list[str]:
    """A field's texts as received; none when the row lacks it."""
    given: object = row.get(field)
    if isinstance(given, str):
        return [given]
    several = given if isinstance(given, list) else [given]
    return [str(text) for text in several if text is not None]


def storable(text: str) -> str:
    r"""Write NUL and lone surrogates as visible escapes: neither JSON nor a database takes them."""
    return _UNSTORABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\u{point:04x}" if point else "\\x00"


def storable_row(row: Row) -> Row:
    """The row as received, but for what cannot be stored (see `storable`)."""
    kept: Row = {}
    for field, value in row.items():
        texts = [storable(text) for text in texts_of(row, field)]
        if isinstance(value, list) or texts:
            kept[storable(field)] = texts if isinstance(value, list) else texts[0]
    return kept


def read_time(text: str, *, is_utc: bool = False) -> datetime | None:
    """An epoch number, or a date and time with an offset; None for whatever would be a guess.

    `is_utc`: the field says by its name that a text without an offset is UTC.
    """
    try:
        if _NUMBER.fullmatch(text):
            read = _EPOCH + timedelta(microseconds=int(Decimal(text) * 1_000_000))
        else:
            read = _read_iso(text, is_utc=is_utc)
    except (ValueError, OverflowError, InvalidOperation):
        return None
    return read if _EARLIEST <= read <= _LATEST else None


def _read_iso(text: str, *, is_utc: bool) -> datetime:
    match = _ISO.fullmatch(text)
    if match is None or not (match["zone"] or is_utc):
        raise ValueError("neither an epoch number nor a time with an offset")
    fraction = (match["fraction"] or "0")[:6].ljust(6, "0")
    zone = (match["zone"] or "Z").upper().replace("Z", "+00:00")
    return datetime.fromisoformat(f"{match['clock']}.{fraction}{zone}").astimezone(UTC)


def identity_of(row: Row, configured: Sequence[str]) -> tuple[str, ...]:
    """The fields that make this row one alert and no other.

    The event's address in Splunk when the row has it; else the configured fields when the row has
    them all (half an identity would make one alert of two); else all fields that a person sees,
    with `_time`. Lookups and other enrichment among those change between runs and would make a
    known hit new, never a new hit known. `_serial` and `_si` are never part of it.
    """
    if row.get("_cd") and row.get("_bkt"):
        return EVENT_ADDRESS
    if configured and all(values_of(row, field) for field in configured):
        return tuple(configured)
    return (*sorted(field for field in row if not field.startswith("_")), "_time")


def digest(parts: Iterable[str | Sequence[str]]) -> str:
    """SHA-256 over texts and lists of texts, each with its length, so that no two inputs meet."""
    return hashed("".join(map(spelled, parts)))


def spelled(part: str | Sequence[str]) -> str:
    """One part of what `hashed` takes: how many texts, then each with its length in bytes."""
    texts = (part,) if isinstance(part, str) else part
    return f"|{len(texts)}" + "".join(f":{_size(text)}:{text}" for text in texts)


def hashed(parts: str) -> str:
    """SHA-256 over spelled parts."""
    return hashlib.sha256(f"stockade-1{parts}".encode("utf-8", "surrogatepass")).hexdigest()


def _size(text: str) -> int:
    """In bytes. Two texts that differ only in what cannot be encoded must stay two."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
