"""Where a stand-in keeps its world between two starts: one JSON file, replaced whole."""

from __future__ import annotations

import json
from pathlib import Path

from connectors.model import JsonObject


class StateFile:
    """A JSON object on disk, mode 0600. A reader sees the old one or the new one, never a half."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> JsonObject | None:
        """What was written last, or None at the first start."""
        if not self._path.exists():
            return None
        loaded: JsonObject = json.loads(self._path.read_text(encoding="utf-8"))
        return loaded

    def write(self, value: JsonObject) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        fresh.replace(self._path)
