"""Misbehaviour on request: which call is answered wrongly, and how.

It decides nothing about a product: a rule matches by method, path and query, lets some calls pass,
and then spoils so many. Waits are in real seconds, because they test a client's real time-outs.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from threading import Lock

from msgspec import Struct


class Misbehaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How matching calls go wrong.

    `method`, `path` and `query` are shell patterns (`*/dispatch`, `action_name=contain*`); `skip`
    calls pass first, then `times` are spoiled (None: all). `status`, `body`, `headers` and
    `content_type` replace the answer, and then the product does nothing unless `apply`. The rest
    spoils how an answer travels: `refuse` closes the connection before anything is done,
    `lose_answer` after it was done; `cut_after_bytes` closes in the middle of the body; `drip_s`
    waits before each byte.
    """

    method: str = "*"
    path: str = "*"
    query: str = "*"
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    body: str | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    apply: bool = False
    delay_before_s: float = 0.0
    delay_after_s: float = 0.0
    drip_s: float = 0.0
    cut_after_bytes: int | None = None
    refuse: bool = False
    lose_answer: bool = False

    @property
    def replaces(self) -> bool:
        """True when the product's own answer is not used."""
        return self.status is not None or self.body is not None

    def matches(self, method: str, path: str, query: str) -> bool:
        pairs = ((method, self.method), (path, self.path), (query, self.query))
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)


class _Rule:
    def __init__(self, fault: Misbehaviour) -> None:
        self.fault = fault
        self.skip = fault.skip
        self.left = fault.times


class Misbehaviours:
    """The rules in force, oldest first; the first that is due spoils the call."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = Lock()

    def add(self, fault: Misbehaviour) -> None:
        with self._lock:
            self._rules.append(_Rule(fault))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def take(self, method: str, path: str, query: str) -> Misbehaviour | None:
        """The fault for this call, counted as used; None when it is to go well."""
        with self._lock:
            for rule in self._rules:
                if rule.left == 0 or not rule.fault.matches(method, path, query):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.left is not None:
                    rule.left -= 1
                return rule.fault
        return None


QUOTA_503 = Misbehaviour(
    status=503,
    body='{"messages":[{"type":"ERROR","text":"Search not executed: The maximum number of '
    "concurrent historical searches on this instance has been reached., "
    'concurrency_category=\\"historical\\", concurrency_context=\\"user_instance-wide\\", '
    'current_concurrency=6, concurrency_limit=6"}]}',
)
"""Splunk over its quota, without Retry-After. Source: reference/apis.md section 1.9, 2026-11-25."""

HTML_502 = Misbehaviour(
    status=502,
    body="<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>",
    content_type="text/html",
)
"""A proxy's error page where JSON was due."""


def rate_limited(
    retry_after_s: int = 30, body: str = '{"ok":false,"error":"ratelimited"}'
) -> Misbehaviour:
    """429 with Retry-After in seconds."""
    return Misbehaviour(status=429, body=body, headers={"Retry-After": str(retry_after_s)})
