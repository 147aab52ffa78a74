"""What a Socket Mode envelope says: which button was pressed, by whom, under which message.

Pure functions over decoded envelopes, any field of which may be missing. Whether the press counts
is not decided here, but what does not come from our own channel and workspace is said to.
"""

from __future__ import annotations

from msgspec import Struct

from connectors.chat.slack_blocks import ACTION, SEPARATOR
from connectors.chat.slack_calls import object_of, objects_of, text_of
from connectors.chat.slack_ids import TIMESTAMP
from connectors.chat.slack_product import ACCOUNT
from connectors.document import visible
from connectors.model import JsonObject, Press

LONGEST = 200
"""Of each text that is kept of a press; ours are shorter."""


class Home(Struct, frozen=True, kw_only=True):
    """Where our buttons are: our user, workspace, channel, and app (empty where not known)."""

    user: str
    team: str
    channel: str
    app: str = ""


def press_of(envelope: JsonObject, home: Home) -> Press | None:
    """The press that an envelope tells of; None when it is none of a button of ours. Its texts can
    be written anywhere: what cannot be seen is an escape in them.

    Source: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload, 2026-11-25.
    """
    payload = object_of(envelope.get("payload"))
    if envelope.get("type") != "interactive" or payload.get("type") != "block_actions":
        return None
    actions = [
        action
        for action in objects_of(payload.get("actions"))
        if text_of(action.get("action_id")).startswith(ACTION)
    ]
    if not actions:
        return None
    carried = text_of(actions[0].get("value")).split(SEPARATOR)
    card, binding, choice = carried if len(carried) == 3 else ("", "", "")
    container = object_of(payload.get("container"))
    return Press(
        account=_id_in(payload, "user"),
        team=_id_in(payload, "team"),
        channel=_id_in(payload, "channel"),
        message_id=_kept(container.get("message_ts")),
        card=_kept(card),
        binding=_kept(binding),
        choice=_kept(choice),
        pressed_at=_kept(actions[0].get("action_ts")),
        envelope=_kept(envelope.get("envelope_id")),
        refusal=_refusal(payload, container, home, is_one=len(actions) == 1),
    )


def _refusal(payload: JsonObject, container: JsonObject, home: Home, *, is_one: bool) -> str | None:
    user = object_of(payload.get("user"))
    account, team = text_of(user.get("id")), user.get("team_id")
    app = text_of(payload.get("api_app_id"))
    message = text_of(container.get("message_ts"))
    told = text_of(object_of(payload.get("message")).get("ts"))
    if not is_one:
        return "it tells of more than one press"
    if home.app and app != home.app:
        return "it is of another app"
    if not ACCOUNT.fullmatch(account) or account == home.user:
        return "it names no person"
    if _id_in(payload, "team") != home.team or team not in (None, home.team):
        return "it comes from another workspace"
    if _id_in(payload, "channel") != home.channel or container.get("channel_id") != home.channel:
        return "it comes from another channel"
    is_message = container.get("type") == "message" and not container.get("is_ephemeral")
    if not is_message or not TIMESTAMP.fullmatch(message) or told not in ("", message):
        return "it names no message"
    return None


def _id_in(payload: JsonObject, name: str) -> str:
    return _kept(object_of(payload.get(name)).get("id"))


def _kept(value: object) -> str:
    """JSON can carry half a character (a lone surrogate), which no file and no table takes."""
    return visible(text_of(value)[:LONGEST])
