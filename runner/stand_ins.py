"""What stands in for the products while a playbook is rehearsed: nothing leaves the process.

Reads go to whatever is given (a product, or a file's answers); what changes the world is only
noted, and shows in later reads, so that guards, claims and the ledger see it as if it had happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import msgspec
from msgspec import Struct

from connectors.base import Action, Connector
from connectors.errors import Rejected
from connectors.model import (
    CheckResult,
    Clock,
    Device,
    EventQuery,
    IsolationState,
    Row,
    SearchJob,
    SearchPhase,
    SearchStatus,
)
from runner.config import Config
from runner.roles import Roles

WAIT_S = 120.0
LOOK_S = 0.3


class Deed(Struct, frozen=True, kw_only=True):
    """One call that would have changed the world: the role's verb, and at what."""

    call: str
    target: str

    def __str__(self) -> str:
        return f"{self.call}: {self.target}"


class EdrReads(Protocol):
    """The reading half of an EDR; a rehearsal is given nothing that could write."""

    name: str
    tenant: str

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]: ...

    def read_device(self, device_id: str) -> Device: ...

    def count_devices(self, hostname_pattern: str | None = None) -> int: ...

    def contained_devices(self) -> Sequence[Device]: ...


class SiemReads(Protocol):
    """What hunts ask a SIEM."""

    name: str

    def start_event_query(self, query: EventQuery) -> SearchJob: ...

    def search_status(self, job: SearchJob) -> SearchStatus: ...

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]: ...

    def cancel_search(self, job: SearchJob) -> None: ...


class EdrMemory(Struct, frozen=True):
    """Which devices stand otherwise than the EDR says, by id."""

    states: dict[str, IsolationState] = {}


class EdrOverlay:
    """An EDR whose devices are read, and whose isolations happen on paper."""

    def __init__(self, reads: EdrReads, deeds: list[Deed]) -> None:
        self.name, self.tenant = reads.name, reads.tenant
        self._reads = reads
        self._deeds = deeds
        self._states: dict[str, IsolationState] = {}

    def memory(self) -> EdrMemory:
        return EdrMemory(self._states)

    def recall(self, memory: EdrMemory) -> None:
        self._states = dict(memory.states)

    def put(self, device_id: str, state: IsolationState) -> None:
        """How it stands before the rehearsal begins."""
        self._states[device_id] = state

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]:
        found = self._reads.find_devices(hostname=hostname, device_id=device_id)
        return tuple(map(self._shown, found))

    def read_device(self, device_id: str) -> Device:
        return self._shown(self._reads.read_device(device_id))

    def count_devices(self, hostname_pattern: str | None = None) -> int:
        return self._reads.count_devices(hostname_pattern)

    def contained_devices(self) -> Sequence[Device]:
        return tuple(map(self._shown, self._reads.contained_devices()))

    def isolate_host(self, device_id: str, reason: str) -> None:
        self._note("edr.isolate_host", device_id, IsolationState.CONTAINED)

    def release_host(self, device_id: str, reason: str) -> None:
        self._note("edr.release_host", device_id, IsolationState.NORMAL)

    def check(self) -> Sequence[CheckResult]:
        return ()

    def _note(self, call: str, device_id: str, state: IsolationState) -> None:
        device = self._reads.read_device(device_id)
        self._states[device_id] = state
        self._deeds.append(Deed(call=call, target=device.hostname))

    def _shown(self, device: Device) -> Device:
        state = self._states.get(device.device_id)
        return device if state is None else msgspec.structs.replace(device, state=state)


class WaitedSiem:
    """A SIEM whose hunts are waited for on the real clock, because the rehearsal's is set by hand.
    Saved searches are not started through it."""

    def __init__(self, reads: SiemReads, clock: Clock) -> None:
        self.name = reads.name
        self._reads = reads
        self._clock = clock

    def start_event_query(self, query: EventQuery) -> SearchJob:
        """Start and wait. Errors: `Unavailable` when it does not end in time."""
        job = self._reads.start_event_query(query)
        began = self._clock.monotonic()
        while self._reads.search_status(job).phase is SearchPhase.RUNNING:
            if self._clock.monotonic() - began > WAIT_S:
                self._reads.cancel_search(job)
                raise Rejected("rehearsal", f"the search did not end within {WAIT_S:.0f} seconds")
            self._clock.sleep(LOOK_S)
        return job

    def search_status(self, job: SearchJob) -> SearchStatus:
        return self._reads.search_status(job)

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]:
        return self._reads.fetch_rows(job, row_count)

    def cancel_search(self, job: SearchJob) -> None:
        self._reads.cancel_search(job)


class StandInRoles(Roles):
    """Role → stand-in; a role that has none is not bound. No connector is ever built from here."""

    def __init__(self, config: Config, stand_ins: Mapping[str, Any]) -> None:
        self._config = config
        self._stand_ins = stand_ins

    def has(self, role: str) -> bool:
        return role in self._stand_ins

    def connector(self, role: str) -> Connector:
        if role not in self._stand_ins:
            raise Rejected("configuration", f"no connector is bound to the role {role}")
        return cast(Connector, self._stand_ins[role])

    def settle_s(self, role: str, action: Action) -> float:
        """Nothing is ever under way."""
        return 0.0
