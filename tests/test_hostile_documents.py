"""What leaves the house as a file: reports, pages, attachments, packs. The whole job is played over
hostile evidence first; each file is then read back with a parser that is not ours."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from connectors.document import Document
from runner.evidence_pack import write_pack
from runner.hypertext import page_of
from runner.journal.records import ApprovalState
from runner.markdown import markdown_of
from runner.needs import needs_of
from runner.period import read_period
from runner.period_text import period_document
from runner.report import case_document
from tests.hostile import HOSTILE_NAMES, PAYLOADS, URL, steering
from tests.test_evidence_pack import Tags
from tests.test_written_documents import KNOWN, unspanned
from tests.world import World, running_world

ATTACHED = re.compile(r"(?:evidence|graph)-case-[0-9a-f]{6,}(?:-revision-\d+)?\.(?:json|mmd|svg)")
PACKED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DRAWN = {"svg", "g", "rect", "path", "text", "title", "desc", "line", "polygon", "defs", "marker"}
GROUPS = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every payload in command line, user, parent and process of some case, each host name in an
    event that a hunt finds; asked about, approved, isolated and told."""
    folder = tmp_path_factory.mktemp("hostile")
    changes = {"guards": {"budget": {"per_hour": 99, "fleet_percent": 100}}}
    with running_world(folder, changes) as world:
        world.arm()
        short = [text for name, text in PAYLOADS.items() if name != "very long"]
        for name in HOSTILE_NAMES.values():
            line = f'wmic os get /format:"{URL}"'
            world.hit(host=name, cmdline=line, Image=r"C:\Users\Public\other.exe")
        for number in range(GROUPS):
            text = " ".join(short[number::GROUPS])
            line = f'wmic os get /format:"{URL}" {text}'
            world.hit(cmdline=line, user=text, ParentCommandLine=text, ParentImage=text)
        world.hit(cmdline=f'wmic os get /format:"{URL}" {PAYLOADS["very long"]}')
        for _ in range(4):
            world.ticks(1, 60)
            for question in world.questions(ApprovalState.OPEN):
                # The hostile user proves no identity: people pick the device, or say yes.
                world.pick(question, question.items[0].device.device_id)
                world.yes(question)
        world.ticks(3, 60)
        yield world


def documents(world: World) -> dict[str, Document]:
    needs, known = needs_of(world.journal), world.cases()
    with world.journal.read() as tx:
        since = tx.clock.now() - timedelta(days=1)
        period = read_period(tx, world.config, since)
        cases = {case.id: case_document(tx, case, world.config.mode) for case in known}
    return {"report": period_document(period, needs), **cases}


def attachments(world: World) -> dict[str, bytes]:
    return {
        one["filename"]: world.jira.file(one["id"])
        for issue in world.jira.all_issues()
        for one in issue["fields"]["attachment"]
    }


def test_job_when_all_evidence_is_hostile_then_it_was_done(world: World) -> None:
    """Else nothing below would mean anything."""
    assert len(world.cases()) == GROUPS + 1
    assert {run.status for run in world.runs()} <= {"succeeded", "waiting"}
    assert len(world.jira.all_issues()) == GROUPS + 1
    assert {name.rpartition(".")[2] for name in attachments(world)} == {"json", "mmd", "svg"}


def test_page_when_the_evidence_is_hostile_then_only_our_elements_and_nothing_is_loaded(
    world: World,
) -> None:
    for name, document in documents(world).items():
        seen = Tags()
        seen.feed(page := page_of(document, name))
        assert seen.names <= KNOWN
        assert seen.attributes.isdisjoint({"src", "href", "style", "onerror", "onmouseover"})
        assert steering(page) == []


def test_markdown_when_the_evidence_is_hostile_then_no_link_element_or_call(world: World) -> None:
    for document in documents(world).values():
        fence = ""
        for line in markdown_of(document).splitlines():
            mark = re.match(r"`{3,}", line)
            if fence:
                fence = "" if line == fence else fence
            elif mark:
                fence = mark[0]
            else:
                assert not re.search(r"<|\]\(|!\[|https?:|@", unspanned(line)), line
            assert steering(line) == []
        assert fence == "", "no fence of the evidence stays open"


def test_attachments_when_the_evidence_is_hostile_then_their_names_are_ours(world: World) -> None:
    for name in attachments(world):
        assert ATTACHED.fullmatch(name), name


def test_attached_evidence_when_read_back_then_it_is_json_and_holds_the_line_as_it_was(
    world: World,
) -> None:
    lines: list[Any] = []
    for name, content in attachments(world).items():
        if name.endswith(".json"):
            found = json.loads(content)
            lines.append(found.get("alert", {}).get("cmdline", ""))
    everything = " ".join(lines)
    for name in ("template", "channel call", "terminal", "page", "markup of Slack", "path"):
        assert PAYLOADS[name] in everything, name
    assert r"a\x00b" in everything, "what nothing stores is shown as an escape"


def test_picture_when_the_evidence_is_hostile_then_it_only_draws(world: World) -> None:
    pictures = {n: text for n, text in attachments(world).items() if n.endswith(".svg")}
    assert pictures
    for content in pictures.values():
        assert b"<!ENTITY" not in content
        for element in ET.fromstring(content).iter():  # noqa: S314  our own picture
            assert element.tag.rpartition("}")[2] in DRAWN
            for name in element.attrib:
                assert not name.startswith("on")
                assert "href" not in name
        assert steering(content.decode()) == []


def test_graph_text_when_the_evidence_is_hostile_then_no_line_acts(world: World) -> None:
    texts = [text.decode() for name, text in attachments(world).items() if name.endswith(".mmd")]
    assert texts
    for text in texts:
        assert steering(text) == []
        assert not re.search(r"^\s*(click|style|%%|subgraph|linkStyle|call|href)", text, re.M)
        assert text.isascii(), "what no label of Mermaid carries safely is an entity"
        assert all(line.count('"') % 2 == 0 for line in text.splitlines())


def test_pack_when_the_evidence_is_hostile_then_names_are_ours_and_the_page_is_still(
    world: World, tmp_path: Path
) -> None:
    for case in world.cases():
        stream = BytesIO()
        with world.journal.read() as tx:
            write_pack(tx, case, world.config.mode, stream)
        with zipfile.ZipFile(stream) as pack:
            assert all(PACKED.fullmatch(name) for name in pack.namelist())
            pack.extractall(tmp_path / case.id)
            seen = Tags()
            seen.feed(pack.read("page.html").decode())
        assert seen.names <= KNOWN
        assert not {name for name in seen.attributes if name.startswith("on")}
    assert {one.name for one in tmp_path.iterdir()} == {case.id for case in world.cases()}


def test_edr_when_the_evidence_is_hostile_then_it_got_ids_and_quoted_names_only(
    world: World,
) -> None:
    for seen in world.falcon.requests:
        assert "{{" not in seen.query + seen.body
        assert "<" not in seen.query + seen.body
        if "devices-actions" in seen.path:
            assert re.fullmatch(r'\{"ids": \["[0-9a-f]{32}"\]\}', seen.body)
