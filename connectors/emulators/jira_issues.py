"""The issues of the Jira stand-in: made, shown, commented on, with their attachments."""

from __future__ import annotations

import base64
import copy

from connectors.emulators.emulator import Keys
from connectors.emulators.jira_requests import (
    ISSUE_TYPES,
    PROJECT,
    JiraError,
    count_of,
    faults_of,
    files_of,
    json_body,
)
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
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024


def status_of(key: str) -> JsonObject:
    """A status for one issue: its own, so that a test that edits one changes no other."""
    return copy.deepcopy(STATUSES[key])


class Issues(Site):
    """What one project holds."""

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
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

    # -- issues ------------------------------------------------------------------------------------

    def _create(self, call: Call, parts: list[str]) -> Answer:
        fields = json_body(call).get("fields")
        if not isinstance(fields, dict):
            raise JiraError(400, "The fields of the issue are missing.")
        known = {name: value for name, value in fields.items() if name not in self.custom_fields}
        faults = faults_of(known, self.refused_fields, self._text_fault)
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
            "status": status_of("1"),
            "reporter": self._author(),
            "created": self._now(),
            "comment": [],
            "attachment": [],
            **{name: fields[name] for name in self.custom_fields if name in fields},
        }

    def _issue(self, key: str) -> JsonObject:
        for issue in self._issues:
            if key in (issue["id"], issue["key"]):
                return issue
        raise JiraError(404, "Issue does not exist or you do not have permission to see it.")

    def _read(self, call: Call, parts: list[str]) -> Answer:
        names = [name for name in call.query_value("fields").split(",") if name]
        issue = self._issue(parts[0])
        shown = self._shown(issue, names or None)
        if "changelog" in call.query_value("expand"):
            told = list(reversed(issue.get("history", [])))
            page = {"startAt": 0, "maxResults": len(told), "total": len(told)}
            shown["changelog"] = {**page, "histories": told}
        return json_answer(shown)

    def _put(self, issue: JsonObject, status: str) -> None:
        """Give an issue another status, and write the change down."""
        was, to = issue["fields"]["status"], status_of(status)
        issue["fields"]["status"] = to
        item = {"field": "status", "fieldtype": "jira", "fieldId": "status"}
        item |= {"from": was["id"], "fromString": was["name"]}
        item |= {"to": to["id"], "toString": to["name"]}
        change = {"id": self._next_id(), "author": self._author(), "created": self._now()}
        issue.setdefault("history", []).append({**change, "items": [item]})

    def _shown(self, issue: JsonObject, names: list[str] | None) -> JsonObject:
        comments = issue["fields"]["comment"]
        page = {"startAt": 0, "maxResults": len(comments), "total": len(comments)}
        fields = {**issue["fields"], "comment": {"comments": comments, **page}}
        if names is not None and "*all" not in names:
            fields = {name: value for name, value in fields.items() if name in names}
        shown = {"id": issue["id"], "key": issue["key"], "self": self._url("issue", issue["id"])}
        return {"expand": "renderedFields", **shown, "fields": fields}

    # -- comments and attachments ------------------------------------------------------------------

    def _comment(self, call: Call, parts: list[str]) -> Answer:
        issue = self._issue(parts[0])
        body = json_body(call)
        if fault := self._text_fault(body.get("body")):
            raise JiraError(400, comment=fault)
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
        start = count_of({"startAt": call.query_value("startAt")}, "startAt", 0)
        size = count_of({"maxResults": call.query_value("maxResults")}, "maxResults", 100)
        page = {"startAt": start, "maxResults": size, "total": len(comments)}
        return json_answer({"comments": comments[start : start + size], **page})

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
