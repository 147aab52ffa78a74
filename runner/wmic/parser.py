"""Where in a wmic command line stands a format switch, and what is its value?

It finds switches widely (any dash, blanks, carets, quotes) and reads their values as wmic does; it
judges nothing. One pass, linear in the length of the line, because an attacker writes the line.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from msgspec import Struct

DASHES = "/\\-\u2013\u2014\u2015"
# Blanks after the slash and before the colon are accepted by wmic; carets are cmd.exe's escapes.
_SWITCH = re.compile(
    rf"[{DASHES}][\s^]*" + r"\^*".join("format") + r"(?![a-z0-9_])(?:[\s^]*(?P<colon>:))?",
    re.IGNORECASE,
)
QUOTES = "\"'\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b"
_QUOTE = re.compile(f"[{QUOTES}]")
_CLOSERS = (
    ('"', re.compile('"')),
    ("'", re.compile("'")),
    ("\u201c\u201d\u201e\u201f", re.compile("[\u201c\u201d\u201e\u201f]")),
    ("\u2018\u2019\u201a\u201b", re.compile("[\u2018\u2019\u201a\u201b]")),
)
_CLOSER_OF = {quote: closer for family, closer in _CLOSERS for quote in family}
# Only these end a bare value. A no-break space stays inside it: it may be part of a file's name.
BLANKS = " \t\r\n\v\f"
_VALUE_STOP = re.compile(f"[{BLANKS}:{QUOTES}]")
_UNQUOTED = str.maketrans("", "", QUOTES + "^")
_SCHEME = re.compile(r"(?:^|[^a-z0-9+.-])(?P<scheme>[a-z][a-z0-9+.-]*)$", re.IGNORECASE | re.ASCII)
_ALWAYS_A_SCHEME = frozenset({"http", "https", "ftp"})


class FormatSwitch(Struct, frozen=True, kw_only=True):
    """One format switch. `value` has its quotes removed; None: the switch has no colon.

    `parameter` is what follows the value after a colon (`htable:"sortby=Name"`). `is_closed` is
    false when the line ends inside a quotation. `is_inside_text` when the switch stands in the
    middle of a quoted text, where wmic need not see it. `ends_line` when nothing comes after it.
    It stands in the line from `start` to `end`, quotes around it included.
    """

    value: str | None
    parameter: str | None = None
    is_closed: bool = True
    is_inside_text: bool = False
    ends_line: bool = False
    start: int = 0
    end: int = 0


def read_format_switches(cmdline: str) -> tuple[FormatSwitch, ...]:
    """Every format switch of a command line, in order; none is no error."""
    spans = quoted_spans(cmdline)
    starts = [start for start, _ in spans]
    last = len(cmdline.rstrip(BLANKS + QUOTES))
    found: list[FormatSwitch] = []
    at = 0
    while match := _SWITCH.search(cmdline, at):
        at = match.end()
        before = bisect_right(starts, match.start()) - 1
        span = spans[before] if before >= 0 and match.start() < spans[before][1] else None
        is_inside = span is not None and match.start() > span[0] + 1
        end = span[1] if span else len(cmdline)
        first = span[0] if span and not is_inside else match.start()
        if match["colon"]:
            blanks = "" if span and not is_inside else BLANKS
            reader = _Reader(cmdline, at, end, blanks)
            value, parameter = reader.value_and_parameter()
            at = reader.at
            found.append(
                FormatSwitch(
                    value=value,
                    parameter=parameter,
                    is_closed=reader.is_closed,
                    is_inside_text=is_inside,
                    ends_line=at >= last,
                    start=first,
                    end=at + 1 if span and not is_inside and at == end else at,
                )
            )
        elif match.start() == 0 or cmdline[match.start() - 1] in BLANKS + QUOTES:
            found.append(
                FormatSwitch(value=None, is_inside_text=is_inside, start=first, end=match.end())
            )
    return tuple(found)


def quoted_spans(line: str) -> list[tuple[int, int]]:
    """Position of each opening quote and of its closer. A quote that nothing closes is a letter."""
    spans: list[tuple[int, int]] = []
    at = 0
    while opening := _QUOTE.search(line, at):
        at = opening.end()
        # It fails at most once for each kind of quote: then the line holds no other of its kind.
        if closing := _CLOSER_OF[opening[0]].search(line, at):
            spans.append((opening.start(), closing.start()))
            at = closing.end()
    return spans


class _Reader:
    """Reads one value and its parameter from `at`, never past `end`.

    `blanks` end a bare value; none do when the whole switch is quoted (`"/format:a b"`).
    """

    def __init__(self, line: str, at: int, end: int, blanks: str) -> None:
        self._line = line
        self.at = at
        self._end = end
        self._blanks = blanks
        self.is_closed = True

    def value_and_parameter(self) -> tuple[str, str | None]:
        while self.at < self._end and self._line[self.at] in BLANKS:
            self.at += 1
        value = self._text(stop_at_colon=True)
        if self.at == self._end or self._line[self.at] != ":":
            return value, None
        self.at += 1
        return value, self._text(stop_at_colon=False)

    def _text(self, *, stop_at_colon: bool) -> str:
        """Up to a blank outside quotes, quotes removed wherever they stand."""
        parts: list[str] = []
        tail = ""
        is_address = not stop_at_colon
        while self.at < self._end:
            stop = _VALUE_STOP.search(self._line, self.at, self._end)
            part = self._line[self.at : stop.start() if stop else self._end]
            self.at = stop.start() if stop else self._end
            if stop and stop[0] == ":" and not is_address:
                scheme = self._scheme_before(tail + part)
                if not scheme:
                    return "".join([*parts, part])
                is_address = len(scheme) > 1
            elif stop and stop[0] in BLANKS and stop[0] in self._blanks:
                return "".join([*parts, part])
            parts.append(part)
            if stop:
                parts.append(self._quotation() if stop[0] in QUOTES else self._letter())
            # The end is enough to know a scheme by, and keeps the whole linear.
            tail = (tail + part + (parts[-1] if stop else ""))[-40:]
        return "".join(parts)

    def _letter(self) -> str:
        self.at += 1
        return self._line[self.at - 1]

    def _quotation(self) -> str:
        closer = _CLOSER_OF[self._line[self.at]]
        closing = closer.search(self._line, self.at + 1, self._end)
        self.is_closed = self.is_closed and closing is not None
        begin, stop = self.at + 1, closing.start() if closing else self._end
        self.at = closing.end() if closing else self._end
        return self._line[begin:stop]

    def _scheme_before(self, before: str) -> str:
        """The scheme or drive letter that a colon belongs to; empty when it starts a parameter."""
        found = _SCHEME.search(before[-40:].replace("^", ""))
        after = self._line[self.at + 1 : min(self.at + 8, self._end)].translate(_UNQUOTED)
        if found is None:
            return ""
        scheme = found["scheme"].lower()
        slashes = 1 if len(scheme) == 1 else 2
        is_path = len(after) >= slashes and set(after[:slashes]) <= {"/", "\\"}
        return scheme if is_path or scheme in _ALWAYS_A_SCHEME else ""
