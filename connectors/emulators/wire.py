"""What a stand-in receives and answers: one call, one answer, and the record of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from msgspec import Struct

JSON = "application/json; charset=utf-8"


class Call(Struct, frozen=True, kw_only=True):
    """One HTTP request. `path` as sent (percent-encoded); header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    def query_value(self, name: str, default: str = "") -> str:
        return self.query_values(name)[0] if self.query_values(name) else default

    def query_values(self, name: str) -> list[str]:
        return parse_qs(self.query, keep_blank_values=True).get(name, [])

    def fields(self) -> dict[str, str]:
        """Query and form together, the form winning: how Splunk and Slack read their arguments."""
        found = dict(parse_qsl(self.query, keep_blank_values=True))
        if "json" not in self.header("content-type"):
            text = self.body.decode("utf-8", "replace")
            found.update(parse_qsl(text, keep_blank_values=True))
        return found

    def json(self) -> Any:
        """The body as JSON. Errors: `ValueError` for anything else."""
        return json.loads(self.body)


class Answer(Struct, frozen=True, kw_only=True):
    """One HTTP answer. `changed`: the product's world is not what it was before the call."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    changed: bool = False


def json_answer(
    value: Any,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    changed: bool = False,
) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(value, ensure_ascii=False).encode(),
        headers=tuple((headers or {}).items()),
        changed=changed,
    )


class Logged(Struct, frozen=True, kw_only=True):
    """One call as it was answered. `changed` is true for an effect even when its answer was lost
    (`is_answered` false). Credentials are masked in `query` and `body`."""

    number: int
    method: str
    path: str
    query: str
    body: str
    status: int
    changed: bool
    is_answered: bool
