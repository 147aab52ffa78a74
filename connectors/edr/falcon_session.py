"""How we sign in to CrowdStrike Falcon, and how its replies are opened.

A bearer token is fetched, kept in memory and renewed before it ends. It refuses to follow Falcon's
redirect to another cloud (credentials go to the configured address only), and knows no device.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from connectors.document import visible
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import (
    CALL_BUDGET_S,
    HttpClient,
    HttpSettings,
    Repeat,
    Reply,
    Runtime,
    retry_after_s,
)
from connectors.model import Secret

PRODUCT = "Falcon"
EARLY_EXPIRY_S = 60.0
"""A token is renewed this long before it ends: the clocks of two machines differ."""

# Source: falconpy 1.6.6 `_enum/_base_url.py`, read 2026-11-25.
CLOUDS = {
    "us-1": "https://api.crowdstrike.com",
    "us-2": "https://api.us-2.crowdstrike.com",
    "eu-1": "https://api.eu-1.crowdstrike.com",
    "us-gov-1": "https://api.laggar.gcw.crowdstrike.com",
    "us-gov-2": "https://api.us-gov-2.crowdstrike.mil",
}
"""What Falcon calls a cloud in `X-Cs-Region` → its address."""

_LIMIT_HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-RetryAfter",
    "Retry-After",
)


class ApiError(Struct, frozen=True):
    """One entry of `errors[]`, which Falcon sends inside a 2xx too. `code` is an HTTP status."""

    code: int | None
    message: str


class Envelope(Struct, frozen=True, kw_only=True):
    """What each Falcon reply is wrapped in. `total` is the size of the whole result, if told."""

    resources: tuple[Any, ...]
    errors: tuple[ApiError, ...]
    total: int | None

    def known_total(self) -> int:
        """Errors: `Unavailable` when the reply does not say it: no total is not zero."""
        if self.total is None:
            raise Unavailable(PRODUCT, "does not say how many devices there are")
        return self.total

    def named_ids(self) -> set[str]:
        """The ids in `resources`, which are texts or objects with an `id`."""
        return {
            str(entry.get("id", "") if isinstance(entry, dict) else entry).lower()
            for entry in self.resources
        }


class FalconSession:
    """Sends requests under a token. Secrets stay inside; a refused token is renewed once a call."""

    def __init__(
        self,
        settings: HttpSettings,
        runtime: Runtime,
        *,
        client_id: Secret,
        client_secret: Secret,
        member_cid: str | None,
    ) -> None:
        secrets = (client_id, client_secret)
        self.http = HttpClient(PRODUCT, settings, runtime, secrets=secrets, explain=explain)
        self._clock = runtime.clock
        self._client_id = client_id
        self._client_secret = client_secret
        self._member_cid = member_cid
        self._token: Secret | None = None
        self._token_ends_at = 0.0

    def renew(self) -> Secret:
        """Fetch a new token. Repeat: harmless. Errors: `AuthFailed`; `Rejected` naming the right
        `base_url` when the API client lives in another cloud.

        Source: `POST /oauth2/token`, falconpy 1.6.6 endpoint table; 201 and 308 with `X-Cs-Region`
        from gofalcon and psfalcon; read 2026-11-25.
        """
        asked_at = self._clock.monotonic()
        reply = self.http.renewing(self._ask_token)
        if reply.status == 308:
            text = self.http.redact(_other_cloud(reply.headers))
            raise Rejected(PRODUCT, text, status=308, code="other_cloud")
        said = _object(reply)
        value = said.get("access_token")
        if not isinstance(value, str) or not value:
            raise Unavailable(PRODUCT, "gave no access token", status=reply.status)
        lives_s = said.get("expires_in")
        usable_s = lives_s - EARLY_EXPIRY_S if isinstance(lives_s, (int, float)) else 0.0
        self._token = Secret(value)
        self._token_ends_at = asked_at + usable_s
        self.http.add_secret(self._token)
        return self._token

    def _ask_token(self) -> Reply:
        form = {
            "client_id": self._client_id.reveal(),
            "client_secret": self._client_secret.reveal(),
        }
        if self._member_cid:
            form["member_cid"] = self._member_cid
        return self.http.send(
            "POST", "/oauth2/token", repeat=Repeat.SAFE, form=form, accept=(200, 201, 308)
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        accept: Sequence[int] = (200,),
    ) -> Reply:
        """Send under the token. A 401 and a 429 are refusals at the door, before anything was done,
        so even a write may be sent again after them."""

        def once(token: Secret, statuses: Sequence[int]) -> Reply:
            auth = {"Authorization": f"Bearer {token.reveal()}"}
            return self.http.send(
                method, path, repeat=repeat, auth=auth, params=params, json=json, accept=statuses
            )

        token = self._current()
        try:
            reply = once(token, (*accept, 429))
        except AuthFailed as refused:
            if refused.status != 401:
                raise
            return once(self.renew(), accept)
        if reply.status != 429:
            return reply
        if not any(name in reply.headers for name in _LIMIT_HEADERS):
            # Seen in the field: an ended token is answered with a 429 that names no limit
            # (demisto/content#33921).
            return once(self.renew(), accept)
        self._wait_as_told(reply)
        return once(self._current(), accept)

    def _current(self) -> Secret:
        if self._token is None or self._clock.monotonic() >= self._token_ends_at:
            return self.renew()
        return self._token

    def _wait_as_told(self, reply: Reply) -> None:
        wait_s = retry_after_s(reply.headers, self._clock.now())
        wait_s = 1.0 if wait_s is None else wait_s
        if wait_s > CALL_BUDGET_S:
            text = "HTTP 429: the customer's rate limit is used up"
            raise Unavailable(PRODUCT, text, status=429, retry_after_s=wait_s)
        self._clock.sleep(wait_s)


def open_envelope(reply: Reply) -> Envelope:
    """Take a reply apart; missing and extra fields are no fault, a body that is no object is."""
    said = _object(reply)
    meta = said.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    total = pagination.get("total") if isinstance(pagination, dict) else None
    resources = said.get("resources")
    return Envelope(
        resources=tuple(resources) if isinstance(resources, list) else (),
        errors=_errors(said),
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
    )


def fault_of(error: ApiError, text: str) -> ConnectorError:
    """The exception for an error that came inside a 2xx, grouped as its status would have been."""
    match error.code:
        case 401 | 403:
            return AuthFailed(PRODUCT, text, status=error.code)
        case 404:
            return NotFound(PRODUCT, text, status=404)
        case 409:
            return Rejected(PRODUCT, text, status=409, code="conflict")
        case int(code) if 400 <= code < 500 and code != 429:
            return Rejected(PRODUCT, text, status=code)
        case code:
            return Unavailable(PRODUCT, text, status=code)


def explain(status: int, body: bytes) -> str | None:
    """What a refusal says, for a person; for a 403 also what is behind Falcon's one sentence."""
    try:
        said = jsonlib.loads(body)
    except (ValueError, RecursionError):
        said = None
    errors = _errors(said) if isinstance(said, dict) else ()
    text = "; ".join(error.message for error in errors if error.message)
    if status == 403:
        # One text for all causes (CrowdStrike/psfalcon#254, CrowdStrike/falconpy#682).
        cause = (
            "a missing scope, a wrong client or secret, an IP allow list, or another customer id"
        )
        return f"{text or 'access denied'} ({cause})"
    return text or None


def _errors(said: Mapping[str, Any]) -> tuple[ApiError, ...]:
    found = said.get("errors")
    return tuple(_error(entry) for entry in found) if isinstance(found, list) else ()


def _error(entry: Any) -> ApiError:
    if not isinstance(entry, dict):
        return ApiError(None, str(entry))
    code = str(entry.get("code", ""))
    return ApiError(
        int(code) if code.isascii() and code.isdigit() else None, str(entry.get("message", ""))
    )


def _object(reply: Reply) -> Mapping[str, Any]:
    said = reply.json()
    if not isinstance(said, dict):
        fault = OutcomeUnknown if reply.repeat is Repeat.ONCE else Unavailable
        raise fault(PRODUCT, "answered with JSON that is no object", status=reply.status)
    return said


def _other_cloud(headers: Mapping[str, str]) -> str:
    region = headers.get("X-Cs-Region", "")
    if region in CLOUDS:
        return f"the API client lives in the cloud {region}: set base_url to {CLOUDS[region]}"
    return f"the API client lives in another cloud ({visible(region) or 'not named'})"
