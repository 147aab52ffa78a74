"""A Jira Cloud stand-in (REST v3): issues, comments, transitions, attachments, search with a lag.

Judged by openapi-core with the vendor's own document, requests and replies both. Rich text must be
an Atlassian document, as in v3. Error texts are our reading.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import unquote

from connectors.emulators.emulator import Keys
from connectors.emulators.jira_requests import (
    ISSUE_TYPES,
    PROJECT,
    JiraError,
    asked_by_query,
    faults_of,
    files_of,
    json_body,
)
from connectors.emulators.jira_rules import NO_DOCUMENT, Jql, JqlError, is_document
from connectors.emulators.jira_site import Site
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

STATUSES: dict[str, JsonObject] = {
    "1": {"id": "1", "name": "To Do", "statusCategory": {"id": 2, "key": "new", "name": "To Do"}},
    "3": {
        "id": "3",
        "name": "In Progress",
        "statusCategory": {"id": 4, "key": "indeterminate", "name": "In Progress"},
    },
    "4": {"id": "4", "name": "Done", "statusCategory": {"id": 3, "key": "done", "name": "Done"}},
}
TRANSITIONS = {"11": "1", "21": "3", "31": "4"}
"""Transition id → status id; every transition is open from every status."""
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024


class Jira(Site):
    """One site with one project. Tunable: `search_lag_s` (seconds of the clock until a new issue
    is found), `page_size` (a search's pages are never longer), `refused_fields` (a create that sets
    one of them is a 400, as when a field is not on the screen)."""

    PRODUCT: ClassVar[str] = "jira"
    CREDENTIALS: ClassVar[dict[str, str]] = {"email": "bot-", "api_token": ""}
    TUNABLE: ClassVar[frozenset[str]] = frozenset({"search_lag_s", "page_size", "refused_fields"})
    COMMANDS: ClassVar[frozenset[str]] = frozenset({"all_issues"})

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.search_lag_s = 0.0
        self.page_size = 50
        self._issues: list[JsonObject] = []
        self._files: dict[str, str] = {}

    def snapshot(self) -> JsonObject:
        return {"issues": self._issues, "files": self._files, "last_id": self._last_id}

    def restore(self, world: JsonObject) -> None:
        self._issues = world["issues"]
        self._files = world["files"]
        self._last_id = world["last_id"]

    def all_issues(self) -> list[JsonObject]:
        """Every issue as it is served, oldest first; no search lag."""
        with self.lock:
            return [self._shown(issue, None) for issue in self._issues]

    def delete_issue(self, key: str) -> JsonObject:
        """Somebody deletes the issue, or hides it from our account: both are a 404. Gives what
        `show_issue` takes."""
        with self.lock:
            issue = self._issue(key)
            self._issues.remove(issue)
            return issue

    def show_issue(self, issue: JsonObject) -> None:
        """A hidden issue can be seen again."""
        with self.lock:
            self._issues.append(issue)

    def rename_issue(self, key: str, new_key: str) -> None:
        """Somebody moves the issue to another project: it keeps its id."""
        with self.lock:
            self._issue(key)["key"] = new_key

    def file(self, attachment_id: str) -> bytes:
        """The content of an attachment."""
        with self.lock:
            return base64.b64decode(self._files[attachment_id])

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        try:
            return self._routed(call)
        except JiraError as error:
            body = {"errorMessages": error.messages, "errors": error.fields}
            return json_answer(body, error.status)

    def _routed(self, call: Call) -> Answer:
        self._check_login(call)
        for method, pattern, handler in _ROUTES:
            match = re.fullmatch(_ROOT + pattern, call.path)
            if match is not None and method == call.method:
                return handler(self, call, [unquote(part) for part in match.groups()])
        raise JiraError(404, "null for uri: " + call.path)

    # -- issues ------------------------------------------------------------------------------------

    def _create(self, call: Call, parts: list[str]) -> Answer:
        fields = json_body(call).get("fields")
        if not isinstance(fields, dict):
            raise JiraError(400, "The fields of the issue are missing.")
        faults = faults_of(fields, self.refused_fields)
        if faults:
            raise JiraError(400, **faults)
        key = self._next_id()
        issue: JsonObject = {
            "id": key,
            "key": f"{PROJECT}-{len(self._issues) + 1}",
            "created": self.clock.now().isoformat(),
            "fields": self._stored(fields),
        }
        self._issues.append(issue)
        body = {"id": key, "key": issue["key"], "self": self._url("issue", key)}
        return json_answer(body, 201, changed=True)

    def _stored(self, fields: JsonObject) -> JsonObject:
        given = fields["issuetype"]
        type_id = next(
            key
            for key, name in ISSUE_TYPES.items()
            if key == given.get("id") or name == given.get("name")
        )
        return {
            "project": {"id": "10000", "key": PROJECT, "name": "Security"},
            "issuetype": {"id": type_id, "name": ISSUE_TYPES[type_id], "subtask": False},
            "summary": fields["summary"],
            "description": fields.get("description"),
            "environment": fields.get("environment"),
            "labels": list(fields.get("labels", [])),
            "priority": fields.get("priority") or {"name": "Medium"},
            "status": STATUSES["1"],
            "reporter": self._author(),
            "created": self._now(),
            "comment": [],
            "attachment": [],
        }

    def _issue(self, key: str) -> JsonObject:
        for issue in self._issues:
            if key in (issue["id"], issue["key"]):
                return issue
        raise JiraError(404, "Issue does not exist or you do not have permission to see it.")

    def _read(self, call: Call, parts: list[str]) -> Answer:
        names = [name for name in call.query_value("fields").split(",") if name]
        return json_answer(self._shown(self._issue(parts[0]), names or None))

    def _shown(self, issue: JsonObject, names: list[str] | None) -> JsonObject:
        comments = issue["fields"]["comment"]
        page = {"startAt": 0, "maxResults": len(comments), "total": len(comments)}
        fields = {**issue["fields"], "comment": {"comments": comments, **page}}
        if names is not None and "*all" not in names:
            fields = {name: value for name, value in fields.items() if name in names}
        shown = {"id": issue["id"], "key": issue["key"], "self": self._url("issue", issue["id"])}
        return {"expand": "renderedFields", **shown, "fields": fields}

    # -- comments, transitions, attachments --------------------------------------------------------

    def _comment(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        body = json_body(call)
        if not is_document(body.get("body")):
            raise JiraError(400, comment=NO_DOCUMENT)
        key = self._next_id()
        comment: JsonObject = {
            "self": self._url("issue", issue["id"], "comment", key),
            "id": key,
            "author": self._author(),
            "body": body["body"],
            "created": self._now(),
            "updated": self._now(),
            "properties": body.get("properties", []),
        }
        issue["fields"]["comment"].append(comment)
        return json_answer(comment, 201, changed=True)

    def _comments(self, call: Call, parts: list[str]) -> Answer:
        comments = self._issue(parts[0])["fields"]["comment"]
        start = _count({"startAt": call.query_value("startAt")}, "startAt", 0)
        size = _count({"maxResults": call.query_value("maxResults")}, "maxResults", 100)
        page = {"startAt": start, "maxResults": size, "total": len(comments)}
        return json_answer({"comments": comments[start : start + size], **page})

    def _transitions(self, call: Call, parts: list[str]) -> Answer:
        self._issue(parts[0])
        listed = [
            {"id": key, "name": STATUSES[to]["name"], "to": STATUSES[to], "hasScreen": False}
            for key, to in TRANSITIONS.items()
        ]
        return json_answer({"expand": "transitions", "transitions": listed})

    def _transit(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        transition = json_body(call).get("transition")
        key = transition.get("id") if isinstance(transition, dict) else None
        if key not in TRANSITIONS:
            raise JiraError(400, f"Transition id '{key}' is not valid for this issue.")
        issue["fields"]["status"] = STATUSES[TRANSITIONS[str(key)]]
        return Answer(status=204, changed=True)

    def _attach(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        if call.header("x-atlassian-token") != "no-check":
            raise JiraError(403, "XSRF check failed")
        files = files_of(call)
        if not files:
            raise JiraError(400, "No file was uploaded under the name 'file'.")
        if any(len(content) > MAX_ATTACHMENT_BYTES for _, content in files):
            raise JiraError(413, "The attachment is too large.")
        made = [self._attachment(name, content) for name, content in files]
        issue["fields"]["attachment"].extend(made)
        return json_answer(made, changed=True)

    def _attachment(self, name: str, content: bytes) -> JsonObject:
        key = self._next_id()
        self._files[key] = base64.b64encode(content).decode()
        return {
            "self": self._url("attachment", key),
            "id": key,
            "filename": name,
            "author": self._author(),
            "created": self._now(),
            "size": len(content),
            "mimeType": "application/octet-stream",
            "content": self._url("attachment/content", key),
        }

    def _download(self, call: Call, parts: list[str]) -> Answer:
        if parts[0] not in self._files:
            raise JiraError(404, "The attachment does not exist.")
        return Answer(body=self.file(parts[0]), content_type="application/octet-stream")

    # -- search ------------------------------------------------------------------------------------

    def _search(self, call: Call, parts: list[str]) -> Answer:
        asked = json_body(call) if call.method == "POST" else asked_by_query(call)
        try:
            query = Jql(str(asked.get("jql") or ""))
        except JqlError as error:
            raise JiraError(400, str(error)) from None
        known = {str(key) for key in _list(asked, "reconcileIssues")}
        found = [
            issue
            for issue in self._issues
            if (issue["id"] in known or self._is_indexed(issue)) and query.matches(issue)
        ]
        if query.newest_first:
            found.reverse()
        start = _count(asked, "nextPageToken", 0)
        size = min(_count(asked, "maxResults", 50), self.page_size)
        names = [str(name) for name in _list(asked, "fields")] or ["id"]
        page = [self._shown(issue, names) for issue in found[start : start + size]]
        more = start + size < len(found)
        token = {"nextPageToken": str(start + size)} if more else {}
        return json_answer({"issues": page, "isLast": not more, **token})

    def _is_indexed(self, issue: JsonObject) -> bool:
        created = datetime.fromisoformat(issue["created"])
        return self.clock.now() >= created + timedelta(seconds=self.search_lag_s)


def _list(asked: JsonObject, name: str) -> list[Any]:
    value = asked.get(name)
    if value is not None and not isinstance(value, list):
        raise JiraError(400, f"{name} is not a list.")
    return value or []


def _count(asked: JsonObject, name: str, default: int) -> int:
    value = str(asked.get(name) or default)
    if not value.isdigit():
        raise JiraError(400, f"{name} is not a number.")
    return int(value)


_ROOT = r"/rest/api/3"
_ROUTES: tuple[tuple[str, str, Callable[[Jira, Call, list[str]], Answer]], ...] = (
    ("GET", r"/myself", Jira._myself),
    ("GET", r"/mypermissions", Jira._permissions),
    ("GET", r"/issue/createmeta/([^/]+)/issuetypes", Jira._issue_types),
    ("GET", r"/issue/createmeta/([^/]+)/issuetypes/([^/]+)", Jira._create_screen),
    ("POST", r"/issue", Jira._create),
    ("GET", r"/issue/([^/]+)", Jira._read),
    ("POST", r"/issue/([^/]+)/comment", Jira._comment),
    ("GET", r"/issue/([^/]+)/comment", Jira._comments),
    ("GET", r"/issue/([^/]+)/transitions", Jira._transitions),
    ("POST", r"/issue/([^/]+)/transitions", Jira._transit),
    ("POST", r"/issue/([^/]+)/attachments", Jira._attach),
    ("GET", r"/attachment/content/([^/]+)", Jira._download),
    ("POST", r"/search/jql", Jira._search),
    ("GET", r"/search/jql", Jira._search),
)
