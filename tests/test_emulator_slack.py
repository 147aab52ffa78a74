"""The Slack stand-in, judged by Slack's own slack_sdk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    RichTextBlock,
    RichTextElementParts,
    RichTextPreformattedElement,
    SectionBlock,
)
from slack_sdk.models.metadata import Metadata

from connectors.emulators.faults import rate_limited
from connectors.emulators.slack import Slack
from connectors.emulators.slack_messages import TEAM
from connectors.emulators.slack_workspace import (
    BOT_ID,
    BOT_USER,
    CHANNEL,
    OTHER_CHANNEL,
    SCOPES,
    USER_GROUP,
)
from tests.fake_clock import FakeClock
from tests.loopback_only import loopback_only

__all__ = ["loopback_only"]


@pytest.fixture
def slack() -> Iterator[Slack]:
    emulator = Slack(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def web(slack: Slack) -> WebClient:
    return client(slack)


def client(slack: Slack, **how: Any) -> WebClient:
    given = {"token": slack.credentials["token"], "base_url": slack.base_url + "/api/", **how}
    return WebClient(**given)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(SlackApiError) as refused:
        call()
    return str(refused.value.response["error"])


def post(web: WebClient, text: str = "Isolate?", **more: Any) -> str:
    return str(web.chat_postMessage(channel=CHANNEL, text=text, **more)["ts"])


# -- tokens ----------------------------------------------------------------------------------------


def test_auth_when_the_token_is_right_then_it_names_us_and_our_scopes(web: WebClient) -> None:
    answer = web.auth_test()

    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == (BOT_USER, BOT_ID, TEAM)
    assert {name.lower(): value for name, value in answer.headers.items()}[
        "x-oauth-scopes"
    ] == SCOPES


def test_auth_when_the_token_is_wrong_then_it_is_refused(slack: Slack) -> None:
    assert refusal(client(slack, token="xoxb-other").auth_test) == "invalid_auth"
    assert (
        requests.get(slack.base_url + "/api/auth.test", timeout=5).json()["error"] == "not_authed"
    )


# -- posting ---------------------------------------------------------------------------------------


def test_post_when_the_sdk_builds_blocks_then_they_are_taken_and_given_back(
    slack: Slack, web: WebClient
) -> None:
    blocks = [
        HeaderBlock(text="Isolate WORKSTATION5?"),
        SectionBlock(text="*why*"),
        SectionBlock(fields=["a", "b"]),
        RichTextBlock(
            elements=[
                RichTextPreformattedElement(
                    elements=[RichTextElementParts.Text(text="wmic os get")]
                )
            ]
        ),
        DividerBlock(),
        ContextBlock(elements=[{"type": "mrkdwn", "text": "code ABCDE"}]),
        ActionsBlock(elements=[ButtonElement(text="Approve", action_id="approve", value="1")]),
    ]

    answer = web.chat_postMessage(channel=CHANNEL, text="Isolate?", blocks=blocks)

    shown = answer["message"]["blocks"]
    assert [block["type"] for block in shown] == [block.type for block in blocks]
    # What Slack adds to what was sent: a client that compares must know it.
    assert all(block["block_id"] for block in shown)
    assert shown[0]["text"]["emoji"] is True
    assert shown[1]["text"]["verbatim"] is False


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"channel": "C404", "text": "x"}, "channel_not_found"),
        ({"channel": OTHER_CHANNEL, "text": "x"}, "not_in_channel"),
        ({"text": ""}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "unheard-of"}]}, "invalid_blocks"),
        (
            {
                "text": "x",
                "blocks": [
                    {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}},
                ],
            },
            "invalid_blocks",
        ),
        (
            {
                "text": "x",
                "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
            },
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": "{"}, "invalid_blocks_format"),
    ],
)
def test_post_when_slack_would_refuse_it_then_nothing_is_posted(
    slack: Slack, web: WebClient, message: dict[str, Any], error: str
) -> None:
    assert refusal(lambda: web.chat_postMessage(**{"channel": CHANNEL, **message})) == error
    assert slack.messages() == []
    assert slack.effects() == []


def test_post_when_at_the_limits_then_it_is_taken(web: WebClient) -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_000}}

    assert post(web, "x" * 40_000, blocks=[section] * 50)


def test_post_when_it_carries_metadata_then_only_those_who_ask_see_it(web: WebClient) -> None:
    metadata = Metadata(event_type="stockade_card", event_payload={"key": "k1"})
    post(web, metadata=metadata)

    silent = web.conversations_history(channel=CHANNEL)["messages"][0]
    told = web.conversations_history(channel=CHANNEL, include_all_metadata=True)["messages"][0]

    assert "metadata" not in silent
    assert told["metadata"]["event_payload"] == {"key": "k1"}


def test_update_when_the_message_is_ours_then_it_shows_the_new_text(
    slack: Slack, web: WebClient
) -> None:
    ts = post(web, blocks=[SectionBlock(text="old")])

    answer = web.chat_update(channel=CHANNEL, ts=ts, text="Approved", blocks=[])

    assert answer["text"] == "Approved"
    assert "blocks" not in slack.messages()[0]
    assert slack.messages()[0]["edited"]["user"] == BOT_USER


def test_update_when_the_message_is_not_ours_then_it_is_refused(
    slack: Slack, web: WebClient
) -> None:
    theirs = slack.say("U0RESPONDA", CHANNEL, "mine")

    assert refusal(lambda: web.chat_update(channel=CHANNEL, ts=theirs, text="x")) == (
        "cant_update_message"
    )
    assert refusal(lambda: web.chat_update(channel=CHANNEL, ts="1.0", text="x")) == (
        "message_not_found"
    )


# -- reading ---------------------------------------------------------------------------------------


def test_history_when_paged_by_the_sdk_then_every_message_comes_once_newest_first(
    slack: Slack, web: WebClient
) -> None:
    for number in range(5):
        post(web, f"m{number}")
    slack.say("U0RESPONDA", CHANNEL, "in a thread", thread_ts=slack.messages()[0]["ts"])

    # The SDK turns one object from page to page, so each is read while it is there.
    pages = [
        ([message["text"] for message in page["messages"]], page["has_more"])
        for page in web.conversations_history(channel=CHANNEL, limit=2)
    ]

    assert pages == [(["m4", "m3"], True), (["m2", "m1"], True), (["m0"], False)]


@pytest.mark.parametrize(("inclusive", "found"), [(True, ["m2", "m1", "m0"]), (False, ["m1"])])
def test_history_when_bounded_then_inclusive_decides_on_the_edges(
    web: WebClient, inclusive: bool, found: list[str]
) -> None:
    first, _, last = [post(web, f"m{number}") for number in range(3)]

    answer = web.conversations_history(
        channel=CHANNEL, oldest=first, latest=last, inclusive=inclusive
    )

    assert [message["text"] for message in answer["messages"]] == found


def test_replies_when_paged_by_the_sdk_then_the_parent_comes_first(
    slack: Slack, web: WebClient
) -> None:
    ts = post(web)
    for number in range(3):
        slack.say("U0RESPONDA", CHANNEL, f"reply {number}", thread_ts=ts)

    pages = web.conversations_replies(channel=CHANNEL, ts=ts, limit=2)

    texts = [message["text"] for page in pages for message in page["messages"]]
    assert texts == ["Isolate?", "reply 0", "reply 1", "reply 2"]
    assert refusal(lambda: web.conversations_replies(channel=CHANNEL, ts="1.0")) == (
        "thread_not_found"
    )


def test_info_when_we_are_no_member_then_it_says_so(web: WebClient) -> None:
    assert web.conversations_info(channel=CHANNEL)["channel"]["is_member"] is True
    assert web.conversations_info(channel=OTHER_CHANNEL)["channel"]["is_member"] is False


# -- reactions -------------------------------------------------------------------------------------


def test_reactions_when_people_react_then_they_are_listed_by_id(
    slack: Slack, web: WebClient
) -> None:
    ts = post(web)
    web.reactions_add(channel=CHANNEL, timestamp=ts, name="x")
    slack.react("U0RESPONDA", CHANNEL, ts, "white_check_mark")
    slack.react("U0RESPONDB", CHANNEL, ts, "x")

    found = web.reactions_get(channel=CHANNEL, timestamp=ts, full=True)["message"]["reactions"]

    assert found == [
        {"name": "x", "users": [BOT_USER, "U0RESPONDB"], "count": 2},
        {"name": "white_check_mark", "users": ["U0RESPONDA"], "count": 1},
    ]


def test_reactions_when_taken_back_then_nothing_is_left(slack: Slack, web: WebClient) -> None:
    ts = post(web)
    slack.react("U0RESPONDA", CHANNEL, ts, "x")
    slack.unreact("U0RESPONDA", CHANNEL, ts, "x")

    assert "reactions" not in web.reactions_get(channel=CHANNEL, timestamp=ts)["message"]


def test_reactions_when_added_twice_then_the_second_is_refused(web: WebClient) -> None:
    ts = post(web)
    web.reactions_add(channel=CHANNEL, timestamp=ts, name="x")
    again = {"channel": CHANNEL, "timestamp": ts, "name": "x"}

    assert refusal(lambda: web.reactions_add(**again)) == "already_reacted"
    web.reactions_remove(**again)
    assert refusal(lambda: web.reactions_remove(**again)) == "no_reaction"


def test_reactions_when_not_asked_in_full_then_the_accounts_are_cut(
    slack: Slack, web: WebClient
) -> None:
    ts = post(web)
    for number in range(60):
        slack.react(f"U{number:04d}", CHANNEL, ts, "x")

    cut = web.reactions_get(channel=CHANNEL, timestamp=ts)["message"]["reactions"][0]
    full = web.reactions_get(channel=CHANNEL, timestamp=ts, full=True)["message"]["reactions"][0]

    assert (cut["count"], len(cut["users"])) == (60, 50)
    assert len(full["users"]) == 60


def test_message_when_somebody_edits_or_deletes_it_then_readers_see_that(
    slack: Slack, web: WebClient
) -> None:
    ts = post(web)
    slack.edit(CHANNEL, ts, "harmless")
    edited = web.reactions_get(channel=CHANNEL, timestamp=ts)["message"]
    slack.delete(CHANNEL, ts)

    assert edited["text"] == "harmless"
    assert refusal(lambda: web.reactions_get(channel=CHANNEL, timestamp=ts)) == "message_not_found"


# -- people ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "flags"),
    [
        ("U0RESPONDA", set()),
        ("U0RESPONDB", set()),
        ("U0GUEST", {"is_restricted"}),
        ("U0SINGLE", {"is_restricted", "is_ultra_restricted"}),
        ("U0OTHERBOT", {"is_bot"}),
        ("U0GONE", {"deleted"}),
        ("U0STRANGER", {"is_stranger"}),
        (BOT_USER, {"is_bot"}),
    ],
)
def test_user_when_read_then_its_flags_say_who_may_answer(
    web: WebClient, user: str, flags: set[str]
) -> None:
    found = web.users_info(user=user)["user"]

    assert {name for name, value in found.items() if value is True} == flags
    assert (found["team_id"] == TEAM) is (user != "U0STRANGER")


def test_user_when_looked_up_by_email_or_unknown_then_as_slack_answers(web: WebClient) -> None:
    email = "responder-a@example.test"

    assert web.users_lookupByEmail(email=email)["user"]["id"] == "U0RESPONDA"
    assert refusal(lambda: web.users_lookupByEmail(email="x@example.test")) == "users_not_found"
    assert refusal(lambda: web.users_info(user="U404")) == "user_not_found"


def test_group_when_listed_then_it_has_its_members(web: WebClient) -> None:
    answer = web.usergroups_users_list(usergroup=USER_GROUP)

    assert answer["users"] == ["U0RESPONDA", "U0RESPONDB"]


def test_group_when_it_is_disabled_then_it_is_given_only_to_who_asks_for_disabled_ones(
    slack: Slack, web: WebClient
) -> None:
    slack.disabled_groups.add(USER_GROUP)
    assert refusal(lambda: web.usergroups_users_list(usergroup=USER_GROUP)) == "no_such_subteam"
    answer = web.usergroups_users_list(usergroup=USER_GROUP, include_disabled=True)
    assert answer["users"] == ["U0RESPONDA", "U0RESPONDB"]


def test_scope_when_it_was_not_granted_then_slack_names_it(slack: Slack, web: WebClient) -> None:
    slack.tune(scopes="chat:write")
    with pytest.raises(SlackApiError) as refused:
        web.conversations_replies(channel=CHANNEL, ts="1.0")
    assert refused.value.response["error"] == "missing_scope"
    assert refused.value.response["needed"] == "channels:history"


# -- limits ----------------------------------------------------------------------------------------


def test_limit_when_the_sdk_handles_429_then_it_waits_and_posts_once(slack: Slack) -> None:
    slack.misbehave(rate_limited(1))
    patient = client(slack, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=1)])

    assert post(patient)
    assert len(slack.effects()) == 1
    assert [seen.status for seen in slack.requests] == [429, 200]


def test_method_when_unknown_or_malformed_then_as_slack_answers(
    slack: Slack, web: WebClient
) -> None:
    headers = {"Authorization": f"Bearer {slack.credentials['token']}"}
    kind = {"Content-Type": "application/json"}
    url = slack.base_url + "/api/auth.test"

    assert refusal(lambda: web.api_call("no.such")) == "unknown_method"
    malformed = requests.post(url, data="{", headers={**headers, **kind}, timeout=5)
    assert malformed.json()["error"] == "invalid_json"
    assert refusal(lambda: web.conversations_history(channel=CHANNEL, cursor="zz")) == (
        "invalid_arguments"
    )
