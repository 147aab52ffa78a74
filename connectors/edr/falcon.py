"""CrowdStrike Falcon: devices found exactly, network-contained one at a time by sensor id.

It refuses to widen: no wildcard, prefix or list ever reaches an action, and an action is one
request for one id. It never says "contained": a device record says that, when it is read later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connectors.base import Connector
from connectors.edr.falcon_product import FalconProduct
from connectors.edr.falcon_records import (
    CONTAINED_FILTER,
    customer_id,
    device_of,
    is_hidden,
    is_same_host,
    kind_filter,
    name_filter,
    pattern_filter,
    search_names,
    valid_device_id,
    valid_hostname,
)
from connectors.edr.falcon_session import (
    PRODUCT,
    ApiError,
    Envelope,
    FalconSession,
    explain,
    fault_of,
    open_envelope,
)
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpSettings, Repeat, Reply, Runtime
from connectors.model import CheckResult, Device, DeviceKind, Secret

_QUERY = "/devices/queries/devices/v1"
_RECORDS = "/devices/entities/devices/v2"
_ACTIONS = "/devices/entities/devices-actions/v2"
_PAGE = 500
_MOST_CANDIDATES = 5000
_NOBODY = "0" * 32
"""A well-formed sensor id that no sensor has."""


class Falcon(FalconProduct, Connector):
    """One Falcon tenant. The promise: an action goes to exactly the id that was given, once."""

    def __init__(
        self,
        *,
        name: str,
        tenant: str,
        settings: HttpSettings,
        credentials: dict[str, Secret],
        options: FalconProduct.Options,
        runtime: Runtime,
    ) -> None:
        super().__init__(
            name=name,
            tenant=tenant,
            settings=settings,
            credentials=credentials,
            options=options,
            runtime=runtime,
        )
        # A customer id is often written with its checksum ("…-2A"), which no record carries.
        self._customer = (options.member_cid or "").lower()[:32] or None
        self._session = FalconSession(
            settings,
            runtime,
            client_id=credentials["client_id"],
            client_secret=credentials["client_secret"],
            member_cid=options.member_cid,
        )

    # -- reading -----------------------------------------------------------------------------------

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]:
        """Every visible device with exactly this name or id (both, when both are given).

        A full name is also answered by a record that keeps the short name and the same domain; a
        short name by every full name that begins with it. Hosts hidden in the console are left out.
        Errors: `Rejected` before any call for an empty or unsafe selector, and when more than 5000
        names begin with it; `Unavailable` when Falcon's answer is not whole.
        """
        name = valid_hostname(hostname) if hostname is not None else None
        if device_id is not None:
            records = self._records([valid_device_id(device_id)])
        elif name is not None:
            records = self._records_named(name)
        else:
            raise Rejected(PRODUCT, "a device is found by name or id: neither was given")
        devices = [
            self._device(key, record) for key, record in records.items() if self._is_live(record)
        ]
        return [device for device in devices if name is None or is_same_host(name, device)]

    def read_device(self, device_id: str) -> Device:
        """The device's record, fresh; its state is what Falcon says now, `UNKNOWN` for any other
        word than the four known ones. A hidden host is still read: it may be contained."""
        key = valid_device_id(device_id)
        record = self._records([key]).get(key)
        if record is None or not self._is_ours(record):
            raise NotFound(PRODUCT, f"no device has the id {key}")
        return self._device(key, record)

    def count_devices(self, hostname_pattern: str | None = None) -> int:
        """How many visible devices there are, or match the pattern; without a `*` it is a name and
        counted as `find_devices` compares. Errors: `Unavailable` when Falcon tells no total."""
        if hostname_pattern is not None and "*" not in hostname_pattern:
            return len(self.find_devices(hostname=hostname_pattern))
        fql = pattern_filter(hostname_pattern) if hostname_pattern is not None else None
        return self._query(fql, offset=0, limit=1).known_total()

    def contained_devices(self) -> Sequence[Device]:
        """Every device that Falcon shows as contained, or on its way to or from it; hidden ones
        too. Errors: `Unavailable` when the list is not whole, `Rejected` for more than 5000."""
        found: list[Device] = []
        for ids in self._id_pages(CONTAINED_FILTER, "are contained"):
            records = self._whole_records(ids)
            found += [self._device(key, one) for key, one in records.items() if self._is_ours(one)]
        return found

    def devices_of_kind(self, kind: DeviceKind) -> Sequence[Device]:
        """Every visible device of a kind, by name. Errors: as for `contained_devices`."""
        found: list[Device] = []
        for ids in self._id_pages(kind_filter(kind), f"are {kind}s"):
            records = self._whole_records(ids)
            found += [self._device(key, one) for key, one in records.items() if self._is_live(one)]
        return found

    # -- acting ------------------------------------------------------------------------------------

    def isolate_host(self, device_id: str, reason: str) -> None:
        """Ask for network containment (Falcon's `contain`). Accepted, not confirmed. Sent once.

        `reason` stays with us: no field for it is documented for this action.
        Errors: `Rejected` code `conflict` when the device is contained, or under way to or from it;
        `NotFound`; `OutcomeUnknown` when Falcon's answer does not say what became of the request.
        Source: `PerformActionV2`, falconpy 1.6.6 endpoint table, and gofalcon's
        `perform_action_v2_responses.go` (202, 400, 403, 409, 429, 500), read 2026-11-25.
        """
        self._act("contain", device_id)

    def release_host(self, device_id: str, reason: str) -> None:
        """Ask to lift the containment (Falcon's `lift_containment`); else as `isolate_host`."""
        self._act("lift_containment", device_id)

    # -- checks ------------------------------------------------------------------------------------

    def check(self) -> Sequence[CheckResult]:
        """The API client, and its two scopes. Changes nothing.

        *Hosts: Write* can only be proved by a write, so one is sent that has no target: a release
        for a well-formed id that no sensor has. Our reading: a client without the scope gets the
        documented 403, one with it hears that the id is unknown (404, as recorded in public
        emulators of this API). Not confirmed on a tenant.
        """
        signed_in = _tried("Falcon: sign in as the API client", self._session.renew)
        if not signed_in.ok:
            return [signed_in]
        return [
            signed_in,
            _tried("Falcon: scope Hosts: Read", self.count_devices, "Hosts: Read"),
            _tried("Falcon: scope Hosts: Write", self._probe_write, "Hosts: Write"),
        ]

    def _probe_write(self) -> None:
        try:
            self.release_host(_NOBODY, "permission check")
        except AuthFailed:
            raise
        except Rejected:
            return
        raise Unavailable(PRODUCT, "took a request for a device that does not exist: not proved")

    # -- calls -------------------------------------------------------------------------------------

    def _records_named(self, hostname: str) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for name in search_names(hostname):
            for ids in self._id_pages(name_filter(name), f"have names that begin with {name}"):
                found.update(self._whole_records(ids))
        return found

    def _whole_records(self, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        records = self._records(ids)
        if missing := set(ids) - set(records):
            # One of two devices left out would make an ambiguous name look clear.
            text = f"listed {len(missing)} devices whose records it does not give"
            raise Unavailable(PRODUCT, text)
        return records

    def _id_pages(self, fql: str, what: str) -> Iterator[list[str]]:
        """Pages of the ids that a filter meets; `what` says which, for a refusal."""
        seen = 0
        while True:
            page = self._query(fql, offset=seen, limit=_PAGE)
            total = page.known_total()
            if total > _MOST_CANDIDATES:
                text = f"{total} devices {what}: too many to compare"
                raise Rejected(PRODUCT, text, code="too_many")
            ids = [valid_device_id(str(entry)) for entry in page.resources]
            seen += len(ids)
            if ids:
                yield ids
            if seen >= total:
                return
            if not ids:
                raise Unavailable(PRODUCT, f"ended its list of devices at {seen} of {total}")

    def _query(self, fql: str | None, *, offset: int, limit: int) -> Envelope:
        """One page of device ids. Source: `QueryDevicesByFilter`, falconpy 1.6.6, 2026-11-25."""
        params: dict[str, str | int] = {"offset": offset, "limit": limit, "sort": "hostname.asc"}
        if fql is not None:
            params["filter"] = fql
        reply = self._session.send("GET", _QUERY, repeat=Repeat.SAFE, params=params)
        envelope = open_envelope(reply)
        if envelope.errors:
            raise self._hidden(envelope.errors)
        return envelope

    def _records(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The records of these ids, by id; an unknown id is left out, a foreign one dropped.

        Source: `PostDeviceDetailsV2`, falconpy 1.6.6 (up to 5000 ids), read 2026-11-25.
        """
        try:
            reply = self._session.send(
                "POST", _RECORDS, repeat=Repeat.SAFE, json={"ids": list(ids)}
            )
        except NotFound:
            return {}
        envelope = open_envelope(reply)
        if grave := [error for error in envelope.errors if error.code != 404]:
            raise self._hidden(grave)
        records = [entry for entry in envelope.resources if isinstance(entry, dict)]
        by_id = {str(record.get("device_id", "")).lower(): record for record in records}
        return {key: by_id[key] for key in ids if key in by_id}

    def _act(self, action_name: str, device_id: str) -> None:
        key = valid_device_id(device_id)
        reply = self._session.send(
            "POST",
            _ACTIONS,
            repeat=Repeat.ONCE,
            params={"action_name": action_name},
            json={"ids": [key]},
            accept=(200, 202, 409),
        )
        if reply.status == 202 and not reply.body:
            return
        self._judge(reply, key)

    def _judge(self, reply: Reply, key: str) -> None:
        """Return only when Falcon names this device, and no other, as taken."""
        if reply.status == 409:
            text = self._session.http.redact(explain(409, reply.body) or "HTTP 409")
            raise Rejected(PRODUCT, text, status=409, code="conflict")
        envelope = open_envelope(reply)
        taken = envelope.named_ids()
        if envelope.errors and not taken:
            fault = self._hidden(envelope.errors)
            if isinstance(fault, Rejected):
                raise fault
            raise OutcomeUnknown(PRODUCT, fault.text, status=fault.status)
        if envelope.errors or taken != {key}:
            named = self._session.http.redact(f"it names {sorted(taken)}, {envelope.errors}")
            text = f"does not say clearly what became of the request: {named}"
            raise OutcomeUnknown(PRODUCT, text, status=reply.status)

    # -- reading replies ---------------------------------------------------------------------------

    def _hidden(self, errors: Sequence[ApiError]) -> ConnectorError:
        """The worst error of a 2xx: one that leaves things open goes before a plain refusal."""
        faults = [
            fault_of(error, self._session.http.redact(error.message or f"error {error.code}"))
            for error in errors
        ]
        return next((fault for fault in faults if not isinstance(fault, Rejected)), faults[0])

    def _device(self, key: str, record: Mapping[str, Any]) -> Device:
        return device_of(record, key, self.name, self.tenant)

    def _is_live(self, record: Mapping[str, Any]) -> bool:
        return self._is_ours(record) and not is_hidden(record)

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return self._customer is None or customer_id(record) == self._customer


def _tried(what: str, probe: Callable[[], object], scope: str | None = None) -> CheckResult:
    try:
        probe()
    except AuthFailed as refused:
        mend = f"{refused.text}; give the API client {scope}" if scope else refused.text
        return CheckResult(what=what, ok=False, mend=mend)
    except ConnectorError as fault:
        return CheckResult(what=what, ok=False, mend=fault.text)
    return CheckResult(what=what, ok=True)
