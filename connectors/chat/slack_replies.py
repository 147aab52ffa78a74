"""What Slack's replies say: answers, accounts, our own messages, scopes.

Pure functions over decoded replies, any field of which may be missing. What Slack does not say
never counts for an account.
"""

from __future__ import annotations

import logging

from msgspec import Struct

from connectors.chat.slack_blocks import Message
from connectors.chat.slack_calls import PRODUCT, object_of, objects_of, text_of
from connectors.chat.slack_ids import TIMESTAMP
from connectors.chat.slack_product import ACCOUNT, CHANNEL
from connectors.chat.slack_shown import shown_sha256
from connectors.document import visible
from connectors.errors import AuthFailed, OutcomeUnknown, Unavailable
from connectors.model import Answer, CheckResult, JsonObject, MessageRef

log = logging.getLogger(__name__)

EVENT_TYPE = "stockade_card"
SCOPES = ("chat:write", "reactions:read", "reactions:write", "users:read")


class Identity(Struct, frozen=True, kw_only=True):
    """Who the token is: the app's own user, its bot, its workspace."""

    user: str
    bot: str
    team: str
    enterprise: str


def identity_of(answer: JsonObject, team: str | None) -> Identity:
    """Who `auth.test` says that we are. Errors: `AuthFailed` when the token is not for `team`."""
    user, own_team = text_of(answer.get("user_id")), text_of(answer.get("team_id"))
    if not user or not own_team:
        raise Unavailable(PRODUCT, "auth.test did not name the app's user and workspace")
    if team is not None and own_team != team:
        text = f"the token is for workspace {visible(own_team)}, configured is {team}"
        raise AuthFailed(PRODUCT, text)
    return Identity(
        user=user,
        bot=text_of(answer.get("bot_id")),
        team=own_team,
        enterprise=text_of(answer.get("enterprise_id")),
    )


def posted(answer: JsonObject, message: Message) -> MessageRef:
    """Where a message stands that Slack took, with the hash of what was sent."""
    channel, timestamp = text_of(answer.get("channel")), text_of(answer.get("ts"))
    if not CHANNEL.fullmatch(channel) or not TIMESTAMP.fullmatch(timestamp):
        raise OutcomeUnknown(PRODUCT, "took the message and did not say which one it is")
    stored, sent_sha256 = object_of(answer.get("message")), message.sha256
    if stored.get("blocks") and shown(stored) != sent_sha256:
        # Answers to a card are taken only while it reads back as sent: say early why they will not.
        log.warning("slack stored a message otherwise than it was sent ts=%s", timestamp)
    return MessageRef(channel=channel, id=timestamp, sha256=sent_sha256)


def shown(message: JsonObject) -> str:
    """The hash of what a message shows, as Slack gave it."""
    return shown_sha256(
        text_of(message.get("text")),
        objects_of(message.get("blocks")),
        objects_of(message.get("attachments")),
    )


def is_ours(message: JsonObject, key: str, me: Identity) -> bool:
    """Posted by us with this key; anybody else may set the same metadata."""
    metadata = object_of(message.get("metadata"))
    is_by_us = message.get("user") == me.user or (bool(me.bot) and message.get("bot_id") == me.bot)
    return (
        is_by_us
        and metadata.get("event_type") == EVENT_TYPE
        and object_of(metadata.get("event_payload")).get("key") == key
        and bool(TIMESTAMP.fullmatch(text_of(message.get("ts"))))
    )


def answers_of(message: JsonObject, me: str) -> tuple[Answer, ...]:
    """Each account's choices, in Slack's order, skin tones taken off, our own left out.

    Errors: `Unavailable` when accounts are missing, because a denial may be among them.
    """
    found: dict[tuple[str, str], Answer] = {}
    reactions = message.get("reactions", [])
    if not isinstance(reactions, list):
        raise Unavailable(PRODUCT, "reactions.get gave no list of reactions")
    for reaction in map(object_of, reactions):
        listed = reaction.get("users")
        users = [user for user in listed if text_of(user)] if isinstance(listed, list) else []
        choice = text_of(reaction.get("name")).split("::", 1)[0]
        count = reaction.get("count")
        if not choice or not isinstance(count, int) or len(users) < count:
            raise Unavailable(PRODUCT, "reactions.get did not name every account that answered")
        for user in users:
            # No account of the list can be one that is no account id.
            if user != me and ACCOUNT.fullmatch(user):
                found[user, choice] = Answer(account=user, choice=choice)
    return tuple(found.values())


def is_bot(user: JsonObject) -> bool:
    """No person: a bot, an app, a workflow, or Slackbot."""
    # Slackbot itself is `is_bot: false` in Slack's answers.
    return (
        user.get("id") == "USLACKBOT"
        or user.get("is_bot") is not False
        or bool(user.get("is_app_user"))
        or bool(user.get("is_workflow_bot"))
    )


def is_full_member(user: JsonObject, me: Identity) -> bool:
    """No guest, no stranger, nobody who has not joined yet, and of our own workspace."""
    guest_marks = (user.get("is_restricted"), user.get("is_ultra_restricted"))
    is_guest = any(mark is not False for mark in guest_marks)
    is_outsider = bool(user.get("is_stranger")) or bool(user.get("is_invited_user"))
    return not is_guest and not is_outsider and _is_of_team(user, me)


def _is_of_team(user: JsonObject, me: Identity) -> bool:
    """Of our workspace, or of our organization (Enterprise Grid) and a member of our workspace."""
    if user.get("team_id") == me.team:
        return True
    grid = object_of(user.get("enterprise_user"))
    teams = grid.get("teams")
    return (
        bool(me.enterprise)
        and grid.get("enterprise_id") == me.enterprise
        and isinstance(teams, list)
        and me.team in teams
    )


def check_scopes(granted: str | None) -> list[CheckResult]:
    """Each needed scope against the reply's `x-oauth-scopes`."""
    if granted is None:
        mend = "Slack did not list the token's scopes; is it a bot token (xoxb)?"
        return [CheckResult(what="the token's scopes are known", ok=False, mend=mend)]
    held = {scope.strip() for scope in granted.split(",")}
    results = [_check_scope(scope, held) for scope in SCOPES]
    history = {"channels:history", "groups:history"} & held
    missing = None if history else "add channels:history (private channel: groups:history)"
    return [*results, CheckResult(what="scope to read the channel", ok=bool(history), mend=missing)]


def _check_scope(scope: str, held: set[str]) -> CheckResult:
    mend = None if scope in held else f"add the scope {scope} and install the app again"
    return CheckResult(what=f"scope {scope}", ok=scope in held, mend=mend)
