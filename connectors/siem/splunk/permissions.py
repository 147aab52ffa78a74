"""Does the token's role have what the client needs, and nothing that a broken quote could use?

It names what is missing in the words of `authorize.conf`. It changes nothing that stays: its one
search asks for one event of the last hour and is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from connectors.errors import AuthFailed, ConnectorError
from connectors.model import CheckResult, Clock, SearchJob, SearchPhase, SearchStatus
from connectors.siem.splunk.jobs import content_of
from connectors.siem.splunk.rest import Rest

DANGEROUS_CAPABILITIES = (
    "admin_all_objects",
    "delete_by_keyword",
    "edit_search_server",
    "rest_apps_management",
    "rest_properties_set",
    "run_collect",
    "run_custom_command",
    "run_dump",
    "run_mcollect",
    "run_sendalert",
)
"""What lets a search write, delete, send or run something."""
PROBE_POLLS = 12
PROBE_WAIT_S = 0.5


class Probed(Protocol):
    """The client, as far as a check needs it."""

    def start_probe(self) -> SearchJob: ...
    def search_status(self, job: SearchJob) -> SearchStatus: ...
    def cancel_search(self, job: SearchJob) -> None: ...


class PermissionCheck:
    """One pass over all that the client needs. It stops where nothing behind can work."""

    def __init__(self, splunk: Probed, rest: Rest, clock: Clock) -> None:
        self._splunk = splunk
        self._rest = rest
        self._clock = clock

    def run(self) -> list[CheckResult]:
        """Each thing looked at, in order; a fault at the product is a result, not an error."""
        found: list[CheckResult] = []
        for looking_at, look in (
            ("the token", self._look_at_token),
            ("version and clock", self._look_at_clock),
            ("saved searches", self._look_at_saved_searches),
            ("a search over the readable indexes", self._look_at_search),
        ):
            try:
                found += look()
            except ConnectorError as error:
                found.append(CheckResult(what=looking_at, ok=False, mend=_mend(error)))
                if look == self._look_at_token:
                    break
        return found

    def _look_at_token(self) -> Iterator[CheckResult]:
        """Source: GET /services/authentication/current-context, 2026-11-25."""
        reply = self._rest.read_json("/services/authentication/current-context")
        content = content_of(reply)
        held = set(_names(content.get("capabilities")))
        roles = ", ".join(_names(content.get("roles"))) or "no role"
        yield CheckResult(what=f"the token is {content.get('username')}'s, with {roles}", ok=True)
        yield CheckResult(
            what="the role may search",
            ok="search" in held,
            mend=None if "search" in held else "give the role `search = enabled`",
        )
        dangerous = sorted(held.intersection(DANGEROUS_CAPABILITIES))
        yield CheckResult(
            what="the role can only read",
            ok=not dangerous,
            mend="take from the role: " + ", ".join(dangerous) if dangerous else None,
        )

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
            status = self._wait(job)
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

    def _wait(self, job: SearchJob) -> SearchStatus:
        for _ in range(PROBE_POLLS):
            status = self._splunk.search_status(job)
            if status.phase is not SearchPhase.RUNNING:
                break
            self._clock.sleep(PROBE_WAIT_S)
        return status


def _names(value: object) -> list[str]:
    """The names in a list that may be missing or be something else."""
    return [str(name) for name in value] if isinstance(value, list) else []


def _mend(error: ConnectorError) -> str:
    """What a person has to do about it."""
    if not isinstance(error, AuthFailed):
        return error.text
    if error.status == 401:
        return f"make a new token for the service account; this one is refused ({error.text})"
    return f"give the role the permission for it ({error.text})"
