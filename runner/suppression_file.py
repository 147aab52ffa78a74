r"""Which recurring lines a SOC has accepted: the suppressions file, read strictly.

A list of entries, each for one search, one parent's full path, one account and one command shape,
with an owner, a reason, an end, and lines that prove what it covers. It refuses patterns, and an
entry whose own test line it does not match; a file with one fault suppresses nothing.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from runner.config_shapes import Name, Text
from runner.schema import Shape, decode
from runner.wmic import ascii_lower, full_path, shape_of
from runner.yaml_reader import Fault, Node, Report, read_yaml

LONGEST = timedelta(days=365)
OTHERS_WRITE = 0o002
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="a day, as 2026-11-25")]
Line = Annotated[
    str, Meta(min_length=1, max_length=1000, description="a command line of 1 to 1000 characters")
]


class SuppressionShape(Shape, frozen=True, kw_only=True):
    """One entry of the file."""

    id: Name
    search: Name
    parent: Text
    account: Text
    shape: Line
    owner: Text
    reason: Text
    created: Day
    expires: Day
    test: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=20)]
    never: Annotated[tuple[Line, ...], Meta(max_length=20)] = ()
    hosts: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=100)] | None = None


class Suppression(Struct, frozen=True, kw_only=True):
    """One entry, as it is compared. It holds from `created` to the day before `expires`, in UTC;
    `hosts` None is any host."""

    id: str
    search: str
    parent: str
    account: str
    shape: str
    owner: str
    reason: str
    created: date
    expires: date
    hosts: tuple[str, ...] | None = None

    def holds(self, today: date) -> bool:
        return self.created <= today < self.expires


class Suppressions(Struct, frozen=True, kw_only=True):
    """The file as read. With `faults`, sentences, nothing in it counts."""

    entries: tuple[Suppression, ...] = ()
    faults: tuple[str, ...] = ()
    is_missing: bool = False
    text: str = ""


def read_suppressions(path: Path | None, today: date) -> Suppressions:
    """Read the file. None, and a file that does not exist yet, hold no entries."""
    if path is None:
        return Suppressions()
    try:
        if path.stat().st_mode & OTHERS_WRITE:
            return Suppressions(faults=(f"{path}: others may change it; chmod o-w it",))
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return Suppressions(is_missing=True)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        return Suppressions(faults=(f"{path}: {why}",))
    return read_text(text, str(path), today)


def read_text(text: str, file: str, today: date) -> Suppressions:
    """The same for a text. One of blank lines and comments holds no entries."""
    if all(line.strip()[:1] in ("", "#") for line in text.splitlines()):
        return Suppressions(text=text)
    report = Report(file)
    root = read_yaml(text, report)
    shapes = None if root is None else decode(root, tuple[SuppressionShape, ...], report)
    if root is None or shapes is None or report.faults:
        return Suppressions(faults=_sentences(report.sorted()), text=text)
    rules = _Rules(root, report, today)
    entries = tuple(rules.entry(number, shape) for number, shape in enumerate(shapes))
    rules.check_twice(entries)
    if report.faults:
        return Suppressions(faults=_sentences(report.sorted()), text=text)
    return Suppressions(entries=entries, text=text)


def _sentences(faults: list[Fault]) -> tuple[str, ...]:
    return tuple(map(str, faults))


class _Rules:
    """What must hold in an entry; it reports and goes on."""

    def __init__(self, root: Node, report: Report, today: date) -> None:
        self._root = root
        self._report = report
        self._today = today

    def entry(self, number: int, shape: SuppressionShape) -> Suppression:
        for key in ("parent", "account", "hosts"):
            given = getattr(shape, key) or ()
            if re.search(r"[*?]", given if isinstance(given, str) else " ".join(given)):
                text = f"{shape.id}: {key} holds a pattern"
                self._add(number, key, text, "Name each thing exactly, in entries of its own.")
        self._parent(number, shape)
        self._lines(number, shape)
        return Suppression(
            id=shape.id,
            search=shape.search,
            parent=ascii_lower(full_path(shape.parent) or ""),
            account=ascii_lower(shape.account),
            shape=shape.shape,
            owner=shape.owner,
            reason=shape.reason,
            created=self._day(number, shape, "created"),
            expires=self._expiry(number, shape),
            hosts=shape.hosts,
        )

    def check_twice(self, entries: tuple[Suppression, ...]) -> None:
        seen: dict[object, str] = {}
        for number, entry in enumerate(entries):
            covers = (entry.search, entry.parent, entry.account, entry.shape, entry.hosts)
            for what in (entry.id, covers):
                if what in seen:
                    text = (
                        f"{entry.id}: {seen[what]}, before it, has the same id or covers the same"
                    )
                    self._add(number, "id", text, "Remove one of them.")
                    break
                seen[what] = entry.id

    def _add(self, number: int, key: str, text: str, mend: str) -> None:
        self._report.add(self._root.find((number, key)), text, mend, f"suppression-{key}")

    def _parent(self, number: int, shape: SuppressionShape) -> None:
        if full_path(shape.parent) is None:
            text = f"{shape.id}: parent is no full path on a local drive"
            mend = r"Write it like C:\Program Files\Example\agent.exe: a name alone fits any file."
            self._add(number, "parent", text, mend)

    def _lines(self, number: int, shape: SuppressionShape) -> None:
        for line in shape.test:
            found = shape_of(line)
            if found.text is None:
                text = f"{shape.id}: a test line can be suppressed by nothing: {found.why}"
                self._add(number, "test", text, "Such a line is always judged. Remove the entry.")
            elif found.text != shape.shape:
                text = f"{shape.id}: a test line has another shape, {found.text}"
                self._add(number, "shape", text, "Write this shape, if it is meant.")
        for line in shape.never:
            if shape_of(line).text == shape.shape:
                text = f"{shape.id}: a line under `never` would be suppressed"
                self._add(number, "never", text, "Narrow the shape, or remove the line.")

    def _day(self, number: int, shape: SuppressionShape, key: str) -> date:
        try:
            return date.fromisoformat(getattr(shape, key))
        except ValueError:
            self._add(number, key, f"{shape.id}: {key} is no day", "Write it like 2026-11-25.")
            return self._today

    def _expiry(self, number: int, shape: SuppressionShape) -> date:
        known = len(self._report.faults)
        created, expires = self._day(number, shape, "created"), self._day(number, shape, "expires")
        if len(self._report.faults) > known:
            return expires
        if created > self._today + timedelta(days=1):
            text = f"{shape.id}: created lies in the future"
            self._add(number, "created", text, "Write the day on which it was decided.")
        if not timedelta(0) < expires - created <= LONGEST:
            text = f"{shape.id}: expires is not within a year after created"
            self._add(number, "expires", text, "At most 365 days; then somebody looks again.")
        return expires
