r"""By which program, at which full path, was wmic started?

The sensor's own field for the parent's file counts. Where the row has none, the program at the
start of the parent's command line does, which whoever starts a program may write as they like. A
bare name is no answer, and two answers are none.
"""

from __future__ import annotations

import re

from connectors.model import Alert
from runner.wmic.context import TriageContext
from runner.wmic.event_fields import flattened, texts_in
from runner.wmic.words import ascii_lower

IMAGE_FIELDS = ("ParentImage", "ParentProcessName", "parent_process_path")
_PROGRAM = re.compile(
    r"\s*(?:\"(?P<quoted>[^\"]+)\"|(?P<path>[^\"]+?\.exe)(?=\s|\Z)|(?P<word>\S+))", re.I
)
_FULL_PATH = re.compile(r"[a-z]:\\(?:[^\\/:*?\"<>|\x00-\x1f]+\\)*[^\\/:*?\"<>|\x00-\x1f]+", re.I)


def full_path(path: str) -> str | None:
    r"""A path on a local drive in the spelling by which paths are compared; None for anything else:
    a bare name, a share, a pattern, a path with `..`."""
    plain = path.strip().strip('"').replace("/", "\\")
    if not _FULL_PATH.fullmatch(plain) or not plain.isprintable():
        return None
    if any(part.strip(". ") == "" for part in plain.split("\\")[1:]):
        return None
    return plain


def is_forgeable(alert: Alert) -> bool:
    """Is the answer of `starter_of` what a command line says, and no more?"""
    return not any(name in flattened(alert.raw) for name in IMAGE_FIELDS)


def starter_of(alert: Alert, context: TriageContext | None = None) -> str | None:
    """The full path of what started wmic, as written; None when it is not known for certain."""
    # A field that is there and says `-` means that the sensor did not know.
    if is_forgeable(alert):
        named = [_program(alert.parent)] if alert.parent else []
    else:
        named = list(texts_in(flattened(alert.raw), *IMAGE_FIELDS))
    if context is not None and context.parent:
        # An event of the same start: where it names a file, the alert must name the same one.
        seen = _program(context.parent)
        named += [seen] if "\\" in seen else []
    paths = [full_path(name) for name in named]
    known = {ascii_lower(path) for path in paths if path is not None}
    return paths[0] if len(known) == 1 and None not in paths else None


def _program(line: str) -> str:
    found = _PROGRAM.match(line[:1000])
    return "" if found is None else found["quoted"] or found["path"] or found["word"]
