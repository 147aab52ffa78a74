"""How Slack's Web API answers: one call, its reply, and what `ok` other than true means.

Slack refuses with HTTP 200. Nothing here knows what a card is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of, retry_after_s
from connectors.model import JsonObject, Secret

PRODUCT = "Slack"

_AUTH = frozenset(
    [
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_auth",
        "is_bot",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    ]
)
_NOT_FOUND = frozenset(
    [
        "channel_not_found",
        "message_not_found",
        "no_such_subteam",
        "thread_not_found",
        "user_not_found",
        "user_not_visible",
        "users_not_found",
    ]
)
_BUSY = frozenset(["ratelimited", "rate_limited", "request_timeout"])
"""Nothing happened: also `request_timeout`, by which Slack says that the body never came whole."""
_BROKEN = frozenset(["fatal_error", "internal_error", "service_unavailable"])
"""Slack warns that some of it may have happened. Source: errors of
https://docs.slack.dev/reference/methods/chat.postMessage, 2026-11-25."""
TOO_LONG = frozenset(
    ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"]
)
_MENDS = {
    "not_in_channel": "invite the app to the channel",
    "channel_not_found": "check the channel id; a private channel needs the app invited",
    "no_such_subteam": "there is no such user group, or it is disabled",
    "plan_upgrade_required": "the workspace's plan has no user groups",
    "is_archived": "the channel is archived",
    "restricted_action": "a workspace setting keeps the app from posting here",
}


class SlackCalls:
    """The door to one workspace. Errors: as `connectors/errors.py` groups them."""

    def __init__(self, settings: HttpSettings, token: Secret, runtime: Runtime) -> None:
        self._token = token
        if not re.fullmatch(r"[!-~]+", token.reveal().strip()):
            raise Rejected(PRODUCT, "the token is empty or holds what no token holds")
        # The address is Slack's own; `…/api`, as its client libraries write it, is taken too.
        address = settings.base_url.rstrip("/").removesuffix("/api")
        settings = replace(settings, base_url=address)
        self._http = HttpClient(PRODUCT, settings, runtime, secrets=(token,), explain=_code_of_body)
        self._clock = runtime.clock

    def read(self, method: str, **params: str | int) -> JsonObject:
        """Ask for something; repeated inside when the answer was lost."""
        return self.read_reply(method, **params)[0]

    def read_reply(self, method: str, **params: str | int) -> tuple[JsonObject, Mapping[str, str]]:
        """As `read`, with the reply's headers."""
        return self._http.renewing(lambda: self._read_once(method, params))

    def _read_once(
        self, method: str, params: Mapping[str, str | int]
    ) -> tuple[JsonObject, Mapping[str, str]]:
        reply = self._http.send(
            "GET", path_of("api", method), repeat=Repeat.SAFE, auth=self._auth(), params=params
        )
        return self._checked(reply), reply.headers

    def write(self, method: str, body: JsonObject) -> JsonObject:
        """Change something. Repeat: never inside, once Slack may have taken it."""
        return self._http.renewing(lambda: self._write_once(method, body))

    def _write_once(self, method: str, body: JsonObject) -> JsonObject:
        reply = self._http.send(
            "POST",
            path_of("api", method),
            repeat=Repeat.ONCE,
            auth=self._auth(),
            json=body,
            headers={"Content-Type": "application/json; charset=utf-8"},
        )
        return self._checked(reply)

    def pages(
        self, method: str, limit: int, **params: str | int
    ) -> Iterator[tuple[list[JsonObject], bool]]:
        """Pages of messages, each with whether more follow. Errors: as `read`; a page without its
        list, or with more to come and no cursor, is `Unavailable`."""
        cursor = ""
        while True:
            asked = {**params, **({"cursor": cursor} if cursor else {})}
            page = self.read(method, limit=limit, **asked)
            messages = page.get("messages")
            cursor = text_of(object_of(page.get("response_metadata")).get("next_cursor"))
            has_more = bool(cursor) or page.get("has_more") is True
            if not isinstance(messages, list) or (has_more and not cursor):
                raise Unavailable(PRODUCT, f"{method} gave a page that cannot be read on from")
            yield [object_of(message) for message in messages], has_more
            if not has_more:
                return

    def _auth(self) -> dict[str, str]:
        # A token's file often ends in a line break, which no HTTP header can hold.
        return {"Authorization": f"Bearer {self._token.reveal().strip()}"}

    def _checked(self, reply: Reply) -> JsonObject:
        answer = reply.json()
        if isinstance(answer, dict):
            if answer.get("ok") is True:
                return answer
            if answer.get("ok") is False:
                refusal = self._refusal(reply, answer)
                self._http.note_fault(refusal)
                raise refusal
        text = "answered without saying whether it went well"
        if reply.repeat is Repeat.ONCE:
            raise OutcomeUnknown(PRODUCT, text, status=reply.status)
        raise Unavailable(PRODUCT, text, status=reply.status)

    def _refusal(self, reply: Reply, answer: JsonObject) -> ConnectorError:
        code = text_of(answer.get("error")) or "no_error_code"
        said = self._http.redact(self._explain(code, answer))
        code = self._http.redact(code)
        if code in _AUTH:
            return AuthFailed(PRODUCT, said, status=reply.status, code=code)
        if code in _NOT_FOUND:
            return NotFound(PRODUCT, said, status=reply.status, code=code)
        if code in _BROKEN and reply.repeat is Repeat.ONCE:
            return OutcomeUnknown(PRODUCT, said, status=reply.status, code=code)
        if code in _BUSY or code in _BROKEN:
            wait_s = retry_after_s(reply.headers, self._clock.now())
            return Unavailable(
                PRODUCT,
                said,
                status=reply.status,
                code=code,
                retry_after_s=1.0 if wait_s is None else wait_s,
            )
        return Rejected(PRODUCT, said, status=reply.status, code=code)

    @staticmethod
    def _explain(code: str, answer: JsonObject) -> str:
        if needed := text_of(answer.get("needed")):
            return f"{code}: the app needs the scope {needed}"
        mend = _MENDS.get(code)
        details = answer.get("errors")
        said = "; ".join(map(str, details[:3])) if isinstance(details, list) else ""
        return ": ".join(part for part in (code, mend, said) if part)


def _code_of_body(_status: int, body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return text_of(object_of(answer).get("error")) or None


def object_of(value: Any) -> JsonObject:
    """The value when it is an object, else an empty one: replies may lack any field."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[JsonObject]:
    """The objects in a list that may not be one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """The value when it is a text, else an empty one."""
    return value if isinstance(value, str) else ""
