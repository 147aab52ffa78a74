"""A rehearsal of stored hits reads the live journal and no more; one that was stopped goes on at
its hit and comes to the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.cli import SystemClock
from runner.replaying import Replayed, Version, replay, spooled
from runner.spool import Spool
from tests.command_line import CommandLine, command_line
from tests.test_replay_command import QUIET, changed, hit
from tests.world import World, running_world
from tests.world_settings import SEARCH

HOSTS = ("WORKSTATION5", "WORKSTATION50", "WORKSTATION5", "WORKSTATION7-SYNTHETIC", "WORKSTATION5")


# -- going on --------------------------------------------------------------------------------------


@dataclass
class Bench:
    """Five hits in a spool, and how they are played."""

    world: World
    folder: Path
    spool: Spool

    def play(self, says: str = "yes", *, stop_before: str | None = None) -> Replayed:
        """Play them; ctrl-C comes before the first request that fits."""
        if stop_before is not None:
            self.world.before.append((stop_before, _press))
        return replay(
            self.folder,
            self.world.config,
            self.world.service.roles,
            self.world.clock,
            self.spool,
            Version(name="configured"),
            says,
            lambda done, count: None,
            with_hunts=False,
        )

    def asked(self) -> int:
        """How many requests went to the EDR."""
        return len(self.world.falcon.requests)


def _press() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_world(tmp_path, QUIET) as world:
        spool = Spool(tmp_path / "hits.jsonl")
        for minute, host in enumerate(HOSTS, 1):
            spool.add(spooled(hit(minute, host), world.config.searches[SEARCH], "splunk"))
        yield Bench(world, tmp_path / "played", spool)
        spool.close()


def record_request(host: str) -> str:
    """The look-up of a host by its name."""
    return f"GET /devices/queries/*{host}*"


def test_replay_when_stopped_then_goes_on_at_its_hit_and_comes_to_the_same(
    bench: Bench, tmp_path: Path
) -> None:
    whole = bench.play()
    assert whole.is_whole
    assert sum(len(case.isolated) for case in whole.cases) == 2
    bench.folder = tmp_path / "stopped"
    stopped = bench.play(stop_before=record_request("WORKSTATION7"))
    assert stopped.is_stopped
    assert 0 < stopped.unplayed < len(HOSTS)
    before = bench.asked()
    again = bench.play()
    assert again == whole
    in_rest = bench.asked() - before
    bench.folder = tmp_path / "anew"
    before = bench.asked()
    bench.play()
    assert in_rest < (bench.asked() - before) * 2 / 3, "the first hits are not played again"


def test_replay_when_stopped_again_and_again_then_it_still_comes_to_the_same(
    bench: Bench, tmp_path: Path
) -> None:
    whole = bench.play()
    bench.folder = tmp_path / "stopped"
    for host in ("WORKSTATION50", "WORKSTATION7"):
        assert bench.play(stop_before=record_request(host)).is_stopped
    assert bench.play() == whole


def test_replay_when_it_goes_on_otherwise_then_all_is_played_anew(bench: Bench) -> None:
    bench.play(stop_before=record_request("WORKSTATION7"))
    no = bench.play("no")
    assert no.is_whole
    assert [case.isolated for case in no.cases] == [()] * len(no.cases)


def test_replay_when_it_was_killed_then_all_is_played_anew(bench: Bench) -> None:
    bench.play(stop_before=record_request("WORKSTATION7"))
    (bench.folder / "stopped.json").write_text('{"digest":')
    assert bench.play().is_whole


# -- stored hits -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """Three hits are stored, in observe."""
    with command_line(tmp_path_factory.mktemp("stored"), {**QUIET, "mode": "observe"}) as found:
        assert found("rehearse", "--since", "7d", "--stored").code == 1
        for number, host in enumerate(HOSTS[:3], 1):
            found.store(number, host)
        assert found("run").code == 0
        yield found


def digest(line: CommandLine) -> str:
    return hashlib.sha256((line.folder / "journal" / "journal.db").read_bytes()).hexdigest()


def test_rehearse_when_stored_then_the_journals_hits_are_played_and_it_is_only_read(
    line: CommandLine,
) -> None:
    before = digest(line)
    mode = (line.folder / "journal" / "journal.db").stat().st_mode
    (line.folder / "journal" / "journal.db").chmod(0o400)
    searched = len([one for one in line.splunk.requests if one.path.endswith("/dispatch")])
    done = line("rehearse", "--since", "7d", "--stored", "--json")
    (line.folder / "journal" / "journal.db").chmod(mode)
    assert done.code == 0, done.err
    assert done.value["hits"] == 3
    assert "3 stored hit(s)" in done.err
    assert digest(line) == before
    assert changed(line) == 0
    now = len([one for one in line.splunk.requests if one.path.endswith("/dispatch")])
    assert now == searched, "the search is not asked"


def test_rehearse_when_stored_and_the_runner_is_at_work_then_both_go_on(line: CommandLine) -> None:
    from runner.journal import Journal

    other = Journal(line.folder / "journal", SystemClock())
    assert other.own()
    with other.write() as tx:
        tx.set_meta("test", "a transaction under way")
        done = line("rehearse", "--since", "7d", "--stored", "--json")
    other.close()
    assert done.code == 0, done.err
    assert done.value["hits"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stored"], "give rehearsal files, or --since 30d"),
        (["--stored", "--since", "100d"], "--since is at most 90d"),
        (["--stored", "--since", "7d", "--search", "none"], "--search names one"),
    ],
)
def test_rehearse_when_stored_is_used_wrongly_then_two_and_a_sentence(
    line: CommandLine, words: list[str], said: str
) -> None:
    done = line("rehearse", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_rehearse_when_a_stored_hits_search_is_gone_then_it_is_named(line: CommandLine) -> None:
    kept = line.config.read_text()
    line.config.write_text(kept.replace('"wmic_format_hits"', '"another"'))
    done = line("rehearse", "--since", "7d", "--stored")
    line.config.write_text(kept)
    assert done.code == 1
    assert "NOT REHEARSED: 3 stored hit(s) of wmic_format_hits" in done.err
