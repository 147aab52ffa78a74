"""A command line as words: quotes stay together, and each word knows where it stands.

It gives no word a meaning. One pass, linear in the length of the line.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from msgspec import Struct

from runner.wmic.parser import BLANKS, DASHES, QUOTES, FormatSwitch, quoted_spans

_BLANK = re.compile(f"[{BLANKS}]")
_DASH_SET = frozenset(DASHES) - {"\\"}
_UNQUOTED = str.maketrans("", "", QUOTES)
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SWITCH = re.compile(
    rf"[{DASHES}]\s*(?P<name>[a-z_]+|\?)\s*(?P<rest>:.*)?", re.IGNORECASE | re.ASCII | re.DOTALL
)


MOST_WORDS = 1500
"""No honest line has so many; what comes after them is left unread."""


def ascii_lower(text: str) -> str:
    """For comparing: other letters that fold to the same one name other files and accounts."""
    return text.translate(_ASCII_LOWER)


class Word(Struct, frozen=True):
    """`raw` is as written; `text` without quotes; `is_quoted` when a quotation begins it."""

    raw: str
    text: str
    is_quoted: bool

    @property
    def lower(self) -> str:
        return self.text.casefold()

    def switch(self) -> tuple[str, str | None] | None:
        """Name and value of a switch; a value of None has no colon before it."""
        found = _SWITCH.fullmatch(self.text)
        if found is None:
            return None
        rest = found["rest"]
        return found["name"].casefold(), None if rest is None else rest[1:].strip()


class Words(Struct, frozen=True):
    """`is_closed`: no double quote is left open, so the line was not cut inside one. `rest`: what
    follows the last word that is read."""

    words: tuple[Word, ...]
    is_closed: bool
    rest: str = ""


def words_of(line: str, formats: Sequence[FormatSwitch] = ()) -> Words:
    """Split at blanks outside quotes. `formats`: switches that were read before, and are left
    out."""
    bare = _without(line, formats)
    spans = quoted_spans(bare)
    words, end = _words(bare, spans)
    is_closed = not _has_open_quote(bare, spans)
    return Words(words=tuple(_joined(words)), is_closed=is_closed, rest=bare[end:].strip())


def _without(line: str, formats: Sequence[FormatSwitch]) -> str:
    parts: list[str] = []
    at = 0
    for switch in formats:
        if not switch.is_inside_text and switch.start >= at:
            parts.append(line[at : switch.start])
            at = switch.end
    return " ".join([*parts, line[at:]])


def _words(line: str, spans: list[tuple[int, int]]) -> tuple[list[Word], int]:
    """The words, and how far they reach."""
    found: list[Word] = []
    begin = at = 0
    for opening, closing in [*spans, (len(line), len(line))]:
        while blank := _BLANK.search(line, at, opening):
            _add(found, line[begin : blank.start()])
            begin = at = blank.end()
            if len(found) >= MOST_WORDS:
                return found, begin
        at = closing + 1
        # `/node:"a"/user:"b"` needs no blank between.
        if line[at : at + 1] == "/" and line[begin] in DASHES:
            _add(found, line[begin:at])
            begin = at
    _add(found, line[begin:])
    return found, len(line)


def _add(found: list[Word], raw: str) -> None:
    if raw:
        found.append(Word(raw, raw.translate(_UNQUOTED), raw[0] in QUOTES))


def _joined(words: list[Word]) -> list[Word]:
    """A switch may have blanks after its dash, around its colon and in its list: one word."""
    groups: list[list[Word]] = []
    has_colon = False
    for word in words:
        if groups and _belongs(groups[-1], word, has_colon=has_colon):
            groups[-1].append(word)
            has_colon = has_colon or ":" in word.text
        else:
            groups.append([word])
            has_colon = ":" in word.text
    return [
        group[0]
        if len(group) == 1
        else Word(
            "".join(word.raw for word in group),
            "".join(word.text for word in group),
            group[0].is_quoted,
        )
        for group in groups
    ]


def _belongs(group: list[Word], word: Word, *, has_colon: bool) -> bool:
    first, last = group[0].text, group[-1].text
    if first[:1] not in _DASH_SET:
        return False
    if len(group) == 1 and len(first) == 1:
        return True
    if word.text[:1] == ":":
        return not has_colon
    if word.text[:1] == ",":
        return has_colon
    return (last.endswith(":") and word.text[:1] not in _DASH_SET) or (
        has_colon and last.endswith(",")
    )


def _has_open_quote(line: str, spans: list[tuple[int, int]]) -> bool:
    at = 0
    for opening, closing in [*spans, (len(line), len(line))]:
        if '"' in line[at:opening]:
            return True
        at = closing + 1
    return False
