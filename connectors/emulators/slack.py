"""A Slack stand-in: one workspace, its channels, messages, threads, reactions and people.

Judged by slack_sdk. Refusals are HTTP 200 with `ok` false, as Slack's are. The human side (`react`,
`say`, …) plays the people, in process or over `/_human/<name>` with its own token. Not served:
files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from connectors.emulators.slack_messages import (
    TEAM,
    Arguments,
    SlackError,
    add_reaction,
    content,
    is_between,
    is_true,
    metadata_of,
    paged,
    shown_person,
    take_reaction,
    without_metadata,
)
from connectors.emulators.slack_rules import missing_scope, stored
from connectors.emulators.slack_workspace import BOT_ID, BOT_USER, OTHER_CHANNEL, Workspace
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import JsonObject

SHOWN_REACTION_USERS = 50
"""Without `full`, Slack may cut the accounts under a reaction."""


class Slack(Workspace):
    """One workspace with our app in it. Tunable: `scopes`."""

    PRODUCT: ClassVar[str] = "slack"
    CREDENTIALS: ClassVar[dict[str, str]] = {"token": "xoxb-", "app_token": "xapp-"}
    TUNABLE: ClassVar[frozenset[str]] = frozenset({"scopes", "app_scopes"})

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        method = call.path.strip("/").removeprefix("api/")
        try:
            arguments = _arguments(call)
            self._check_token(call, arguments, method)
            if (needed := missing_scope(method, self.scopes)) is not None:
                raise SlackError("missing_scope", needed=needed, provided=self.scopes)
            handler = _METHODS.get(method)
            if handler is None:
                raise SlackError("unknown_method")
            reply = handler(self, arguments)
        except SlackError as error:
            refusal = {"ok": False, "error": str(error), **error.more}
            return json_answer(refusal, headers=self._headers())
        changed = method in _WRITES
        return json_answer({"ok": True, **reply}, headers=self._headers(), changed=changed)

    def _headers(self) -> dict[str, str]:
        return {"X-Oauth-Scopes": self.scopes, "X-Slack-Req-Id": "emulated"}

    def _check_token(self, call: Call, arguments: Arguments, method: str) -> None:
        token = call.header("authorization").removeprefix("Bearer ") or arguments.get("token")
        if not token:
            raise SlackError("not_authed")
        is_app = token == self.credentials["app_token"]
        if not is_app and token != self.credentials["token"]:
            raise SlackError("invalid_auth")
        if is_app != (method == OPEN):
            raise SlackError("not_allowed_token_type")

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
        text, blocks = content(arguments)
        metadata = metadata_of(arguments)
        thread_ts = str(arguments.get("thread_ts") or "")
        if thread_ts and thread_ts not in channel:
            raise SlackError("thread_not_found")
        message = self._new(str(arguments["channel"]), BOT_USER, text, thread_ts)
        message["bot_id"] = BOT_ID
        if blocks:
            message["blocks"] = stored(blocks, message["ts"])
        if metadata:
            message["metadata"] = metadata
        shown = without_metadata(message)
        return {"channel": arguments["channel"], "ts": message["ts"], "message": shown}

    def _update(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "ts")
        if message["user"] != BOT_USER:
            raise SlackError("cant_update_message")
        text, blocks = content(arguments)
        metadata = metadata_of(arguments)
        message.update(text=text, edited={"user": BOT_USER, "ts": message["ts"]})
        message.pop("blocks", None)
        if blocks:
            message["blocks"] = stored(blocks, message["ts"])
        if metadata:
            message["metadata"] = metadata
        shown = without_metadata(message)
        found = {"channel": arguments["channel"], "ts": message["ts"], "text": text}
        return {**found, "message": shown}

    def _history(self, arguments: Arguments) -> JsonObject:
        found = [
            message
            for message in self._channel(arguments).values()
            if message.get("thread_ts") in (None, message["ts"]) and is_between(message, arguments)
        ]
        found.sort(key=lambda message: float(message["ts"]), reverse=True)
        return paged(found, arguments, default=100)

    def _replies(self, arguments: Arguments) -> JsonObject:
        parent = str(arguments.get("ts", ""))
        channel = self._channel(arguments)
        if parent not in channel:
            raise SlackError("thread_not_found")
        found = [
            message
            for message in channel.values()
            if message["ts"] == parent
            or (message.get("thread_ts") == parent and is_between(message, arguments))
        ]
        return paged(found, arguments, default=1000)

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

    def _ephemeral(self, arguments: Arguments) -> JsonObject:
        self._channel(arguments)
        user = str(arguments.get("user", ""))
        if user not in self.people:
            raise SlackError("user_not_in_channel")
        self.whispers.append((user, str(arguments.get("text", ""))))
        return {"message_ts": f"{int(self.clock.now().timestamp())}.000000"}

    def _open_socket(self, arguments: Arguments) -> JsonObject:
        if "connections:write" not in self.app_scopes.split(","):
            needs = {"needed": "connections:write", "provided": self.app_scopes}
            raise SlackError("missing_scope", **needs)
        return {"url": self.socket_mode.open()}

    def _react(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "timestamp")
        if not add_reaction(message, str(arguments.get("name", "")), BOT_USER):
            raise SlackError("already_reacted")
        return {}

    def _unreact(self, arguments: Arguments) -> JsonObject:
        message = self._message(arguments, "timestamp")
        if not take_reaction(message, str(arguments.get("name", "")), BOT_USER):
            raise SlackError("no_reaction")
        return {}

    def _reactions(self, arguments: Arguments) -> JsonObject:
        message = without_metadata(self._message(arguments, "timestamp"))
        if not is_true(arguments.get("full")):
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
        return {"user": shown_person(person)}

    def _user_by_email(self, arguments: Arguments) -> JsonObject:
        for person in self.people.values():
            if person.get("email") and person["email"] == arguments.get("email"):
                return {"user": shown_person(person)}
        raise SlackError("users_not_found")

    def _group(self, arguments: Arguments) -> JsonObject:
        group = str(arguments.get("usergroup", ""))
        members = self.groups.get(group)
        is_shown = group not in self.disabled_groups or is_true(arguments.get("include_disabled"))
        if members is None or not is_shown:
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


OPEN = "apps.connections.open"
_METHODS: dict[str, Callable[[Slack, Arguments], JsonObject]] = {
    OPEN: Slack._open_socket,
    "auth.test": Slack._auth_test,
    "chat.postEphemeral": Slack._ephemeral,
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
