"""The records of an EVTX file, parsed in a process of its own.

The parser is native code: on a damaged file it may go round for ever, where no signal reaches it,
or end the process that it runs in.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from connectors.document import shorten, visible

NO_EVTX = (
    "EVTX needs the package evtx, which is not installed: install stockade[evtx], or write the "
    "file as JSON lines first"
)
EVTX_HEADER = 4096
EVTX_CHUNK = 65_536
"""Sizes in bytes. Source: libyal, *Windows XML Event Log (EVTX) format*, read 2026-11-25."""
MOST_BYTES = 64 * EVTX_CHUNK
"""How long one record may be as JSON; in its file it fits a chunk."""
READER = Path(__file__).with_name("exported_reader.py")


class NotRead(Exception):
    """A file that cannot be read at all; the text is a sentence."""


class _Ended(Exception):
    """The reader ended, or was ended, before the file did; the text says how."""


def evtx_records(path: Path, limit_s: float) -> Iterator[tuple[int, bytes | str]]:
    """Each record as JSON, by its place in the file, or why it is none; what is damaged is named,
    and the rest is read. A record that takes longer than `limit_s` is the last.

    Errors: `NotRead` for a file that is no EVTX, or when the package is not installed."""
    lost = _chunks_missing(path)
    if find_spec("evtx") is None:
        raise NotRead(f"{visible(str(path))}: {NO_EVTX}")
    number = 0
    try:
        for line in _lines(path, limit_s):
            number += 1
            said = json.loads(line)
            if "bad" in said:
                yield number, f"it is damaged: {visible(shorten(str(said['bad']), 200))}"
            else:
                yield number, str(said["data"]).encode("utf-8", "surrogatepass")
    except _Ended as fault:
        yield number + 1, f"it is damaged: {fault}; what follows in this file is not read"
    if lost:
        yield number + 1, f"the file ends before its last {lost} chunk(s): {number} record(s) read"


def _lines(path: Path, limit_s: float) -> Iterator[bytes]:
    """What the reader writes, a record a line. Errors: `_Ended`."""
    # `-P`: the folder of the script is none to import from.
    reader = subprocess.Popen(  # noqa: S603  an argument list, no shell
        [sys.executable, "-P", str(READER), str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        if reader.stdout is None:
            raise _Ended("the reader has no pipe")
        yield from _whole_lines(reader.stdout.fileno(), limit_s)
        if code := reader.wait(limit_s):
            raise _Ended(f"the reader ended with {code}")
    except subprocess.TimeoutExpired:
        raise _Ended(f"the reader did not end within {limit_s:g} s") from None
    finally:
        reader.kill()
        reader.wait()
        if reader.stdout is not None:
            reader.stdout.close()


def _whole_lines(stream: int, limit_s: float) -> Iterator[bytes]:
    rest = b""
    while True:
        ready, _, _ = select.select([stream], [], [], limit_s)
        if not ready:
            raise _Ended(f"the reader made no progress for {limit_s:g} s")
        read = os.read(stream, EVTX_CHUNK)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        yield from lines
        if len(rest) > MOST_BYTES:
            raise _Ended(f"a record is longer than {MOST_BYTES} bytes")


def _chunks_missing(path: Path) -> int:
    """How many chunks the header counts and the file does not hold: the parser just ends there.
    Errors: `NotRead` for what is no EVTX."""
    with path.open("rb") as stream:
        head = stream.read(EVTX_HEADER)
        size = stream.seek(0, 2)
    if len(head) < EVTX_HEADER or not head.startswith(b"ElfFile\0"):
        raise NotRead(f"{visible(str(path))}: it is no EVTX file")
    return max(0, int.from_bytes(head[42:44], "little") - (size - EVTX_HEADER) // EVTX_CHUNK)
