"""How splunkd is spoken to: sign-in, JSON, version of the API, its clock, its error bodies.

Source: docs.splunk.com REST API Reference, "Basic concepts"; requests recorded from splunk-sdk
2.1.1; read 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from connectors.errors import Rejected, Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import SavedSearch, Secret
from connectors.siem.splunk import jobs
from connectors.siem.splunk.sign_in import Send, sign_in

CLOCK_MAX_AGE_S = 60.0
FIRST_V2_VERSION = (9, 0, 2)
CLOUD_DOMAINS = (".splunkcloud.com", ".splunkcloudgc.com")
FIRST_V2_CLOUD = (9, 0, 2209)


class _Server(Struct, frozen=True):
    """What `server/info` told: the version, and the clock (if any) at our own monotonic instant."""

    version: tuple[int, ...]
    is_cloud: bool
    clock: datetime | None
    read_at: float


class Rest:
    """One splunkd, reached by one account. Every call asks for JSON; none follows a redirect."""

    def __init__(
        self, settings: HttpSettings, credentials: Mapping[str, Secret], runtime: Runtime
    ) -> None:
        self._clock = runtime.clock
        address = urlsplit(settings.base_url)
        self.is_cloud_address = str(address.hostname).endswith(CLOUD_DOMAINS)
        self.has_port = address.port is not None
        # A user's name is no secret: hidden, it would be cut out of roles and job ids.
        hidden = [secret for name, secret in credentials.items() if name != "username"]
        self._http = HttpClient(
            jobs.PRODUCT, settings, runtime, secrets=hidden, explain=jobs.explain
        )
        self._sign_in = sign_in(self._http, credentials, runtime)
        self._server: _Server | None = None

    def server_time(self) -> datetime:
        """Splunk's clock, from the `Date` of a reply that is at most a minute old.

        Errors: `Unavailable` when the reply tells no date; the runner's own clock never stands in.
        Source: GET /services/server/info, 2026-11-25.
        """
        server = self._read_server(max_age_s=CLOCK_MAX_AGE_S)
        if server.clock is None:
            text = "did not tell the time: no readable Date header"
            raise Unavailable(jobs.PRODUCT, text, code="no_clock")
        return server.clock + timedelta(seconds=self._clock.monotonic() - server.read_at)

    def version(self) -> tuple[int, ...]:
        """Splunk's version, read once a process."""
        return self._read_server().version

    def has_v2(self) -> bool:
        """From 9.0.2 on (Cloud: 9.0.2209) the search API is v2, and results are fetched by POST."""
        server = self._read_server()
        return server.version >= (FIRST_V2_CLOUD if server.is_cloud else FIRST_V2_VERSION)

    def _read_server(self, max_age_s: float = float("inf")) -> _Server:
        now = self._clock.monotonic()
        if self._server is None or now - self._server.read_at > max_age_s:
            reply = self.get("/services/server/info")
            told = reply.json()
            self._server = _Server(_version_in(told), _is_cloud(told), _date_of(reply), now)
        return self._server

    def job_path(self, *parts: str) -> str:
        api = ("v2", "jobs") if self.has_v2() else ("jobs",)
        return path_of("services", "search", *api, *parts)

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        accept: Sequence[int] = (200,),
    ) -> Reply:
        asked = {**(params or {}), "output_mode": "json"}
        return self._signed(
            lambda auth: self._http.send(
                "GET", path, repeat=Repeat.SAFE, auth=auth, params=asked, accept=accept
            )
        )

    def read_json(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return self.get(path, params).json()

    def post(
        self,
        path: str,
        form: Mapping[str, str | int],
        *,
        repeat: Repeat,
        accept: Sequence[int],
    ) -> Reply:
        sent = {**form, "output_mode": "json"}
        return self._signed(
            lambda auth: self._http.send(
                "POST", path, repeat=repeat, auth=auth, form=sent, accept=accept
            )
        )

    def _signed(self, send: Send) -> Reply:
        return self._http.renewing(lambda: self._sign_in.run(send))

    def redact(self, text: str) -> str:
        """Splunk's words, safe to show."""
        return self._http.redact(text)

    def said(self, reply: Reply) -> str:
        """What a refusal says, safe to show."""
        words = jobs.explain(reply.status, reply.body) or "no text"
        return f"HTTP {reply.status}: {self.redact(words)}"


def saved_search_path(search: SavedSearch) -> str:
    """Where a saved search lives. A slash in its name is encoded twice, as splunkd's own links do:
    splunkd decodes the path once before it looks for segments.
    Source: `alternate` links as followed by splunk-sdk 2.1.1, 2026-11-25."""
    if not search.name.strip() or "-" in (search.owner, search.app):
        text = "a saved search is named, in one app and with one owner (no `-`)"
        raise Rejected(jobs.PRODUCT, text, code="empty_selector")
    name = search.name.replace("/", "%2F")
    return path_of("servicesNS", search.owner, search.app, "saved", "searches", name)


def _version_in(reply: object) -> tuple[int, ...]:
    """`generator.version`, or the entry's own `version`. Errors: `Unavailable`."""
    generator = reply.get("generator") if isinstance(reply, dict) else None
    told = generator.get("version") if isinstance(generator, dict) else None
    found = re.match(r"\d+(?:\.\d+)+", str(told or jobs.content_of(reply).get("version")))
    if not found:
        raise Unavailable(jobs.PRODUCT, "did not tell its version")
    return tuple(map(int, found[0].split(".")))


def _is_cloud(reply: object) -> bool:
    """`instance_type` of `server/info`, which only Splunk Cloud tells.
    Source: splunk-sdk 2.1.1 `client.py` `disable_v2_api`, 2026-11-25."""
    entries = reply.get("entry") if isinstance(reply, dict) else None
    content = jobs.content_of(reply) if entries else {}
    return str(content.get("instance_type", "")).lower() == "cloud"


def _date_of(reply: Reply) -> datetime | None:
    """The instant in the `Date` header, if there is one."""
    try:
        at = parsedate_to_datetime(reply.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
