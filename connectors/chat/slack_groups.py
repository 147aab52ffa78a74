"""Who is in a Slack user group, as Slack says it now."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.chat.slack_calls import PRODUCT, SlackCalls, text_of
from connectors.chat.slack_product import ACCOUNT, GROUP
from connectors.chat.slack_replies import Identity
from connectors.document import visible
from connectors.errors import Rejected, Unavailable


def members_of(calls: SlackCalls, group: str, me: Identity) -> Sequence[str]:
    """The accounts in a user group; never none. It needs the scope `usergroups:read`.

    A group that is disabled is not asked for (`include_disabled` is left out): Slack then gives
    `no_such_subteam` or nobody, and both are refused. Errors: `Rejected`, `NotFound`; `Unavailable`
    for a list that is none; as `SlackCalls.read`.
    Source: https://docs.slack.dev/reference/methods/usergroups.users.list, 2026-11-25.
    """
    if not GROUP.fullmatch(group):
        raise Rejected(PRODUCT, f"no user group's id: {visible(group[:60]) or '(empty)'}")
    # Only an organization's token needs to say in which workspace.
    where = {"team_id": me.team} if me.enterprise else {}
    users = calls.read("usergroups.users.list", usergroup=group, **where).get("users")
    if not isinstance(users, list) or not all(ACCOUNT.fullmatch(text_of(one)) for one in users):
        raise Unavailable(PRODUCT, "usergroups.users.list gave no list of accounts")
    if not users:
        raise Rejected(PRODUCT, f"the user group {group} is empty or disabled")
    return tuple(dict.fromkeys(users))
