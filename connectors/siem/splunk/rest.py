"""How splunkd is spoken to: token, JSON, version of the API, its clock, its error bodies.

Source: docs.splunk.com REST API Reference, "Basic concepts"; requests recorded from splunk-sdk
2.1.1; read 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

from connectors.errors import Rejected, Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import SavedSearch, Secret
from connectors.siem.splunk import jobs

CLOCK_MAX_AGE_S = 60.0
FIRST_V2_VERSION = (9, 0, 2)


class _Server(Struct, frozen=True):
    """What `server/info` told: the version, and the clock (if any) at our own monotonic instant."""

    version: tuple[int, ...]
    clock: datetime | None
    read_at: float


class Rest:
    """One splunkd, reached with one token. Every call asks for JSON; none follows a redirect."""

    def __init__(self, settings: HttpSettings, token: Secret, runtime: Runtime) -> None:
        if not token.reveal().strip():
            raise Rejected(jobs.PRODUCT, "the token is empty", code="empty_credential")
        self._token = token
        self._clock = runtime.clock
        self._http = HttpClient(
            jobs.PRODUCT, settings, runtime, secrets=[token], explain=jobs.explain
        )
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
        return self.version() >= FIRST_V2_VERSION

    def _read_server(self, max_age_s: float = float("inf")) -> _Server:
        now = self._clock.monotonic()
        if self._server is None or now - self._server.read_at > max_age_s:
            reply = self.get("/services/server/info")
            self._server = _Server(_version_in(reply.json()), _date_of(reply), now)
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
        return self._http.renewing(
            lambda: self._http.send(
                "GET",
                path,
                repeat=Repeat.SAFE,
                auth=self._auth(),
                params={**(params or {}), "output_mode": "json"},
                accept=accept,
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
        return self._http.renewing(
            lambda: self._http.send(
                "POST",
                path,
                repeat=repeat,
                auth=self._auth(),
                form={**form, "output_mode": "json"},
                accept=accept,
            )
        )

    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

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


def _date_of(reply: Reply) -> datetime | None:
    """The instant in the `Date` header, if there is one."""
    try:
        at = parsedate_to_datetime(reply.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
