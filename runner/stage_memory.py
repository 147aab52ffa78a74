"""A stopped rehearsal, so that it goes on at the hit where it stopped: what its stand-ins know.

Everything else lies in its throw-away journal. Written at a stop and at the end; one that was
killed, or whose playbooks, hits or options are others by now, is played anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from connectors.model import TicketRef
from runner.stand_in_talk import ChatMemory
from runner.stand_ins import EdrMemory


class Memory(Struct, frozen=True, kw_only=True):
    """`done`: how many hits were taken in, in the order of the spool; `digest`: of all that must be
    the same for going on."""

    digest: str
    done: int
    began_at: datetime
    now: datetime
    edr: EdrMemory
    chat: ChatMemory
    tickets: dict[str, TicketRef]


def digest_of(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(dict(sorted(parts.items())))).hexdigest()


def keep(folder: Path, memory: Memory) -> None:
    """Write it beside the journal of the rehearsal."""
    file = folder / "stopped.json"
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(memory))


def take(folder: Path, digest: str) -> Memory | None:
    """What a stop left, and nothing when it does not fit. It is used once: a second stop writes its
    own."""
    file = folder / "stopped.json"
    try:
        memory = msgspec.json.decode(file.read_bytes(), type=Memory)
    except (OSError, msgspec.DecodeError):
        return None
    file.unlink()
    return memory if memory.digest == digest else None
