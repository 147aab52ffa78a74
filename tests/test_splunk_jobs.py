"""`connectors/siem/splunk/jobs.py`: what splunkd's words mean; nothing unknown is good news."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.errors import Unavailable
from connectors.model import SearchPhase
from connectors.siem.splunk import jobs

DONE: dict[str, Any] = {
    "dispatchState": "DONE",
    "isDone": True,
    "isFailed": False,
    "isFinalized": False,
    "isZombie": False,
    "resultCount": 3,
    "messages": [],
}


def reply(**content: Any) -> dict[str, Any]:
    return {"entry": [{"content": {**DONE, **content}}], "messages": []}


def said(kind: str, text: str = "synthetic") -> list[dict[str, str]]:
    return [{"type": kind, "text": text}]


@pytest.mark.parametrize(
    ("content", "phase"),
    [
        ({}, SearchPhase.COMPLETE),
        ({"isDone": "1", "isFailed": "0", "resultCount": "3"}, SearchPhase.COMPLETE),
        ({"isDone": 1, "isFailed": 0}, SearchPhase.COMPLETE),
        ({"isDone": "true"}, SearchPhase.COMPLETE),
        ({"messages": said("INFO")}, SearchPhase.COMPLETE),
        ({"messages": said("DEBUG")}, SearchPhase.COMPLETE),
        ({"messages": None}, SearchPhase.COMPLETE),
        *(
            ({"dispatchState": state, "isDone": False}, SearchPhase.RUNNING)
            for state in ("QUEUED", "PARSING", "RUNNING", "PAUSED", "FINALIZING")
        ),
        ({"isDone": False}, SearchPhase.RUNNING),
        ({"isDone": "maybe"}, SearchPhase.RUNNING),
        ({"isFailed": True}, SearchPhase.FAILED),
        ({"isFailed": "1", "messages": said("FATAL")}, SearchPhase.FAILED),
        ({"dispatchState": "FAILED", "isFailed": False}, SearchPhase.FAILED),
        ({"dispatchState": "RUNNING", "isDone": False, "isZombie": True}, SearchPhase.FAILED),
        ({"dispatchState": "USER_CANCEL"}, SearchPhase.FAILED),
        ({"dispatchState": "INTERNAL_CANCEL", "isDone": False}, SearchPhase.FAILED),
        ({"dispatchState": "done"}, SearchPhase.FAILED),
        ({"dispatchState": None}, SearchPhase.FAILED),
        ({"dispatchState": ["DONE"]}, SearchPhase.FAILED),
        ({"messages": said("FATAL")}, SearchPhase.FAILED),
        ({"messages": said("WARN", "search peer idx-2 is down")}, SearchPhase.PARTIAL),
        ({"messages": said("ERROR")}, SearchPhase.PARTIAL),
        ({"messages": said("NOVEL")}, SearchPhase.PARTIAL),
        ({"messages": {"warn": ["search peer idx-2 is down"]}}, SearchPhase.PARTIAL),
        ({"messages": {"fatal": "x"}}, SearchPhase.FAILED),
        ({"messages": "something"}, SearchPhase.PARTIAL),
        ({"messages": [1]}, SearchPhase.PARTIAL),
        ({"messages": [{}]}, SearchPhase.PARTIAL),
        ({"isFinalized": True}, SearchPhase.TRUNCATED),
        ({"isFinalized": "1", "messages": said("WARN")}, SearchPhase.TRUNCATED),
        ({"resultCount": 500}, SearchPhase.TRUNCATED),
        ({"resultCount": 501}, SearchPhase.TRUNCATED),
        ({"resultCount": 499}, SearchPhase.COMPLETE),
        ({"resultCount": 0}, SearchPhase.COMPLETE),
    ],
    ids=str,
)
def test_read_status_when_a_job_says_this_then_it_is_that(
    content: dict[str, Any], phase: SearchPhase
) -> None:
    assert jobs.read_status(reply(**content), 500).phase is phase


def test_read_status_when_the_reply_carries_the_message_then_it_counts_too() -> None:
    found = jobs.read_status(reply() | {"messages": said("WARN", "peer down")}, 500)
    assert found.phase is SearchPhase.PARTIAL
    assert found.messages == ("WARN: peer down",)


def test_read_status_when_it_failed_silently_then_it_says_how_it_ended() -> None:
    assert "USER_CANCEL" in jobs.read_status(reply(dispatchState="USER_CANCEL"), 500).messages[0]


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("WARN", SearchPhase.COMPLETE),
        ("ERROR", SearchPhase.PARTIAL),
        ("FATAL", SearchPhase.FAILED),
    ],
)
def test_read_status_when_a_text_is_declared_harmless_then_only_as_a_warning(
    kind: str, phase: SearchPhase
) -> None:
    messages = said(kind, "Field extractor name=x is Unusually Slow")
    status = jobs.read_status(reply(messages=messages), 500, ("unusually slow",))
    assert status.phase is phase
    assert status.messages, "a declared warning is still told"


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "x",
        {},
        {"entry": []},
        {"entry": {}},
        {"entry": [None]},
        {"entry": [{}]},
        {"entry": [{"content": []}]},
        reply(resultCount=None),
        reply(resultCount="many"),
        reply(resultCount=-1),
        reply(resultCount=1.5),
    ],
    ids=str,
)
def test_read_status_when_it_is_no_status_then_it_is_unavailable(broken: object) -> None:
    with pytest.raises(Unavailable):
        jobs.read_status(broken, 500)


def test_read_page_when_values_are_odd_then_each_becomes_text_and_neighbours_live() -> None:
    row = {
        "host": ["WS-1", "WS-2", None],
        "user": None,
        "count": 3,
        "score": float("nan"),
        "flag": True,
        "nested": {"a": [1]},
        "empty": [],
        "cmdline": "wmic \ud83d os",
        "nul": "a\x00b",
        "text": "日本語",
    }
    page = jobs.read_page({"results": [row, "no row", {"host": "WS-3"}]})
    assert page.rows == (
        {
            "host": ["WS-1", "WS-2"],
            "count": "3",
            "score": "NaN",
            "flag": "true",
            "nested": '{"a": [1]}',
            "empty": [],
            "cmdline": "wmic \\ud83d os",
            "nul": "a\x00b",
            "text": "日本語",
        },
        {"_raw": "no row"},
        {"host": "WS-3"},
    )
    json.dumps(page.rows, ensure_ascii=False).encode()


def test_merge_pairs_when_a_name_comes_twice_then_both_values_stay() -> None:
    text = '{"results": [{"host": "WS-1", "user": "a", "host": ["DC-1", "DC-2"]}]}'
    page = jobs.read_page(json.loads(text, object_pairs_hook=jobs.merge_pairs))
    assert page.rows == ({"host": ["WS-1", "DC-1", "DC-2"], "user": "a"},)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"results": None},
        {"results": {}},
        {"messages": said("FATAL", "x")},
        {"preview": True, "results": [{"a": "b"}]},
        {"preview": "1", "results": []},
    ],
    ids=str,
)
def test_read_page_when_it_is_no_page_then_it_is_unavailable(broken: object) -> None:
    with pytest.raises(Unavailable):
        jobs.read_page(broken)


XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<response><messages>'
    b'<msg type="WARN">call not properly authenticated &amp; so on</msg></messages></response>'
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"messages":[{"type":"FATAL","text":"Unknown sid."}]}', "Unknown sid."),
        (b'{"messages":[{"type":"WARN","text":"a"},{"type":"WARN","text":"b"}]}', "a; b"),
        (XML, "call not properly authenticated & so on"),
        (
            b"<html><head><title>502 Bad\nGateway</title>",
            "a web page, not splunkd: 502 Bad\nGateway",
        ),
        (b"plain   words", "plain words"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b"", None),
        (b"[" * 100_000, "[" * 200),
        (b'{"messages":[]}', '{"messages":[]}'),
    ],
)
def test_explain_when_an_error_body_comes_then_its_words_are_found(
    body: bytes, text: str | None
) -> None:
    assert jobs.explain(500, body) == text


def test_explain_when_xml_holds_an_entity_bomb_then_it_is_only_scanned() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><msg type="X">&b;</msg>'
    assert jobs.explain(500, bomb) == "&b;"


QUOTA = (
    "The maximum number of concurrent historical searches for this user based on their role quota"
    " has been reached. concurrency_category=historical, concurrency_context=user_instance-wide,"
    " current_concurrency=3, concurrency_limit=3"
)


def test_is_quota_when_the_503_says_so_then_nothing_was_started() -> None:
    body = json.dumps({"messages": said("FATAL", QUOTA)}).encode()
    assert jobs.is_quota(body)
    assert jobs.is_quota(f'<response><msg type="FATAL">{QUOTA}</msg></response>'.encode())
    assert not jobs.is_quota(b'{"messages":[{"type":"ERROR","text":"Splunk is shutting down"}]}')
    assert not jobs.is_quota(f"<html><body>{QUOTA}</body></html>".encode())
    assert not jobs.is_quota(b"")
