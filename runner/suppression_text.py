"""How entries are written into the suppressions file: by hand's rules, and all or nothing.

What stands in the file already stays as it is, comments too: entries are appended, the whole is
read again as the runner will read it, and only then it takes the place of the old file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

import msgspec

from runner.suppression_file import Suppressions, SuppressionShape, read_text


class NotWritten(Exception):
    """Nothing was written. The text is one sentence: why, and what to do."""


def text_of_entries(entries: Sequence[SuppressionShape]) -> str:
    """The entries as YAML, each as the documentation shows one."""
    return "\n".join(_entry(entry) for entry in entries)


def appended(known: Suppressions, entries: Sequence[SuppressionShape], today: date) -> str:
    """The file's text with the entries at its end. Errors: `NotWritten` when it would not be read
    as what it holds now and these entries."""
    if known.faults:
        raise NotWritten(f"the file has a fault: {known.faults[0]}")
    gap = "" if not known.text else "\n" if known.text.endswith("\n") else "\n\n"
    text = f"{known.text}{gap}{text_of_entries(entries)}"
    again = read_text(text, "the new text", today)
    if again.faults:
        raise NotWritten(f"the entries cannot be appended: {again.faults[0]}")
    if again.entries[: len(known.entries)] != known.entries:
        raise NotWritten("the file is not a plain list; append the entries by hand")
    return text


def difference(old: str, new: str, name: str) -> str:
    """What would change, as a unified diff."""
    import difflib

    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{name} (now)", f"{name} (new)", lineterm=""
    )
    return "\n".join(lines)


def write_text(path: Path, old: Suppressions, new: str) -> None:
    """Put the new text in the old one's place, as a whole. Errors: `NotWritten`, also when the file
    is no longer what it was when it was shown."""
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.new")
    try:
        now = target.read_bytes().decode() if target.exists() else ""
        if now != old.text:
            raise NotWritten(f"{path} has changed in the meantime; look again")
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        with part.open("w", encoding="utf-8", newline="") as stream:
            part.chmod(mode)
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except (OSError, UnicodeDecodeError) as error:
        with suppress(OSError):
            part.unlink()
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise NotWritten(f"{path} cannot be written: {why}") from None


def _entry(entry: SuppressionShape) -> str:
    lines = []
    for key, value in msgspec.to_builtins(entry).items():
        if isinstance(value, list | tuple):
            if value:
                lines += [f"{key}:", *(f"  - {_quoted(item)}" for item in value)]
        elif value is not None:
            lines.append(f"{key}: {_quoted(value)}")
    return "".join(f"{'  ' if number else '- '}{line}\n" for number, line in enumerate(lines))


def _quoted(text: str) -> str:
    """In single quotes a backslash is a backslash: paths stay readable."""
    return "'" + text.replace("'", "''") + "'"
