"""The hunts for origin and spread: what they read, within bounds, and what they make of it.

Each search is a journalled step of start, poll and fetch. What could not be asked, was refused or
was cut is said beside what was found. Nothing here isolates anything: it proposes targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import msgspec
from msgspec import Struct

from connectors.document import shorten, visible
from connectors.errors import AuthFailed, Rejected
from connectors.model import Alert, Device, EventQuery, Row
from runner.context import StepFailed, Target
from runner.hostname import is_same_host
from runner.hunt_fields import raw_events, whole
from runner.hunts import CUT, SEARCH_S, Found, event_of, event_query, row_alert, search
from runner.identity import MOST_CANDIDATES, prove
from runner.roles import Roles
from runner.wmic import Event, Places, read_events
from runner.work import Work, read

MOST_TARGETS = 25
MOST_SHOWN = 300


class Lead(Struct, frozen=True, kw_only=True):
    """A host that a hunt found: an event that names it, and why it is proposed."""

    event: Alert
    why: str


def limit_of(work: Work) -> float:
    """How long a search of this step may run, in seconds."""
    return work.step.timeout_s or SEARCH_S


def devices_of(roles: Roles, told: Alert, device_id: str | None) -> list[Device]:
    """All devices that the sensor's id, or else the name or one of the names, fits exactly."""
    if device_id is not None:
        try:
            by_sensor = list(roles.edr.find_devices(device_id=device_id))
        except AuthFailed:
            raise
        except Rejected:
            # Another product's id: it names no sensor here, and the host's name still may.
            by_sensor = []
        if by_sensor:
            return by_sensor
    found: dict[str, Device] = {}
    for host in [told.host] if told.host else told.host_candidates[:MOST_CANDIDATES]:
        for device in roles.edr.find_devices(hostname=host):
            found[device.device_id] = device
    return list(found.values())


class Searches:
    """The searches of one step, numbered in the order in which they are asked for, and their rows.

    `gaps`: searches that were tried and failed or were cut; `blind`: what could not be asked.
    """

    def __init__(self, work: Work, most: int) -> None:
        self._work = work
        self._most = most
        self._count = 0
        self.rows: list[Row] = []
        self.gaps: list[str] = []
        self.blind: list[str] = []

    async def read(
        self, query: EventQuery | str, what: str, *, a_part_will_do: bool = False
    ) -> Found:
        """Run one query and keep its rows. What it does not give is noted, with `what` it was; that
        there are more rows than one search takes is not, where `a_part_will_do`."""
        if isinstance(query, str):
            self._note(self.blind, query)
            return Found(gap=query, was_run=False)
        if self._count == self._most:
            self._note(self.gaps, f"incomplete: {self._most} searches were made, and no more are")
            return Found(gap=self.gaps[-1], was_run=False)
        self._count += 1
        key = f"{self._work.path}#search.{self._count}"
        siem = self._work.bench.roles.siem
        found = await search(self._work.ctx, key, siem, query, limit_of(self._work))
        self.rows += found.rows
        if found.gap is not None and not (a_part_will_do and found.gap == CUT):
            self._note(self.gaps, f"{found.gap} ({what})")
        return found

    @staticmethod
    def _note(notes: list[str], sentence: str) -> None:
        if sentence not in notes:
            notes.append(sentence)

    def events(self) -> tuple[Event, ...]:
        """Everything that was read so far, each event once."""
        raw = raw_events(self.rows, self._work.bench.config.hunts)
        unique = {msgspec.json.encode(row): row for row in raw}
        return read_events(unique.values()).events


async def behind(work: Work, searches: Searches) -> Alert:
    """The alert as the event behind it tells it: its own host and process, where the row named
    those of a collector or none. Without that event, the alert as it came."""
    alert, hunts = work.ctx.alert, work.bench.config.hunts
    asked = await read(work, "query", lambda _s: event_query(alert, hunts))
    if asked is None:
        return alert
    found = await searches.read(whole(msgspec.convert(asked, EventQuery)), "the alert's event")
    event = event_of(alert, found, hunts)
    if event is None:
        return alert
    return msgspec.structs.replace(
        alert,
        host=event.host or alert.host,
        occurred_at=event.occurred_at or alert.occurred_at,
        process_guid=event.process_guid or alert.process_guid,
        user=event.user or alert.user,
        addresses=tuple(dict.fromkeys((*alert.addresses, *event.addresses))),
    )


# -- what the EDR knows ----------------------------------------------------------------------------


class Known(Struct, frozen=True, kw_only=True):
    """`addresses`: address → host, of the alert's own device. `fleet_size`: all devices."""

    addresses: dict[str, str] = {}
    fleet_size: int | None = None
    gap: str | None = None


async def known_places(work: Work) -> Known:
    """What the EDR says of the alert's host and of the fleet; a refusal is a gap, no error."""
    roles, alert = work.bench.roles, work.ctx.alert
    if not roles.has("edr"):
        return Known(gap="incomplete: no EDR is bound, so the fleet's size is not known")

    def send(_elapsed_s: float) -> Known:
        devices = devices_of(roles, alert, alert.device_id)
        addresses = devices[0].addresses if len(devices) == 1 else ()
        host = alert.host or ""
        own = [text for text in (*alert.addresses, *addresses) if is_own(text)]
        return Known(
            addresses=dict.fromkeys(own, host) if host else {},
            fleet_size=roles.edr.count_devices(),
        )

    try:
        return msgspec.convert(await read(work, "places", send), Known)
    except StepFailed as failed:
        return Known(gap=f"incomplete: the EDR did not say what it knows ({failed.text})")


def is_own(address: str) -> bool:
    """A public address may be the gateway's, which many machines share."""
    try:
        return not ip_address(address).is_global
    except ValueError:
        return False


def addresses_of(alert: Alert, known: Mapping[str, str], events: Sequence[Event]) -> list[str]:
    """Each address that the alert's host is known to have had."""
    if alert.host is None:
        return []
    return sorted(Places(events, known).addresses_of(alert.host))


# -- targets ---------------------------------------------------------------------------------------


def lead(work: Work, host: str, rows: Sequence[Row], why: str) -> Lead | None:
    """The event that says most of a host: one with a user before one without."""
    hunts = work.bench.config.hunts
    named = (row_alert(work.ctx.alert.siem, row, hunts) for row in rows)
    same = [event for event in named if event.host is not None and is_same_host(event.host, host)]
    best = max(same, key=lambda event: (event.user is not None, len(event.addresses)), default=None)
    return None if best is None else Lead(event=best, why=why)


async def targets_of(work: Work, leads: Sequence[Lead]) -> list[dict[str, Any]]:
    """The devices of the hosts, each with the proof of its identity and why it is proposed. Where
    the EDR does not answer there are none, and what was found stands all the same."""
    if not leads or not work.bench.roles.has("edr"):
        return []

    def send(_elapsed_s: float) -> list[Target]:
        now = work.ctx.now()
        return [_target(work.bench.roles, one, now) for one in leads[:MOST_TARGETS]]

    try:
        found: list[dict[str, Any]] = await read(work, "devices", send)
    except StepFailed as failed:
        return [_not_looked_up(one, failed) for one in leads[:MOST_TARGETS]]
    return found


def _not_looked_up(one: Lead, failed: StepFailed) -> dict[str, Any]:
    proof = f"{one.event.host}: NOT looked up in the EDR, so nobody is asked ({failed.text})"
    return {"proved": False, "proof": proof, "devices": ()}


def _target(roles: Roles, one: Lead, now: datetime) -> Target:
    event = one.event
    target = prove(event, event, devices_of(roles, event, event.device_id), now)
    if not one.why:
        return target
    return msgspec.structs.replace(
        target, proof=f"{target.proof}; found because {visible(shorten(one.why, MOST_SHOWN))}"
    )


def usable(targets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with a device; the others are a gap."""
    return [target for target in targets if target["devices"]]


def joined_targets(*groups: Sequence[Any]) -> list[Any]:
    """Targets of several hunts, each device once, the first proof kept."""
    seen: set[str] = set()
    kept: list[Any] = []
    for target in (target for group in groups for target in group):
        ids = {device["device_id"] for device in target["devices"]}
        if ids - seen:
            kept.append(target)
        seen |= ids
    return kept


def without_siem(work: Work) -> str | None:
    """Why nothing can be searched at all; None when something can."""
    if not work.bench.roles.has("siem"):
        return "not searched: no SIEM is bound"
    if work.bench.config.hunts.index is None:
        return "not searched: hunts.index is not configured"
    return None
