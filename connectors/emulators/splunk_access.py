"""Who may speak to the Splunk stand-in, and as what: sessions, tokens, the role, the server.

Judged by splunk-sdk for its sign-ins; the texts of refusals are our reading.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from connectors.emulators.emulator import Keys
from connectors.emulators.splunk_search import SearchHead
from connectors.emulators.splunk_wire import Entry, Writer
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call
from connectors.model import Clock

ROLE = "stockade"


class Access(SearchHead):
    """A search head with one account, in one role. Tunable besides: `instance_type` (`cloud`, or
    nothing), `capabilities`, `srch_filter`, `may_write` (saved searches), `may_read_role`."""

    TUNABLE: ClassVar[frozenset[str]] = SearchHead.TUNABLE | frozenset(
        {"instance_type", "capabilities", "srch_filter", "may_write", "may_read_role"}
    )

    def __init__(
        self,
        clock: Clock,
        *,
        keys: Keys | None = None,
        store: StateFile | None = None,
        base: datetime | None = None,
    ) -> None:
        super().__init__(clock, keys=keys, store=store, base=base)
        self.instance_type = ""
        self.capabilities = ["search"]
        self.srch_filter = ""
        self.may_write = True
        self.may_read_role = True
        self._sessions: set[str] = set()

    def expire_sessions(self) -> None:
        """Forget all sessions, as after `sessionTimeout` or a restart."""
        with self.lock:
            self._sessions.clear()

    def _login(self, call: Call, fields: dict[str, str], writer: Writer) -> Answer:
        given = (fields.get("username"), fields.get("password"))
        if given != (self.credentials["username"], self.credentials["password"]):
            return writer.message(401, "WARN", "Login failed")
        key = Keys.fresh({"key": "sk"}).credentials["key"]
        self._sessions.add(key)
        answer = writer.value("sessionKey", key)
        if fields.get("cookie") != "1":
            return answer
        cookie = f"splunkd_{self.address[1]}={key}; Path=/; HttpOnly"
        return msgspec.structs.replace(answer, headers=(("Set-Cookie", cookie),))

    def _is_authed(self, call: Call) -> bool:
        scheme, _, value = call.header("authorization").partition(" ")
        if scheme == "Bearer":
            return value == self.credentials["token"]
        if scheme == "Splunk":
            return value in self._sessions
        if scheme == "Basic":
            pair = f"{self.credentials['username']}:{self.credentials['password']}"
            return value == base64.b64encode(pair.encode()).decode()
        cookie = re.search(r"splunkd_\d+=([^;]+)", call.header("cookie"))
        return cookie is not None and cookie[1] in self._sessions

    @property
    def _has_v2(self) -> bool:
        first = (9, 0, 2209) if self.instance_type == "cloud" else (9, 0, 2)
        return tuple(int(part) for part in self.version.split(".")) >= first

    # -- about the server --------------------------------------------------------------------------

    def _info(self, call: Call, fields: dict[str, str], writer: Writer, _: object) -> Answer:
        content = {
            "version": self.version,
            "build": "0",
            "serverName": "emulator",
            "product_type": "enterprise",
        }
        if self.instance_type:
            content["instance_type"] = self.instance_type
        link = "/services/server/info/server-info"
        return writer.feed("server-info", [Entry(name="server-info", link=link, content=content)])

    def _context(self, call: Call, fields: dict[str, str], writer: Writer, _: object) -> Answer:
        content = {
            "username": self.credentials["username"],
            "roles": [ROLE],
            "capabilities": self.capabilities,
        }
        link = "/services/authentication/current-context/context"
        return writer.feed("current-context", [Entry(name="context", link=link, content=content)])

    def _role(
        self, call: Call, fields: dict[str, str], writer: Writer, groups: tuple[Any, ...]
    ) -> Answer:
        if groups[0] != ROLE or not self.may_read_role:
            return writer.message(404, "ERROR", f"Could not find object id={groups[0]}")
        content = {
            "capabilities": self.capabilities,
            "imported_capabilities": [],
            "imported_roles": [],
            "srchFilter": self.srch_filter,
            "srchIndexesAllowed": ["main", "wineventlog"],
            "srchIndexesDefault": ["main"],
            "srchJobsQuota": 6,
            "srchDiskQuota": 500,
            "srchTimeWin": self.srch_time_win_s if self.srch_time_win_s is not None else -1,
        }
        link = f"/services/authorization/roles/{ROLE}"
        return writer.feed("roles", [Entry(name=ROLE, link=link, content=content)])
