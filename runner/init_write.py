"""The files of a new configuration: their text, and how they are written, all or none.

Nothing that exists is overwritten. Secrets go to files of their own, never into the YAML.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from runner.init_products import Chosen

HEAD = """\
# Written by `stockade init`. What each key means: docs/configuration.md
# Secrets never stand here. Try it: stockade check

"""
WHY = {
    "mode": "observe: judge and report. Then practice, then act: docs/first-week.md",
    "state_dir": "A folder of its own on a local disk. Never a network share.",
    "people": "One person has one vote.",
    "approvals": "Nobody else counts. No answer is a no.",
    "guards": "What may be done at all; in observe nothing is, and the report says what would.",
    "hunts": 'Where hunts search; without an index they say "not searched".',
}


class NewFile(Struct, frozen=True, kw_only=True):
    path: Path
    text: str


def config_text(data: Mapping[str, Any]) -> str:
    """The YAML, in the order given. Texts are quoted as JSON, which YAML reads the same."""
    parts = [HEAD]
    for key, value in data.items():
        if key in WHY:
            parts.append(f"# {WHY[key]}\n")
        parts.append(_lines(key, value, "") + "\n")
    return "\n".join("".join(parts).rstrip("\n").split("\n")) + "\n"


def _lines(key: str, value: Any, indent: str) -> str:
    if isinstance(value, Mapping) and value and not _is_short(value):
        below = "".join(_lines(name, one, indent + "  ") for name, one in value.items())
        return f"{indent}{key}:\n{below}"
    return f"{indent}{key}: {_inline(value)}\n"


def _is_short(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and all(isinstance(one, str) for one in value.values())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=True)


def connector_data(chosen: Chosen) -> dict[str, Any]:
    """A connector's section."""
    data: dict[str, Any] = {"type": chosen.type}
    if chosen.tenant != "default":
        data["tenant"] = chosen.tenant
    data["base_url"] = chosen.base_url
    data["credentials"] = {key: {kept.way: kept.place} for key, kept in chosen.credentials.items()}
    if chosen.options:
        data["options"] = chosen.options
    if chosen.tls:
        data["tls"] = chosen.tls
    if chosen.proxy:
        data["proxy"] = chosen.proxy
    return data


def secret_files(chosen: Chosen, folder: Path) -> list[NewFile]:
    """The files of the secrets that were typed."""
    return [
        NewFile(path=folder / kept.place, text=kept.secret.reveal() + "\n")
        for kept in chosen.credentials.values()
        if kept.is_new and kept.secret is not None
    ]


def write_all(files: list[NewFile]) -> None:
    """Write new files of mode 600 in folders of mode 700, the last one last. What was written is
    taken back when one cannot be. Errors: `OSError`, also `FileExistsError`; a stop by the
    keyboard."""
    done: list[Path] = []
    try:
        for file in files:
            if not file.path.parent.is_dir():
                file.path.parent.mkdir(mode=0o700, parents=True)
            handle = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            done.append(file.path)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(file.text)
    except BaseException:
        for path in done:
            path.unlink(missing_ok=True)
        raise
