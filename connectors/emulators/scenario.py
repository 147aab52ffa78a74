"""The demo's world: recorded and made-up events, devices and people, moved to a few minutes ago.

The recording's distances are kept. What is made up says so in the event (`Synthetic`) and in its
host name. Sources and licences: `data/README.md`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from connectors.emulators.spl_commands import StoredEvent
from connectors.model import JsonObject, Row

RECORDED_START = datetime(2020, 10, 18, 6, 17, 3, 239000, tzinfo=UTC)
"""The recorded wmic start; made-up events count their `OffsetS` from it."""
RECORDED_LOCAL = timedelta(hours=-4)
"""`TimeCreated` of the recording is local time, `UtcTime` is right."""
START_AGO = timedelta(minutes=4)
"""How long before the scenario's base the wmic start lies."""
INDEX_DELAY_S = 3
SYSMON = "XmlWinEventLog:Microsoft-Windows-Sysmon/Operational"
SAVED_SEARCH = (
    f'sourcetype="{SYSMON}" process_name="wmic.exe" AND cmdline="*format*"'
    " | table _time process_name, cmdline, parent_process, user, host"
)
INTERNAL_FIELDS_SEARCH = (
    f'sourcetype="{SYSMON}" process_name="wmic.exe" AND cmdline="*format*"'
    " | fields _time _indextime _cd _bkt index process_name cmdline parent_process user host"
    " Computer ProcessGuid"
)
REMOTE_SEARCH = (
    f'sourcetype="{SYSMON}" EventCode=1 ('
    '(process_name="wmic.exe" cmdline="*node:*" cmdline="*call*create*")'
    ' OR (parent_process_name="WmiPrvSE.exe" NOT process_name IN ("WmiPrvSE.exe", "WerFault.exe"))'
    ") | fields _time _indextime _cd _bkt index process_name cmdline parent_process user host"
    " Computer ProcessGuid"
)
SAVED_SEARCHES: dict[str, str] = {
    "WMIC format hits": SAVED_SEARCH,
    "WMIC format hits (internal fields)": INTERNAL_FIELDS_SEARCH,
    "WMIC remote starts": REMOTE_SEARCH,
    "Stockade canary": f'index=* sourcetype="{SYSMON}" | head 1',
}
CUSTOMER_ID = "0123456789abcdef0123456789abcdef"
FILLER_DEVICES = 120


def events(base: datetime) -> list[StoredEvent]:
    """All events of the world, as stored after the add-on's field extraction."""
    start = base - START_AGO
    raws = [_moved(raw, start - RECORDED_START) for raw in _lines("recorded_t1220.jsonl")]
    raws += [_placed(raw, start) for raw in _lines("synthetic_events.jsonl")]
    return [
        stored_event(raw, at=at, indexed_at=int(at.timestamp()) + INDEX_DELAY_S, number=number)
        for number, (raw, at) in enumerate(raws, 1)
    ]


def stored_event(
    raw: JsonObject,
    *,
    at: datetime,
    indexed_at: int,
    number: int,
    visible_at: float | None = None,
) -> StoredEvent:
    """One raw Windows event as Splunk holds it. `number` makes its address in the index (`_cd`)."""
    is_sysmon = str(raw.get("Channel", "")).startswith("Microsoft-Windows-Sysmon")
    index = "main" if is_sysmon else "wineventlog"
    row: Row = {name: str(value) for name, value in raw.items()}
    row |= _extracted(raw)
    row |= {
        "_time": at.isoformat(timespec="milliseconds"),
        "_indextime": str(indexed_at),
        "_cd": f"12:{number * 977}",
        "_bkt": f"{index}~12~{str(uuid5(NAMESPACE_DNS, index)).upper()}",
        "_raw": json.dumps(raw, ensure_ascii=False),
        "_sourcetype": SYSMON if is_sysmon else "XmlWinEventLog:Security",
        "index": index,
        "sourcetype": SYSMON if is_sysmon else "XmlWinEventLog:Security",
        "source": "XmlWinEventLog:" + str(raw.get("Channel", "Security")),
        "splunk_server": "idx1.example.test",
    }
    return StoredEvent(
        at=at.timestamp(),
        indexed_at=indexed_at,
        visible_at=indexed_at if visible_at is None else visible_at,
        row=row,
    )


def _extracted(raw: JsonObject) -> Row:
    """The add-on's names for what the event says. Source: reference/wmic.md section 3, with the
    alias `cmdline` that the saved search needs."""
    host = str(raw.get("Hostname") or raw.get("Computer") or "")
    found: Row = {"host": host, "Computer": host, "EventCode": str(raw.get("EventID", ""))}
    if raw.get("User"):
        found["user"] = str(raw["User"])
    if raw.get("Image"):
        found["process_path"] = str(raw["Image"])
        found["process_name"] = _base_name(raw["Image"])
        found["process_guid"] = str(raw.get("ProcessGuid", ""))
    if raw.get("EventID") == 1:
        found["cmdline"] = found["process"] = str(raw.get("CommandLine", ""))
        found["parent_process"] = str(raw.get("ParentCommandLine", ""))
        found["parent_process_name"] = _base_name(raw.get("ParentImage", ""))
        found["parent_process_path"] = str(raw.get("ParentImage", ""))
        found["original_file_name"] = str(raw.get("OriginalFileName", ""))
    return found


def _base_name(path: Any) -> str:
    return str(path).rpartition("\\")[2]


def _moved(raw: JsonObject, by: timedelta) -> tuple[JsonObject, datetime]:
    local = _instant(raw["TimeCreated"])
    at = _instant(raw["UtcTime"]) if "UtcTime" in raw else local - RECORDED_LOCAL
    moved = {**raw, "TimeCreated": _text(local + by)}
    if "UtcTime" in raw:
        moved["UtcTime"] = _text(at + by)
    return moved, at + by


def _placed(raw: JsonObject, start: datetime) -> tuple[JsonObject, datetime]:
    at = start + timedelta(seconds=float(raw["OffsetS"]))
    kept = {name: value for name, value in raw.items() if name != "OffsetS"}
    return {**kept, "UtcTime": _text(at), "TimeCreated": _text(at)}, at


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def device_id(hostname: str) -> str:
    """A sensor's id: 32 hexadecimal digits, the same at each start."""
    return sha256(f"stockade emulator {hostname}".encode()).hexdigest()[:32]


def devices() -> list[JsonObject]:
    """Falcon's device records, `status` normal. Two keys are ours: `offline` (its sensor never
    acts) and `last_seen_days` (how long ago it was seen)."""
    named: list[JsonObject] = json.loads(_read("devices.json"))
    fillers = [
        {
            "hostname": f"DESK-{number:03d}-SYNTHETIC",
            "kind": "Workstation",
            "domain": "corp.example.test",
            "user": f"user{1000 + number}",
            "local_ip": f"198.18.0.{number}",
            "external_ip": "198.51.100.7",
            "tags": [],
        }
        for number in range(1, FILLER_DEVICES + 1)
    ]
    return [_device(described) for described in [*named, *fillers]]


_PRODUCT_TYPE = {"Workstation": "1", "Domain Controller": "2", "Server": "3"}


def _device(described: JsonObject) -> JsonObject:
    return {
        "device_id": device_id(described["hostname"]),
        "cid": CUSTOMER_ID,
        "hostname": described["hostname"],
        "machine_domain": described["domain"],
        "last_login_user": described["user"],
        "local_ip": described["local_ip"],
        "connection_ip": described["local_ip"],
        "external_ip": described["external_ip"],
        "product_type": _PRODUCT_TYPE[described["kind"]],
        "product_type_desc": described["kind"],
        "platform_name": "Windows",
        "os_version": "Windows 10",
        "tags": list(described["tags"]),
        "groups": [],
        "status": "normal",
        "filesystem_containment_status": "normal",
        "reduced_functionality_mode": "no",
        "agent_version": "7.20.0",
        "offline": described.get("offline", False),
        "last_seen_days": described.get("last_seen_days", 0),
    }


def people() -> list[JsonObject]:
    """Slack accounts: `id`, `name`, and the flags that differ from a full member's."""
    found: list[JsonObject] = json.loads(_read("people.json"))
    return found


def _read(name: str) -> str:
    return (files("connectors.emulators") / "data" / name).read_text(encoding="utf-8")


def _lines(name: str) -> list[JsonObject]:
    return [json.loads(line) for line in _read(name).splitlines()]
