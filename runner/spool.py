"""Hits to be rehearsed, on disk and in the order of their times, however many they are.

One JSON line each, and one for each stretch of the past that was searched whole; so a rehearsal
that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from connectors.model import Row


class SpooledHit(Struct, frozen=True, kw_only=True, tag="hit"):
    """One row. `at`: its time in epoch seconds; 0 when it tells none."""

    search: str
    row: Row
    at: float


class SpooledSlice(Struct, frozen=True, kw_only=True, tag="slice"):
    """A stretch of index time that was answered whole; the hits before it are its rows."""

    search: str
    start: int
    end: int


class SpooledWish(Struct, frozen=True, kw_only=True, tag="wish"):
    """What was asked for: which searches, over which index time."""

    spans: dict[str, tuple[int, int]]


_Line = SpooledHit | SpooledSlice | SpooledWish


class Spool:
    """One file. Only the times and places of its hits are held in memory."""

    def __init__(self, path: Path) -> None:
        self.slices: list[SpooledSlice] = []
        self.wish: SpooledWish | None = None
        self._times = array("d")
        self._places = array("q")
        self._end = 0
        self._file = path.open("a+b")
        path.chmod(0o600)
        self._recover()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, line: _Line) -> None:
        """Append one line; it is on the disk's way with the next `keep`."""
        encoded = msgspec.json.encode(line) + b"\n"
        if isinstance(line, SpooledHit):
            self._times.append(line.at)
            self._places.append(self._end)
        elif isinstance(line, SpooledSlice):
            self.slices.append(line)
        else:
            self.wish = line
        self._file.write(encoded)
        self._end += len(encoded)

    def first_at(self) -> float:
        """The earliest time that any hit tells; 0 when none does."""
        return min((at for at in self._times if at), default=0.0)

    def digest(self) -> str:
        """Of the whole file: another hit makes another one."""
        self.keep()
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def keep(self) -> None:
        self._file.flush()

    def in_order(self) -> Iterator[SpooledHit]:
        """Every hit, the earliest first; those of one time as they came."""
        self.keep()
        order = sorted(range(len(self._times)), key=self._times.__getitem__)
        for number in order:
            self._file.seek(self._places[number])
            yield msgspec.json.decode(self._file.readline(), type=SpooledHit)

    def _recover(self) -> None:
        """Read what an earlier rehearsal left; hits of a stretch that it did not end are dropped,
        because that stretch is asked for again."""
        self._file.seek(0)
        times, places, at = array("d"), array("q"), 0
        for raw, line in _sound_lines(self._file):
            if isinstance(line, SpooledHit):
                times.append(line.at)
                places.append(at)
            at += len(raw)
            if not isinstance(line, SpooledHit):
                self._times, self._places, self._end = times[:], places[:], at
                if isinstance(line, SpooledSlice):
                    self.slices.append(line)
                else:
                    self.wish = line
        self._file.truncate(self._end)
        self._file.seek(0, 2)


def _sound_lines(file: BinaryIO) -> Iterator[tuple[bytes, _Line]]:
    while raw := file.readline():
        try:
            yield raw, msgspec.json.decode(raw, type=_Line)
        except msgspec.DecodeError:
            return
