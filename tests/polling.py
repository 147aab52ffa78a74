r"""A world in which a hit ends with one word: for what has to do with polling alone.

with polling_world(tmp_path) as world:
    store(world, host="WS-1")
    assert poll(world).code == 0
    assert cmdlines(world) == [...]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from connectors.emulators.scenario import stored_event
from connectors.emulators.splunk import Splunk
from connectors.model import JsonObject, Row
from runner.journal import Journal, polls
from runner.journal.poll_records import Poll
from runner.result import Result
from runner.ticks import run_once
from tests.world import World, running_world
from tests.world_settings import SEARCH, merged

SEEN = """\
playbook: seen
description: Look at nothing and end.
steps:
  - stop: {reason: seen}
"""
NO_CANARY = {"searches": {SEARCH: {"canary": None}}}


@contextmanager
def polling_world(
    folder: Path, changes: dict[str, Any] | None = None, *, playbook: str | None = SEEN
) -> Iterator[World]:
    """A world whose one playbook is `seen`, without a canary unless `changes` name one."""
    own = {"searches": {SEARCH: {"playbook": "seen", "canary": None}}}
    playbooks = {"other": SEEN} if playbook is None else {"seen": playbook}
    with running_world(folder, merged(own, changes or {}), playbooks=playbooks) as world:
        yield world


def poll(world: World, after_s: float = 60) -> Result:
    """One `run`, as cron starts it, some time after the last."""
    world.clock.advance(after_s)
    return run_once(world.service, is_detailed=False, linger_s=15)


def raw_hit(number: int, host: str, cmdline: str | None = None) -> JsonObject:
    """A wmic start as the sensor writes it; each number its own command line."""
    return {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Hostname": host,
        "User": r"EXAMPLE\user",
        "Image": r"C:\Windows\System32\wbem\WMIC.exe",
        "OriginalFileName": "wmic.exe",
        "CommandLine": cmdline or f"wmic os get /format:C:\\{number}.xsl",
        "ParentCommandLine": "cmd.exe",
        "ProcessGuid": f"{{00000000-0000-4000-8000-{number:012x}}}",
    }


def store(
    world: World,
    number: int = 1,
    *,
    host: str = "WS-1",
    cmdline: str | None = None,
    age_s: float = 20,
    index_age_s: float = 20,
    visible_in_s: float = 0,
) -> Row:
    """One event into Splunk; times as in `SearchHead.add_event`."""
    return world.splunk.add_event(
        raw_hit(number, host, cmdline),
        age_s=age_s,
        index_age_s=index_age_s,
        visible_in_s=visible_in_s,
    )


def store_many(splunk: Splunk, count: int, host: str = "WS-{}", spread_s: float = 60) -> None:
    """Many events at once, over the last `spread_s` seconds; `host` may hold the number."""
    now = splunk.clock.now().timestamp()
    first = len(splunk.events) + 1
    for number in range(first, first + count):
        at = splunk.clock.now().fromtimestamp(
            now - spread_s + spread_s * (number - first) / count, tz=splunk.clock.now().tzinfo
        )
        event = stored_event(
            raw_hit(number, host.format(number)),
            at=at,
            indexed_at=int(at.timestamp()),
            number=number,
        )
        splunk.events.append(event)


def records(journal: Journal) -> list[Poll]:
    """What each poll left, oldest first."""
    with journal.read() as tx:
        rows = tx.all("select body from poll order by n")
    return [msgspec.json.decode(row[0], type=Poll) for row in rows]


def watermark(world: World) -> int | None:
    with world.journal.read() as tx:
        return polls.watermark(tx, SEARCH)


def cmdlines(world: World) -> list[str]:
    """The command lines of all alerts in the journal, each as often as it was stored."""
    with world.journal.read() as tx:
        rows = tx.all("select body from alert order by n")
    return sorted(str(msgspec.json.decode(row[0])["cmdline"]) for row in rows)


def dispatches(splunk: Splunk) -> list[str]:
    """The forms by which the saved search was started."""
    return [
        seen.body
        for seen in splunk.requests
        if seen.path.endswith("/WMIC%20format%20hits/dispatch")
    ]
