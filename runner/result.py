"""What a command gives: an exit code, data for `--json`, and text for people."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Result(Struct, frozen=True, kw_only=True):
    """What a command gives: an exit code, data for `--json`, and text for people."""

    code: int
    data: Any
    text: str
