r"""How a document looks as Markdown (GitHub's): the only place that makes it, with one escaper.

Evidence is text in it: every mark that Markdown or HTML could take is escaped, and a word that a
reader might turn into a link (`https://…`, `a.example`, `x@y`) stands in a code span.
"""

from __future__ import annotations

import re

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table, visible

_MARKS = re.compile(r"([\\`*_\[\]()#!|~$])")
_LINE_START = re.compile(r"^(\d+)([.)])|^([-+=:])")
"""What makes a list, a heading or a table of a line that begins with it."""
_LINKED = re.compile(r"://|@|\bwww\b|\w\.\w", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_of(document: Document) -> str:
    """The document; a new line at the end."""
    return "\n\n".join(_block(block) for block in document.blocks) + "\n"


def escape(text: str, *, in_table: bool = False) -> str:
    """Any text as plain text on one line."""
    words = re.split(r"(\s+)", visible(text).strip())
    escaped = "".join(_word(word, in_table=in_table) for word in words)
    return _LINE_START.sub(r"\1\\\2\3", escaped)


def _word(word: str, *, in_table: bool) -> str:
    if word.isspace():
        return " "
    if _LINKED.search(word):
        return _span(word, in_table=in_table)
    return re.sub(r"[&<>]", lambda m: _ENTITIES[m[0]], _MARKS.sub(r"\\\1", word))


def _span(word: str, *, in_table: bool) -> str:
    """A code span: nothing in it is markup, but a fence must be longer than any in it."""
    fence = "`" * (_longest_run(word) + 1)
    pad = " " if word.startswith("`") or word.endswith("`") else ""
    # A table is cut at its pipes before spans are found.
    shown = word.replace("|", r"\|") if in_table else word
    return f"{fence}{pad}{shown}{pad}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {escape(text)}"
        case Paragraph(text):
            return escape(text)
        case Code(text):
            shown = visible(text)
            fence = "`" * max(3, _longest_run(shown) + 1)
            return f"{fence}text\n{shown}\n{fence}"
        case Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Table(header, rows):
            lines = [_row(header), "|" + " --- |" * len(header), *map(_row, rows)]
            return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(escape(cell, in_table=True) for cell in cells) + " |"
