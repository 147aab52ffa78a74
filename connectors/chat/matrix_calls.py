"""How a Matrix homeserver answers: one call, its reply, its errors' codes, its pages.

Nothing here knows what a card is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.errors import (
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpClient, HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import JsonObject, Secret

PRODUCT = "Matrix"
PAGE_SIZE = 100
MAX_PAGES = 20
TOO_LONG = "M_TOO_LARGE"
TWICE = "M_DUPLICATE_ANNOTATION"
_ANSWERS = (200, 400, 404, 413)
"""Statuses whose body is read here, because its code says what the refusal means."""


class MatrixCalls:
    """The door to one homeserver. Errors: as `connectors/errors.py` groups them; `code` is the
    server's `errcode` where it gave one."""

    def __init__(self, settings: HttpSettings, token: Secret, runtime: Runtime) -> None:
        self._token = token
        if not re.fullmatch(r"[!-~]+", token.reveal().strip()):
            raise Rejected(PRODUCT, "the token is empty or holds what no token holds")
        self._http = HttpClient(
            PRODUCT,
            settings,
            runtime,
            secrets=(token,),
            explain=lambda _status, body: _said(_object_in(body)),
            told_wait=_told_wait,
        )

    def read(self, *parts: str, **params: str | int) -> JsonObject:
        """Ask for something; repeated inside when the answer was lost."""
        return self._http.renewing(lambda: self._once("GET", parts, params, None))

    def await_events(self, wait_s: int, **params: str | int) -> JsonObject:
        """One `sync`, which the server keeps for so long when there is nothing to tell."""
        asked = {**params, "timeout": wait_s * 1000}
        return self._http.renewing(lambda: self._once("GET", ("v3", "sync"), asked, None, wait_s))

    def write(self, *parts: str, body: JsonObject) -> JsonObject:
        """Change something. Repeat: never inside, once the server may have taken it. The same path,
        which ends in the transaction's id, is taken as the same request; how long a server keeps
        that in mind is not promised, so that a lost answer is looked for all the same."""
        return self._http.renewing(lambda: self._once("PUT", parts, {}, body))

    def pages(self, *parts: str, onward: str, **params: str | int) -> Iterator[list[JsonObject]]:
        """Pages of events, until the server gives no further token, in `onward`. Errors: as `read`;
        a page without its list is `Unavailable`, and so is an end that does not come."""
        asked = {**params, "limit": PAGE_SIZE}
        for _ in range(MAX_PAGES):
            page = self.read(*parts, **asked)
            chunk = page.get("chunk")
            if not isinstance(chunk, list):
                raise Unavailable(PRODUCT, "gave a page of events without its list")
            yield [object_of(event) for event in chunk]
            following = text_of(page.get(onward))
            if not following:
                return
            asked["from"] = following
        raise Unavailable(PRODUCT, f"{MAX_PAGES * PAGE_SIZE} events are not all of them")

    def _once(
        self,
        method: str,
        parts: tuple[str, ...],
        params: Mapping[str, str | int],
        body: JsonObject | None,
        wait_s: float = 0,
    ) -> JsonObject:
        reply = self._http.send(
            method,
            path_of("_matrix", "client", *parts),
            repeat=Repeat.SAFE if body is None else Repeat.ONCE,
            # A token's file often ends in a line break, which no HTTP header can hold.
            auth={"Authorization": f"Bearer {self._token.reveal().strip()}"},
            params=params,
            json=body,
            accept=_ANSWERS,
            wait_s=wait_s,
        )
        if reply.status != 200:
            refusal = self._refusal(reply)
            self._http.note_fault(refusal)
            raise refusal
        answer = reply.json()
        if isinstance(answer, dict):
            return answer
        text = "answered with something that is no object"
        fault = OutcomeUnknown if reply.repeat is Repeat.ONCE else Unavailable
        raise fault(PRODUCT, text, status=reply.status)

    def _refusal(self, reply: Reply) -> ConnectorError:
        answer = _object_in(reply.body)
        code = self._http.redact(text_of(answer.get("errcode"))) or None
        said = self._http.redact(_said(answer) or "")
        text = f"HTTP {reply.status}: {said}" if said else f"HTTP {reply.status}"
        # A path that the server does not know is no event or member that is gone.
        kind = NotFound if reply.status == 404 and code != "M_UNRECOGNIZED" else Rejected
        return kind(PRODUCT, text, status=reply.status, code=code)


def _object_in(body: bytes) -> JsonObject:
    try:
        return object_of(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _said(answer: JsonObject) -> str | None:
    parts = (text_of(answer.get("errcode")), text_of(answer.get("error")))
    return ": ".join(filter(None, parts)) or None


def _told_wait(body: bytes) -> float | None:
    """`retry_after_ms`, which servers gave before there was a header.

    Source: https://spec.matrix.org/v1.16/client-server-api/#rate-limiting, 2026-11-25.
    """
    wait_ms = _object_in(body).get("retry_after_ms")
    if isinstance(wait_ms, bool) or not isinstance(wait_ms, int | float):
        return None
    return min(max(wait_ms / 1000, 0.0), 300.0) if wait_ms == wait_ms else None


def object_of(value: Any) -> JsonObject:
    """The value when it is an object, else an empty one: replies may lack any field."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """The value when it is a text, else an empty one."""
    return value if isinstance(value, str) else ""
