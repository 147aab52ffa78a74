"""A Jira Data Center stand-in (REST v2): a personal access token, wiki markup, search by `startAt`.

There is no vendor's document of v2 to judge it by: it is our reading of Atlassian's pages, and of
what public clients of it expect.
"""

from __future__ import annotations

from typing import Any, ClassVar

from connectors.emulators.emulator import Keys
from connectors.emulators.jira import Jira
from connectors.emulators.jira_requests import (
    PROJECT,
    asked_by_query,
    count_of,
    json_body,
    list_of,
)
from connectors.emulators.jira_rules import MAX_TEXT
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

USER = "stockade"
_PERMISSIONS = (
    "BROWSE_PROJECTS",
    "CREATE_ISSUES",
    "ADD_COMMENTS",
    "CREATE_ATTACHMENTS",
    "TRANSITION_ISSUES",
)


class JiraDataCenter(Jira):
    """One Data Center with one project. Tunable beside Jira's: `captcha_after` (so many refused
    sign-ins in a row, and the account signs in no more), `anonymous` (a refused sign-in is answered
    as to a stranger, with 200, as where anybody may look)."""

    CREDENTIALS: ClassVar[dict[str, str]] = {"token": ""}
    TUNABLE: ClassVar[frozenset[str]] = Jira.TUNABLE | {"captcha_after", "anonymous"}
    API: ClassVar[str] = "2"
    MORE_ROUTES: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", r"/search", "_search"),
        ("GET", r"/search", "_search"),
    )

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.captcha_after = 3
        self.anonymous = False
        self._refused = 0

    def answer(self, call: Call) -> Answer:
        if self._refused >= self.captcha_after:
            denied = f"CAPTCHA_CHALLENGE; login-url={self.base_url}/login.jsp"
            return _refusal(403, "AUTHENTICATION_DENIED", denied)
        if call.header("authorization") == f"Bearer {self.credentials['token']}":
            self._refused = 0
            return super().answer(call)
        self._refused += 1
        if self.anonymous and call.path.endswith("/search"):
            nothing = {"issues": [], "startAt": 0, "maxResults": 50, "total": 0}
            return json_answer(nothing, headers={"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"})
        return _refusal(401, "AUTHENTICATED_FAILED")

    def _check_login(self, call: Call) -> None:
        """Done before."""

    def _author(self) -> JsonObject:
        return {"name": USER, "key": "JIRAUSER10100", "displayName": "Stockade", "active": True}

    def _text_fault(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return "Operation value must be a string"
        is_long = len(value.encode("utf-16-le")) // 2 > MAX_TEXT
        return f"The entered text is too long: the limit is {MAX_TEXT}." if is_long else None

    # -- about us ----------------------------------------------------------------------------------

    def _myself(self, call: Call, parts: list[str]) -> Answer:
        return json_answer({**self._author(), "timeZone": "Etc/UTC"})

    def _permissions(self, call: Call, parts: list[str]) -> Answer:
        """All of them, whatever was asked."""
        has = call.query_value("projectKey", PROJECT) == PROJECT
        listed = {
            key: {"key": key, "name": key, "havePermission": has and key not in self.denied}
            for key in _PERMISSIONS
        }
        return json_answer({"permissions": listed})

    def _listed(self, name: str, entries: list[JsonObject]) -> Answer:
        page = {"startAt": 0, "maxResults": 50, "total": len(entries), "isLast": True}
        return json_answer({"values": entries, **page})

    # -- search ------------------------------------------------------------------------------------

    def _search(self, call: Call, parts: list[str]) -> Answer:
        asked = json_body(call) if call.method == "POST" else asked_by_query(call)
        found = self._found(asked)
        start = count_of(asked, "startAt", 0)
        size = min(count_of(asked, "maxResults", 50), self.page_size)
        names = [str(name) for name in list_of(asked, "fields")] or None
        page = [self._shown(issue, names) for issue in found[start : start + size]]
        told = {"startAt": start, "maxResults": size, "total": len(found)}
        return json_answer({"issues": page, **told})


def _refusal(status: int, reason: str, denied: str = "") -> Answer:
    more = (("X-Authentication-Denied-Reason", denied),) if denied else ()
    return Answer(
        status=status,
        body=b"<html>Unauthorized</html>",
        content_type="text/html;charset=UTF-8",
        headers=(("X-Seraph-LoginReason", reason), *more),
    )
