r"""The one serialiser of Jira's wiki markup, which Jira Data Center wants for rich text.

Every ASCII character of raw text that is no letter, digit, blank, comma or harmless full stop is
written as a character reference (`&#123;`): no text can format, link, mention or embed, whichever
of its parsers a Jira has on. The vendor's own escape (`\{`) is not used, for it has none for the
backslash before another character, which Windows paths are full of.
That Jira shows a character reference as its character, and has no other way to write a backslash
before markup, is a public report (jgm/pandoc#5926); it was not tried on a live Jira.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.document import (
    Block,
    Bullets,
    Code,
    Document,
    Heading,
    Paragraph,
    Table,
    shorten,
)
from connectors.tickets.jira_text import Fitting, shown, units

_BETWEEN = "\n\n"
_NOTHING = "&#160;"
_REFERRED = re.compile(
    # The full stop of a heading, a quote or a web address; every blank that HTML would swallow.
    r"(?<=h[1-6])\.|(?<=bq)\.|(?<=www)\.|(?<= ) |^ | $"
    r"|[^\w\s,.]|_",
    re.IGNORECASE | re.ASCII,
)
_SAFE_AS_IT_IS = re.compile(r"[^{}&@\[]+")
"""Text that a `{noformat}` block cannot be closed from, and in which no parser that looks at the
raw source finds a mention (`[~name]`) or a character reference."""


def wiki_of(document: Document, *, tail: Sequence[str] = ()) -> str:
    """The document as wiki markup, with one paragraph for each text of `tail` at its end, whole.
    What is too long for Jira is shortened (`jira_text.Fitting`)."""
    fitting = Fitting(_part, escaped, lambda parts: units(_BETWEEN.join(parts)), 0)
    return _BETWEEN.join(fitting.fitted(document, tail))


def last_line(text: object) -> str:
    """The last line that says anything; empty for what is no text."""
    lines = text.split("\n") if isinstance(text, str) else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def escaped(text: str) -> str:
    """One line of raw text as markup that shows exactly its characters."""
    return _REFERRED.sub(lambda found: _reference(found[0]), text)


def _reference(char: str) -> str:
    return char if not char.isascii() else _NOTHING if char == " " else f"&#{ord(char)};"


def _part(block: Block, limit: int) -> str | None:
    match block:
        case Heading(text):
            return f"h3. {_line(text, limit)}"
        case Paragraph(text):
            return _line(text, limit)
        case Code(text):
            return _code(shown(shorten(text, limit), keep_newlines=True))
        case Bullets(items):
            return "\n".join(f"* {_line(item, limit)}" for item in items) or None
        case Table(header, rows):
            return _table(header, rows, limit)


def _line(text: str, limit: int) -> str:
    return escaped(shown(shorten(text, limit))) or _NOTHING


def _code(text: str) -> str | None:
    if _SAFE_AS_IT_IS.fullmatch(text):
        return f"{{noformat}}\n{text}\n{{noformat}}"
    # Not in a block that the text might close: each line for itself.
    return "\n".join(escaped(line) or _NOTHING for line in text.split("\n")) if text else None


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> str | None:
    width = max(len(header), *(len(row) for row in rows), 1)

    def row_of(mark: str, cells: Sequence[str]) -> str:
        padded = [*cells, *[""] * (width - len(cells))]
        return mark + mark.join(_line(cell, limit) for cell in padded) + mark

    head = [row_of("||", header)] if header else []
    return "\n".join([*head, *(row_of("|", row) for row in rows)]) or None
