"""A Jira Cloud stand-in (REST v3): issues, comments, transitions, attachments, search with a lag.

Judged by openapi-core with the vendor's own document, requests and replies both. Rich text must be
an Atlassian document, as in v3. Error texts are our reading.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, ClassVar
from urllib.parse import unquote

from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.jira_rules import MAX_SUMMARY, NO_DOCUMENT, Jql, JqlError, is_document
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

PROJECT = "SEC"
ISSUE_TYPES = {"10001": "Task", "10002": "Incident"}
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
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
ACCOUNT_ID = "5b10a2844c20165700ede21g"
_TAKEN_FIELDS = frozenset(
    {"project", "issuetype", "summary", "description", "labels", "priority", "environment"}
)
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024


class JiraError(Exception):
    """Jira says no: `status`, and the body's `errorMessages` and `errors`."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        super().__init__(status, messages, fields)
        self.status = status
        self.messages = list(messages)
        self.fields = fields


class Jira(Emulator):
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
        self.refused_fields: tuple[str, ...] = ()
        self._issues: list[JsonObject] = []
        self._files: dict[str, str] = {}
        self._last_id = 10_000

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

    def file(self, attachment_id: str) -> bytes:
        """The content of an attachment."""
        with self.lock:
            return base64.b64decode(self._files[attachment_id])

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        try:
            self._check_login(call)
            for method, pattern, handler in _ROUTES:
                match = re.fullmatch(_ROOT + pattern, call.path)
                if match is not None and method == call.method:
                    return handler(self, call, [unquote(part) for part in match.groups()])
            raise JiraError(404, "null for uri: " + call.path)
        except JiraError as error:
            body = {"errorMessages": error.messages, "errors": error.fields}
            return json_answer(body, error.status)

    def _check_login(self, call: Call) -> None:
        pair = f"{self.credentials['email']}:{self.credentials['api_token']}"
        wanted = "Basic " + base64.b64encode(pair.encode()).decode()
        if call.header("authorization") != wanted:
            raise JiraError(401, "Client must be authenticated to access this resource.")

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"

    def _url(self, *parts: str) -> str:
        return "/".join([self.base_url, "rest/api/3", *parts])

    def _author(self) -> JsonObject:
        return {"accountId": ACCOUNT_ID, "displayName": "Stockade", "active": True}

    # -- about us ----------------------------------------------------------------------------------

    def _myself(self, call: Call, parts: list[str]) -> Answer:
        body = {
            "self": self._url(f"user?accountId={ACCOUNT_ID}"),
            "accountId": ACCOUNT_ID,
            "accountType": "atlassian",
            "emailAddress": self.credentials["email"],
            "displayName": "Stockade",
            "active": True,
            "timeZone": "Etc/UTC",
        }
        return json_answer(body)

    def _permissions(self, call: Call, parts: list[str]) -> Answer:
        asked = [key for key in call.query_value("permissions").split(",") if key]
        if not asked:
            raise JiraError(400, "The permissions query parameter is required.")
        project = call.query_value("projectKey", PROJECT)
        listed = {
            key: {"id": str(number), "key": key, "name": key, "havePermission": project == PROJECT}
            for number, key in enumerate(asked, 10)
        }
        return json_answer({"permissions": listed})

    def _issue_types(self, call: Call, parts: list[str]) -> Answer:
        self._check_project(parts[0])
        types = [
            {"id": key, "name": name, "subtask": False, "hierarchyLevel": 0}
            for key, name in ISSUE_TYPES.items()
        ]
        page = {"startAt": 0, "maxResults": 50, "total": len(types)}
        return json_answer({"issueTypes": types, **page})

    def _create_screen(self, call: Call, parts: list[str]) -> Answer:
        self._check_project(parts[0])
        if parts[1] not in ISSUE_TYPES:
            raise JiraError(404, "The issue type is not in this project.")
        always = ("project", "issuetype", "summary")
        fields = [
            {"fieldId": name, "key": name, "name": name.title(), "required": name in always}
            for name in sorted(_TAKEN_FIELDS)
            if name not in self.refused_fields
        ]
        page = {"startAt": 0, "maxResults": 50, "total": len(fields)}
        return json_answer({"fields": fields, **page})

    def _check_project(self, key: str) -> None:
        if key != PROJECT:
            raise JiraError(404, f"No project could be found with key '{key}'.")

    # -- issues ------------------------------------------------------------------------------------

    def _create(self, call: Call, parts: list[str]) -> Answer:
        fields = _body(call).get("fields")
        if not isinstance(fields, dict):
            raise JiraError(400, "The fields of the issue are missing.")
        faults = self._faults_of(fields)
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

    def _faults_of(self, fields: JsonObject) -> dict[str, str]:
        """Field → Jira's complaint; empty when the issue can be made."""
        unknown = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
        found = {
            name: unknown.format(name)
            for name in fields
            if name not in _TAKEN_FIELDS or name in self.refused_fields
        }
        checks: dict[str, str | None] = {
            "project": None if _named(fields, "project", {PROJECT}) else "project is required",
            "issuetype": None
            if _named(fields, "issuetype", {*ISSUE_TYPES, *ISSUE_TYPES.values()})
            else "Specify a valid issue type",
            "summary": _summary_fault(fields.get("summary")),
            "labels": _labels_fault(fields.get("labels", [])),
        }
        for name in ("description", "environment"):
            is_good = fields.get(name) is None or is_document(fields[name])
            checks[name] = None if is_good else NO_DOCUMENT
        if "priority" in fields and not _named(fields, "priority", set(PRIORITIES)):
            checks["priority"] = "Specify a valid 'id' or 'name' for priority"
        return {**{name: text for name, text in checks.items() if text}, **found}

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
        body = _body(call)
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
        start = int(call.query_value("startAt") or 0)
        size = int(call.query_value("maxResults") or 100)
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
        transition = _body(call).get("transition")
        key = transition.get("id") if isinstance(transition, dict) else None
        if key not in TRANSITIONS:
            raise JiraError(400, f"Transition id '{key}' is not valid for this issue.")
        issue["fields"]["status"] = STATUSES[TRANSITIONS[str(key)]]
        return Answer(status=204, changed=True)

    def _attach(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        if call.header("x-atlassian-token") != "no-check":
            raise JiraError(403, "XSRF check failed")
        files = _files_of(call)
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
        asked = _body(call) if call.method == "POST" else _asked_by_query(call)
        try:
            query = Jql(str(asked.get("jql") or ""))
        except JqlError as error:
            raise JiraError(400, str(error)) from None
        known = {str(key) for key in asked.get("reconcileIssues") or []}
        found = [
            issue
            for issue in self._issues
            if (issue["id"] in known or self._is_indexed(issue)) and query.matches(issue)
        ]
        if query.newest_first:
            found.reverse()
        start = int(asked.get("nextPageToken") or 0)
        size = min(int(asked.get("maxResults") or 50), self.page_size)
        names = list(asked.get("fields") or ["id"])
        page = [self._shown(issue, names) for issue in found[start : start + size]]
        more = start + size < len(found)
        token = {"nextPageToken": str(start + size)} if more else {}
        return json_answer({"issues": page, "isLast": not more, **token})

    def _is_indexed(self, issue: JsonObject) -> bool:
        created = datetime.fromisoformat(issue["created"])
        return self.clock.now() >= created + timedelta(seconds=self.search_lag_s)


def _body(call: Call) -> JsonObject:
    if "json" not in call.header("content-type"):
        raise JiraError(415, "Unsupported Media Type")
    try:
        value = call.json()
    except ValueError:
        raise JiraError(400, "There was an error parsing JSON.") from None
    if not isinstance(value, dict):
        raise JiraError(400, "There was an error parsing JSON.")
    return value


def _asked_by_query(call: Call) -> JsonObject:
    lists = ("fields", "reconcileIssues")
    single = {key: call.query_value(key) for key in ("jql", "nextPageToken", "maxResults")}
    return {
        **single,
        **{key: ",".join(call.query_values(key)).split(",") for key in lists if key in call.query},
    }


def _named(fields: JsonObject, name: str, known: set[str]) -> bool:
    value = fields.get(name)
    if not isinstance(value, dict):
        return False
    return any(value.get(key) in known for key in ("key", "name", "id"))


def _summary_fault(summary: Any) -> str | None:
    if not isinstance(summary, str) or not summary.strip():
        return "You must specify a summary of the issue."
    if "\n" in summary or "\r" in summary:
        return "The summary is invalid because it contains newline characters."
    if len(summary.encode("utf-16-le")) // 2 > MAX_SUMMARY:
        return f"Summary must be less than {MAX_SUMMARY} characters."
    return None


def _labels_fault(labels: Any) -> str | None:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return "data was not an array"
    if any(re.search(r"\s", label) for label in labels):
        return "The label contains spaces which is invalid."
    return None


def _files_of(call: Call) -> list[tuple[str, bytes]]:
    """Names and contents of the parts that are called `file`."""
    head = f"Content-Type: {call.header('content-type')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + call.body)
    if not message.is_multipart():
        return []
    found: list[tuple[str, bytes]] = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        if part.get_param("name", header="content-disposition") == "file":
            data = content if isinstance(content, bytes) else b""
            found.append((part.get_filename() or "file", data))
    return found


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
