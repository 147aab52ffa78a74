"""What the filters of an expression do, and what kinds of values there are.

Plain functions over plain values: a filter that is not in the table does not exist. A wrong kind is
an error and never converted in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_RESULT_CHARS = 1_000_000


class Refused(Exception):
    """An expression cannot be evaluated; the text says why, in one sentence."""


class Missing(Refused):
    """A field or index that is not there; `default` and `is defined` look for it."""


def kind_of(value: object) -> str:
    """A value's kind, in the words that people read."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def need(value: object, kind: str, what: str) -> object:
    if kind_of(value) != kind:
        raise Refused(f"{what} needs {kind}, and got {kind_of(value)}")
    return value


def bounded(value: object) -> object:
    if isinstance(value, str | list) and len(value) > MAX_RESULT_CHARS:
        raise Refused("the result is too long")
    return value


def number(value: object, what: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Refused(f"{what} needs a number, and got {kind_of(value)}")


def contains(holder: object, value: object) -> bool:
    if isinstance(holder, str):
        return str(need(value, "a text", "`in` a text")) in holder
    if isinstance(holder, Mapping):
        return value in holder if isinstance(value, str) else False
    if isinstance(holder, list | tuple):
        return any(kind_of(item) == kind_of(value) and item == value for item in holder)
    raise Refused(f"`in` needs a list, a text or a mapping, and got {kind_of(holder)}")


def _sequence(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise Refused(f"`{what}` needs a list, and got {kind_of(value)}")
    return value


def _length(value: object) -> object:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise Refused(f"`length` needs a list, a text or a mapping, and got {kind_of(value)}")


def _edge(value: object, what: str, index: int) -> object:
    items = _sequence(value, what)
    if not items:
        raise Missing(f"`{what}` of an empty list")
    return items[index]


def _join(value: object, between: object) -> object:
    texts = [str(need(item, "a text", "`join`")) for item in _sequence(value, "join")]
    return bounded(str(need(between, "a text", "`join`")).join(texts))


def _integer(value: object) -> object:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise Refused("`int` got a text that is no whole number") from None
    return int(number(value, "`int`"))


def _replace(value: object, old: object, new: object) -> object:
    text, before, after = (str(need(part, "a text", "`replace`")) for part in (value, old, new))
    if not before:
        raise Refused("`replace` of an empty text")
    if text.count(before) * len(after) > MAX_RESULT_CHARS:
        raise Refused("the result is too long")
    return text.replace(before, after)


def _sort(value: object) -> object:
    items: Sequence[Any] = _sequence(value, "sort")
    if {kind_of(item) for item in items} not in (set(), {"a text"}, {"a number"}):
        raise Refused("`sort` needs a list of texts or a list of numbers")
    return sorted(items)


def _unique(value: object) -> object:
    found: list[object] = []
    for item in _sequence(value, "unique"):
        if not contains(found, item):
            found.append(item)
    return found


def _text(change: Callable[[str], str], what: str) -> Callable[[object], object]:
    return lambda value: change(str(need(value, "a text", f"`{what}`")))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "first": lambda value: _edge(value, "first", 0),
    "int": _integer,
    "join": _join,
    "last": lambda value: _edge(value, "last", -1),
    "length": _length,
    "lower": _text(str.lower, "lower"),
    "replace": _replace,
    "sort": _sort,
    "trim": _text(str.strip, "trim"),
    "unique": _unique,
    "upper": _text(str.upper, "upper"),
}
FILTERS: dict[str, int] = {name: {"join": 1, "replace": 2}.get(name, 0) for name in FUNCTIONS} | {
    "default": 1
}
"""Each filter, and how many arguments it takes."""
TESTS: dict[str, int] = {"defined": 0, "none": 0}
