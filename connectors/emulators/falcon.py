"""A Falcon-shaped stand-in: tokens, devices, contain and lift with the states between.

Judged by crowdstrike-falconpy. From the vendor's public SDKs: paths, envelopes, 201 for a token,
202 for an action with 409 among its `errors`, header names. Our reading: texts, 404 for an unknown
id.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, ClassVar

from connectors.emulators import scenario
from connectors.emulators.emulator import Emulator, Keys, new_secret
from connectors.emulators.fql import FqlError, matcher
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

RATE_LIMIT = 6000
MAX_ACTION_IDS = 100
MAX_QUERY_LIMIT = 5000
PENDING = {"contain": "containment_pending", "lift_containment": "lift_containment_pending"}
REACHED = {"containment_pending": "contained", "lift_containment_pending": "normal"}
STARTS_FROM = {"contain": ("normal",), "lift_containment": ("contained", "containment_pending")}
"""Our reading: a containment that the sensor has not carried out yet can be taken back."""
_OURS = ("offline", "last_seen_days", "due_at")

Hook = Callable[[str, str], bool]
"""Called with `contain` or `lift_containment` and the host name once the sensor acts; when it gives
false the device stays pending, like a sensor that is off."""


class Falcon(Emulator):
    """One tenant. Tunable: `contain_s` (seconds of the clock until a sensor acts), `token_ttl_s`,
    `conflict_status` (what a request answers when each device refuses it for its state)."""

    PRODUCT: ClassVar[str] = "falcon"
    CREDENTIALS: ClassVar[dict[str, str]] = {"client_id": "", "client_secret": ""}
    TUNABLE: ClassVar[frozenset[str]] = frozenset({"contain_s", "token_ttl_s", "conflict_status"})
    COMMANDS: ClassVar[frozenset[str]] = frozenset(
        {"set_device", "device_status", "add_device", "expire_tokens"}
    )

    def __init__(
        self,
        clock: Clock,
        *,
        keys: Keys | None = None,
        store: StateFile | None = None,
        hook: Hook | None = None,
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.contain_s = 0.0
        self.token_ttl_s = 1799
        self.conflict_status = 202
        self.devices = {device["device_id"]: device for device in scenario.devices()}
        self._hook = hook
        self._tokens: dict[str, datetime] = {}
        self._used = 0

    def snapshot(self) -> JsonObject:
        return {"devices": self.devices}

    def restore(self, world: JsonObject) -> None:
        self.devices = world["devices"]

    # -- for tests ---------------------------------------------------------------------------------

    def device(self, hostname: str) -> JsonObject:
        """The record of the device with exactly this name, as it is served. Errors: `KeyError`."""
        with self.lock:
            for device in self.devices.values():
                if device["hostname"] == hostname:
                    return self._shown(device)
        raise KeyError(hostname)

    def device_status(self, hostname: str) -> str:
        return str(self.device(hostname)["status"])

    def set_device(self, hostname: str, **facts: Any) -> None:
        """Change a record: `offline=True` (its sensor never acts), `status`, `tags`, any key."""
        with self.lock:
            self.devices[self.device(hostname)["device_id"]].update(facts)
            self.save()

    def add_device(self, like: str, **facts: Any) -> str:
        """One more device, a copy of `like` with other facts; gives its id."""
        with self.lock:
            made = token_hex(16)
            original = self.devices[self.device(like)["device_id"]]
            self.devices[made] = {**original, **facts, "device_id": made}
            self.save()
            return made

    def expire_tokens(self) -> None:
        with self.lock:
            self._tokens.clear()

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        self._used += 1
        if call.path == "/oauth2/token" and call.method == "POST":
            return self._token(call)
        if not self._is_authed(call):
            return self._refuse(401, "access denied, invalid bearer token")
        handler = _ROUTES.get((call.method, call.path))
        if handler is None:
            return self._refuse(404, "404: Page Not Found")
        return handler(self, call)

    def _token(self, call: Call) -> Answer:
        given = call.fields()
        known = self.credentials
        if given.get("client_id") != known["client_id"]:
            return self._refuse(401, "access denied, invalid client")
        if given.get("client_secret") != known["client_secret"]:
            return self._refuse(403, "access denied, authorization failed")
        token = new_secret()
        self._tokens[token] = self.clock.now() + timedelta(seconds=self.token_ttl_s)
        body = {"access_token": token, "expires_in": self.token_ttl_s, "token_type": "bearer"}
        return json_answer(body, 201, headers=self._headers())

    def _revoke(self, call: Call) -> Answer:
        self._tokens.pop(call.fields().get("token", ""), None)
        return self._reply(200)

    def _is_authed(self, call: Call) -> bool:
        scheme, _, token = call.header("authorization").partition(" ")
        if call.path == "/oauth2/revoke":
            return True
        ends_at = self._tokens.get(token)
        return scheme.lower() == "bearer" and ends_at is not None and self.clock.now() < ends_at

    def _headers(self) -> dict[str, str]:
        # No X-Cs-Region: falconpy would turn to the vendor's cloud of that name.
        return {
            "X-Cs-Traceid": token_hex(16),
            "X-Ratelimit-Limit": str(RATE_LIMIT),
            "X-Ratelimit-Remaining": str(max(0, RATE_LIMIT - self._used)),
        }

    def _reply(
        self,
        status: int,
        resources: list[Any] | None = None,
        errors: list[tuple[int, str]] | None = None,
        *,
        pagination: dict[str, int] | None = None,
        changed: bool = False,
    ) -> Answer:
        headers = self._headers()
        meta: JsonObject = {
            "query_time": 0.01,
            "powered_by": "emulator",
            "trace_id": headers["X-Cs-Traceid"],
        }
        if pagination is not None:
            meta["pagination"] = pagination
        body = {
            "meta": meta,
            "resources": resources or [],
            "errors": [{"code": code, "message": text} for code, text in errors or []],
        }
        return json_answer(body, status, headers=headers, changed=changed)

    def _refuse(self, status: int, text: str) -> Answer:
        return self._reply(status, errors=[(status, text)])

    # -- devices -----------------------------------------------------------------------------------

    def _query(self, call: Call) -> Answer:
        try:
            wanted = matcher(call.query_value("filter"))
            offset = int(call.query_value("offset") or 0)
            limit = int(call.query_value("limit") or 100)
        except (FqlError, ValueError):
            return self._refuse(400, "invalid filter expression supplied")
        if not 1 <= limit <= MAX_QUERY_LIMIT:
            return self._refuse(400, "invalid limit")
        found = [key for key, device in self.devices.items() if wanted(self._shown(device))]
        pagination = {"offset": offset, "limit": limit, "total": len(found)}
        return self._reply(200, found[offset : offset + limit], pagination=pagination)

    def _records(self, call: Call) -> Answer:
        ids = _ids(call) if call.method == "POST" else call.query_values("ids")
        if not ids:
            return self._refuse(400, "No device IDs provided")
        found = [self._shown(self.devices[key]) for key in ids if key in self.devices]
        missing = [(404, f"device {key} not found") for key in ids if key not in self.devices]
        return self._reply(200 if found else 404, found, missing)

    def _act(self, call: Call) -> Answer:
        action = call.query_value("action_name")
        if action not in PENDING:
            text = "Provided data does not match expected 'Action Name' format"
            return self._refuse(400, text)
        ids = _ids(call)
        if not ids:
            return self._refuse(400, "No device IDs provided")
        if len(ids) > MAX_ACTION_IDS:
            return self._refuse(400, f"too many device IDs, maximum {MAX_ACTION_IDS}")
        done: list[JsonObject] = []
        refused: list[tuple[int, str]] = []
        for key in ids:
            why_not = self._set_going(key, action)
            if why_not is None:
                done.append({"id": key, "path": "/devices/entities/devices/v1"})
            else:
                refused.append(why_not)
        if done or all(code == 409 for code, _ in refused):
            status = 202 if done else self.conflict_status
            return self._reply(status, done, refused, changed=bool(done))
        return self._reply(404, errors=refused)

    def _set_going(self, key: str, action: str) -> tuple[int, str] | None:
        """Start the action at one device; code and text when it cannot."""
        device = self.devices.get(key)
        if device is None:
            return 404, f"No matching device found for ID {key}"
        state = self._shown(device)["status"]
        if state not in STARTS_FROM[action]:
            return 409, f"Device {key} is in state {state}"
        due_at = self.clock.now() + timedelta(seconds=self.contain_s)
        device.update(status=PENDING[action], due_at=due_at.isoformat())
        return None

    def _shown(self, device: JsonObject) -> JsonObject:
        """The record as it is now: a pending action whose time has come is done first."""
        self._follow(device)
        seen_at = self.clock.now() - timedelta(days=device["last_seen_days"])
        shown = {name: value for name, value in device.items() if name not in _OURS}
        return {**shown, "last_seen": seen_at.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _follow(self, device: JsonObject) -> None:
        status, due = device["status"], device.get("due_at")
        if status not in REACHED or due is None or device["offline"]:
            return
        if self.clock.now() < datetime.fromisoformat(due):
            return
        action = next(name for name, pending in PENDING.items() if pending == status)
        if self._hook is not None and not self._hook(action, device["hostname"]):
            return
        device.update(status=REACHED[status], due_at=None)
        self.save()


def _ids(call: Call) -> list[str]:
    """The device ids of a JSON body; none for a body of another shape."""
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        return []
    ids = body.get("ids") if isinstance(body, dict) else None
    is_list = isinstance(ids, list) and all(isinstance(key, str) for key in ids)
    return list(ids) if is_list and ids else []


_ROUTES: dict[tuple[str, str], Callable[[Falcon, Call], Answer]] = {
    ("POST", "/oauth2/revoke"): Falcon._revoke,
    ("GET", "/devices/queries/devices/v1"): Falcon._query,
    ("GET", "/devices/entities/devices/v2"): Falcon._records,
    ("POST", "/devices/entities/devices/v2"): Falcon._records,
    ("POST", "/devices/entities/devices-actions/v2"): Falcon._act,
}
