r"""A structured hunt, written as SPL. The only place that puts evidence into Splunk's language.

A value is escaped or refused (`Rejected`, code `unsafe_value`: "not searched"); names of fields and
indexes must match an allow list. No text of a playbook ever comes here.

Two contexts, two sets of rules:

* `search field="value"`: inside the quotes `\` and `"` are escaped, all else is inert, except `*`,
  which is a wildcard and has no escape.
* `where lower('field')=lower("value")`: the same escapes, and `*` is a plain character.

So an exact value is asked for in `search` first, which may match too much (`*` as a wildcard, `10`
also as `10.0`, `192.0.2.0/24` as a range of addresses), and where it may, `where` confirms it. A
part of a value cannot be confirmed that way: it is refused when it holds a `*`. A backtick is
refused because macros may be expanded before quotes are read, `$` because tokens may be.

Source: Splunk documentation, "Backslashes", "search", "where"; pySigma-backend-splunk; read
2026-11-25. That `search` compares without regard to case is Splunk's rule too.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import NoReturn

from connectors.errors import Rejected
from connectors.model import EventQuery, Operator, Term

PRODUCT = "splunk"
MAX_VALUE_CHARACTERS = 1024
MAX_ALTERNATIVES = 500
"""Fields times values of one term; a longer list is to be asked for in parts."""
MAX_LIMIT = 100_000
PROBE = "search index=* | head 1"
"""The one search that is not a hunt: can anything be read at all?"""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.:{}-]*")
_BARE_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_INDEX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters (line breaks and NUL too), lone surrogates, line and paragraph separators."""
_MAY_READ_AS_MORE = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|[0-9A-Fa-f.:]+/[0-9]+")
"""What `search` may compare as a number or as a range of addresses."""


def event_search(query: EventQuery) -> str:
    """The SPL for a hunt, at most `query.limit + 1` rows: the one too many shows a cut answer.

    Errors: `Rejected`, code `unsafe_value` for a value, `unsafe_name` for a field or an index,
    `empty_selector` when the query would select everything, `bad_range` for times or a limit.
    """
    if not query.terms:
        _refuse("empty_selector", "a hunt without a condition would match every event")
    if not 1 <= query.limit <= MAX_LIMIT:
        _refuse("bad_range", f"a limit of {query.limit} rows is not between 1 and {MAX_LIMIT}")
    time_range(query)
    stages = [f"search index={_quoted(_index(query.index))} " + _conditions(query.terms)]
    stages += [f"where {confirmed}" for term in query.terms if (confirmed := _confirmation(term))]
    stages.append(f"head {query.limit + 1}")
    if query.fields:
        stages.append("fields " + ", ".join(_quoted(_field(name)) for name in query.fields))
        if "_raw" not in query.fields:
            # Internal fields stay unless they are taken out, and this one is the event once more.
            stages.append("fields - _raw")
    return " | ".join(stages)


def time_range(query: EventQuery) -> tuple[int, int]:
    """Event time in whole epoch seconds, widened outwards. Errors: `Rejected` code `bad_range`."""
    for at in (query.start, query.end):
        if at.utcoffset() is None:
            _refuse("bad_range", "a hunt's times carry their offset")
    if query.start >= query.end:
        _refuse("bad_range", "a hunt ends after it starts")
    return math.floor(query.start.timestamp()), math.ceil(query.end.timestamp())


def _conditions(terms: tuple[Term, ...]) -> str:
    return " AND ".join(f"({_either(term)})" for term in terms)


def _either(term: Term) -> str:
    """The alternatives of one term, as `search` reads them."""
    if not term.fields or not term.values:
        _refuse("empty_selector", "a condition without a field or without a value")
    if len(term.fields) * len(term.values) > MAX_ALTERNATIVES:
        _refuse("too_many_values", f"more than {MAX_ALTERNATIVES} alternatives in one condition")
    wildcard = "*" if term.operator is Operator.CONTAINS else ""
    return " OR ".join(
        f"{_search_field(name)}={_quoted(wildcard + _value(value, term.operator) + wildcard)}"
        for name in term.fields
        for value in term.values
    )


def _confirmation(term: Term) -> str | None:
    """The same term for `where`; None when `search` alone is exact."""
    if term.operator is Operator.CONTAINS:
        return None
    if not any("*" in value or _MAY_READ_AS_MORE.fullmatch(value) for value in term.values):
        return None
    return " OR ".join(
        f"lower('{_field(name)}')=lower({_quoted(value)})"
        for name in term.fields
        for value in term.values
    )


def _quoted(text: str) -> str:
    """A string literal; both contexts share these escapes. The backslash goes first."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(value: str, operator: Operator) -> str:
    """The value itself, once it may stand between quotes."""
    if not value.strip():
        _refuse("empty_selector", "an empty value would match every event")
    if len(value) > MAX_VALUE_CHARACTERS:
        _refuse("unsafe_value", f"a value of more than {MAX_VALUE_CHARACTERS} characters")
    if any(char in "`$" for char in value):
        _refuse("unsafe_value", "a value with a backtick or a dollar sign")
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in value):
        _refuse("unsafe_value", "a value with control characters or line breaks")
    if operator is Operator.CONTAINS and "*" in value:
        _refuse("unsafe_value", "a part of a value with an asterisk, which cannot be escaped")
    return value


def _field(name: str) -> str:
    if not _FIELD.fullmatch(name):
        _refuse("unsafe_name", "a field name outside the allow list")
    return name


def _search_field(name: str) -> str:
    return name if _BARE_FIELD.fullmatch(name) else _quoted(_field(name))


def _index(name: str) -> str:
    if not _INDEX.fullmatch(name):
        _refuse("unsafe_name", "an index name outside the allow list")
    return name


def _refuse(code: str, why: str) -> NoReturn:
    raise Rejected(PRODUCT, f"not searched: {why}", code=code)
