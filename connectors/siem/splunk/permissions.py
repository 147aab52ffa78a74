"""Does the account's role have what the client needs, and nothing that a broken quote could use?

It names what is missing in the words of `authorize.conf`. It changes nothing that stays: its one
search asks for one event of the last hour and is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from connectors.errors import AuthFailed, ConnectorError
from connectors.http import path_of
from connectors.model import CheckResult, Clock, SearchJob, SearchPhase, SearchStatus
from connectors.siem.splunk import role
from connectors.siem.splunk.jobs import content_of
from connectors.siem.splunk.rest import Rest

CLOUD_CLOSED = (
    "add this machine's public address to the stack's IP allow list for the feature `search-api`"
    " (Admin Config Service); until then port 8089 takes no connection, and a free trial never does"
)
"""Source: Splunk Cloud Platform, "Configure IP allow lists", read 2026-11-25."""
PROBE_POLLS = 12
PROBE_WAIT_S = 0.5


class Followed(Protocol):
    """The client, as far as a job is followed to its end."""

    def search_status(self, job: SearchJob) -> SearchStatus: ...
    def cancel_search(self, job: SearchJob) -> None: ...


class Probed(Followed, Protocol):
    """The client, as far as a check of the account needs it."""

    def start_probe(self) -> SearchJob: ...


class PermissionCheck:
    """One pass over all that the client needs. It stops where nothing behind can work."""

    def __init__(self, splunk: Probed, rest: Rest, clock: Clock) -> None:
        self._splunk = splunk
        self._rest = rest
        self._clock = clock
        self._roles: list[str] = []

    def run(self) -> list[CheckResult]:
        """Each thing looked at, in order; a fault at the product is a result, not an error."""
        found: list[CheckResult] = []
        for looking_at, look in (
            ("the sign-in", self._look_at_account),
            ("the role's limits", self._look_at_limits),
            ("version and clock", self._look_at_clock),
            ("saved searches", self._look_at_saved_searches),
            ("a search over the readable indexes", self._look_at_search),
        ):
            try:
                found += look()
            except ConnectorError as error:
                mend = self._mend(error)
                found.append(CheckResult(what=looking_at, ok=False, mend=mend))
                if look == self._look_at_account:
                    break
        return found

    def _look_at_account(self) -> Iterator[CheckResult]:
        """Source: GET /services/authentication/current-context, 2026-11-25."""
        reply = self._rest.read_json("/services/authentication/current-context")
        content = content_of(reply)
        held = _names(content.get("capabilities"))
        self._roles = _names(content.get("roles"))
        named = ", ".join(self._roles) or "no role"
        yield CheckResult(what=f"signed in as {content.get('username')}, with {named}", ok=True)
        missing = role.missing_capabilities(held)
        lines = ", ".join(f"`{name} = enabled`" for name in missing)
        yield CheckResult(
            what="the role may search",
            ok=not missing,
            mend=f"give the role {lines}" if lines else None,
        )
        dangerous = role.dangerous_capabilities(held)
        yield CheckResult(
            what="the role can only read",
            ok=not dangerous,
            mend="take from the role: " + ", ".join(dangerous) if dangerous else None,
        )

    def _look_at_limits(self) -> Iterator[CheckResult]:
        """Source: GET /services/authorization/roles/{name}, 2026-11-25."""
        for name in self._roles:
            what = f"the limits of the role {name}"
            reply = self._rest.get(
                path_of("services", "authorization", "roles", name), accept=(200, 403, 404)
            )
            if reply.status != 200:
                # Many a role may not read itself, and a search that is narrowed is seen anyway.
                yield CheckResult(
                    what=f"{what}: not looked at, the role may not read them", ok=True
                )
                continue
            faults = list(role.faults_of(content_of(reply.json())))
            mend = self._rest.redact("; ".join(faults)) if faults else None
            yield CheckResult(what=what, ok=not faults, mend=mend)

    def _look_at_clock(self) -> Iterator[CheckResult]:
        version = ".".join(map(str, self._rest.version()))
        yield CheckResult(what=f"Splunk {version}, clock {self._rest.server_time()}", ok=True)

    def _look_at_saved_searches(self) -> Iterator[CheckResult]:
        """Source: GET /servicesNS/-/-/saved/searches, 2026-11-25."""
        reply = self._rest.read_json("/servicesNS/-/-/saved/searches", {"count": 1})
        entries = reply.get("entry") if isinstance(reply, dict) else None
        yield CheckResult(
            what="saved searches can be read",
            ok=bool(entries),
            mend=None if entries else "share the saved search and give the role read permission",
        )

    def _look_at_search(self) -> Iterator[CheckResult]:
        """A search from start to end: dispatching, reading its status, and an index with events."""
        job = self._splunk.start_probe()
        try:
            status = wait_for(self._splunk, job, self._clock)
        finally:
            self._splunk.cancel_search(job)
        ended = status.phase in (SearchPhase.COMPLETE, SearchPhase.TRUNCATED)
        said = "; ".join(status.messages) or f"it is {status.phase}"
        yield CheckResult(
            what="a search runs to its end",
            ok=ended,
            mend=None if ended else f"look at the search head's load and peers: {said}",
        )
        can_read = status.row_count > 0
        yield CheckResult(
            what="an index with events of the last hour can be read",
            ok=can_read,
            mend=None if can_read else "add the index to the role's `srchIndexesAllowed`",
        )

    def _mend(self, error: ConnectorError) -> str:
        """What a person has to do about it."""
        if isinstance(error, AuthFailed):
            return refused(error)
        if self._rest.is_cloud_address and error.code == "no_connection":
            return f"{CLOUD_CLOSED} ({error.text})"
        if self._rest.is_cloud_address and not self._rest.has_port:
            return f"write :8089 behind the host in base_url ({error.text})"
        return error.text


def wait_for(splunk: Followed, job: SearchJob, clock: Clock) -> SearchStatus:
    """The job's status once it has ended, or after six seconds."""
    for _ in range(PROBE_POLLS):
        status = splunk.search_status(job)
        if status.phase is not SearchPhase.RUNNING:
            break
        clock.sleep(PROBE_WAIT_S)
    return status


def refused(error: AuthFailed) -> str:
    if error.code == "login":
        return error.text
    if error.status == 401:
        return f"make a new token for the service account; this one is refused ({error.text})"
    return f"give the role the permission for it ({error.text})"


def _names(value: object) -> list[str]:
    """The names in a list that may be missing or be something else."""
    return [str(name) for name in value] if isinstance(value, list) else []
