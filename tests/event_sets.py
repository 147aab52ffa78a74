"""The recorded event sets, and the shortest way to ask them something."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from runner.wmic.event_rows import read_events
from runner.wmic.events import Event, Process, base_name
from runner.wmic.origin import Ask, Start, Trace, trace

FOLDER = Path(__file__).parent / "events"
EMPIRE = "otrf_empire_wmic_add_user_backdoor"
SHARPWMI = "otrf_covenant_sharpwmi_create"
HIJACK = "otrf_covenant_wmi_wbemcomn_dll_hijack"
EXECMETHOD = "otrf_empire_wmi_execmethod"
MSBUILD = "otrf_empire_msbuild_wmi_smb"
SUBSCRIPTION = "otrf_covenant_wmi_event_subscription_remote"
PERSIST = "otrf_covenant_persistwmi_5hosts"
T1220 = "otrf_wmic_remote_xsl_jscript"
SAME_URL = "synthetic_same_url"
W5, W6 = "WORKSTATION5.theshire.local", "WORKSTATION6.theshire.local"
DC = "MORDORDC.theshire.local"


def rows(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def recorded(*names: str) -> tuple[Event, ...]:
    return read_events([row for name in names for row in rows(name)]).events


def process(name: str, image: str, is_wanted: Callable[[Process], bool] = bool) -> Process:
    """The only Sysmon start of a program in a set."""
    found = [
        event
        for event in recorded(name)
        if isinstance(event, Process)
        and event.guid
        and base_name(event.image) == image.casefold()
        and is_wanted(event)
    ]
    assert len(found) == 1, [event.ref for event in found]
    return found[0]


def start_of(one: Process) -> Start:
    return Start(host=one.host, at=one.at, guid=one.guid, image=one.image)


def followed(start: Start, events: Sequence[Event], **more: Any) -> Trace:
    """The trace when every ask was answered with nothing new."""
    answered: frozenset[Ask] = frozenset()
    found = trace(start, events, answered, **more)
    for _ in range(20):
        if not found.asks:
            return found
        answered |= set(found.asks)
        found = trace(start, events, answered, **more)
    raise AssertionError("the trace asks without end")


def first_at(name: str, host: str) -> datetime:
    return min(event.at for event in recorded(name) if event.host == host and event.at)
