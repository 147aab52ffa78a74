"""What RT is asked to make of a ticket, the keys by which it is found again, and what was kept."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from connectors.document import shorten, visible
from connectors.errors import Rejected
from connectors.model import JsonObject, TicketDraft
from connectors.tickets.rt_product import RtProduct, values_of
from connectors.tickets.rt_session import PRODUCT, field_values
from connectors.tickets.rt_text import text_of

_MAX_SUBJECT_BYTES = 200  # RT cuts the rest off and says nothing


def ticket_of(draft: TicketDraft, options: RtProduct.Options) -> JsonObject:
    """The body of a create. Labels are words of the text: RT has none of its own."""
    labels = [f"Labels: {', '.join(draft.labels)}"] if draft.labels else []
    wanted: JsonObject = {
        "Queue": options.queue,
        "Subject": line_of(draft.title, _MAX_SUBJECT_BYTES),
        "Content": text_of(draft.body, tail=labels) or "(no text)",
        "ContentType": "text/plain",
        "CustomFields": {**options.fields, options.key_field: correlation_key(draft.correlation)},
    }
    priority = options.priorities.get(draft.severity)
    return wanted if priority is None else {**wanted, "Priority": priority}


def lost_of(wanted: JsonObject, made: JsonObject) -> list[str]:
    """The names of what a ticket was to hold and does not. Errors: `Unavailable` when it does not
    show its custom fields."""
    kept = field_values(made)
    fields = wanted["CustomFields"]
    lost = [name for name, value in fields.items() if not _is_kept(value, kept.get(name, []))]
    return lost + [
        name
        for name in ("Subject", "Priority")
        if name in wanted and str(made.get(name)) != str(wanted[name])
    ]


def correlation_key(correlation: str) -> str:
    """Hexadecimal, so that nothing needs escaping in TicketSQL, and nothing of the case shows.
    Errors: `Rejected`, before any call, for an empty key, which every case would share."""
    if not correlation:
        raise Rejected(PRODUCT, "a ticket without a correlation key could not be told apart")
    return f"stockade-{sha256(correlation.encode()).hexdigest()[:16]}"


def comment_marker(key: str) -> str:
    """Hashed: it stands in a header, and no key can break out of one."""
    if not key:
        raise Rejected(PRODUCT, "a comment without a key could not be found again")
    return f"[stockade:{sha256(key.encode()).hexdigest()[:24]}]"


def is_marked(subject: object, marker: str) -> bool:
    """Does a comment's subject, as RT gives it, end with the marker?"""
    return isinstance(subject, str) and subject.strip().endswith(marker)


def line_of(text: str, most_bytes: int) -> str:
    """One line of at most that many bytes, never empty."""
    whole = visible(text.strip()) or "(no title)"
    limit = most_bytes
    while (size := len((short := shorten(whole, limit)).encode())) > most_bytes:
        limit -= max((size - most_bytes) // 4, 1)
    return short


def _is_kept(sent: str | Sequence[str], kept: Sequence[str]) -> bool:
    values = values_of(sent if isinstance(sent, str) else tuple(sent))
    return sorted(values) == sorted(kept)
