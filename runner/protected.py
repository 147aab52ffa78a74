"""Which devices may never be contained: the protected-assets file, and the proof that it means
something.

One rule a line: `host PATTERN` (a name, `*` for any text, without regard to case) or `id
DEVICE_ID`; `#` begins a comment. A file that is missing, empty or wrong protects nothing, so
nothing may be done.
"""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from connectors.document import visible
from connectors.model import Device

_HOST = re.compile(r"[A-Za-z0-9._*-]*[A-Za-z0-9][A-Za-z0-9._*-]*")
_ID = re.compile(r"[A-Za-z0-9-]{4,64}")


class ProtectedAssets(Struct, frozen=True, kw_only=True):
    """The rules as read. `faults` is empty for a usable file; `sha256` names this exact text."""

    hosts: tuple[str, ...] = ()
    device_ids: tuple[str, ...] = ()
    sha256: str = ""
    faults: tuple[str, ...] = ()

    def protects(self, device: Device) -> str | None:
        """The rule that protects a device, or None. Both its full and its short name are tried."""
        full = device.hostname.lower()
        names = {full, full.split(".")[0]}
        if device.domain:
            names.add(f"{full.split('.')[0]}.{device.domain.lower()}")
        for pattern in self.hosts:
            if any(fnmatchcase(name, pattern.lower()) for name in names):
                return f"host {pattern}"
        if device.device_id.lower() in {known.lower() for known in self.device_ids}:
            return f"id {device.device_id}"
        return None


def read_protected(path: Path | None) -> ProtectedAssets:
    """Read the file; whatever is wrong with it is in `faults`, each a sentence with its line."""
    if path is None:
        return ProtectedAssets(faults=("guards.protected_file is not set",))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        return ProtectedAssets(faults=(f"{path}: {why}",))
    hosts: list[str] = []
    ids: list[str] = []
    faults: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) == 2 and words[0] == "host" and _HOST.fullmatch(words[1]):
            hosts.append(words[1])
        elif len(words) == 2 and words[0] == "id" and _ID.fullmatch(words[1]):
            ids.append(words[1])
        else:
            faults.append(
                f"{path}:{number}: «{visible(raw.strip()[:80])}» is no rule;"
                " write `host PATTERN` or `id DEVICE_ID`"
            )
    if not hosts and not ids and not faults:
        faults.append(f"{path}: protects nothing; name at least one device")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ProtectedAssets(
        hosts=tuple(hosts), device_ids=tuple(ids), sha256=digest, faults=tuple(faults)
    )
