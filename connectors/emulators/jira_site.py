"""The site behind the Jira stand-in: who signs in, what the project allows, its create screen."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.jira_requests import ISSUE_TYPES, PROJECT, TAKEN_FIELDS, JiraError
from connectors.emulators.jira_rules import NO_DOCUMENT, is_document
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

ACCOUNT_ID = "emulated-account-1"


class Site(Emulator):
    """One account's view of one project."""

    API: ClassVar[str] = "3"

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.refused_fields: tuple[str, ...] = ()
        self.denied: tuple[str, ...] = ()
        self.custom_fields: dict[str, str] = {}
        self._last_id = 10_000

    def _check_login(self, call: Call) -> None:
        pair = f"{self.credentials['email']}:{self.credentials['api_token']}"
        wanted = "Basic " + base64.b64encode(pair.encode()).decode()
        if call.header("authorization") != wanted:
            raise JiraError(401, "Client must be authenticated to access this resource.")

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _now(self) -> str:
        # As the vendor's document has it; live servers are known to write +0000 without a colon.
        return self.clock.now().isoformat(timespec="milliseconds")

    def _url(self, *parts: str) -> str:
        return "/".join([self.base_url, f"rest/api/{self.API}", *parts])

    def _author(self) -> JsonObject:
        return {"accountId": ACCOUNT_ID, "displayName": "Stockade", "active": True}

    def _text_fault(self, value: Any) -> str | None:
        """What is wrong with a rich text."""
        return None if is_document(value) else NO_DOCUMENT

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
            key: {
                "id": str(number),
                "key": key,
                "name": key,
                "havePermission": project == PROJECT and key not in self.denied,
            }
            for number, key in enumerate(asked, 10)
        }
        return json_answer({"permissions": listed})

    def _issue_types(self, call: Call, parts: list[str]) -> Answer:
        self._check_project(parts[0])
        types = [
            {"id": key, "name": name, "subtask": False, "hierarchyLevel": 0}
            for key, name in ISSUE_TYPES.items()
        ]
        return self._listed("issueTypes", types)

    def _create_screen(self, call: Call, parts: list[str]) -> Answer:
        self._check_project(parts[0])
        if parts[1] not in ISSUE_TYPES:
            raise JiraError(404, "The issue type is not in this project.")
        always = ("project", "issuetype", "summary")
        fields = [
            {"fieldId": name, "key": name, "name": name.title(), "required": name in always}
            for name in sorted(TAKEN_FIELDS)
            if name not in self.refused_fields
        ]
        fields += [
            {"fieldId": key, "key": key, "name": name, "required": False}
            for key, name in self.custom_fields.items()
        ]
        return self._listed("fields", fields)

    def _listed(self, name: str, entries: list[JsonObject]) -> Answer:
        page = {"startAt": 0, "maxResults": 50, "total": len(entries)}
        return json_answer({name: entries, **page})

    def _check_project(self, key: str) -> None:
        if key != PROJECT:
            # The vendor's document knows no 404 here.
            raise JiraError(400, f"No project could be found with key '{key}'.")
