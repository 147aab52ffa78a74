"""Slack's client: which calls it makes, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import responses
from msgspec.structs import replace
from slack_sdk import WebClient

from connectors.chat.slack import Slack
from connectors.chat.slack_blocks import MINIMAL_NOTE, card_message
from connectors.document import Code, Document, Paragraph
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpSettings, Runtime
from connectors.model import Account, Answer, Card, Choice, MessageRef, Secret
from tests.fake_clock import DEFAULT_START, FakeClock
from tests.fake_product import Conversation, Reply, Request, json_reply, loopback_product
from tests.strict_responses import strict_responses

__all__ = ["strict_responses"]

API = "https://slack.com/api"
TOKEN = "xoxb-made-up-5ec2e75ec2e7"
CHANNEL, TEAM, APP, LEAD = "C0123456789", "T0123456789", "U0000000APP", "U000000LEAD"
TS = "1764072000.000100"
REF = MessageRef(channel=CHANNEL, id=TS, sha256="")
CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="Isolate"),
    Choice(name="deny", emoji="x", label="Leave it"),
)
CARD = Card(
    key="run-1/ask.1",
    fallback="Isolate WS-042? Code KRTMB",
    body=Document((Paragraph("WS-042 ran wmic."), Code("wmic process /format:x.xsl"))),
    choices=CHOICES,
    mentions=(LEAD,),
)
WHO = {"user_id": APP, "bot_id": "B0000000APP", "team_id": TEAM}
SCOPES = "chat:write,reactions:read,reactions:write,users:read,channels:history"


def slack(url: str = "https://slack.com", *, is_emulated: bool = False) -> Slack:
    return Slack(
        name="soc-slack",
        tenant="tenant-1",
        settings=HttpSettings(base_url=url),
        credentials={"token": Secret(TOKEN)},
        options=Slack.Options(channel=CHANNEL, team=TEAM),
        runtime=Runtime(clock=FakeClock(), emulated=is_emulated),
    )


def ok(**said: Any) -> dict[str, Any]:
    return {"ok": True, **said}


def no(error: str, **said: Any) -> dict[str, Any]:
    return {"ok": False, "error": error, **said}


def sent(mock: responses.RequestsMock, method: str) -> list[dict[str, Any]]:
    """The JSON bodies that a method received."""
    requests = [mock.calls[number].request for number in range(len(mock.calls))]
    return [
        json.loads(request.body or "")
        for request in requests
        if (request.url or "").endswith(f"/{method}")
    ]


def posted(ts: str = TS) -> dict[str, Any]:
    return ok(channel=CHANNEL, ts=ts, message={"text": "x"})


def message(ts: str = TS, *, key: str = CARD.key, **changes: Any) -> dict[str, Any]:
    """A message of ours as Slack gives it."""
    shown = card_message(CARD)
    metadata = {"event_type": "stockade_card", "event_payload": {"key": key}}
    said = {"ts": ts, "user": APP, "text": shown.text, "blocks": list(shown.blocks)}
    return {"type": "message", **said, "metadata": metadata, **changes}


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["#soc", "soc", "", "c0123456789", "C01 23", "D0123456789"])
def test_channel_when_no_id_then_refused(channel: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="channel"):
        msgspec.convert({"channel": channel}, Slack.Options)


def test_team_when_no_id_then_refused() -> None:
    with pytest.raises(ValueError, match="team"):
        Slack.Options(channel=CHANNEL, team="example")


@pytest.mark.parametrize("token", ["", " \n", "xoxb-a\nb", "xoxb-\u00e9"])
def test_token_when_no_header_can_hold_it_then_refused_without_being_shown(token: str) -> None:
    with pytest.raises(Rejected) as caught:
        Slack(
            name="s",
            tenant="t",
            settings=HttpSettings(base_url=API),
            credentials={"token": Secret(token)},
            options=Slack.Options(channel=CHANNEL),
            runtime=Runtime(clock=FakeClock()),
        )
    assert "xoxb" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://slack.com", "https://slack.com/", API, f"{API}/"])
def test_address_when_written_with_or_without_api_then_the_same_calls(
    strict_responses: responses.RequestsMock, url: str
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=posted())
    slack(url).post_card(CARD)


# -- posting ---------------------------------------------------------------------------------------


def test_post_card_when_taken_then_one_request_with_everything_that_protects_it(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=posted())
    client = slack()
    ref = client.post_card(CARD)
    assert ref == MessageRef(channel=CHANNEL, id=TS, sha256=client.card_sha256(CARD))
    (body,) = sent(strict_responses, "chat.postMessage")
    assert set(body) == {
        "channel",
        "text",
        "blocks",
        "metadata",
        "unfurl_links",
        "unfurl_media",
    }
    assert body["unfurl_links"] is body["unfurl_media"] is False
    assert body["metadata"] == {
        "event_type": "stockade_card",
        "event_payload": {"key": "run-1/ask.1"},
    }
    assert body["text"] == f"Isolate WS-042? Code KRTMB <@{LEAD}>"
    request = strict_responses.calls[0].request
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "code", ["invalid_blocks", "msg_too_long", "msg_blocks_too_long", "invalid_blocks_format"]
)
def test_post_card_when_too_long_then_the_minimal_form_once_and_its_hash(
    strict_responses: responses.RequestsMock, code: str
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=no(code))
    strict_responses.post(f"{API}/chat.postMessage", json=posted())
    client = slack()
    ref = client.post_card(CARD)
    full, minimal = sent(strict_responses, "chat.postMessage")
    assert full["blocks"]
    assert minimal["blocks"] == []
    assert MINIMAL_NOTE in minimal["text"]
    assert "KRTMB" in minimal["text"]
    assert minimal["metadata"] == full["metadata"]
    assert ref.sha256 != client.card_sha256(CARD)
    assert client.is_card(CARD, ref.sha256)
    assert client.is_card(CARD, client.card_sha256(CARD))
    assert not client.is_card(replace(CARD, fallback="Isolate WS-043?"), ref.sha256)
    back = {"ts": TS, "text": minimal["text"], "reactions": []}
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/reactions.get", json=ok(message=back))
    strict_responses.get(f"{API}/conversations.history", json=ok(messages=[back]))
    assert client.read_card(ref).sha256 == ref.sha256


def test_post_card_when_a_wave_is_too_long_then_no_form_without_its_devices(
    strict_responses: responses.RequestsMock,
) -> None:
    veto = Choice(name="veto", emoji="one", label="not this one: WS-042")
    strict_responses.post(f"{API}/chat.postMessage", json=no("msg_too_long"))
    with pytest.raises(Rejected):
        slack().post_card(replace(CARD, choices=(*CHOICES, veto)))
    assert len(strict_responses.calls) == 1


def test_post_card_when_the_minimal_form_is_refused_too_then_no_third_try(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=no("msg_too_long"))
    with pytest.raises(Rejected) as caught:
        slack().post_card(CARD)
    assert caught.value.code == "msg_too_long"
    assert len(strict_responses.calls) == 2


@pytest.mark.parametrize(
    ("code", "due"),
    [
        ("invalid_auth", AuthFailed),
        ("token_revoked", AuthFailed),
        ("account_inactive", AuthFailed),
        ("not_authed", AuthFailed),
        ("missing_scope", AuthFailed),
        ("channel_not_found", NotFound),
        ("not_in_channel", Rejected),
        ("ratelimited", Unavailable),
        ("fatal_error", OutcomeUnknown),
        ("internal_error", OutcomeUnknown),
        ("a_code_of_tomorrow", Rejected),
    ],
)
def test_post_card_when_refused_inside_a_200_then_grouped_and_sent_once(
    strict_responses: responses.RequestsMock, code: str, due: type[ConnectorError]
) -> None:
    answer = no(code, needed="chat:write", provided="users:read")
    strict_responses.post(f"{API}/chat.postMessage", json=answer)
    with pytest.raises(due) as caught:
        slack().post_card(CARD)
    assert type(caught.value) is due
    assert caught.value.code == code
    assert code in caught.value.text
    assert "chat:write" in caught.value.text
    assert len(strict_responses.calls) == 1


def test_post_card_when_limited_inside_a_200_then_says_when(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(
        f"{API}/chat.postMessage", json=no("ratelimited"), headers={"Retry-After": "30"}
    )
    with pytest.raises(Unavailable) as caught:
        slack().post_card(CARD)
    assert caught.value.retry_after_s == 30


@pytest.mark.parametrize("account", ["", "@lead", "S0123456789", "U0!", "U0SYNTH> <!channel"])
def test_post_card_when_a_mention_is_no_account_then_refused_before_any_call(
    strict_responses: responses.RequestsMock, account: str
) -> None:
    with pytest.raises(Rejected, match="account id"):
        slack().post_card(msgspec.structs.replace(CARD, mentions=(account,)))


def test_post_card_when_an_emoji_is_no_name_then_refused_before_any_call(
    strict_responses: responses.RequestsMock,
) -> None:
    bad = (Choice(name="a", emoji="x: <!here>", label="a"),)
    with pytest.raises(Rejected, match="short name"):
        slack().post_card(msgspec.structs.replace(CARD, choices=bad))


def test_post_reply_when_called_then_in_the_thread_with_its_key(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=posted("1764072001.000200"))
    ref = slack().post_reply(REF, "reply-1", "Isolated <!here>", [LEAD])
    (body,) = sent(strict_responses, "chat.postMessage")
    assert ref.id == "1764072001.000200"
    assert body["thread_ts"] == TS
    assert body["metadata"]["event_payload"] == {"key": "reply-1"}
    assert body["text"] == f"Isolated &lt;!here&gt; <@{LEAD}>"
    assert "reply_broadcast" not in body


def test_post_message_when_called_then_in_the_configured_channel(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/chat.postMessage", json=posted())
    slack().post_message("note-1", Document((Paragraph("Blind since noon."), Code("x"))))
    (body,) = sent(strict_responses, "chat.postMessage")
    assert body["channel"] == CHANNEL
    assert body["text"] == "Blind since noon."
    assert "thread_ts" not in body


def test_update_card_when_too_long_then_the_minimal_form(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/chat.update", json=no("msg_blocks_too_long"))
    strict_responses.post(f"{API}/chat.update", json=ok(channel=CHANNEL, ts=TS, text="x"))
    ref = slack().update_card(REF, CARD)
    full, minimal = sent(strict_responses, "chat.update")
    assert (full["ts"], minimal["ts"]) == (TS, TS)
    assert minimal["blocks"] == []
    assert ref.id == TS


def test_seed_choices_when_some_are_there_then_the_rest_is_added(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.post(f"{API}/reactions.add", json=no("already_reacted"))
    strict_responses.post(f"{API}/reactions.add", json=ok())
    slack().seed_choices(REF, CHOICES)
    names = [body["name"] for body in sent(strict_responses, "reactions.add")]
    assert names == ["white_check_mark", "x"]


# -- reading a card --------------------------------------------------------------------------------


def reactions(*found: tuple[str, list[str]]) -> list[dict[str, Any]]:
    return [{"name": name, "users": users, "count": len(users)} for name, users in found]


def reading(mock: responses.RequestsMock, **changes: Any) -> Slack:
    mock.get(f"{API}/auth.test", json=ok(**WHO))
    mock.get(f"{API}/reactions.get", json=ok(message=message(**changes)))
    return slack()


def test_read_card_when_answered_then_every_account_but_our_own(
    strict_responses: responses.RequestsMock,
) -> None:
    found = reactions(
        ("white_check_mark", [APP, LEAD]),
        ("x", [APP]),
        ("+1::skin-tone-2", [LEAD, "U0000000TWO"]),
        ("+1", [LEAD]),
    )
    client = reading(strict_responses, reactions=found)
    read = client.read_card(REF)
    assert read.sha256 == client.card_sha256(CARD)
    assert read.answers == (
        Answer(account=LEAD, choice="white_check_mark"),
        Answer(account=LEAD, choice="+1"),
        Answer(account="U0000000TWO", choice="+1"),
    )
    url = strict_responses.calls[1].request.url or ""
    assert "full=true" in url
    assert f"timestamp={TS}" in url


@pytest.mark.parametrize("account", ["U\ud800", "\ud800", "someone", "U\x1b[2J"])
def test_read_card_when_an_account_is_no_id_then_only_the_others_are_given(
    strict_responses: responses.RequestsMock, account: str
) -> None:
    """It can be nobody's who may answer; and half a character could be written down nowhere."""
    found = reactions(("white_check_mark", [account, APP]), ("x", [APP, account, LEAD]))
    read = reading(strict_responses, reactions=found).read_card(REF)
    assert read.answers == (Answer(account=LEAD, choice="x"),)


def test_read_card_when_nobody_answered_then_no_answers(
    strict_responses: responses.RequestsMock,
) -> None:
    assert reading(strict_responses).read_card(REF).answers == ()


def test_read_card_when_the_list_of_accounts_is_cut_then_unavailable(
    strict_responses: responses.RequestsMock,
) -> None:
    cut = [{"name": "x", "users": [LEAD], "count": 2}]
    with pytest.raises(Unavailable, match="every account"):
        reading(strict_responses, reactions=cut).read_card(REF)


def test_read_card_when_edited_then_another_hash(
    strict_responses: responses.RequestsMock,
) -> None:
    client = reading(strict_responses, text="Isolate SRV-9?")
    assert client.read_card(REF).sha256 != client.card_sha256(CARD)


def test_read_card_when_no_message_comes_then_no_answer_is_made_up(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/reactions.get", json=ok(type="message"))
    with pytest.raises(Unavailable):
        slack().read_card(REF)


def test_read_card_when_reactions_come_without_blocks_then_the_message_is_read_itself(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    bare = {"ts": TS, "type": "message", "reactions": reactions(("x", [LEAD]))}
    strict_responses.get(f"{API}/reactions.get", json=ok(message=bare))
    strict_responses.get(f"{API}/conversations.history", json=ok(messages=[message()]))
    client = slack()
    read = client.read_card(REF)
    assert read.sha256 == client.card_sha256(CARD)
    assert read.answers == (Answer(account=LEAD, choice="x"),)
    url = strict_responses.calls[2].request.url or ""
    assert all(part in url for part in (f"latest={TS}", "inclusive=true", "limit=1"))


@pytest.mark.parametrize("found", [[], [message("1764071999.000000")]])
def test_read_card_when_the_channel_no_longer_has_it_then_not_found(
    strict_responses: responses.RequestsMock, found: list[dict[str, Any]]
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/reactions.get", json=ok(message={"ts": TS}))
    strict_responses.get(f"{API}/conversations.history", json=ok(messages=found))
    with pytest.raises(NotFound):
        slack().read_card(REF)


def test_token_when_it_is_another_workspaces_then_auth_failed(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**{**WHO, "team_id": "T0STRANGER"}))
    with pytest.raises(AuthFailed, match="T0STRANGER"):
        slack().read_card(REF)


# -- finding a message -----------------------------------------------------------------------------


def page(*messages: dict[str, Any], cursor: str = "") -> dict[str, Any]:
    return ok(
        messages=list(messages),
        has_more=bool(cursor),
        response_metadata={"next_cursor": cursor},
    )


def finding(mock: responses.RequestsMock, *pages: dict[str, Any], how: str = "history") -> Slack:
    mock.get(f"{API}/auth.test", json=ok(**WHO))
    for found in pages:
        mock.get(f"{API}/conversations.{how}", json=found)
    return slack()


def test_find_message_when_ours_has_the_key_then_its_place_and_what_it_shows(
    strict_responses: responses.RequestsMock,
) -> None:
    client = finding(strict_responses, page(message(key="another"), message()))
    found = client.find_message(CARD.key)
    assert found == MessageRef(channel=CHANNEL, id=TS, sha256=client.card_sha256(CARD))
    url = strict_responses.calls[1].request.url or ""
    assert "include_all_metadata=true" in url
    oldest = float(url.split("oldest=")[1].split("&")[0])
    assert oldest == DEFAULT_START.timestamp() - 72 * 3600
    assert datetime.fromtimestamp(oldest, DEFAULT_START.tzinfo) < DEFAULT_START


def test_find_message_when_it_was_sent_long_ago_then_it_is_looked_for_since_then(
    strict_responses: responses.RequestsMock,
) -> None:
    sent_at = DEFAULT_START - timedelta(days=9)
    client = finding(strict_responses, page(message()))
    assert client.find_message(CARD.key, sent_at=sent_at) is not None
    url = strict_responses.calls[1].request.url or ""
    oldest = float(url.split("oldest=")[1].split("&")[0])
    assert sent_at.timestamp() - 3600 < oldest < sent_at.timestamp()


def test_find_message_when_on_the_second_page_then_the_cursor_is_followed(
    strict_responses: responses.RequestsMock,
) -> None:
    client = finding(strict_responses, page(cursor="next=="), page(message()))
    assert client.find_message(CARD.key) is not None
    assert "cursor=next" in (strict_responses.calls[2].request.url or "")


def test_find_message_when_two_match_then_the_oldest(
    strict_responses: responses.RequestsMock,
) -> None:
    client = finding(strict_responses, page(message("1764072009.000100"), message(TS)))
    found = client.find_message(CARD.key)
    assert found is not None
    assert found.id == TS


@pytest.mark.parametrize(
    "changes",
    [
        {"user": LEAD},
        {"user": LEAD, "bot_id": "B000STRANGER"},
        {"metadata": {"event_type": "other", "event_payload": {"key": CARD.key}}},
        {"metadata": None},
    ],
)
def test_find_message_when_it_is_not_ours_then_none(
    strict_responses: responses.RequestsMock, changes: dict[str, Any]
) -> None:
    assert finding(strict_responses, page(message(**changes))).find_message(CARD.key) is None


def test_find_message_when_in_a_thread_then_the_thread_is_read(
    strict_responses: responses.RequestsMock,
) -> None:
    client = finding(strict_responses, page(message(key="k")), how="replies")
    assert client.find_message("k", REF) is not None
    assert f"ts={TS}" in (strict_responses.calls[1].request.url or "")


def test_find_message_when_there_is_too_much_to_look_at_then_never_none(
    strict_responses: responses.RequestsMock,
) -> None:
    client = finding(strict_responses, *(page(cursor=f"c{n}") for n in range(5)))
    with pytest.raises(Unavailable, match="there are more"):
        client.find_message(CARD.key)
    assert len(strict_responses.calls) == 6


@pytest.mark.parametrize(
    "broken",
    [ok(), ok(messages=None), ok(messages=[], has_more=True), no("missing_scope", needed="x")],
)
def test_find_message_when_the_look_up_fails_then_never_none(
    strict_responses: responses.RequestsMock, broken: dict[str, Any]
) -> None:
    with pytest.raises((Unavailable, AuthFailed)):
        finding(strict_responses, broken).find_message(CARD.key)


# -- accounts --------------------------------------------------------------------------------------

PERSON = {
    "id": LEAD,
    "team_id": TEAM,
    "deleted": False,
    "is_bot": False,
    "is_app_user": False,
    "is_restricted": False,
    "is_ultra_restricted": False,
}
GRID = {"enterprise_id": "E0123456789", "teams": [TEAM]}


@pytest.mark.parametrize(
    ("changes", "is_active", "is_full_member", "is_bot"),
    [
        ({}, True, True, False),
        ({"deleted": True}, False, True, False),
        ({"is_restricted": True}, True, False, False),
        ({"is_ultra_restricted": True}, True, False, False),
        ({"is_stranger": True}, True, False, False),
        ({"is_invited_user": True}, True, False, False),
        ({"team_id": "T0STRANGER"}, True, False, False),
        ({"team_id": "E0123456789", "enterprise_user": GRID}, True, False, False),
        ({"is_bot": True}, True, True, True),
        ({"is_app_user": True}, True, True, True),
        ({"is_bot": None}, True, True, True),
        ({"is_restricted": None}, True, False, False),
    ],
)
def test_read_account_when_read_then_what_slack_does_not_say_counts_against_it(
    strict_responses: responses.RequestsMock,
    changes: dict[str, Any],
    is_active: bool,
    is_full_member: bool,
    is_bot: bool,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/users.info", json=ok(user={**PERSON, **changes}))
    assert slack().read_account(LEAD) == Account(
        id=LEAD, is_active=is_active, is_full_member=is_full_member, is_bot=is_bot
    )


def test_read_account_when_of_our_grid_and_workspace_then_a_member(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO, enterprise_id="E0123456789"))
    user = {**PERSON, "team_id": "T0OTHER", "enterprise_user": GRID}
    strict_responses.get(f"{API}/users.info", json=ok(user=user))
    assert slack().read_account(LEAD).is_full_member


def test_read_account_when_slackbot_then_a_bot(strict_responses: responses.RequestsMock) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/users.info", json=ok(user={**PERSON, "id": "USLACKBOT"}))
    assert slack().read_account("USLACKBOT").is_bot


@pytest.mark.parametrize(
    ("answer", "due"),
    [
        (no("user_not_found"), NotFound),
        (ok(user={**PERSON, "id": "U0000OTHER"}), Unavailable),
        (ok(user={"id": LEAD}), Unavailable),
        (ok(), Unavailable),
    ],
)
def test_read_account_when_not_described_then_an_error(
    strict_responses: responses.RequestsMock, answer: dict[str, Any], due: type[ConnectorError]
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/users.info", json=answer)
    with pytest.raises(due):
        slack().read_account(LEAD)


# -- check -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", SCOPES.split(","))
def test_check_when_a_scope_is_missing_then_names_it(
    strict_responses: responses.RequestsMock, missing: str
) -> None:
    granted = ",".join(scope for scope in SCOPES.split(",") if scope != missing)
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO), headers={"x-oauth-scopes": granted})
    strict_responses.get(f"{API}/conversations.history", json=page())
    (bad,) = [result for result in slack().check() if not result.ok]
    assert missing in str(bad.mend)


def test_check_when_slack_lists_no_scopes_then_not_ok(
    strict_responses: responses.RequestsMock,
) -> None:
    strict_responses.get(f"{API}/auth.test", json=ok(**WHO))
    strict_responses.get(f"{API}/conversations.history", json=page())
    assert [result.ok for result in slack().check()] == [True, False, True]


# -- Slack's own client as the judge ---------------------------------------------------------------


def _sdk(client: WebClient) -> None:
    client.chat_postMessage(
        channel=CHANNEL,
        text="x",
        blocks=[],
        metadata={"event_type": "stockade_card", "event_payload": {"key": "k"}},
        unfurl_links=False,
        unfurl_media=False,
    )
    client.chat_update(channel=CHANNEL, ts=TS, text="x", blocks=[], metadata={})
    client.reactions_add(channel=CHANNEL, timestamp=TS, name="x")
    client.reactions_get(channel=CHANNEL, timestamp=TS, full=True)
    client.conversations_history(channel=CHANNEL, oldest="1", limit=1, include_all_metadata=True)
    client.users_info(user=LEAD)


def _ours(client: Slack) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.post_card(CARD),
        lambda: client.update_card(REF, CARD),
        lambda: client.seed_choices(REF, CHOICES[:1]),
        lambda: client.read_card(REF),
        lambda: client.find_message("k"),
        lambda: client.read_account(LEAD),
    ]
    for call in calls:
        call()


def _arguments(request: Request) -> set[str]:
    """Names of the arguments, however they travel."""
    if "json" in request.headers.get("content-type", ""):
        return set(request.json)
    return set(request.query) | set(request.form)


def _any_answer(request: Request) -> Reply:
    said = {**WHO, "channel": CHANNEL, "ts": TS, "message": message(), "messages": []}
    return json_reply({"ok": True, **said, "user": PERSON})


def test_requests_when_slacks_own_client_makes_the_same_then_same_methods_and_arguments() -> None:
    theirs, mine = Conversation(_any_answer), Conversation(_any_answer)
    with loopback_product(theirs) as url:
        _sdk(WebClient(token=TOKEN, base_url=f"{url}/api/"))
    with loopback_product(mine) as url:
        _ours(slack(url, is_emulated=True))
    asked = {request.path: _arguments(request) for request in theirs.requests}
    sent_by_us = {request.path: _arguments(request) for request in mine.requests}
    del sent_by_us["/api/auth.test"]
    assert sent_by_us == asked
    for request in (*theirs.requests, *mine.requests):
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
