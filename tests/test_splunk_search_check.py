"""`check` tries each configured search as a poll would use it, and names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.siem.splunk.macros import names_in
from connectors.siem.splunk.search_check import fields_of
from runner.checks import check
from tests.polling import poll, polling_world, records, store, watermark
from tests.world import World
from tests.world_settings import SEARCH

HITS = "WMIC format hits"
CANARY = {"searches": {SEARCH: {"canary": "Stockade canary"}}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with polling_world(tmp_path, CANARY) as found:
        yield found


def bad(world: World) -> list[str]:
    """What `check` says of the searches that is not well."""
    found: list[dict[str, Any]] = check(world.service).data
    return [
        f"{one['what']}: {one['mend']}"
        for one in found
        if "search wmic" in one["what"] and not one["ok"]
    ]


def test_check_when_all_is_well_then_search_and_canary_were_both_started_and_are_gone(
    world: World,
) -> None:
    assert bad(world) == []
    started = [seen.path for seen in world.splunk.requests if seen.path.endswith("/dispatch")]
    assert [path.split("/")[-2] for path in started] == [
        "WMIC%20format%20hits",
        "Stockade%20canary",
    ]
    assert world.splunk.jobs == {}


@pytest.mark.parametrize("name", [HITS, "Stockade canary"])
def test_check_when_a_search_is_not_there_then_it_is_named(world: World, name: str) -> None:
    del world.splunk.saved[name]
    (said,) = bad(world)
    assert name in said
    assert "this account sees no such search" in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"disabled": True}, "enable it"),
        ({"search": "index=main earliest=-15m | fields cmdline, host"}, "earliest=…"),
        ({"search": "index=main | table _time cmdline"}, "do not tell the host"),
        ({"search": "index=main | table _time host"}, "do not tell the cmdline"),
        ({"search": "index=main `wmic_filter` | fields cmdline, host"}, "macro"),
    ],
)
def test_check_when_a_search_is_unsound_then_it_says_how_to_mend_it(
    world: World, changed: dict[str, Any], words: str
) -> None:
    world.splunk.saved[HITS] |= changed
    assert any(words in said for said in bad(world)), bad(world)


def macros(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = check(world.service).data
    return [one for one in found if "macro" in one["what"]]


def test_check_when_a_search_uses_a_macro_then_it_is_shown_as_it_is_now(world: World) -> None:
    world.splunk.saved[HITS]["search"] = "index=main `wmic_filter` | fields cmdline, host"
    world.splunk.macros["wmic_filter"] = {"definition": 'process_name="wmic.exe" `inner`'}
    world.splunk.macros["inner"] = {"definition": "`wmic_filter`", "sharing": "global"}
    assert [one["ok"] for one in macros(world)] == [True, True], "each once, though they call back"
    text = check(world.service).text
    assert 'macro wmic_filter (app search, sharing app) = process_name="wmic.exe" `inner`' in text
    assert "macro inner (app search, sharing global)" in text


@pytest.mark.parametrize(
    ("macro", "ok", "words"),
    [
        (None, False, "missing, or not shared with this account in the app search"),
        ({"definition": "host=*", "sharing": "user"}, False, "share it in the app"),
        ({"definition": "host=*", "disabled": "1"}, False, "enable it"),
        ({"definition": "earliest=-15m host=*"}, False, "it wins over the window of a poll"),
        ({"definition": "host=*", "denied": True}, True, "nobody knows what the search finds"),
    ],
)
def test_check_when_a_macro_is_unsound_or_unread_then_it_is_said(
    world: World, macro: dict[str, Any] | None, ok: bool, words: str
) -> None:
    world.splunk.saved[HITS]["search"] = "index=main `wmic_filter` | fields cmdline, host"
    if macro is not None:
        world.splunk.macros["wmic_filter"] = macro
    said = next(one for one in macros(world) if "macro wmic_filter" in one["what"])
    assert said["ok"] is ok
    assert words in f"{said['what']}: {said['mend']}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('index=main `one` | search `two(1, "a,b")` `one`', ("one", "two(2)")),
        ("`three()` `app_x:four(x)`", ("three", "app_x:four(1)")),
        ("index=main no macro", ()),
    ],
)
def test_macros_of_a_text_are_named_as_macros_conf_names_them(
    text: str, names: tuple[str, ...]
) -> None:
    assert names_in(text) == names


def test_check_when_time_words_are_only_evidence_in_quotes_then_nothing_is_wrong(
    world: World,
) -> None:
    world.splunk.saved[HITS]["search"] = 'index=main cmdline="*latest=1*" | fields cmdline, host'
    assert bad(world) == []


def test_check_when_the_role_narrows_a_search_then_it_says_so(world: World) -> None:
    world.splunk.tune(srch_time_win_s=3600)
    assert len(bad(world)) == 2
    assert all("srchTimeWin" in said for said in bad(world))


def test_poll_when_the_role_narrows_the_search_then_rows_are_used_and_the_watermark_stays(
    world: World,
) -> None:
    poll(world)
    before = watermark(world)
    store(world)
    # Counted back from the latest time, which lies a day ahead.
    world.splunk.tune(srch_time_win_s=2 * 86_400)
    assert poll(world).code == 1
    assert watermark(world) == before
    assert "time range was narrowed" in str(records(world.journal)[-1].incomplete)
    assert records(world.journal)[-1].new == 1
    world.splunk.tune(srch_time_win_s=None)
    assert poll(world).code == 0
    assert watermark(world) != before


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("index=a | table a, b  c", ("a", "b", "c")),
        ('index=a | fields + a "b c"', ("a", "b", "c")),
        ("index=a | fields - a", None),
        ("index=a | stats count by host", None),
        ("index=a | table a | head 5", None),
        ("index=a", None),
    ],
)
def test_fields_of_when_the_last_command_is_no_list_then_nothing_is_concluded(
    text: str, fields: tuple[str, ...] | None
) -> None:
    assert fields_of(text) == fields


@pytest.mark.parametrize("state", ["QUEUED", "PAUSED"])
def test_poll_when_its_job_waits_for_ten_minutes_then_it_is_given_up_and_says_why(
    world: World, state: str
) -> None:
    poll(world)
    before = watermark(world)
    world.splunk.spoil_job(content={"dispatchState": state}, never_done=True)
    poll(world)
    assert poll(world, 660).code == 1
    said = [str(one.error) for one in records(world.journal) if one.error]
    assert any("did not end within ten minutes" in text and state in text for text in said), said
    assert watermark(world) == before
