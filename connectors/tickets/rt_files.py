"""Which files RT is given, and whether it kept all of one."""

from __future__ import annotations

import re
from base64 import b64decode

from connectors.document import shorten, visible
from connectors.errors import OutcomeUnknown, Rejected, Unavailable
from connectors.model import JsonObject
from connectors.tickets.rt_session import PRODUCT, RtSession, api_path

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}[A-Za-z0-9]")
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def require_file(name: str, content: bytes) -> None:
    """Errors: `Rejected` for a name that could leave its folder or mean a device on some system,
    and for an empty file, which RT does not take."""
    if not _FILE_NAME.fullmatch(name) or _DEVICE_NAMES.fullmatch(name):
        raise Rejected(PRODUCT, f"not a safe file name: {visible(shorten(name, 80))!r}")
    if not content:
        raise Rejected(PRODUCT, f"an empty file cannot be attached: {name}")


def is_whole(session: RtSession, entry: JsonObject) -> bool:
    """Does RT hold as much of a listed file as it says was sent? The length that it tells of a cut
    file is the one that was sent. Errors: `Unavailable` when it does not tell."""
    told = str(entry.get("ContentLength"))
    if not (told.isascii() and told.isdigit()):
        raise Unavailable(PRODUCT, "does not say how long a file is")
    record = session.read(api_path("attachment", str(entry.get("id"))))
    return len(decoded(record, Unavailable)) == int(told)


def decoded(record: JsonObject, fault: type[OutcomeUnknown | Unavailable]) -> bytes:
    """A file as RT stored it. Errors: `fault` when it does not give it."""
    try:
        return b64decode(record.get("Content"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise fault(PRODUCT, "does not give the file back") from None
