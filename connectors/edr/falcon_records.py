"""What a CrowdStrike Falcon device record says, and when a name means exactly that device.

The one place that writes Falcon's query language (FQL), and it carries only names from a short list
of characters: nothing is escaped, because nothing that would need it is let in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.document import shorten, visible
from connectors.edr.falcon_session import PRODUCT
from connectors.errors import Rejected
from connectors.model import Device, DeviceKind, IsolationState

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(r"[A-Za-z0-9._*-]+")
_DEVICE_ID = re.compile(r"[0-9a-f]{32}")
_MAX_NAME = 253

# The first three: Falcon-Toolkit host_search.py; the fourth: demisto/content, CrowdStrikeFalcon
# README. Read 2026-11-25.
_STATES = {
    "normal": IsolationState.NORMAL,
    "containment_pending": IsolationState.CONTAIN_PENDING,
    "contained": IsolationState.CONTAINED,
    "lift_containment_pending": IsolationState.RELEASE_PENDING,
}
CONTAINED_FILTER = "status:['contained','containment_pending','lift_containment_pending']"
"""FQL for what is contained or under way. `status` is among the filters of the vendor's SDK docs
(falconpy, `QueryDevicesByFilter`, read 2026-11-25); the form in brackets is exact."""
_KINDS = {
    "workstation": DeviceKind.WORKSTATION,
    "server": DeviceKind.SERVER,
    "domain controller": DeviceKind.DOMAIN_CONTROLLER,
}


def kind_filter(kind: DeviceKind) -> str:
    """FQL for a kind, exact and in Falcon's own spelling. Errors: `KeyError` for `UNKNOWN`."""
    words = {known: word.title() for word, known in _KINDS.items()}
    return f"product_type_desc:['{words[kind]}']"


def valid_device_id(text: str) -> str:
    """A sensor's id in the product's own spelling. Errors: `Rejected`, before any call."""
    device_id = text.lower()
    if not _DEVICE_ID.fullmatch(device_id):
        raise Rejected(PRODUCT, f"not a device id (32 hexadecimal digits): {_shown(text)}")
    return device_id


def valid_hostname(text: str) -> str:
    """A host name that FQL can carry. Errors: `Rejected`, before any call."""
    if len(text) > _MAX_NAME or not _NAME.fullmatch(text):
        shown = f"not a host name that can be searched for: {_shown(text)}"
        raise Rejected(PRODUCT, shown, code="unsafe_name")
    return text


def name_filter(hostname: str) -> str:
    """FQL for every name that begins with this one, in any case.

    Falcon has no filter for "this name, in any case": the quoted form matches prefixes, the form in
    brackets is exact but minds the case (CrowdStrike/psfalcon#509, CrowdStrike/Falcon-Toolkit#192).
    So the wide form is asked, and `is_same_host` decides.
    """
    return f"hostname:'{hostname}'"


def pattern_filter(pattern: str) -> str | None:
    """FQL for a name pattern with `*`; None when it asks for all. Errors: `Rejected`.

    The star before the quote is what makes Falcon read the stars inside
    (CrowdStrike/falconpy#1279).
    """
    if len(pattern) > _MAX_NAME or not _PATTERN.fullmatch(pattern):
        raise Rejected(PRODUCT, f"not a pattern of host names: {_shown(pattern)}")
    return f"hostname:*'{pattern}'" if pattern.strip("*") else None


def search_names(hostname: str) -> tuple[str, ...]:
    """The names to ask Falcon for: a full name is stored by some sensors as the short one."""
    short = hostname.partition(".")[0]
    return (hostname,) if short == hostname else (hostname, short)


def is_same_host(asked: str, device: Device) -> bool:
    """Is this device the asked name, without regard to case?

    Either the names are equal; or the shorter one is the first label of the longer one and nothing
    contradicts: a short question is answered by every full name (more than one is then ambiguous),
    a full question only by a record whose own domain is the question's.
    """
    wanted, name = asked.lower(), device.hostname.lower()
    if name == wanted:
        return True
    short, _, domain = wanted.partition(".")
    if not domain:
        return name.partition(".")[0] == short
    return name == short and (device.domain or "").lower() == domain


_OWN_ADDRESSES = ("local_ip", "connection_ip")


def is_hidden(record: Mapping[str, Any]) -> bool:
    """A host that somebody deleted in the console; its sensor is gone or must not be used."""
    return _text(record, "host_hidden_status").lower() == "hidden"


def customer_id(record: Mapping[str, Any]) -> str:
    return _text(record, "cid").lower()


def device_of(record: Mapping[str, Any], device_id: str, instance: str, tenant: str) -> Device:
    """The device that a record describes. What is missing stays empty, what is new is unknown."""
    return Device(
        instance=instance,
        tenant=tenant,
        device_id=device_id,
        hostname=_text(record, "hostname"),
        domain=_text(record, "machine_domain") or None,
        kind=_KINDS.get(_text(record, "product_type_desc").lower(), DeviceKind.UNKNOWN),
        tags=_texts(record.get("tags")),
        users=_texts([record.get("last_login_user")]),
        addresses=_texts([record.get(key) for key in (*_OWN_ADDRESSES, "external_ip")]),
        shared_addresses=_shared_addresses(record),
        platform=_text(record, "platform_name") or None,
        state=_STATES.get(_text(record, "status").lower(), IsolationState.UNKNOWN),
        last_seen_at=_instant(_text(record, "last_seen")),
    )


def _shared_addresses(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The cloud sees a host under its gateway's address, which is that of all hosts behind it.

    Source: FalconPy, Hosts, QueryDevicesByFilter's `external_ip`, 2026-11-25.
    """
    own = {_text(record, key) for key in _OWN_ADDRESSES}
    return tuple(one for one in _texts([record.get("external_ip")]) if one not in own)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _texts(values: Any) -> tuple[str, ...]:
    """The texts among the values, each once, in their order."""
    if not isinstance(values, list):
        return ()
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _shown(text: str) -> str:
    return repr(visible(shorten(text, 80)))
