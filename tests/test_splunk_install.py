"""`stockade splunk`: what the product ships is shown, agreed to, written once and read back; the
role's stanza and the docs come from the same definitions."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from splunklib import client

from connectors.emulators.scenario import INTERNAL_FIELDS_SEARCH, REMOTE_SEARCH, events
from connectors.emulators.splunk_jobs import run_job
from connectors.errors import ConnectorError
from connectors.http import HttpSettings, Runtime
from connectors.model import SavedSearch, Secret
from connectors.siem.splunk.connection import Splunk
from connectors.siem.splunk.role import Role, faults_of, role_for, stanza
from connectors.siem.splunk.shipped import SHIPPED, Source, conf_stanza, settings_of
from runner.cli import main
from tests.command_line import CommandLine, command_line
from tests.polling import raw_hit

PROVIDER = r"C:\Windows\System32\wbem\WmiPrvSE.exe"
ROOT = Path(__file__).parent.parent
FORMAT, REMOTE, CANARY = (one.name for one in SHIPPED.values())


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as found:
        found.splunk.saved.clear()
        yield found
    gc.enable()


def install(line: CommandLine, *more: str) -> int:
    return main(["splunk", "install-search", "-c", str(line.config), *more])


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def writes(line: CommandLine) -> list[str]:
    return [seen.path for seen in line.splunk.requests if seen.changed]


def test_install_when_agreed_then_splunks_own_sdk_reads_the_shipped_search(
    line: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "y\n")
    assert install(line, "wmic-format") == 0
    shown = capsys.readouterr().out
    assert "+++ shipped" in shown
    assert "+search = index=main" in shown
    assert f"{FORMAT}: written, and read back" in shown
    host, port = line.splunk.address
    token = line.splunk.credentials["token"]
    service = client.connect(host=host, port=port, scheme="http", splunkToken=token)
    wanted = settings_of(SHIPPED["wmic-format"], index="main", source=Source.SYSMON)
    read = service.saved_searches[FORMAT]
    assert {key: read[key] for key in wanted} == wanted
    assert list(line.splunk.saved) == [FORMAT]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_install_when_nobody_says_yes_then_nothing_is_written(
    line: CommandLine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    typed(monkeypatch, answer)
    assert install(line, "canary") == 1
    assert "nobody said yes" in "".join(capsys.readouterr())
    assert writes(line) == []


def test_install_when_made_again_then_it_is_the_same_already(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(line, "--yes") == 0
    assert len(writes(line)) == 3
    capsys.readouterr()
    assert install(line, "--yes", "--json") == 0
    assert set(json.loads(capsys.readouterr().out).values()) == {"the same already"}
    assert len(writes(line)) == 3
    # A shipped search that only grew old is replaced; its switches may come back in any spelling.
    line.splunk.saved[FORMAT]["is_scheduled"] = False
    assert install(line, "--yes", "--index", "windows", "wmic-format") == 0
    assert "index=windows" in line.splunk.saved[FORMAT]["search"]


def test_install_when_somebody_edited_the_search_then_it_stays_unless_told(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(line, "--yes", "wmic-format") == 0
    line.splunk.saved[FORMAT]["search"] += " | search NOT `our_exceptions(1)` `ours`"
    line.splunk.macros["our_exceptions(1)"] = {"definition": "user=$u$ `deeper`"}
    capsys.readouterr()
    assert install(line, "--yes", "wmic-format") == 1
    said = "".join(capsys.readouterr())
    assert "not written: somebody has edited it" in said
    assert "macro our_exceptions(1) (app search, sharing app) = user=$u$ `deeper`" in said
    assert "macro ours: missing, or not shared" in said
    assert "macro deeper: missing, or not shared" in said
    assert "our_exceptions" in line.splunk.saved[FORMAT]["search"]
    assert install(line, "--yes", "--overwrite", "wmic-format") == 0
    assert "our_exceptions" not in line.splunk.saved[FORMAT]["search"]


def test_install_when_a_dry_run_then_all_is_shown_and_nothing_written(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(line, "--dry-run", "--source", "security", "--schedule", "*/5 * * * *") == 0
    shown = capsys.readouterr().out
    assert "EventCode=4688" in shown
    assert shown.count("+cron_schedule = */5 * * * *") == 2, "the canary needs no schedule"
    assert f"{CANARY}: would be written; it is missing now" in shown
    assert writes(line) == []


def test_install_when_it_is_not_there_after_the_write_then_that_is_told(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    line.splunk.misbehave(method="POST", path="*/saved/searches", status=201, body="{}")
    assert install(line, "--yes", "wmic-remote") == 1
    assert "there is no 'WMIC remote starts' after it was written" in "".join(capsys.readouterr())


def test_install_when_somebody_wrote_while_we_asked_then_nothing_is_written(
    line: CommandLine,
) -> None:
    installer = splunk_of(line).installer()
    wanted = settings_of(SHIPPED["canary"], index="main", source=Source.SYSMON)
    plan = installer.plan(SavedSearch(name=CANARY), wanted)
    line.splunk.saved[CANARY] = {"search": "index=theirs"}
    with pytest.raises(ConnectorError, match="changed while you looked"):
        installer.write(plan)
    assert line.splunk.saved[CANARY] == {"search": "index=theirs"}


def test_install_when_splunk_keeps_another_value_then_the_difference_is_told(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(line, "--yes", "canary") == 0
    line.splunk.saved[CANARY]["search"] = "index=theirs"
    line.splunk.misbehave(method="POST", path="*/Stockade%20canary", status=200, body="{}")
    capsys.readouterr()
    assert install(line, "--yes", "--overwrite", "canary") == 1
    assert "not as written" in "".join(capsys.readouterr())


def splunk_of(line: CommandLine) -> Splunk:
    return Splunk(
        name="splunk",
        tenant="example",
        settings=HttpSettings(base_url=line.splunk.base_url),
        credentials={"token": Secret(line.splunk.credentials["token"])},
        options=Splunk.Options(),
        runtime=Runtime(clock=line.splunk.clock, emulated=True),
    )


def test_install_when_the_answer_is_lost_then_what_is_stored_counts(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    line.splunk.misbehave(method="POST", path="*/saved/searches", lose_answer=True)
    assert install(line, "--yes", "canary") == 0
    assert len(writes(line)) == 1


def test_install_when_the_account_may_only_read_then_the_two_ways_out_are_named(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    line.splunk.tune(may_write=False)
    assert install(line, "--yes", "canary") == 1
    said = "".join(capsys.readouterr())
    assert "--token-file" in said
    assert "savedsearches.conf" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["wmic-formats"], "there is no shipped search wmic-formats"),
        (["--token-file", "nowhere"], "holds no token"),
    ],
)
def test_install_when_given_wrongly_then_it_says_so_before_any_call(
    line: CommandLine, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert install(line, *more) == 2
    assert words in capsys.readouterr().err
    assert line.splunk.requests == []


def test_install_when_another_token_is_named_then_that_one_writes(line: CommandLine) -> None:
    line.secret("splunk.token", "no-such-token")
    admin = line.folder / "admin-token"
    admin.write_text(line.splunk.credentials["token"] + "\n")
    assert install(line, "--yes", "canary") == 1
    assert install(line, "--yes", "canary", "--token-file", str(admin)) == 0


# -- what is shipped -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "plain"), [("wmic-format", INTERNAL_FIELDS_SEARCH), ("wmic-remote", REMOTE_SEARCH)]
)
def test_shipped_when_run_over_the_recorded_attack_then_it_finds_what_the_plain_search_finds(
    line: CommandLine, key: str, plain: str
) -> None:
    now = line.splunk.clock.now()
    line.store(1, cmdline='wmic /node:"WS-2" process call create calc.exe')
    line.splunk.add_event(raw_hit(2, "WS-2") | {"Image": r"C:\calc.exe", "ParentImage": PROVIDER})
    line.splunk.add_event(raw_hit(3, "WS-2") | {"Image": PROVIDER, "ParentImage": PROVIDER})
    stored = [*events(now), *line.splunk._added]
    text = settings_of(SHIPPED[key], index="main", source=Source.SYSMON)["search"]

    def found(search: str) -> list[Any]:
        rows = run_job("1", f"search {search}", {}, stored, line.splunk.clock.now()).rows
        return sorted(str(row["_cd"]) for row in rows)

    assert found(text)
    assert found(text) == found(plain)


def test_docs_when_read_then_their_stanzas_are_the_shipped_ones() -> None:
    docs = (ROOT / "docs/products/splunk.md").read_text(encoding="utf-8")
    for shipped in SHIPPED.values():
        wanted = settings_of(shipped, index="main", source=Source.SYSMON)
        assert conf_stanza(shipped.name, wanted) in docs
    assert stanza(Role(indexes=("main", "wineventlog"))) in docs


# -- the role --------------------------------------------------------------------------------------


def test_role_when_printed_then_it_is_the_one_that_check_finds_nothing_wrong_with(
    line: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["splunk", "role", "-c", str(line.config), "--index", "wineventlog"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "[role_stockade]\nsearch = enabled\nsrchIndexesAllowed = wineventlog;main\n"
    )
    values = dict(row.split(" = ") for row in said.splitlines()[1:])
    assert list(faults_of(values)) == []
    assert "importRoles" not in values


def test_role_when_hunts_look_back_far_then_the_role_reaches_further() -> None:
    role = role_for(["main", "main"], 90 * 86_400, 4)
    assert role.indexes == ("main",)
    assert role.time_win_s > 90 * 86_400
    assert role.jobs == 10
