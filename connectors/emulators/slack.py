"""A Slack stand-in: one workspace, its channels, messages, threads, reactions and people.

Judged by slack_sdk. Refusals are HTTP 200 with `ok` false, as Slack's are. The human side (`react`,
`say`, …) plays the people, in process or over `/_human/<name>` with its own token. Not served:
Socket Mode, interactive buttons, files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from connectors.emulators import scenario
from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.slack_rules import decoded, refusal_of, stored
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import Clock, JsonObject

TEAM = "T0EMULATED"
BOT_USER = "U0STOCKADE"
BOT_ID = "B0STOCKADE"
CHANNEL = "C0RESPONSE"
OTHER_CHANNEL = "C0NOTOURS"
USER_GROUP = "S0RESPOND"
SHOWN_REACTION_USERS = 50
"""Without `full`, Slack may cut the accounts under a reaction."""
SCOPES = (
    "chat:write,reactions:read,reactions:write,users:read,users:read.email,usergroups:read,"
    "channels:history,groups:history,channels:read"
)

Arguments = JsonObject


class SlackError(Exception):
    """Slack says no; the text is its error code."""


class Slack(Emulator):
    """One workspace with our app in it. Tunable: `scopes`."""

    PRODUCT: ClassVar[str] = "slack"
    CREDENTIALS: ClassVar[dict[str, str]] = {"token": "xoxb-"}
    TUNABLE: ClassVar[frozenset[str]] = frozenset({"scopes"})
    COMMANDS: ClassVar[frozenset[str]] = frozenset({"messages"})
    HUMAN: ClassVar[frozenset[str]] = frozenset({"react", "unreact", "say", "edit", "delete"})

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.scopes = SCOPES
        self.people = {person["id"]: person for person in scenario.people()}
        self.people[BOT_USER] = {"id": BOT_USER, "name": "stockade", "is_bot": True}
        self.groups = {USER_GROUP: ["U0RESPONDA", "U0RESPONDB"]}
        self._channels: dict[str, dict[str, JsonObject]] = {CHANNEL: {}, OTHER_CHANNEL: {}}
        self._last_number = 0

    def snapshot(self) -> JsonObject:
        return {"channels": self._channels, "last_number": self._last_number}

    def restore(self, world: JsonObject) -> None:
        self._channels = world["channels"]
        self._last_number = world["last_number"]

    # -- the people --------------------------------------------------------------------------------

    def react(self, user: str, channel: str, ts: str, name: str) -> None:
        """A person puts a reaction under a message. Repeat: harmless."""
        with self.lock:
            message = self._found(channel, ts)
            _add_reaction(message, name, user)
            self.save()

    def unreact(self, user: str, channel: str, ts: str, name: str) -> None:
        """A person takes a reaction back; nothing is left of it."""
        with self.lock:
            _take_reaction(self._found(channel, ts), name, user)
            self.save()

    def say(self, user: str, channel: str, text: str, thread_ts: str | None = None) -> str:
        """A person writes; gives the message's `ts`."""
        with self.lock:
            message = self._new(channel, user, text, thread_ts)
            self.save()
            return str(message["ts"])

    def edit(self, channel: str, ts: str, text: str, user: str = "U0RESPONDA") -> None:
        """The shown text becomes another, as by somebody who may edit it."""
        with self.lock:
            message = self._found(channel, ts)
            message.update(text=text, edited={"user": user, "ts": ts})
            self.save()

    def delete(self, channel: str, ts: str) -> None:
        with self.lock:
            self._found(channel, ts)
            del self._channels[channel][ts]
            self.save()

    def messages(self, channel: str = CHANNEL) -> list[JsonObject]:
        """Every message of a channel, threads included, oldest first."""
        with self.lock:
            return [dict(message) for message in self._channels[channel].values()]

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        method = call.path.strip("/").removeprefix("api/")
        try:
            arguments = _arguments(call)
            self._check_token(call, arguments)
            handler = _METHODS.get(method)
            if handler is None:
                raise SlackError("unknown_method")
            reply = handler(self, arguments)
        except SlackError as error:
            return json_answer({"ok": False, "error": str(error)}, headers=self._headers())
        changed = method in _WRITES
        return json_answer({"ok": True, **reply}, headers=self._headers(), changed=changed)

    def _headers(self) -> dict[str, str]:
        return {"X-Oauth-Scopes": self.scopes, "X-Slack-Req-Id": "emulated"}

    def _check_token(self, call: Call, arguments: Arguments) -> None:
        token = call.header("authorization").removeprefix("Bearer ") or arguments.get("token")
        if not token:
            raise SlackError("not_authed")
        if token != self.credentials["token"]:
            raise SlackError("invalid_auth")

    def _channel(self, arguments: Arguments) -> dict[str, JsonObject]:
        name = str(arguments.get("channel", ""))
        if name not in self._channels:
            raise SlackError("channel_not_found")
        if name == OTHER_CHANNEL:
            raise SlackError("not_in_channel")
        return self._channels[name]

    def _message(self, arguments: Arguments, key: str) -> JsonObject:
        message = self._channel(arguments).get(str(arguments.get(key, "")))
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _found(self, channel: str, ts: str) -> JsonObject:
        """Errors: `KeyError` for a channel or message that is not there."""
        return self._channels[channel][ts]

    def _new(self, channel: str, user: str, text: str, thread_ts: str | None) -> JsonObject:
        self._last_number += 1
        ts = f"{int(self.clock.now().timestamp())}.{self._last_number:06d}"
        message: JsonObject = {
            "type": "message",
            "user": user,
            "text": text,
            "ts": ts,
            "team": TEAM,
        }
        if thread_ts:
            message["thread_ts"] = thread_ts
        self._channels[channel][ts] = message
        return message

    # -- methods -----------------------------------------------------------------------------------

    def _auth_test(self, arguments: Arguments) -> JsonObject:
        return {
            "url": self.base_url + "/",
            "team": "emulated",
            "user": "stockade",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT_ID,
            "is_enterprise_install": False,
        }

    def _post(self, arguments: Arguments) -> JsonObject:
        channel = self._channel(arguments)
        text, blocks = _content(arguments)
        thread_ts = arguments.get("thread_ts")
        if thread_ts and thread_ts not in channel:
            raise SlackError("thread_not_found")
        message = self._new(str(arguments["channel"]), BOT_USER, text, thread_ts)
        message["bot_id"] = BOT_ID
        if blocks:
            message["blocks"] = stored(blocks, message["ts"])
        if arguments.get("metadata"):
            message["metadata"] = decoded(arguments["metadata"])
        shown = _without_metadata(message)
        return {"channel": arguments["channel"], "ts": message["ts"], "message": shown}

    def _update(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "ts")
        if message["user"] != BOT_USER:
            raise SlackError("cant_update_message")
        text, blocks = _content(arguments)
        message.update(text=text, edited={"user": BOT_USER, "ts": message["ts"]})
        message.pop("blocks", None)
        if blocks:
            message["blocks"] = stored(blocks, message["ts"])
        if arguments.get("metadata"):
            message["metadata"] = decoded(arguments["metadata"])
        shown = _without_metadata(message)
        found = {"channel": arguments["channel"], "ts": message["ts"], "text": text}
        return {**found, "message": shown}

    def _history(self, arguments: Arguments) -> JsonObject:
        found = [
            message
            for message in self._channel(arguments).values()
            if message.get("thread_ts") in (None, message["ts"]) and _is_between(message, arguments)
        ]
        found.sort(key=lambda message: float(message["ts"]), reverse=True)
        return _paged(found, arguments, default=100)

    def _replies(self, arguments: Arguments) -> JsonObject:
        parent = str(arguments.get("ts", ""))
        channel = self._channel(arguments)
        if parent not in channel:
            raise SlackError("thread_not_found")
        found = [
            message
            for message in channel.values()
            if message["ts"] == parent
            or (message.get("thread_ts") == parent and _is_between(message, arguments))
        ]
        return _paged(found, arguments, default=1000)

    def _info(self, arguments: Arguments) -> JsonObject:
        name = str(arguments.get("channel", ""))
        if name not in self._channels:
            raise SlackError("channel_not_found")
        is_member = name != OTHER_CHANNEL
        return {
            "channel": {
                "id": name,
                "name": name.lower(),
                "is_channel": True,
                "is_member": is_member,
                "is_private": False,
                "is_archived": False,
                "is_ext_shared": False,
            }
        }

    def _react(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "timestamp")
        if not _add_reaction(message, str(arguments.get("name", "")), BOT_USER):
            raise SlackError("already_reacted")
        return {}

    def _unreact(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "timestamp")
        if not _take_reaction(message, str(arguments.get("name", "")), BOT_USER):
            raise SlackError("no_reaction")
        return {}

    def _reactions(self, arguments: Arguments) -> JsonObject:
        message = _without_metadata(self._message(arguments, "timestamp"))
        if not _is_true(arguments.get("full")):
            message["reactions"] = [
                {**reaction, "users": reaction["users"][:SHOWN_REACTION_USERS]}
                for reaction in message.get("reactions", [])
            ]
        if not message.get("reactions"):
            message.pop("reactions", None)
        return {"type": "message", "channel": arguments["channel"], "message": message}

    def _user(self, arguments: Arguments) -> JsonObject:
        person = self.people.get(str(arguments.get("user", "")))
        if person is None:
            raise SlackError("user_not_found")
        return {"user": _shown_person(person)}

    def _user_by_email(self, arguments: Arguments) -> JsonObject:
        for person in self.people.values():
            if person.get("email") and person["email"] == arguments.get("email"):
                return {"user": _shown_person(person)}
        raise SlackError("users_not_found")

    def _group(self, arguments: Arguments) -> JsonObject:
        members = self.groups.get(str(arguments.get("usergroup", "")))
        if members is None:
            raise SlackError("no_such_subteam")
        return {"users": list(members)}


def _arguments(call: Call) -> Arguments:
    """Query, form and JSON body together."""
    found: Arguments = dict(call.fields())
    if "json" in call.header("content-type"):
        try:
            body = call.json()
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        found |= body
    return found


def _content(arguments: Arguments) -> tuple[str, list[JsonObject] | None]:
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


def _add_reaction(message: JsonObject, name: str, user: str) -> bool:
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


def _take_reaction(message: JsonObject, name: str, user: str) -> bool:
    for reaction in message.get("reactions", []):
        if reaction["name"] == name and user in reaction["users"]:
            reaction["users"].remove(user)
            reaction["count"] -= 1
            message["reactions"] = [left for left in message["reactions"] if left["count"]]
            if not message["reactions"]:
                del message["reactions"]
            return True
    return False


def _is_true(value: Any) -> bool:
    return value in (True, 1, "1", "true", "True")


def _is_between(message: JsonObject, arguments: Arguments) -> bool:
    at = float(message["ts"])
    oldest = float(arguments.get("oldest") or 0)
    latest = float(arguments.get("latest") or "inf")
    if _is_true(arguments.get("inclusive")):
        return oldest <= at <= latest
    return oldest < at < latest


def _paged(found: list[JsonObject], arguments: Arguments, default: int) -> JsonObject:
    offset = int(arguments.get("cursor") or 0)
    limit = int(arguments.get("limit") or default)
    page = found[offset : offset + limit]
    if not _is_true(arguments.get("include_all_metadata")):
        page = [_without_metadata(message) for message in page]
    more = offset + limit < len(found)
    return {
        "messages": page,
        "has_more": more,
        "response_metadata": {"next_cursor": str(offset + limit) if more else ""},
    }


def _without_metadata(message: JsonObject) -> JsonObject:
    return {name: value for name, value in message.items() if name != "metadata"}


def _shown_person(person: JsonObject) -> JsonObject:
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


_METHODS: dict[str, Callable[[Slack, Arguments], JsonObject]] = {
    "auth.test": Slack._auth_test,
    "chat.postMessage": Slack._post,
    "chat.update": Slack._update,
    "conversations.history": Slack._history,
    "conversations.info": Slack._info,
    "conversations.replies": Slack._replies,
    "reactions.add": Slack._react,
    "reactions.get": Slack._reactions,
    "reactions.remove": Slack._unreact,
    "usergroups.users.list": Slack._group,
    "users.info": Slack._user,
    "users.lookupByEmail": Slack._user_by_email,
}
_WRITES = frozenset({"chat.postMessage", "chat.update", "reactions.add", "reactions.remove"})
