"""The commands after a pipe that the stand-in documents, and the run of a whole search.

`search`, `where` (equality and its negation over fields, texts and `lower()`, joined by AND, OR and
parentheses), `table`, `fields`, `head`, `stats count`, `makeresults`, `eval name=now()`. Everything
else raises `SplError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import Struct

from connectors.emulators.spl import (
    Predicate,
    SplError,
    Terms,
    Token,
    literal,
    split_pipeline,
    tokens_of,
    values_of,
)
from connectors.model import Row

Step = Callable[[list[Row]], list[Row]]


class StoredEvent(Struct, frozen=True, kw_only=True):
    """One event in the index. Epoch seconds: `at` of the event, `indexed_at` as `_indextime` says,
    `visible_at` when a search can find it (replication may make that later)."""

    at: float
    indexed_at: int
    visible_at: float
    row: Row


class Bounds(Struct, frozen=True, kw_only=True):
    """Epoch seconds; a start is inclusive, an end exclusive; None is unbounded."""

    earliest: float | None = None
    latest: float | None = None
    index_earliest: float | None = None
    index_latest: float | None = None

    def hold(self, event: StoredEvent) -> bool:
        return _within(event.at, self.earliest, self.latest) and _within(
            event.indexed_at, self.index_earliest, self.index_latest
        )


def _within(value: float, start: float | None, end: float | None) -> bool:
    return (start is None or value >= start) and (end is None or value < end)


class Search:
    """One search, parsed whole before anything runs."""

    def __init__(self, text: str, now: datetime) -> None:
        self._now = now
        self.bounds: dict[str, float] = {}
        """Time words in the search itself; they win over the call's parameters."""
        self._matches: Predicate | None = None
        """None for a search that makes its own rows."""
        first, *rest = self._commands(text)
        self._steps: list[Step] = []
        if first is not None:
            terms = Terms(first, now)
            self._matches = terms.predicate()
            self.bounds = terms.bounds
        self._steps = [self._step(command) for command in rest]

    def _commands(self, text: str) -> list[str | None]:
        first, *rest = split_pipeline(text.strip())
        name, _, terms = first.partition(" ")
        if name.lower() == "search":
            return [terms, *rest]
        if first == "" and rest and rest[0].split(" ")[0] in ("makeresults", "search"):
            return [rest[0][6:], *rest[1:]] if rest[0].startswith("search") else [None, *rest]
        raise SplError(
            "Error in 'SearchParser': The search must begin with a generating command such as "
            "'search' or '|'."
        )

    def _step(self, command: str | None) -> Step:
        name, _, arguments = (command or "").partition(" ")
        make = _COMMANDS.get(name)
        if make is None:
            raise SplError(f"Unknown search command '{name}'.")
        return make(arguments.strip(), self._now)

    def run(self, events: Iterable[StoredEvent], bounds: Bounds) -> list[Row]:
        """The rows, newest event first."""
        rows: list[Row] = []
        if self._matches is not None:
            matches = self._matches
            found = [e for e in events if bounds.hold(e) and matches(e.row)]
            rows = [dict(e.row) for e in sorted(found, key=lambda e: -e.at)]
        for step in self._steps:
            rows = step(rows)
        return rows


def _search(arguments: str, now: datetime) -> Step:
    terms = Terms(arguments, now)
    matches = terms.predicate()
    if terms.bounds:
        raise SplError("Error in 'search' command: Time words stand in the first search only.")
    return lambda rows: [row for row in rows if matches(row)]


def _where(arguments: str, now: datetime) -> Step:
    condition = _Where(arguments).predicate()
    return lambda rows: [row for row in rows if condition(row)]


def _names(arguments: str, command: str) -> list[str]:
    names = [token.text for token in tokens_of(arguments) if token.kind in ("word", "quoted")]
    if not names:
        raise SplError(f"Error in '{command}' command: The field list is missing.")
    return names


def _is_named(field: str, names: Sequence[str]) -> bool:
    return any(fnmatchcase(field, name) for name in names)


def _table(arguments: str, now: datetime) -> Step:
    names = _names(arguments, "table")
    return lambda rows: [{k: row[k] for k in _in_order(row, names)} for row in rows]


def _in_order(row: Row, names: Sequence[str]) -> list[str]:
    found = [field for name in names for field in row if fnmatchcase(field, name)]
    return list(dict.fromkeys(found))


def _fields(arguments: str, now: datetime) -> Step:
    sign = arguments[:1] if arguments[:1] in ("+", "-") else "+"
    names = _names(arguments.removeprefix(sign), "fields")
    if sign == "-":
        return lambda rows: [
            {k: v for k, v in row.items() if not _is_named(k, names)} for row in rows
        ]
    # Internal fields stay unless they are taken out by name.
    return lambda rows: [
        {k: v for k, v in row.items() if k.startswith("_") or _is_named(k, names)} for row in rows
    ]


def _head(arguments: str, now: datetime) -> Step:
    if arguments and not arguments.isdigit():
        raise SplError("Error in 'head' command: Invalid count.")
    count = int(arguments or 10)
    return lambda rows: rows[:count]


def _stats(arguments: str, now: datetime) -> Step:
    if arguments != "count":
        raise SplError(f"Error in 'stats' command: '{arguments}' is not served here.")
    return lambda rows: [{"count": str(len(rows))}]


def _makeresults(arguments: str, now: datetime) -> Step:
    if arguments:
        raise SplError(f"Error in 'makeresults' command: '{arguments}' is not served here.")
    return lambda _rows: [{"_time": now.isoformat(timespec="milliseconds")}]


def _eval(arguments: str, now: datetime) -> Step:
    match = re.fullmatch(r"(\w+)\s*=\s*now\(\)", arguments)
    if match is None:
        raise SplError("Error in 'eval' command: The expression is malformed or not served here.")
    return lambda rows: [{**row, match[1]: str(int(now.timestamp()))} for row in rows]


_COMMANDS: dict[str, Callable[[str, datetime], Step]] = {
    "search": _search,
    "where": _where,
    "table": _table,
    "fields": _fields,
    "head": _head,
    "stats": _stats,
    "makeresults": _makeresults,
    "eval": _eval,
}

_Operand = Callable[[Row], list[str]]


class _Where:
    """The expression of `where`: `*` is an ordinary character, case counts, AND binds tighter."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens_of(text)
        self._at = 0

    def predicate(self) -> Predicate:
        found = self._any()
        if self._at != len(self._tokens):
            raise self._malformed()
        return found

    def _malformed(self) -> SplError:
        return SplError("Error in 'where' command: The expression is malformed.")

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise self._malformed()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take_word(self, word: str) -> bool:
        is_next = self._at < len(self._tokens) and (
            self._tokens[self._at].kind == "word" and self._tokens[self._at].text.upper() == word
        )
        self._at += is_next
        return is_next

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._take_word("OR"):
            parts.append(self._all())
        return lambda row: any(part(row) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._comparison()]
        while self._take_word("AND"):
            parts.append(self._comparison())
        return lambda row: all(part(row) for part in parts)

    def _comparison(self) -> Predicate:
        if self._at < len(self._tokens) and self._tokens[self._at].kind == "open":
            self._at += 1
            inner = self._any()
            if self._next().kind != "close":
                raise self._malformed()
            return inner
        left = self._operand()
        operator = self._next().text
        right = self._operand()
        if operator not in ("=", "==", "!="):
            raise self._malformed()
        wanted = operator != "!="
        return lambda row: any((a == b) is wanted for a in left(row) for b in right(row))

    def _operand(self) -> _Operand:
        token = self._next()
        if token.kind == "quoted":
            text = literal(token.text)
            return lambda _row: [text]
        if token.kind != "word":
            raise self._malformed()
        if self._at < len(self._tokens) and self._tokens[self._at].kind == "open":
            return self._function(token.text)
        if re.fullmatch(r"-?\d+(\.\d+)?", token.text):
            return lambda _row: [token.text]
        field = token.text.strip("'")
        return lambda row: values_of(row, field)

    def _function(self, name: str) -> _Operand:
        if name != "lower":
            raise SplError(f"Error in 'where' command: The '{name}' function is not served here.")
        self._at += 1
        inner = self._operand()
        if self._next().kind != "close":
            raise self._malformed()
        return lambda row: [value.lower() for value in inner(row)]
