"""A page that is read fast says what the careful reading says, or leaves it to that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.siem.splunk import jobs
from connectors.siem.splunk.pages import plain_page

ROW = {
    "_cd": "12:7",
    "host": "WS-1",
    "cmdline": r'"C:\Windows\System32\wbem\WMIC.exe" os get /format:"x.xsl"',
    "user": "EXAMPLE\\ユーザー",
    "note": '"results": [], "host":',
}
HEAD = '{"preview":false,"init_offset":0,"messages":[],"results":'


def careful(body: bytes) -> jobs.Page:
    return jobs.read_page(json.loads(body, object_pairs_hook=jobs.merge_pairs))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_page_when_each_value_is_one_text_then_it_is_read_fast(ascii_only: bool) -> None:
    rows = [{**ROW, "_cd": f"12:{number}"} for number in range(3)]
    told = {"preview": False, "messages": [], "results": rows}
    body = json.dumps(told, ensure_ascii=ascii_only).encode()
    page = plain_page(body)
    assert page is not None
    assert page == careful(body)


@pytest.mark.parametrize(
    "body",
    [
        HEAD + '[{"host":"WS-1","host":"DC-1"}]}',
        HEAD + '[{"host": "WS-1","host":"DC\\":"}]}',
        HEAD + '[{"host":"WS-1","h\\u006fst":"DC-1"}]}',
        HEAD + '[{"host":["WS-1","WS-2"]}]}',
        HEAD + '[{"count":3,"a":"b"}]}',
        HEAD + '[{"path":"C:\\\\"}]}',
        HEAD + '["no row"]}',
        HEAD + '[{"a":"\\ud83d"}]}',
        HEAD + '[{"a":"b"}],"results":[{"c":"d"}]}',
        HEAD + '[{"a":"b"}],"messages":[{"type":"ERROR","text":"x"}]}',
        '{"messages":[{"type":"INFO","text":"x"}],"results":[]}',
        '{"preview":true,"results":[]}',
        '{"results":null}',
        "[]",
        "<html>",
        "",
    ],
)
def test_page_when_anything_is_not_plain_then_it_is_left_to_the_careful_reading(
    body: str,
) -> None:
    assert plain_page(body.encode()) is None


TEXTS = st.text(alphabet='ab":\\ ,{}[]\u00e9\n', max_size=6)
VALUES = TEXTS | st.none() | st.integers(0, 9) | st.lists(TEXTS, max_size=2)


@given(st.lists(st.lists(st.tuples(TEXTS, VALUES), max_size=4), max_size=3), st.booleans())
@example([[("a", "x"), ("a", '":"')]], True)
@example([[("a", "b"), ("c", "d\\")]], False)
def test_page_when_it_holds_anything_then_both_readings_agree(
    rows: list[list[tuple[str, Any]]], is_compact: bool
) -> None:
    """Objects are spelled by hand, so that a name may come twice."""
    between = (",", ":") if is_compact else (", ", ": ")
    objects = [
        "{"
        + between[0].join(json.dumps(name) + between[1] + json.dumps(value) for name, value in row)
        + "}"
        for row in rows
    ]
    body = (HEAD + "[" + ",".join(objects) + "]}").encode()
    page = plain_page(body)
    assert page is None or page == careful(body)
