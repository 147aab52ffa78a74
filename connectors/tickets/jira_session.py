"""How we speak to Jira: who we are, and what its refusals mean.

It trusts no 200 by itself: a login page and an answer given to a stranger are faults.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from connectors.document import visible
from connectors.errors import AuthFailed, OutcomeUnknown, Unavailable
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import JsonObject, Secret

PRODUCT = "Jira"

_MEANING = {
    401: "who asks was refused: the e-mail address or API token is wrong, or the token has ended",
    403: "the account may not do this",
    404: "it does not exist, or the account may not see it (Browse Projects)",
    410: "this Jira no longer has the API that was asked: Stockade needs an update",
    413: "the file is larger than this Jira allows",
}


class JiraSession:
    """Sends as the configured account. `api`: the version in each path; `authorization`: what the
    header of that name says, asked for each call because a secret may be renewed."""

    def __init__(
        self,
        settings: HttpSettings,
        runtime: Runtime,
        *,
        api: str,
        secrets: Sequence[Secret],
        authorization: Callable[[], str],
    ) -> None:
        self._api = api
        self._authorization = authorization
        self.http = HttpClient(PRODUCT, settings, runtime, secrets=secrets, explain=explain)

    def path(self, *parts: str) -> str:
        return path_of("rest", "api", self._api, *parts)

    def send(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (200,),
    ) -> Reply:
        def once() -> Reply:
            reply = self.http.send(
                method,
                path,
                repeat=repeat,
                auth={"Authorization": self._authorization()},
                params=params,
                json=json,
                files=files,
                headers={"Accept": "application/json", **(headers or {})},
                accept=(*accept, 401, 403),
            )
            fault = self._refused_login(reply)
            if fault is not None:
                self.http.note_fault(fault)
                raise fault
            return reply

        return self.http.renewing(once)

    def _refused_login(self, reply: Reply) -> AuthFailed | None:
        """Who asks was refused, or a read was answered as to a stranger."""
        reason = reply.headers.get("X-Seraph-LoginReason", "OK")
        named = f"login reason {visible(reason[:60])}" if _is_refusal(reason) else ""
        if reply.status in (401, 403):
            said = self.http.redact(explain(reply.status, reply.body) or "")
            text = _captcha(reply.headers) or "; ".join(filter(None, (said, named)))
            return AuthFailed(PRODUCT, f"HTTP {reply.status}: {text}", status=reply.status)
        if reply.repeat is Repeat.SAFE and named:
            # A stranger's search finds nothing: "no ticket", and so a second one.
            text = f"answered as to a stranger: {_captcha(reply.headers) or named}"
            return AuthFailed(PRODUCT, text, status=reply.status)
        return None

    def read(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        query: JsonObject | None = None,
    ) -> JsonObject:
        """A JSON object; by POST when there is a `query` to send. Repeat: harmless."""
        method = "GET" if query is None else "POST"
        return object_of(self.send(method, path, repeat=Repeat.SAFE, params=params, json=query))

    def pages(
        self, path: str, keys: Sequence[str], *, start_at: int = 0, page_size: int = 50
    ) -> Iterator[Any]:
        """The entries of a list that Jira gives in pages by `startAt` and `total`, under the first
        of `keys` that is there. Errors: `Unavailable` when they end before `total`."""
        while True:
            params: dict[str, str | int] = {"startAt": start_at, "maxResults": page_size}
            page = self.read(path, params)
            entries = next((page[key] for key in keys if isinstance(page.get(key), list)), None)
            total = page.get("total")
            if entries is None or not isinstance(total, int):
                raise Unavailable(PRODUCT, f"gave no list of {keys[0]} with its total")
            yield from entries
            start_at += len(entries)
            if start_at >= total:
                return
            if not entries:
                raise Unavailable(PRODUCT, f"ended its {keys[0]} at {start_at} of {total}")


def _is_refusal(login_reason: str) -> bool:
    return "FAILED" in login_reason or "DENIED" in login_reason


def _captcha(headers: Mapping[str, str]) -> str | None:
    """The sentence for an account that Jira lets sign in only by hand, for it failed too often.

    Source: Atlassian's page *JIRA REST API Example - Basic Authentication*, read 2026-11-25, and
    the headers in public reports (gioboa/jira-plugin#26, go-jira/jira#8)."""
    denied = headers.get("X-Authentication-Denied-Reason", "")
    reason = headers.get("X-Seraph-LoginReason", "")
    if "CAPTCHA" not in denied.upper() and "AUTHENTICATION_DENIED" not in reason.upper():
        return None
    named = visible((denied.partition(";")[0] or reason)[:60])
    return (
        f"Jira wants a CAPTCHA after failed sign-ins ({named}): sign in once as this account in a"
        " browser, or have an administrator reset its failed sign-ins"
    )


def object_of(reply: Reply) -> JsonObject:
    """Errors: no JSON object is `Unavailable` after a read, `OutcomeUnknown` after a write."""
    said = reply.json()
    if isinstance(said, dict):
        return said
    fault = OutcomeUnknown if reply.repeat is Repeat.ONCE else Unavailable
    raise fault(PRODUCT, "answered with JSON that is no object", status=reply.status)


def refused_fields(body: bytes) -> dict[str, str]:
    """The fields that a 400 names, with Jira's words; empty when it names none."""
    errors = _decoded(body).get("errors")
    return {str(k): str(v) for k, v in errors.items()} if isinstance(errors, dict) else {}


def explain(status: int, body: bytes) -> str | None:
    """What a refusal means, and Jira's own words, which come in the account's language."""
    decoded = _decoded(body)
    listed = decoded.get("errorMessages")
    words = [str(text) for text in listed] if isinstance(listed, list) else []
    words += [f"{name}: {text}" for name, text in refused_fields(body).items()]
    words += [str(decoded[key]) for key in ("message", "errorMessage") if decoded.get(key)]
    said = "; ".join(words)
    meaning = _MEANING.get(status)
    if meaning and said:
        return f"{meaning}; Jira says: {said}"
    return meaning or said or None


def _decoded(body: bytes) -> JsonObject:
    try:
        said = jsonlib.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
