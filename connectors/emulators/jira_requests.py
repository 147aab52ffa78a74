"""What a call to Jira asks: body, files, and what is wrong with the fields of a new issue."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from connectors.emulators.jira_rules import MAX_SUMMARY
from connectors.emulators.wire import Call
from connectors.model import JsonObject

PROJECT = "SEC"
ISSUE_TYPES = {"10001": "Task", "10002": "Incident"}
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
TAKEN_FIELDS = frozenset(
    {"project", "issuetype", "summary", "description", "labels", "priority", "environment"}
)


class JiraError(Exception):
    """Jira says no: `status`, and the body's `errorMessages` and `errors`."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        super().__init__(status, messages, fields)
        self.status = status
        self.messages = list(messages)
        self.fields = fields


def faults_of(
    fields: JsonObject, refused: Collection[str], text_fault: Callable[[Any], str | None]
) -> dict[str, str]:
    """Field → Jira's complaint; empty when the issue can be made."""
    unknown = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
    found = {
        name: unknown.format(name) for name in fields if name not in TAKEN_FIELDS or name in refused
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
        checks[name] = None if fields.get(name) is None else text_fault(fields[name])
    if "priority" in fields and not _named(fields, "priority", set(PRIORITIES)):
        checks["priority"] = "Specify a valid 'id' or 'name' for priority"
    return {**{name: text for name, text in checks.items() if text}, **found}


def json_body(call: Call) -> JsonObject:
    if "json" not in call.header("content-type"):
        raise JiraError(415, "Unsupported Media Type")
    try:
        value = call.json()
    except ValueError:
        raise JiraError(400, "There was an error parsing JSON.") from None
    if not isinstance(value, dict):
        raise JiraError(400, "There was an error parsing JSON.")
    return value


def asked_by_query(call: Call) -> JsonObject:
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
    return any(str(value.get(key)) in known for key in ("key", "name", "id"))


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


def files_of(call: Call) -> list[tuple[str, bytes]]:
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


def list_of(asked: JsonObject, name: str) -> list[Any]:
    value = asked.get(name)
    if value is not None and not isinstance(value, list):
        raise JiraError(400, f"{name} is not a list.")
    return value or []


def count_of(asked: JsonObject, name: str, default: int) -> int:
    value = str(asked.get(name) or default)
    if not value.isdigit():
        raise JiraError(400, f"{name} is not a number.")
    return int(value)
