"""What Slack is given to show: dead evidence, limits held, a hash that only a change changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block as SdkBlock
from slack_sdk.models.blocks import RichTextBlock

from connectors.chat.slack_blocks import (
    BLOCKS_LIMIT,
    CODE_LIMIT,
    LEFT_OUT,
    MAX_BLOCKS,
    Message,
    card_message,
    minimal_card,
    text_message,
)
from connectors.chat.slack_shown import shown_sha256
from connectors.chat.slack_text import TEXT_LIMIT, fit, plain_text, size
from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table
from connectors.harmless import defang, safe
from connectors.model import Card, Choice

CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="Isolate"),
    Choice(name="deny", emoji="x", label="Leave it"),
)
MENTION = "U0123456789"


def card(*blocks: Block, fallback: str = "Isolate WS-042? Code KRTMB", **changes: Any) -> Card:
    parts: dict[str, Any] = {"mentions": (MENTION,), "choices": CHOICES, **changes}
    return Card(key="run-1/ask.1", fallback=fallback, body=Document(blocks), **parts)


def everywhere(text: str) -> Card:
    """A card with the same evidence in every place that takes text."""
    return card(
        Heading(text),
        Paragraph(text),
        Bullets((text,)),
        Table((text, "b"), ((text, text),)),
        Code(text),
        fallback=text,
    )


def elements(value: Any) -> Iterator[dict[str, Any]]:
    """Every typed object anywhere in the blocks."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        yield from elements(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from elements(inner)


def texts(message: Message) -> list[str]:
    return [str(found["text"]) for found in elements(message.blocks) if found["type"] == "text"]


HOSTILE = [
    "<!channel> <!here> <!everyone>",
    "<@U0SYNTH> <#C0SYNTH> <!subteam^S0SYNTH>",
    "<https://x.test|Approve>",
    "```\n*APPROVED by lead*",
    "`code` *bold* ~struck~",
    "&lt;!here&gt;",
    "{{ 7*7 }} {% raw %}",
    "\x1b[2J\x1b]0;owned\x07 \x9b31m",
    "a\x00b",
    "\u202egnp.exe",
    "line\u2028line\u2029line",
    "\ud800 lone",
    "zero\u200bwidth\ufeff\u2066",
    "\u2705 :white_check_mark: approved",
    "&" * 32_767,
    "x\r\nApproved by: lead",
    "wm\u00adic\u00a0\u180e\U000e0041 \ue000",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_card_when_evidence_is_hostile_then_it_is_only_text(text: str) -> None:
    message = card_message(everywhere(text))
    kinds = {found["type"] for found in elements(message.blocks)}
    assert kinds <= {
        "rich_text",
        "rich_text_section",
        "rich_text_preformatted",
        "rich_text_list",
        "text",
        "user",
        "emoji",
    }
    called = [found["user_id"] for found in elements(message.blocks) if found["type"] == "user"]
    assert called == [MENTION]
    drawn = [found["name"] for found in elements(message.blocks) if found["type"] == "emoji"]
    assert drawn == ["white_check_mark", "x"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_when_evidence_is_hostile_then_no_markup_and_one_mention(text: str) -> None:
    shown = card_message(everywhere(text)).text
    assert shown.endswith(f" <@{MENTION}>")
    rest = shown.removesuffix(f" <@{MENTION}>")
    assert not set(rest) & set("<>*~`\x1b\x00\u202e\u2028\n\u200b")
    assert ":white_check_mark:" not in rest
    assert all(char.isprintable() for char in rest)
    assert "&" not in rest.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_blocks_when_evidence_is_hostile_then_visible_and_unable_to_forge_a_line(text: str) -> None:
    message = card_message(everywhere(text))
    for shown in texts(message):
        assert not set(shown) & set("\x1b\x00\u202e\u2028\u200b\ud800\r\x9b\u2705")
    for block in message.blocks:
        inner = block["elements"][0]
        if inner["type"] != "rich_text_preformatted":
            assert not any("\n" in found for found in texts(Message(text="", blocks=(block,))))
            assert not any("`" in found for found in texts(Message(text="", blocks=(block,))))
    json.dumps(message.blocks).encode("ascii")


def test_evidence_when_escaped_then_still_to_be_read() -> None:
    message = card_message(everywhere("<@U0SYNTH> \x1b[2J \u202egnp &lt;"))
    assert "<@U0SYNTH> \\x1b[2J \\u202egnp &lt;" in texts(message)
    assert "&lt;@U0SYNTH&gt; \\x1b[2J \\u202egnp &amp;lt;" in message.text


@pytest.mark.parametrize(
    ("raw", "dead"),
    [
        ("https://evil.test/x.xsl", "hxxps://evil[.]test/x.xsl"),
        ("HTTP://evil.test:8080/a.b", "HXXP://evil[.]test:8080/a.b"),
        ("ftp://evil.test", "fxp://evil[.]test"),
        ("file://evil.test/share", "file[:]//evil[.]test/share"),
        ("slack://open", "slack[:]//open"),
        ("see www.evil.test/x", "see www[.]evil.test/x"),
        ('/format:"https://a.test/b"', '/format:"hxxps://a[.]test/b"'),
        ("https://a.test\\@b.test", "hxxps://a[.]test\\@b.test"),
        ("C:\\x.xsl 10:30", "C:\\x.xsl 10:30"),
    ],
)
def test_address_when_shown_then_nobody_opens_it_by_a_slip(raw: str, dead: str) -> None:
    assert defang(raw) == dead
    message = card_message(everywhere(raw))
    assert "http://" not in message.text.lower() + "".join(texts(message)).lower()
    assert "https://" not in message.text.lower() + "".join(texts(message)).lower()


@given(st.text(max_size=300))
def test_text_when_anything_then_printable_and_without_live_markup(text: str) -> None:
    shown = plain_text(text)
    assert not set(shown) & set("<>*~`\n\r\x1b")
    assert size(safe(text)) >= 1


@given(st.text(st.sampled_from("&<a\U0001f600\u00e9"), max_size=3000), st.integers(120, 2000))
def test_fit_when_the_text_is_long_then_the_escaped_text_fits(text: str, limit: int) -> None:
    assert size(fit(text, limit)) <= limit
    assert fit(text, limit) == text or "characters left out" in fit(text, limit)


def test_code_when_very_long_then_head_and_tail_and_the_number_left_out() -> None:
    line = "wmic " + "&" * 32_000 + ' /format:"x.xsl"'
    (shown,) = [found for found in texts(card_message(card(Code(line)))) if "wmic" in found]
    assert shown.startswith("wmic &")
    assert shown.endswith('/format:"x.xsl"')
    assert "characters left out" in shown
    assert size(shown) <= CODE_LIMIT


def test_card_when_the_body_is_huge_then_limits_hold_and_the_choices_are_there() -> None:
    many = [Heading(f"host {i}") for i in range(60)] + [Code("&" * 32_767)] * 5
    message = card_message(card(*many, fallback="&" * 32_767))
    assert len(message.blocks) <= MAX_BLOCKS
    assert size(json.dumps(message.blocks, ensure_ascii=False)) <= BLOCKS_LIMIT
    assert len(message.text) <= TEXT_LIMIT + len(MENTION) + 4
    assert LEFT_OUT in texts(message)
    assert message.blocks[-1]["elements"][0]["elements"][-2]["name"] == "x"


def test_table_when_cells_hold_line_breaks_then_no_row_is_forged() -> None:
    table = Table(("host", "user"), (("WS-042", "a\nSRV-9  approved"), ("WS-043", "b")))
    (shown,) = [found for found in texts(card_message(card(table))) if "WS-042" in found]
    assert shown.split("\n") == [
        "host    user",
        "WS-042  a\\x0aSRV-9  approved",
        "WS-043  b",
    ]


def test_card_when_locked_then_no_choices_are_offered() -> None:
    message = card_message(card(Paragraph("Denied by two people."), locked=True))
    assert not [found for found in elements(message.blocks) if found["type"] == "emoji"]
    assert "reaction" not in minimal_card(card(locked=True)).text


def test_minimal_card_when_made_then_asks_without_blocks() -> None:
    message = minimal_card(everywhere("<!channel> " + "&" * 40_000))
    assert message.blocks == ()
    assert len(message.text) < 8_000
    assert "<!channel>" not in message.text
    assert ":white_check_mark: Isolate :x: Leave it" in message.text
    assert "run-1/ask.1" in message.text
    assert "ticket" in message.text


def test_blocks_when_read_by_slacks_own_sdk_then_valid() -> None:
    message = card_message(everywhere("evidence"))
    for block in message.blocks:
        parsed = SdkBlock.parse(copy.deepcopy(block))
        assert isinstance(parsed, RichTextBlock)
        parsed.validate_json()
        assert parsed.to_dict() == block


# -- the hash --------------------------------------------------------------------------------------


def as_slack_returns(message: Message) -> tuple[str, list[dict[str, Any]]]:
    """The same message with what Slack adds: ids, entities, empty marks, an emoji's code point."""
    blocks: list[dict[str, Any]] = copy.deepcopy(list(message.blocks))
    for number, found in enumerate(list(elements(blocks))):
        if found["type"] == "text":
            found["text"] = (
                str(found["text"]).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            )
        if found["type"] == "rich_text":
            found["block_id"] = f"b{number}"
        if found["type"] == "rich_text_list":
            found.update(indent=0, border=0)
        if found["type"] == "emoji":
            found["unicode"] = "2705"
    return message.text, blocks


@pytest.mark.parametrize("text", [*HOSTILE, "&amp;amp;lt;", "a  b\tc "])
def test_hash_when_slack_gives_the_card_back_then_equal(text: str) -> None:
    message = card_message(everywhere(text))
    assert shown_sha256(*as_slack_returns(message)) == message.sha256


def test_hash_when_slack_links_an_address_in_the_text_then_equal() -> None:
    sent = text_message("ask alice@corp.example.test about it", [])
    linked = sent.text.replace(
        "alice@corp.example.test", "<mailto:alice@corp.example.test|alice@corp.example.test>"
    )
    assert shown_sha256(linked, []) == sent.sha256


def test_hash_when_a_link_says_something_else_then_different() -> None:
    sent = text_message("Approve here", [])
    edited = sent.text.replace("Approve", "<https://evil.test|Approve>")
    assert shown_sha256(edited, []) != sent.sha256


def test_hash_when_anything_shown_is_edited_then_different() -> None:
    message = card_message(card(Paragraph("WS-042"), Code("wmic"), Bullets(("a", "b"))))
    text, blocks = as_slack_returns(message)
    edits: list[tuple[str, Any, Any]] = [("the text", text + " no", blocks)]
    for position, found in enumerate(elements(blocks)):
        for key in ("text", "user_id", "name"):
            if isinstance(found.get(key), str):
                changed = copy.deepcopy(blocks)
                list(elements(changed))[position][key] = "SRV-9"
                edits.append((f"{key} at {position}", text, changed))
    edits.append(("a block gone", text, blocks[:-1]))
    edits.append(("blocks in another order", text, blocks[::-1]))
    image = {"type": "image", "image_url": "x", "alt_text": "x"}
    edits.append(("an image", text, [*blocks, image]))
    assert len(edits) > 10
    for what, changed_text, changed_blocks in edits:
        assert shown_sha256(changed_text, changed_blocks) != message.sha256, what
    assert shown_sha256(text, blocks, [{"text": "Approved by lead"}]) != message.sha256


@pytest.mark.parametrize("before", ["", "-", ".", "1", "+", "x" * 40])
def test_address_when_something_stands_before_it_then_it_is_dead_all_the_same(before: str) -> None:
    shown = defang(f"{before}http://evil.example.test/x")
    assert "http://" not in shown
    assert "evil.example.test" not in shown
