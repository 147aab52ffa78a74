"""`stockade init` as a person uses it: it asks, tries each product, and writes at the end or not at
all; a secret is in its own file and nowhere else."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.jira_requests import PROJECT
from connectors.emulators.slack_workspace import CHANNEL
from connectors.http import Runtime
from connectors.registry import PRODUCTS, load_product
from runner.cli import SystemClock
from runner.init_products import ProductTalk
from runner.init_talk import Stopped, Talk
from runner.init_write import NewFile, config_text, write_all
from tests.command_line import environment, run_command
from tests.fake_clock import FakeClock
from tests.world_settings import RESPONDER_A, RESPONDER_B

TYPED, ENTER, YES, NO = "1", "", "y", "n"


class Site:
    """A folder without a configuration, the products that it is to name, and the answers."""

    def __init__(self, folder: Path, emulators: Emulators) -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        self.emulators = emulators
        self.urls = emulators.base_urls()
        self.secrets = emulators.credentials()

    def answers(self, *, falcon_id: tuple[str, ...] = ()) -> list[str]:
        """Everything, a line each. `falcon_id`: answers about the id of Falcon's client that come
        before the right one."""
        falcon, jira = self.secrets["falcon"], self.secrets["jira"]
        return [
            ENTER,
            *(ENTER, self.urls["splunk"], TYPED),
            *(TYPED, self.secrets["splunk"]["token"], NO, NO),
            *(ENTER, self.urls["falcon"], *falcon_id),
            *(TYPED, falcon["client_id"], TYPED, falcon["client_secret"], NO, NO),
            *(ENTER, self.urls["slack"], TYPED, self.secrets["slack"]["token"], CHANNEL, NO, NO),
            *(ENTER, self.urls["jira"], TYPED, TYPED, jira["email"], TYPED, jira["api_token"]),
            *(PROJECT, NO, NO),
            *(YES, ENTER, "WMIC format hits", "wmic-format", "Stockade canary"),
            *("alex", RESPONDER_A, "alex", r"CORP\alex, CORP\alex-adm"),
            *("kim", RESPONDER_B, ENTER, ENTER, ENTER),
            *(YES, NO, "LAPTOP9*", ENTER),
            *("main", ENTER),
            YES,
        ]

    def init(self, answers: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*WORDS, "--emulated", *arguments],
            cwd=self.folder,
            env=environment(),
            input="".join(f"{answer}\n" for answer in answers),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def files(self) -> dict[str, int]:
        """What is in the folder, with its mode."""
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return {
            path.relative_to(self.folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
            for path in found
        }


WORDS = [sys.executable, "-m", "runner.cli", "init"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_emulators(tmp_path / "products", SystemClock()) as emulators:
        yield Site(tmp_path, emulators)


def test_init_when_all_is_answered_then_check_finds_nothing_to_mend(site: Site) -> None:
    done = site.init(site.answers())
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.files() == dict.fromkeys(
        [
            "config.yaml",
            "protected-assets.txt",
            "secrets/splunk.token",
            "secrets/falcon.client_id",
            "secrets/falcon.client_secret",
            "secrets/slack.token",
            "secrets/jira.email",
            "secrets/jira.api_token",
        ],
        0o600,
    )
    text = (site.folder / "config.yaml").read_text()
    made = yaml.safe_load(text)
    assert made["mode"] == "observe"
    assert made["searches"]["wmic_format_hits"]["canary"] == "Stockade canary"
    assert made["approvals"] == {"approvers": ["alex", "kim"], "quorum": 1}
    assert made["people"]["alex"]["windows_user"] == [r"CORP\alex", r"CORP\alex-adm"]
    typed = [path for path in site.files() if path.startswith("secrets/")]
    for secret in [(site.folder / path).read_text().strip() for path in typed]:
        assert secret not in text
        assert secret not in done.stdout
    rules = (site.folder / "protected-assets.txt").read_text().splitlines()
    assert [rule for rule in rules if rule and not rule.startswith("#")] == [
        "host DC-SYNTHETIC",
        "host LAPTOP9*",
    ]
    assert "INVENTORY1-SYNTHETIC" in done.stdout, "shown, and not taken without a yes"
    for command in ("stockade check -c", "stockade run -c", "* * * * * stockade run -c"):
        assert command in done.stdout
    assert run_command("check", folder=site.folder).code == 0
    again = site.init([])
    assert (again.returncode, "never overwritten" in again.stderr) == (2, True)
    assert (site.folder / "config.yaml").read_text() == text


def test_init_when_a_product_refuses_then_it_says_what_and_lets_it_be_corrected(
    site: Site,
) -> None:
    """The rest of a product's answers stands; only the wrong one is given anew."""
    answers = site.answers()
    at = answers.index(site.secrets["falcon"]["client_id"])
    right = answers[at]
    answers[at] = "wrong"
    after = at + 5
    answers[after:after] = ["answer anew", ENTER, NO, TYPED, right, ENTER, NO, NO]
    done = site.init(answers)
    assert "BAD  Falcon: sign in as the API client: HTTP 401" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site.folder / "secrets" / "falcon.client_id").read_text() == right + "\n"


def test_init_when_the_answers_end_or_are_no_then_nothing_is_written(site: Site) -> None:
    cut = site.init(site.answers()[:12])
    assert (cut.returncode, cut.stderr.endswith("nothing was written\n")) == (2, True)
    no = site.init([*site.answers()[:-1], NO])
    assert (no.returncode, no.stderr) == (2, "you said no: nothing was written\n")
    assert site.files() == {}


def test_init_when_it_is_stopped_at_the_keyboard_then_nothing_is_written_and_said(
    site: Site,
) -> None:
    process = subprocess.Popen(
        [*WORDS, "--emulated"],
        cwd=site.folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    while "product [1]" not in (seen := process.stdout.readline()) and seen:
        if "2  none" in seen:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "stopped: nothing was written")
    assert site.files() == {}


def test_init_at_a_terminal_shows_no_secret_as_it_is_typed(site: Site) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*WORDS, "--emulated"],
        cwd=site.folder,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    answers = iter(site.answers())
    with closing(os.fdopen(ours, "r+b", buffering=0)) as stream:
        while True:
            try:
                shown += stream.read(4096)
            except OSError:
                break
            # A question ends without a new line; nothing is typed ahead of one.
            if shown.endswith(b": ") and (answer := next(answers, None)) is not None:
                stream.write(f"{answer}\n".encode())
                shown += b"\n"
    assert process.wait(timeout=60) == 0, shown.decode()
    token = (site.folder / "secrets" / "slack.token").read_text().strip()
    assert token == site.secrets["slack"]["token"]
    assert token.encode() not in shown
    assert b"WMIC format hits" in shown


# -- each product, from its own definition ---------------------------------------------------------


def scripted(answers: dict[str, str]) -> tuple[Talk, list[str]]:
    """A talk that answers by what a question begins with, and Enter to all others."""
    told: list[str] = []

    def line(shown: str) -> str:
        told.append(shown)
        return next((a for q, a in answers.items() if shown.startswith(q)), "")

    return Talk(line=line, hidden=line, say=told.append), told


@pytest.mark.parametrize("type_name", sorted(PRODUCTS))
def test_every_product_of_the_registry_is_offered_and_asked_what_its_definition_says(
    type_name: str, tmp_path: Path
) -> None:
    product = load_product(type_name)
    talk, told = scripted({"product": type_name, "address": "https://product.example.test"})
    runtime = Runtime(clock=FakeClock(), emulated=False)
    with pytest.raises(Stopped, match=product.CREDENTIALS[0]):
        ProductTalk(talk, runtime, tmp_path, {}).choose(product.ROLE)
    assert any(type_name in line for line in told)


def test_address_that_is_plain_http_or_holds_a_password_is_refused(tmp_path: Path) -> None:
    for wrong in ("http://siem.example.test", "https://a:b@siem.example.test", "siem"):
        talk, told = scripted({"address": wrong})
        with pytest.raises(Stopped):
            ProductTalk(talk, Runtime(clock=FakeClock()), tmp_path, {}).choose("siem")
        assert any("https://" in line for line in told[3:])


def test_variable_that_may_be_the_secret_itself_is_not_repeated(tmp_path: Path) -> None:
    secret = "tok-3c1f-not-a-variable"
    talk, told = scripted(
        {"address": "https://siem.example.test", "token is kept": "3", "its name": secret}
    )
    with pytest.raises(Stopped):
        ProductTalk(talk, Runtime(clock=FakeClock()), tmp_path, {}).choose("siem")
    assert not any(secret in line for line in told)


# -- writing ---------------------------------------------------------------------------------------


def test_config_text_reads_back_as_it_was_given_whatever_stands_in_it() -> None:
    data = {
        "version": 1,
        "people": {"alex": {"windows_user": ['C\\a"b', "x: y # z", "\u202e\x07é"], "slack": "no"}},
        "guards": {"protected_file": "a b.txt"},
        "options": {"row_cap": 5, "is": True, "labels": []},
    }
    assert yaml.safe_load(config_text(data)) == data


def test_write_all_when_one_file_is_there_then_the_others_are_taken_back(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    files = [
        NewFile(path=tmp_path / "secrets" / "a", text="x"),
        NewFile(path=tmp_path / "config.yaml", text="new"),
    ]
    with pytest.raises(FileExistsError):
        write_all(files)
    assert not (tmp_path / "secrets" / "a").exists()
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_write_all_gives_modes_that_a_wide_umask_does_not_widen(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_all([NewFile(path=tmp_path / "secrets" / "a", text="x")])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secrets" / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
