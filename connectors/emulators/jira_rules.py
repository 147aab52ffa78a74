"""What Jira Cloud refuses, and which issues a JQL search means, for the part that is served.

ADF: the nodes that a runner writes, checked for shape. JQL: `labels = "x"`, `project = X`,
`key = X`, `status = "x"`, joined by AND, and ORDER BY created. Everything else is a 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connectors.model import JsonObject

MAX_SUMMARY = 255
MAX_TEXT = 32_767
NO_DOCUMENT = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
_INLINE = frozenset({"text", "hardBreak", "mention", "emoji", "inlineCard"})
_BLOCKS = frozenset(
    {
        "paragraph",
        "heading",
        "bulletList",
        "orderedList",
        "listItem",
        "codeBlock",
        "blockquote",
        "panel",
        "rule",
        "table",
        "tableRow",
        "tableHeader",
        "tableCell",
        "expand",
    }
)
_ONLY_IN = {
    "listItem": frozenset({"bulletList", "orderedList"}),
    "tableRow": frozenset({"table"}),
    "tableHeader": frozenset({"tableRow"}),
    "tableCell": frozenset({"tableRow"}),
}
_TEXT_PARENTS = frozenset({"paragraph", "heading", "codeBlock"})


def is_document(value: Any) -> bool:
    """True for an Atlassian document with non-empty texts and known nodes in their places."""
    if not isinstance(value, dict) or value.get("type") != "doc" or value.get("version") != 1:
        return False
    content = value.get("content")
    is_whole = isinstance(content, list) and all(_is_node(node, "doc") for node in content)
    return is_whole and len(text_of(value)) <= MAX_TEXT


def _is_node(node: Any, parent: str) -> bool:
    if not isinstance(node, dict):
        return False
    kind = str(node.get("type"))
    if kind in _INLINE:
        return parent in _TEXT_PARENTS and _is_inline(node, parent)
    if kind not in _BLOCKS or parent in _TEXT_PARENTS:
        return False
    if parent not in _ONLY_IN.get(kind, {parent}):
        return False
    content = node.get("content", [])
    return isinstance(content, list) and all(_is_node(inner, kind) for inner in content)


def _is_inline(node: JsonObject, parent: str) -> bool:
    if node["type"] != "text":
        return parent != "codeBlock"
    text = node.get("text")
    # Jira refuses an empty text, and marks inside a code block.
    return isinstance(text, str) and text != "" and not (parent == "codeBlock" and "marks" in node)


def text_of(node: Any) -> str:
    """All text of a document, in order."""
    if not isinstance(node, dict):
        return ""
    inner = "".join(text_of(child) for child in node.get("content", []))
    return str(node.get("text", "")) + inner


class JqlError(Exception):
    """The query cannot be parsed; the text is Jira's answer."""


Issue = JsonObject
_CLAUSE = re.compile(r"""\s*(\w+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([\w-]+))""")
_AND = re.compile(r"\s+AND(?=\s)", re.IGNORECASE)
_ORDER = re.compile(r"\s+ORDER\s+BY\s+created(?:\s+(ASC|DESC))?\s*", re.IGNORECASE)


class Jql:
    """A parsed query: `matches` one issue, and the order of the results."""

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise JqlError("Unbounded JQL queries are not allowed here. Add a search restriction.")
        self._tests: list[Callable[[Issue], bool]] = []
        rest = self._clauses(text)
        order = _ORDER.fullmatch(rest)
        if rest.strip() and order is None:
            raise JqlError(f"Error in the JQL Query: cannot parse '{rest.strip()}'.")
        self.newest_first = order is None or (order[1] or "DESC").upper() == "DESC"

    def _clauses(self, text: str) -> str:
        """Read clauses joined by AND; what comes after them is given back."""
        at = 0
        while True:
            clause = _CLAUSE.match(text, at)
            if clause is None:
                raise JqlError(f"Error in the JQL Query: cannot parse '{text[at:].strip()}'.")
            self._tests.append(_test(clause))
            joined = _AND.match(text, clause.end())
            if joined is None:
                return text[clause.end() :]
            at = joined.end()

    def matches(self, issue: Issue) -> bool:
        return all(test(issue) for test in self._tests)


def _test(clause: re.Match[str]) -> Callable[[Issue], bool]:
    name, quoted, bare = clause.groups()
    value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    read = _FIELDS.get(name.lower())
    if read is None:
        raise JqlError(f"Field '{name}' does not exist or you cannot see it.")
    return lambda issue: value.lower() in [text.lower() for text in read(issue)]


_FIELDS: dict[str, Callable[[Issue], list[str]]] = {
    "labels": lambda issue: list(issue["fields"]["labels"]),
    "project": lambda issue: [issue["fields"]["project"]["key"]],
    "key": lambda issue: [issue["key"]],
    "status": lambda issue: [issue["fields"]["status"]["name"]],
}
