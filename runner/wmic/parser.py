"""Where in a wmic command line stands a format switch, and what is its value?

It finds switches widely (any dash, blanks, carets, quotes) and reads their values as wmic does; it
judges nothing. One pass, linear in the length of the line, because an attacker writes the line.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from msgspec import Struct

_DASHES = "/\\-\u2013\u2014\u2015"
# Blanks after the slash and before the colon are accepted by wmic; carets are cmd.exe's escapes.
_SWITCH = re.compile(
    rf"[{_DASHES}][\s^]*" + r"\^*".join("format") + r"(?![a-z0-9_])(?:[\s^]*(?P<colon>:))?",
    re.IGNORECASE,
)
_QUOTES = "\"'\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b"
_QUOTE = re.compile(f"[{_QUOTES}]")
_CLOSERS = (
    ('"', re.compile('"')),
    ("'", re.compile("'")),
    ("\u201c\u201d\u201e\u201f", re.compile("[\u201c\u201d\u201e\u201f]")),
    ("\u2018\u2019\u201a\u201b", re.compile("[\u2018\u2019\u201a\u201b]")),
)
_CLOSER_OF = {quote: closer for family, closer in _CLOSERS for quote in family}
# Only these end a bare value. A no-break space stays inside it: it may be part of a file's name.
_BLANKS = " \t\r\n\v\f"
_VALUE_STOP = re.compile(f"[{_BLANKS}:{_QUOTES}]")


class FormatSwitch(Struct, frozen=True, kw_only=True):
    """One format switch. `value` has its quotes removed; None: the switch has no colon.

    `parameter` is what follows the value after a colon (`htable:"sortby=Name"`). `is_closed` is
    false when the line ends inside a quotation. `is_inside_text` when the switch stands in the
    middle of a quoted text, where wmic need not see it. `ends_line` when nothing comes after it.
    """

    value: str | None
    parameter: str | None = None
    is_closed: bool = True
    is_inside_text: bool = False
    ends_line: bool = False


def read_format_switches(cmdline: str) -> tuple[FormatSwitch, ...]:
    """Every format switch of a command line, in order; none is no error."""
    spans = _quoted_spans(cmdline)
    starts = [start for start, _ in spans]
    last = len(cmdline.rstrip(_BLANKS + _QUOTES))
    found: list[FormatSwitch] = []
    at = 0
    while match := _SWITCH.search(cmdline, at):
        at = match.end()
        before = bisect_right(starts, match.start()) - 1
        span = spans[before] if before >= 0 and match.start() < spans[before][1] else None
        is_inside = span is not None and match.start() > span[0] + 1
        end = span[1] if span else len(cmdline)
        if match["colon"]:
            reader = _Reader(cmdline, at, end)
            value, parameter = reader.value_and_parameter()
            at = reader.at
            found.append(
                FormatSwitch(
                    value=value,
                    parameter=parameter,
                    is_closed=reader.is_closed,
                    is_inside_text=is_inside,
                    ends_line=at >= last,
                )
            )
        elif match.start() == 0 or cmdline[match.start() - 1] in _BLANKS + _QUOTES:
            found.append(FormatSwitch(value=None, is_inside_text=is_inside))
    return tuple(found)


def _quoted_spans(line: str) -> list[tuple[int, int]]:
    """Position of each opening quote and of its closer. A quote that nothing closes is a letter."""
    spans: list[tuple[int, int]] = []
    unclosed: set[re.Pattern[str]] = set()
    at = 0
    while opening := _QUOTE.search(line, at):
        at = opening.end()
        closer = _CLOSER_OF[opening[0]]
        if closer in unclosed:
            continue
        closing = closer.search(line, at)
        if closing is None:
            unclosed.add(closer)
        else:
            spans.append((opening.start(), closing.start()))
            at = closing.end()
    return spans


class _Reader:
    """Reads one value and its parameter from `at`, never past `end`."""

    def __init__(self, line: str, at: int, end: int) -> None:
        self._line = line
        self.at = at
        self._end = end
        self.is_closed = True

    def value_and_parameter(self) -> tuple[str, str | None]:
        while self.at < self._end and self._line[self.at] in _BLANKS:
            self.at += 1
        value = self._text(stop_at_colon=True)
        if self.at == self._end or self._line[self.at] != ":":
            return value, None
        self.at += 1
        return value, self._text(stop_at_colon=False)

    def _text(self, *, stop_at_colon: bool) -> str:
        """Up to a blank outside quotes, quotes removed wherever they stand."""
        parts: list[str] = []
        begin = self.at
        while self.at < self._end:
            stop = _VALUE_STOP.search(self._line, self.at, self._end)
            parts.append(self._line[self.at : stop.start() if stop else self._end])
            self.at = stop.start() if stop else self._end
            if stop is None or stop[0] in _BLANKS:
                break
            if stop[0] != ":":
                parts.append(self._quotation(_CLOSER_OF[stop[0]]))
            elif stop_at_colon and not self._is_part_of_address(begin):
                break
            else:
                parts.append(":")
                self.at += 1
        return "".join(parts)

    def _quotation(self, closer: re.Pattern[str]) -> str:
        closing = closer.search(self._line, self.at + 1, self._end)
        self.is_closed = self.is_closed and closing is not None
        begin, stop = self.at + 1, closing.start() if closing else self._end
        self.at = closing.end() if closing else self._end
        return self._line[begin:stop]

    def _is_part_of_address(self, begin: int) -> bool:
        """The colon of a drive letter, of `scheme://`, or (further on) of a port or a password."""
        before = self._line[begin : begin + 40]
        if re.match(r"[a-z][a-z0-9+.-]{1,30}:[\\/]{2}", before, re.IGNORECASE):
            return True
        return bool(re.match(r"[a-z]:[\\/]", before, re.IGNORECASE)) and self.at == begin + 1
