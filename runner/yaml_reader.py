"""How a YAML file is read strictly: plain values with their places, and every fault at once.

The one reader of configuration and playbooks. It builds its tree from libyaml's events instead of
`yaml.compose`: depth and the size that aliases expand to are refused while reading, before
anything recursive sees them. It refuses duplicate keys, merge keys, tags, tabs, invisible
characters, and what YAML 1.1 and 1.2 read differently. It knows nothing of what a file means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from msgspec import Struct
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same events, about nine times slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_FILE_BYTES = 512 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000  # counted as expanded: a node that an alias repeats counts again

MERGE = "<<"

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]
"""Keys and list indexes from the root of a file to one of its values."""


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong in a file: where, what, and how to mend it. Lines count from 1."""

    file: str
    line: int
    column: int
    text: str
    mend: str
    code: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}. {self.mend}"


class Faulty:
    """Stands for a value that has been reported already, so that nobody reports it again."""


FAULTY = Faulty()


class Node(Struct, kw_only=True):
    """One value of a file and its place. `keys` gives each key's own place in a mapping."""

    value: Scalar | dict[str, Node] | list[Node] | Faulty
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = {}
    size: int = 1
    depth: int = 1

    def plain(self) -> object:
        """The value as builtins, places left out."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return None if isinstance(self.value, Faulty) else self.value

    def find(self, path: Path) -> Node:
        """The node at a path, or the nearest one above it that exists."""
        node = self
        for part in path:
            children = node.value
            below = None
            if isinstance(children, dict):
                below = children.get(str(part))
            elif isinstance(children, list) and isinstance(part, int) and part < len(children):
                below = children[part]
            if below is None:
                break
            node = below
        return node


class _Refused(Exception):
    """The rest of the file cannot be read."""


class Report:
    """Collects the faults of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def add(self, place: Node | tuple[int, int], text: str, mend: str, code: str) -> None:
        line, column = place if isinstance(place, tuple) else (place.line, place.column)
        self.faults.append(
            Fault(file=self.file, line=line, column=column, text=text, mend=mend, code=code)
        )

    def sorted(self) -> list[Fault]:
        """In the order of the file."""
        return sorted(self.faults, key=lambda fault: (fault.line, fault.column))


def read_yaml(text: str, report: Report) -> Node | None:
    """Read one document; faults go to `report`. None when there is nothing to go on with."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        report.add((1, 1), "the file is not UTF-8", "Save it as UTF-8.", "yaml-encoding")
        return None
    if size_bytes > MAX_FILE_BYTES:
        report.add((1, 1), "the file is too large", "At most 512 KiB.", "yaml-size")
        return None
    text = _without_invisible(text, report)
    try:
        return _Builder(report).build(yaml.parse(text, Loader=_Loader))
    except _Refused:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(filter(None, (error.context, error.problem)))
        mend = "Mend the YAML here; what follows was not read."
        report.add(place, f"this is not YAML: {what}", mend, "yaml-syntax")
    except yaml.YAMLError:
        report.add((1, 1), "this is not YAML", "Remove what is no text.", "yaml-syntax")
    return None


_UNSEEN = re.compile(
    "[\t\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


def _without_invisible(text: str, report: Report) -> str:
    """Report each line that hides something, then read on with spaces in its place."""
    if not _UNSEEN.search(text):
        return text
    for number, line in enumerate(text.split("\n"), start=1):
        found = _UNSEEN.search(line)
        if found is None:
            continue
        place = (number, found.start() + 1)
        if found[0] == "\t":
            report.add(place, "a tab", 'Use spaces, or "\\t" inside quotes.', "yaml-tab")
        else:
            what = f"an invisible character, U+{ord(found[0]):04X}"
            report.add(place, what, "Remove it, or write it as an escape.", "yaml-invisible")
    return _UNSEEN.sub(" ", text)


class _Open(Struct):
    """A collection that is being read. `key` is the key whose value comes next."""

    node: Node
    anchor: str | None
    key: str | None = None
    key_place: tuple[int, int] = (0, 0)


class _Builder:
    """Makes nodes from events, with a stack of its own: no file can exhaust Python's."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._count = 0
        self._documents = 0

    def build(self, events: Iterator[Event]) -> Node | None:
        for event in events:
            self._take(event)
        if self._root is None:
            self._report.add((1, 1), "the file is empty", "Write something.", "yaml-empty")
        return self._root

    def _take(self, event: Event) -> None:
        mark = event.start_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if getattr(event, "tag", None) is not None:
            self._report.add(place, "a tag", "Remove it; values need no tags.", "yaml-tag")
        if isinstance(event, ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, CollectionStartEvent):
            self._start(event, place)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            done = self._open.pop()
            self._add(done.node, done.anchor)
        elif isinstance(event, AliasEvent):
            self._alias(event.anchor, place)
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(place, "a second document", "Keep one in a file.", "yaml-documents")

    def _refuse(self, place: tuple[int, int], text: str, mend: str, code: str) -> None:
        self._report.add(place, text, mend, code)
        raise _Refused

    def _start(self, event: CollectionStartEvent, place: tuple[int, int]) -> None:
        if self._awaits_key():
            self._refuse(place, "a key that is no text", "Write a plain word.", "yaml-key")
        if len(self._open) >= MAX_DEPTH:
            self._refuse(place, "nested too deeply", f"At most {MAX_DEPTH} levels.", "yaml-depth")
        value: dict[str, Node] | list[Node] = {} if isinstance(event, MappingStartEvent) else []
        node = Node(value=value, line=place[0], column=place[1], keys={})
        self._open.append(_Open(node, event.anchor))

    def _awaits_key(self) -> bool:
        return bool(self._open) and (
            isinstance(self._open[-1].node.value, dict) and self._open[-1].key is None
        )

    def _scalar(self, event: ScalarEvent, place: tuple[int, int]) -> None:
        if self._awaits_key():
            self._key(event.value, event.style, place)
            return
        value = event.value if event.style else self._resolve(event.value, place)
        self._add(Node(value=value, line=place[0], column=place[1]), event.anchor)

    def _key(self, key: str, style: str | None, place: tuple[int, int]) -> None:
        """A key is the text as written: `on` and `no` are words here."""
        holder = self._open[-1]
        if key == MERGE and not style:
            mend = "Write the keys out; a merge can change a setting unseen."
            self._report.add(place, "a merge key `<<`", mend, "yaml-merge")
        first = holder.node.keys.get(key)
        if first is not None:
            text = f"the key `{key}` stands here a second time; the first is in line {first[0]}"
            self._report.add(place, text, "Remove one of them.", "yaml-duplicate")
        holder.key, holder.key_place = key, place

    def _alias(self, anchor: str | None, place: tuple[int, int]) -> None:
        if self._awaits_key():
            self._refuse(place, "an alias as a key", "Write the key out.", "yaml-key")
        node = self._anchors.get(anchor or "")
        if node is None:
            # Its name is not shown: it may be a secret that begins with an asterisk.
            text = "an alias without a finished anchor before it"
            self._refuse(place, text, "Write the value out, or quote it.", "yaml-alias")
            return
        self._add(node, None)

    def _add(self, node: Node, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        holder = self._open[-1]
        holder.node.size += node.size
        holder.node.depth = max(holder.node.depth, node.depth + 1)
        place = (node.line, node.column)
        if holder.node.size > MAX_NODES:
            text = "too many values, counted with what aliases repeat"
            self._refuse(place, text, f"At most {MAX_NODES}.", "yaml-size")
        if len(self._open) + node.depth > MAX_DEPTH:
            self._refuse(place, "nested too deeply", f"At most {MAX_DEPTH} levels.", "yaml-depth")
        if isinstance(holder.node.value, list):
            holder.node.value.append(node)
        elif isinstance(holder.node.value, dict) and holder.key is not None:
            # A merge key and the second of two equal keys are faults already: leave them out.
            if holder.key != MERGE:
                holder.node.value.setdefault(holder.key, node)
                holder.node.keys.setdefault(holder.key, holder.key_place)
            holder.key = None

    def _resolve(self, text: str, place: tuple[int, int]) -> Scalar | Faulty:
        """A plain scalar's value. Dates, times and addresses stay text."""
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER_LIKE.match(text):
            return self._number(text, place)
        if _SURPRISE.fullmatch(text):
            what = f"`{text}` is read differently by different YAML readers"
            mend = "Write true, false or null, or quote it if it is a text."
            self._report.add(place, what, mend, "yaml-word")
            return FAULTY
        return text

    def _number(self, text: str, place: tuple[int, int]) -> Scalar | Faulty:
        """Only a number that prints as it is written is a number. The text is not shown: it may be
        a secret that does not belong there."""
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text) and repr(float(text)) == text:
            return float(text)
        what = "a number that would not be read as it is written (like 1.10, 007, 0x1F, 1_000)"
        self._report.add(place, what, "Quote it, or write plain decimals.", "yaml-number")
        return FAULTY


_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "~": None, "": None}
_SURPRISE = re.compile(r"yes|no|on|off|y|n|true|false|null|[-+]?\.inf|\.nan", re.IGNORECASE)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
# What YAML 1.1 or 1.2 would take for a number, sexagesimals (12:30:00) left out: those stay text.
_NUMBER_LIKE = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0b[01_]+"
    r"|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9_]+([eE][-+]?[0-9]+)?)\Z"
)
