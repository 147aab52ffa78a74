"""Messages, reactions and people as Slack keeps and shows them; it holds no state itself."""

from __future__ import annotations

from math import isfinite
from typing import Any

from connectors.emulators.slack_rules import decoded, refusal_of
from connectors.model import JsonObject

TEAM = "T0EMULATED"
Arguments = JsonObject


class SlackError(Exception):
    """Slack says no; the text is its error code, and `more` what else it says."""

    def __init__(self, code: str, **more: str) -> None:
        super().__init__(code)
        self.more = more


def content(arguments: Arguments) -> tuple[str, list[JsonObject] | None]:
    """Text and blocks of a message. Errors: `SlackError` as Slack refuses them."""
    text = str(arguments.get("text") or "")
    try:
        blocks = decoded(arguments.get("blocks"))
    except ValueError:
        raise SlackError("invalid_blocks_format") from None
    refusal = refusal_of(text, blocks)
    if refusal is not None:
        raise SlackError(refusal)
    return text, blocks


def metadata_of(arguments: Arguments) -> JsonObject | None:
    """A message's metadata, if it is given. Errors: `SlackError`."""
    try:
        found = decoded(arguments.get("metadata"))
    except ValueError:
        raise SlackError("invalid_metadata_format") from None
    if found is not None and not isinstance(found, dict):
        raise SlackError("invalid_metadata_format")
    return found


def number(arguments: Arguments, name: str, default: float) -> float:
    """A number given as such or as text. Errors: `SlackError`."""
    value = arguments.get(name)
    if value is None or value == "":
        return default
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise SlackError("invalid_arguments") from None
    if not isfinite(found):
        raise SlackError("invalid_arguments")
    return found


def add_reaction(message: JsonObject, name: str, user: str) -> bool:
    reactions: list[JsonObject] = message.setdefault("reactions", [])
    for reaction in reactions:
        if reaction["name"] == name:
            if user in reaction["users"]:
                return False
            reaction["users"].append(user)
            reaction["count"] += 1
            return True
    reactions.append({"name": name, "users": [user], "count": 1})
    return True


def take_reaction(message: JsonObject, name: str, user: str) -> bool:
    for reaction in message.get("reactions", []):
        if reaction["name"] == name and user in reaction["users"]:
            reaction["users"].remove(user)
            reaction["count"] -= 1
            message["reactions"] = [left for left in message["reactions"] if left["count"]]
            if not message["reactions"]:
                del message["reactions"]
            return True
    return False


def buttons_of(message: JsonObject) -> list[JsonObject]:
    """The buttons that a message shows."""
    blocks = message.get("blocks", [])
    return [
        element
        for block in blocks
        if block.get("type") == "actions"
        for element in block["elements"]
        if element.get("type") == "button"
    ]


def is_true(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")


def is_between(message: JsonObject, arguments: Arguments) -> bool:
    at = float(message["ts"])
    oldest = number(arguments, "oldest", 0)
    latest = number(arguments, "latest", float("inf"))
    if is_true(arguments.get("inclusive")):
        return oldest <= at <= latest
    return oldest < at < latest


def paged(found: list[JsonObject], arguments: Arguments, default: int) -> JsonObject:
    offset = int(number(arguments, "cursor", 0))
    limit = int(number(arguments, "limit", default))
    if offset < 0 or limit < 1:
        raise SlackError("invalid_arguments")
    page = found[offset : offset + limit]
    if not is_true(arguments.get("include_all_metadata")):
        page = [without_metadata(message) for message in page]
    more = offset + limit < len(found)
    return {
        "messages": page,
        "has_more": more,
        "response_metadata": {"next_cursor": str(offset + limit) if more else ""},
    }


def without_metadata(message: JsonObject) -> JsonObject:
    return {name: value for name, value in message.items() if name != "metadata"}


def shown_person(person: JsonObject) -> JsonObject:
    flags = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")
    shown: JsonObject = {name: bool(person.get(name)) for name in flags}
    return {
        "id": person["id"],
        "name": person["name"],
        "team_id": person.get("team_id", TEAM),
        "is_app_user": False,
        "profile": {"email": person.get("email"), "real_name": person["name"]},
        **shown,
    }
