"""What a card or a ticket says, free of any markup.

Text in a block is raw: each chat and ticket connector escapes it once, in its own language. Nothing
here knows a product, and nothing here may hold markup.
"""

from __future__ import annotations

from msgspec import Struct


class Heading(Struct, frozen=True, tag="heading"):
    text: str


class Paragraph(Struct, frozen=True, tag="paragraph"):
    text: str


class Bullets(Struct, frozen=True, tag="bullets"):
    items: tuple[str, ...]


class Table(Struct, frozen=True, tag="table"):
    """Rows of cells; `header` has as many cells as each row."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Code(Struct, frozen=True, tag="code"):
    """Evidence, shown as it is: a command line, a query."""

    text: str


Block = Heading | Paragraph | Bullets | Table | Code


class Document(Struct, frozen=True):
    blocks: tuple[Block, ...]

    def texts(self) -> tuple[str, ...]:
        """Each piece of raw text, in reading order."""
        found: list[str] = []
        for block in self.blocks:
            match block:
                case Heading(text) | Paragraph(text) | Code(text):
                    found.append(text)
                case Bullets(items):
                    found.extend(items)
                case Table(header, rows):
                    found.extend(header)
                    found.extend(cell for row in rows for cell in row)
        return tuple(found)


def shorten(text: str, limit: int) -> str:
    """Keep head and tail and say how much lies between: the telling part may stand at either
    end."""
    if len(text) <= limit:
        return text
    mark = f" …[{len(text) - limit} characters left out]… "
    keep = max(limit - len(mark), 2)
    head = keep - keep // 2
    return text[:head] + mark + text[len(text) - keep // 2 :]


def _is_unsafe(char: str) -> bool:
    """Neither to be seen nor a space: control and format characters (bidirectional, zero-width,
    tags), surrogates, private and unassigned ones, and what breaks a line."""
    point = ord(char)
    is_control = point < 0x20 or 0x7F <= point < 0xA0
    return is_control or point in (0x2028, 0x2029) or not (char.isprintable() or char.isspace())


def visible(text: str, *, keep_newlines: bool = False) -> str:
    r"""Write control, bidirectional and invisible characters as escapes, so that evidence can
    rewrite no terminal, log line or card: ESC becomes `\x1b`, U+202E becomes `\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        (char if keep_newlines and char == "\n" else _escape(char)) if _is_unsafe(char) else char
        for char in text
    )


def _escape(char: str) -> str:
    point = ord(char)
    if point > 0xFFFF:
        return f"\\U{point:08x}"
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"
