"""A Jira Cloud stand-in (REST v3): issues, comments, transitions, attachments, search with a lag.

Judged by openapi-core with the vendor's own document, requests and replies both. Rich text must be
an Atlassian document, as in v3. Error texts are our reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import unquote

from connectors.emulators.emulator import Keys
from connectors.emulators.jira_issues import STATUSES, Issues
from connectors.emulators.jira_requests import (
    JiraError,
    asked_by_query,
    count_of,
    json_body,
    list_of,
)
from connectors.emulators.jira_rules import Jql, JqlError
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

TRANSITIONS = {"11": "1", "21": "3", "31": "4"}
"""Transition id → status id; every transition is open from every status."""


class Jira(Issues):
    """One site with one project. Tunable: `search_lag_s` (seconds of the clock until a new issue
    is found), `page_size` (a search's pages are never longer), `refused_fields` (a create that sets
    one of them is a 400, as when a field is not on the screen), `move_fields` (what the transition
    to Done asks for), `custom_fields` (id → name, on the create screen), `denied` (permissions, by
    key)."""

    PRODUCT: ClassVar[str] = "jira"
    CREDENTIALS: ClassVar[dict[str, str]] = {"email": "bot-", "api_token": ""}
    TUNABLE: ClassVar[frozenset[str]] = frozenset(
        {"search_lag_s", "page_size", "refused_fields", "move_fields", "custom_fields", "denied"}
    )
    MORE_ROUTES: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("POST", r"/search/jql", "_search"),
        ("GET", r"/search/jql", "_search"),
    )
    COMMANDS: ClassVar[frozenset[str]] = frozenset({"all_issues"})

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.search_lag_s = 0.0
        self.page_size = 50
        self.move_fields: tuple[str, ...] = ()

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        try:
            return self._routed(call)
        except JiraError as error:
            body = {"errorMessages": error.messages, "errors": error.fields}
            return json_answer(body, error.status)

    def _routed(self, call: Call) -> Answer:
        self._check_login(call)
        for method, pattern, handler in (*_ROUTES, *self.MORE_ROUTES):
            match = re.fullmatch(f"/rest/api/{self.API}{pattern}", call.path)
            if match is not None and method == call.method:
                return self._handle(handler, call, [unquote(part) for part in match.groups()])
        raise JiraError(404, "null for uri: " + call.path)

    def _handle(self, name: str, call: Call, parts: list[str]) -> Answer:
        handler: Callable[[Call, list[str]], Answer] = getattr(self, name)
        return handler(call, parts)

    # -- transitions -------------------------------------------------------------------------------

    def _transitions(self, call: Call, parts: list[str]) -> Answer:
        self._issue(parts[0])
        ways = TRANSITIONS if "TRANSITION_ISSUES" not in self.denied else {}
        listed = [self._way(key, STATUSES[to]) for key, to in ways.items()]
        return json_answer({"expand": "transitions", "transitions": listed})

    def _way(self, key: str, to: JsonObject) -> JsonObject:
        asked = self.move_fields if to["name"] == "Done" else ()
        fields = {
            name: {
                "required": True,
                "name": name.title(),
                "key": name,
                "hasDefaultValue": False,
                "operations": ["set"],
                "schema": {"type": "string"},
            }
            for name in asked
        }
        return {"id": key, "name": to["name"], "to": to, "hasScreen": bool(asked), "fields": fields}

    def move_issue(self, key: str, status: str) -> None:
        """Somebody moves the issue by hand."""
        with self.lock:
            found = next(one for one, to in STATUSES.items() if to["name"] == status)
            self._put(self._issue(key), found)

    def _transit(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        transition = json_body(call).get("transition")
        key = transition.get("id") if isinstance(transition, dict) else None
        if key not in TRANSITIONS:
            raise JiraError(400, f"Transition id '{key}' is not valid for this issue.")
        if self._way(str(key), STATUSES[TRANSITIONS[str(key)]])["fields"]:
            raise JiraError(400, **dict.fromkeys(self.move_fields, "This field is required."))
        self._put(issue, TRANSITIONS[str(key)])
        return Answer(status=204, changed=True)

    # -- search ------------------------------------------------------------------------------------

    def _search(self, call: Call, parts: list[str]) -> Answer:
        asked = json_body(call) if call.method == "POST" else asked_by_query(call)
        found = self._found(asked)
        start = count_of(asked, "nextPageToken", 0)
        size = min(count_of(asked, "maxResults", 50), self.page_size)
        names = [str(name) for name in list_of(asked, "fields")] or ["id"]
        page = [self._shown(issue, names) for issue in found[start : start + size]]
        more = start + size < len(found)
        token = {"nextPageToken": str(start + size)} if more else {}
        return json_answer({"issues": page, "isLast": not more, **token})

    def _found(self, asked: JsonObject) -> list[JsonObject]:
        try:
            query = Jql(str(asked.get("jql") or ""))
        except JqlError as error:
            raise JiraError(400, str(error)) from None
        known = {str(key) for key in list_of(asked, "reconcileIssues")}
        found = [
            issue
            for issue in self._issues
            if (issue["id"] in known or self._is_indexed(issue)) and query.matches(issue)
        ]
        if query.newest_first:
            found.reverse()
        return found

    def _is_indexed(self, issue: JsonObject) -> bool:
        created = datetime.fromisoformat(issue["created"])
        return self.clock.now() >= created + timedelta(seconds=self.search_lag_s)


_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", r"/myself", "_myself"),
    ("GET", r"/mypermissions", "_permissions"),
    ("GET", r"/issue/createmeta/([^/]+)/issuetypes", "_issue_types"),
    ("GET", r"/issue/createmeta/([^/]+)/issuetypes/([^/]+)", "_create_screen"),
    ("POST", r"/issue", "_create"),
    ("GET", r"/issue/([^/]+)", "_read"),
    ("POST", r"/issue/([^/]+)/comment", "_comment"),
    ("GET", r"/issue/([^/]+)/comment", "_comments"),
    ("GET", r"/issue/([^/]+)/transitions", "_transitions"),
    ("POST", r"/issue/([^/]+)/transitions", "_transit"),
    ("POST", r"/issue/([^/]+)/attachments", "_attach"),
    ("GET", r"/attachment/content/([^/]+)", "_download"),
)
