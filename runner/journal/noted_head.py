"""The chain's head, noted in a file beside the journal: it tells of a lost or restored journal.

It holds no journal and judges none; `store.py` compares.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def write_head(state_dir: Path, seq: int, head: str) -> None:
    """Replace what was noted. Errors: `OSError`; what was noted before stands then."""
    path = state_dir / "head"
    # A name of this process's own: a command beside a running tick notes the head too.
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(f"{seq} {head}\n")
    fresh.replace(path)


def read_head(state_dir: Path) -> tuple[int, str] | None:
    """The noted number and hash; None when nothing was noted. Errors: `ValueError` for a damaged
    file."""
    try:
        noted = (state_dir / "head").read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    seq, _, head = noted.strip().partition(" ")
    if re.fullmatch(r"[0-9]{1,18}", seq) is None:
        raise ValueError("the file head beside the journal is damaged")
    return int(seq), head
