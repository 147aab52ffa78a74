"""What a search in SPL means, for the small part of SPL that the stand-in documents.

Terms of `search`: `field="value*"` (also `!=`, `<`, `<=`, `>`, `>=`, `IN (…)`), words, phrases,
NOT, OR, AND in this order of binding, parentheses, `index=`, `earliest=`, `latest=`. As in Splunk,
a number matches the same number written otherwise and a network its addresses. Commands after a
pipe: see `spl_commands.py`. Everything else is refused as Splunk refuses a search that it cannot
parse, so that a connector's mistake shows instead of finding nothing.

Source: Splunk's Search Reference, pages `search`, `Boolean expressions`, `Backslashes`, 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec import Struct

from connectors.model import Row

Predicate = Callable[[Row], bool]
_Network = IPv4Network | IPv6Network


class SplError(Exception):
    """The search cannot be parsed; the text is what Splunk would answer."""


class Token(Struct, frozen=True):
    """`kind`: word, quoted, op, open, close, comma. `text` of a quoted token is still escaped."""

    kind: str
    text: str


_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<open>\()|(?P<close>\))|(?P<comma>,)
    |"(?P<quoted>(?:\\.|[^"\\])*)"
    |(?P<op>!=|<=|>=|==|=|<|>)
    |(?P<word>(?:(?!!=)[^\s()=<>",\[\]`])+)""",
    re.VERBOSE | re.DOTALL,
)
_TIME_WORDS = {
    "earliest": "earliest",
    "latest": "latest",
    "_index_earliest": "index_earliest",
    "_index_latest": "index_latest",
}
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def tokens_of(text: str) -> list[Token]:
    """Errors: `SplError` for an open quote, a macro, a subsearch."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SplError(_why_not(text, at))
        at = match.end()
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match.group(kind)))
    return found


def _why_not(text: str, at: int) -> str:
    if text[at] == '"':
        return "Error in 'SearchParser': Unbalanced quotes."
    if text[at] == "`":
        return "Error in 'SearchParser': The search specifies a macro that cannot be found."
    if text[at] in "[]":
        return "Error in 'SearchParser': Subsearches are not served here."
    return f"Error in 'SearchParser': Mismatch at '{text[at : at + 20]}'."


def split_pipeline(text: str) -> list[str]:
    """The commands between pipes; quoted pipes stay, ```comments``` go."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    parts = [""]
    quoted = False
    escaped = False
    for char in text:
        if char == "|" and not quoted:
            parts.append("")
            continue
        parts[-1] += char
        quoted ^= char == '"' and not escaped
        escaped = char == "\\" and not escaped
    if quoted:
        raise SplError("Error in 'SearchParser': Unbalanced quotes.")
    return [part.strip() for part in parts]


def literal(text: str) -> str:
    r"""A quoted text as its author meant it: `\\` and `\"` are the only escapes."""
    return re.sub(r'\\(["\\])', r"\1", text)


def wildcard(text: str) -> re.Pattern[str]:
    """A value of the search command: any case, `*` for anything, and no way to escape it."""
    pattern = ".*".join(re.escape(literal(part)) for part in text.split("*"))
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def values_of(row: Row, field: str) -> list[str]:
    """The field's values; none when the row has no such field."""
    value = row.get(field)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def time_of(text: str, now: datetime) -> float:
    """Epoch seconds of a time modifier: an epoch, `now`, or `-15m`, `-1d@d`, `@h`."""
    if text in ("", "now", "now()"):
        return now.timestamp()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    match = re.fullmatch(r"(?:([+-]\d+)([smhdw]))?(?:@([smhd]))?", text)
    if match is None:
        raise SplError(f"Invalid time modifier '{text}'.")
    at = now.timestamp()
    if match[1]:
        at += int(match[1]) * _UNIT_S[match[2]]
    return at - at % _UNIT_S[match[3]] if match[3] else at


class Terms:
    """Reads the terms of one `search` command into a predicate, time bounds apart."""

    def __init__(self, text: str, now: datetime) -> None:
        self._tokens = tokens_of(text)
        self._at = 0
        self._now = now
        self.bounds: dict[str, float] = {}

    def predicate(self) -> Predicate:
        if not self._tokens:
            return lambda _row: True
        found = self._all()
        if self._at < len(self._tokens):
            raise SplError("Error in 'search' command: Unable to parse the search: unbalanced ')'.")
        return found

    def _peek(self, offset: int = 0) -> Token:
        at = self._at + offset
        return self._tokens[at] if at < len(self._tokens) else Token("end", "")

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _is_word(self, text: str) -> bool:
        return self._peek() == Token("word", text)

    def _all(self) -> Predicate:
        parts = [self._any()]
        while self._peek().kind not in ("end", "close"):
            if self._is_word("AND"):
                self._next()
            parts.append(self._any())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _any(self) -> Predicate:
        # In the search command, unlike in `where`, OR binds tighter than AND.
        parts = [self._not()]
        while self._is_word("OR"):
            self._next()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _not(self) -> Predicate:
        if not self._is_word("NOT"):
            return self._term()
        self._next()
        inner = self._not()
        return lambda row: not inner(row)

    def _term(self) -> Predicate:
        token = self._next()
        if token.kind == "open":
            inner = self._all()
            if self._next().kind != "close":
                raise SplError("Error in 'search' command: Unable to parse: missing ')'.")
            return inner
        if token.kind not in ("word", "quoted") or token.text in ("AND", "OR"):
            raise SplError(f"Error in 'search' command: Unable to parse at '{token.text}'.")
        if self._peek().kind == "op":
            return self._comparison(token.text)
        if self._is_word("IN") and self._peek(1).kind == "open":
            return self._in(token.text)
        return _has_word(token.text)

    def _comparison(self, field: str) -> Predicate:
        operator = self._next().text
        value = self._next()
        if value.kind not in ("word", "quoted"):
            raise SplError("Error in 'search' command: The comparison has no value.")
        if field in _TIME_WORDS and operator == "=":
            self.bounds[_TIME_WORDS[field]] = time_of(value.text, self._now)
            return lambda _row: True
        return _compare(field, operator, value.text)

    def _in(self, field: str) -> Predicate:
        self._at += 2
        tests: list[Predicate] = []
        while self._peek().kind in ("word", "quoted"):
            tests.append(_compare(field, "=", self._next().text))
            if self._peek().kind == "comma":
                self._next()
        if not tests or self._next().kind != "close":
            raise SplError("Error in 'search' command: The IN list cannot be parsed.")
        return lambda row: any(test(row) for test in tests)


def _compare(field: str, operator: str, text: str) -> Predicate:
    is_equal = _equality(text)
    if operator == "=":
        return lambda row: any(is_equal(value) for value in values_of(row, field))
    if operator == "!=":
        # A row without the field does not match `field!=x`, but it does match `NOT field=x`.
        return lambda row: (
            bool(values_of(row, field))
            and not any(is_equal(value) for value in values_of(row, field))
        )
    if operator not in ("<", "<=", ">", ">="):
        raise SplError(f"Error in 'search' command: Unable to parse the comparator '{operator}'.")
    limit = _number(text)
    if limit is None:
        raise SplError("Error in 'search' command: The comparator needs a number.")
    return lambda row: any(_is_ordered(value, operator, limit) for value in values_of(row, field))


def _equality(text: str) -> Callable[[str], bool]:
    """What `=` means for this value: a wildcard text, a number, or a network of addresses."""
    pattern = wildcard(text)
    number = _number(text)
    network = _network(text)

    def is_equal(value: str) -> bool:
        if pattern.fullmatch(value):
            return True
        if number is not None and _number(value) == number:
            return True
        return network is not None and _is_inside(value, network)

    return is_equal


def _number(text: str) -> float | None:
    is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE)
    return float(text) if is_number else None


def _network(text: str) -> _Network | None:
    try:
        return ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _is_inside(text: str, network: _Network) -> bool:
    try:
        return ip_address(text) in network
    except ValueError:
        return False


def _is_ordered(text: str, operator: str, limit: float) -> bool:
    value = _number(text)
    if value is None:
        return False
    return {
        "<": value < limit,
        "<=": value <= limit,
        ">": value > limit,
        ">=": value >= limit,
    }[operator]


def _has_word(text: str) -> Predicate:
    """A word or phrase stands in the raw event as whole words, unless a `*` leaves an end open."""
    head = "" if text.startswith("*") else r"(?<![A-Za-z0-9])"
    tail = "" if text.endswith("*") else r"(?![A-Za-z0-9])"
    pattern = re.compile(head + wildcard(text.strip("*")).pattern + tail, re.IGNORECASE | re.DOTALL)
    return lambda row: any(pattern.search(value) for value in values_of(row, "_raw"))
