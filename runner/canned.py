"""The EDR and the SIEM of a rehearsal's file: they answer what the file says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from connectors.errors import NotFound, Rejected
from connectors.model import (
    Device,
    EventQuery,
    IsolationState,
    Row,
    SearchJob,
    SearchPhase,
    SearchStatus,
)
from runner.hostname import is_same_host
from runner.rehearsal_file import RehearsalShape

SIEM = "rehearsal"
PROTECTED = "rehearsal-protected"
"""A device that stands in each rehearsal's list, so that the list means something."""


class CannedEdr:
    """The devices of a file."""

    name = "edr"
    tenant = "rehearsal"

    def __init__(self, file: RehearsalShape) -> None:
        self._fleet = file.given.fleet
        self.devices = [
            Device(
                instance=self.name,
                tenant=self.tenant,
                device_id=one.device_id,
                hostname=one.hostname,
                domain=one.domain,
                kind=one.kind,
                users=one.users,
                addresses=one.addresses,
                state=IsolationState.NORMAL,
                last_seen_at=file.start,
            )
            for one in file.given.devices
        ]

    def named(self, hostname: str) -> Device:
        return next(one for one in self.devices if one.hostname == hostname)

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]:
        return [
            one
            for one in self.devices
            if (hostname is not None and is_same_host(one.hostname, hostname))
            or (device_id is not None and one.device_id.lower() == device_id.lower())
        ]

    def read_device(self, device_id: str) -> Device:
        for one in self.devices:
            if one.device_id == device_id:
                return one
        raise NotFound("rehearsal", f"the file has no device {device_id}")

    def count_devices(self, hostname_pattern: str | None = None) -> int:
        if hostname_pattern is None:
            return self._fleet
        names = [PROTECTED, *(one.hostname.lower() for one in self.devices)]
        return sum(fnmatchcase(name, hostname_pattern.lower()) for name in names)

    def contained_devices(self) -> Sequence[Device]:
        return ()


class CannedSiem:
    """The hunts of a file. One that the file does not foresee is noted in `faults`."""

    name = SIEM

    def __init__(self, file: RehearsalShape, faults: list[str]) -> None:
        self._file = file
        self._faults = faults
        self._rows: list[tuple[Row, ...]] = []

    def start_event_query(self, query: EventQuery) -> SearchJob:
        sought = [value for term in query.terms for value in term.values]
        for one in self._file.given.searches:
            if all(any(text in value for value in sought) for text in one.has):
                if one.fails is not None:
                    raise Rejected("rehearsal", one.fails)
                own = (self._file.row,) if one.alert else ()
                self._rows.append((*own, *one.rows))
                return SearchJob(sid=str(len(self._rows) - 1), started_at=self._file.start)
        self._faults.append(
            f"unexpected call siem.start_event_query: nothing under given.searches answers a "
            f"search for {', '.join(sought)}"
        )
        raise Rejected("rehearsal", "the file does not answer this search")

    def search_status(self, job: SearchJob) -> SearchStatus:
        return SearchStatus(phase=SearchPhase.COMPLETE, row_count=len(self._rows[int(job.sid)]))

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]:
        yield from self._rows[int(job.sid)]

    def cancel_search(self, job: SearchJob) -> None:
        """Nothing is under way."""
