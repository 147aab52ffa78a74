"""A journal survives upgrade, backup and restore; and what cannot be done changes nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from runner import storage
from runner.arming import arming
from runner.audit import verify
from runner.checks import check
from runner.cli import SystemClock
from runner.commands import arm
from runner.journal import Journal, JournalError, schema
from runner.journal.disk import Mount
from runner.journal.owner import hold, released
from runner.journal.records import ApprovalState
from runner.noticing import notice
from runner.result import Result
from runner.service import Service
from runner.views import show_status
from tests.command_line import QUICK, command_line
from tests.fake_clock import FakeClock
from tests.journal_v1 import make_old, schema_of
from tests.world import World, running_world
from tests.world_settings import HOST

ROOT = Path(__file__).parent.parent


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        yield found


def ask(world: World) -> None:
    """A hit about which people are asked."""
    world.arm()
    world.hit()
    world.tick()
    assert world.question().state is ApprovalState.OPEN


def names(world: World) -> set[str]:
    return {file.name for file in world.config.state_dir.iterdir()}


def refused(world: World) -> str:
    """Why the journal cannot be opened."""
    with pytest.raises(JournalError) as fault:
        world.open()
    text = str(fault.value)
    assert "\n" not in text
    return text


# -- upgrade ---------------------------------------------------------------------------------------


def test_upgrade_when_a_question_is_open_then_a_copy_is_kept_and_the_job_goes_on(
    world: World,
) -> None:
    ask(world)
    world.journal.close()
    make_old(world.journal.path)
    before = world.journal.path.read_bytes()
    world.open()
    (copy,) = world.config.state_dir.glob("journal.v1.*.db")
    assert copy.name == f"journal.v1.{world.clock.now():%Y%m%dT%H%M%SZ}.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert len(before) > 0
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("pragma user_version").fetchone() == (1,)
        assert db.execute("select count(*) from approval").fetchone() == (1,)
    (entry,) = world.entries("journal_upgraded")
    assert entry.payload == {"from": 1, "to": schema.VERSION, "copy": copy.name}
    world.yes(world.question())
    assert world.tick().errors == ()
    assert world.contains() == [HOST]
    assert len(world.cards()) == 1
    with world.journal.read() as tx:
        assert verify(tx).faults == ()


def test_upgrade_when_done_then_the_tables_are_those_of_a_new_journal(
    tmp_path: Path, world: World
) -> None:
    world.journal.close()
    make_old(world.journal.path)
    world.open()
    Journal(tmp_path / "fresh", FakeClock()).close()
    assert schema_of(world.journal.path) == schema_of(tmp_path / "fresh" / "journal.db")
    world.restart()
    assert len(list(world.config.state_dir.glob("journal.v1.*"))) == 1, "done once"


def test_upgrade_when_it_fails_then_the_old_journal_is_as_it_was(world: World) -> None:
    ask(world)
    world.journal.close()
    make_old(world.journal.path)
    with closing(sqlite3.connect(world.journal.path)) as db:
        # Somebody made an index of this name by hand: the last statement of the upgrade fails.
        db.execute("create index entry_kind on entry (at)")
        db.commit()
    before = schema_of(world.journal.path)
    text = refused(world)
    assert f"could not be upgraded from version 1 to {schema.VERSION}" in text
    assert "it is as it was, and a copy of it is journal.v1." in text
    assert schema_of(world.journal.path) == before
    with closing(sqlite3.connect(world.journal.path)) as db:
        assert db.execute("pragma user_version").fetchone() == (1,)
        db.execute("drop index entry_kind")
        db.commit()
    world.open()
    assert world.question().state is ApprovalState.OPEN


def test_upgrade_when_no_copy_can_be_kept_then_nothing_is_changed(world: World) -> None:
    world.journal.close()
    make_old(world.journal.path)
    folder = world.config.state_dir
    done = python(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            Journal(folder, clock)
        except JournalError as fault:
            print(fault)
        """,
        folder,
    )
    assert "is not upgraded from version 1" in done.stdout, done.stderr
    assert "because no copy of it could be kept" in done.stdout
    assert list(folder.glob("journal.v1.*")) == []
    with closing(sqlite3.connect(world.journal.path)) as db:
        assert db.execute("pragma user_version").fetchone() == (1,)
    world.open()


def test_upgrade_when_a_runner_of_the_old_version_is_at_work_then_refused(world: World) -> None:
    world.journal.close()
    make_old(world.journal.path)
    lock = hold(world.config.state_dir)
    assert lock is not None
    with released(lock):
        assert "a runner is at work on it; stop that one" in refused(world)
    assert list(world.config.state_dir.glob("journal.v1.*")) == []
    world.open()


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    head = f"""
        from pathlib import Path
        from runner.journal import *
        from tests.fake_clock import FakeClock
        folder, clock = Path({str(folder)!r}), FakeClock()
    """
    return subprocess.run(
        [sys.executable, "-c", dedent(head) + dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- backup ----------------------------------------------------------------------------------------


def test_backup_when_a_runner_is_at_work_then_it_is_whole_and_for_the_owner_only(
    tmp_path: Path, world: World
) -> None:
    ask(world)
    assert world.journal.own()
    file = tmp_path / "one.db"
    result = storage.backup(world.journal, world.clock, file)
    assert result.code == 0, result.text
    assert "unbroken" in result.text
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("one.db?*")), "one file, and no log beside it"
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("delete",)
    with world.journal.read() as tx:
        assert result.data["head"] == tx.head()[1]
    with world.journal.write() as tx:
        tx.entry("still_at_work", {})


def test_backup_when_the_file_is_there_then_refused_and_it_stays(
    tmp_path: Path, world: World
) -> None:
    file = tmp_path / "one.db"
    file.write_text("mine")
    with pytest.raises(JournalError, match="name a file that is not there yet"):
        storage.backup(world.journal, world.clock, file)
    assert file.read_text() == "mine"


def test_backup_when_its_disk_is_full_then_one_sentence_and_no_half_file(world: World) -> None:
    file = world.folder / "one.db"
    done = python(
        f"""
        import resource
        journal = Journal(folder, clock)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            journal.copy_to(Path({str(file)!r}))
        except JournalError as fault:
            print(fault)
        """,
        world.config.state_dir,
    )
    assert "the copy failed" in done.stdout, done.stderr
    assert "none was kept" in done.stdout
    assert not file.exists()


def test_backup_when_the_chain_is_broken_then_the_copy_is_kept_and_it_is_said(
    tmp_path: Path, world: World
) -> None:
    with world.journal.write() as tx:
        tx.entry("test", {})
        tx.change("update entry set actor = 'nobody' where kind = 'test'")
    result = storage.backup(world.journal, world.clock, tmp_path / "one.db")
    assert result.code == 1
    assert "was changed" in result.text
    assert (tmp_path / "one.db").exists()


# -- restore ---------------------------------------------------------------------------------------


def restore(world: World, file: Path) -> Result:
    world.journal.close()
    result = storage.restore(world.config, world.clock, file, "operator")
    world.open()
    return result


def backed_up(world: World) -> Path:
    file = world.folder / "backup.db"
    assert storage.backup(world.journal, world.clock, file).code == 0
    return file


def test_restore_then_it_is_not_armed_and_old_hits_are_observed_only(world: World) -> None:
    world.arm()
    world.tick()
    file = backed_up(world)
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.contains() == [HOST]
    cards = len(world.cards())
    result = restore(world, file)
    assert result.code == 0
    assert "NOT ARMED" in result.text
    assert "stockade status" in result.text
    assert world.cases() == []
    (entry,) = world.entries("journal_restored")
    assert entry.actor == "operator"
    early = world.arm()
    assert early.code == 1
    assert "not polled to its end since" in early.text
    world.clock.advance(60)
    assert world.tick().errors == ()
    assert len(world.cases()) == 1, "the hit of the lost time is judged again"
    assert (world.contains(), len(world.cards())) == ([HOST], cards), "and nobody is asked about it"
    assert world.arm().code == 0
    world.ticks(3, 60)
    assert (world.contains(), len(world.cards())) == ([HOST], cards)
    assert len(world.jira.all_issues()) == 1


def test_restore_then_a_new_hit_after_the_arming_is_asked_about(world: World) -> None:
    world.arm()
    world.tick()
    restore(world, backed_up(world))
    world.clock.advance(60)
    world.tick()
    assert world.arm().code == 0
    world.hit()
    world.tick()
    assert world.question().state is ApprovalState.OPEN


def test_restore_when_an_approved_call_was_still_due_in_it_then_nothing_is_sent(
    world: World,
) -> None:
    """The backup holds a yes that was carried out, and undone by hand, long since."""
    ask(world)
    world.yes(world.question())
    world.before.append(("POST */devices-actions/*", lambda: backed_up(world) and None))
    world.tick()
    assert world.contains() == [HOST]
    restore(world, world.folder / "backup.db")
    world.ticks(4, 60)
    assert world.arm().code == 0
    world.ticks(4, 60)
    assert world.contains() == [HOST]


def test_restore_then_the_replaced_journal_is_kept_whole(world: World) -> None:
    file = backed_up(world)
    ask(world)
    result = restore(world, file)
    aside = Path(result.data["aside"])
    assert aside.parent == world.config.state_dir
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("select count(*) from approval").fetchone() == (1,)
    assert not any("coming" in name for name in names(world))


def test_restore_when_the_journal_there_is_ruined_then_it_works(world: World) -> None:
    file = backed_up(world)
    world.journal.close()
    world.journal.path.write_bytes(b"ruined" * 1000)
    assert "stockade restore" in refused(world)
    assert restore(world, file).code == 0
    world.clock.advance(60)
    assert world.tick().errors == ()


def test_restore_when_somebody_reads_the_old_journal_then_its_log_is_set_aside_with_it(
    world: World,
) -> None:
    """Beside the restored file it would be read as that one's own."""
    file = backed_up(world)
    with closing(sqlite3.connect(world.journal.path, isolation_level=None)) as reader:
        reader.execute("begin")
        (before,) = reader.execute("select count(*) from entry").fetchone()
        ask(world)
        aside = Path(restore(world, file).data["aside"])
        assert aside.with_name(aside.name + "-wal").stat().st_size > 0
        assert reader.execute("select count(*) from entry").fetchone() == (before,)
    assert world.questions() == []
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("select count(*) from approval").fetchone() == (1,)


def test_restore_when_there_is_no_journal_then_it_works(world: World) -> None:
    file = backed_up(world)
    world.journal.close()
    world.journal.path.unlink()
    result = restore(world, file)
    assert (result.code, result.data["aside"]) == (0, None)


def test_restore_when_a_runner_is_at_work_then_refused_and_nothing_is_touched(
    world: World,
) -> None:
    file = backed_up(world)
    ask(world)
    assert world.journal.own()
    result = storage.restore(world.config, world.clock, file, "operator")
    assert result.code == 1
    assert "a runner is at work on it; stop it" in result.text
    assert world.question().state is ApprovalState.OPEN
    assert not any("replaced" in name or "coming" in name for name in names(world))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"no database" * 100), "cannot be restored"),
        (lambda file: file.unlink(), "cannot be restored: No such file"),
        (lambda file: run(file, "pragma user_version = 99"), "newer Stockade (version 99)"),
        (lambda file: run(file, "pragma user_version = 0"), "is no journal"),
        (lambda file: run(file, "update entry set actor = 'x'"), "its chain is broken"),
        (lambda file: file.with_name(file.name + "-wal").touch(), "has a log beside it"),
        (lambda file: tear(file), "is damaged (Page"),
    ],
)
def test_restore_when_the_file_is_no_whole_backup_then_refused_and_nothing_is_touched(
    world: World, spoil: object, said: str
) -> None:
    file = backed_up(world)
    assert callable(spoil)
    spoil(file)
    before = names(world)
    world.journal.close()
    with pytest.raises(JournalError) as fault:
        storage.restore(world.config, world.clock, file, "operator")
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)
    world.open()
    assert {name for name in names(world) - before if "wal" not in name and "shm" not in name} <= {
        "runner.lock"
    }
    assert world.entries("journal_restored") == []


def run(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute(statement)


def tear(file: Path) -> None:
    """Spoil the pages in the middle."""
    size = file.stat().st_size
    with file.open("r+b") as spoiled:
        spoiled.seek(size // 4096 // 2 * 4096)
        spoiled.write(b"\xff" * 8192)


def test_restore_when_the_backup_is_of_an_older_version_then_it_is_brought_up_to_date(
    world: World,
) -> None:
    file = backed_up(world)
    make_old(file)
    run(file, "pragma journal_mode = delete")
    assert restore(world, file).code == 0
    with closing(sqlite3.connect(world.journal.path)) as db:
        assert db.execute("pragma user_version").fetchone() == (schema.VERSION,)


# -- lost ------------------------------------------------------------------------------------------


def test_arm_when_the_journal_was_lost_then_only_after_a_poll(world: World) -> None:
    world.arm()
    world.tick()
    world.hit()
    world.tick()
    world.journal.close()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (world.config.state_dir / name).unlink(missing_ok=True)
    world.open()
    world.splunk.misbehave(path="*", status=503, times=100)
    world.clock.advance(60)
    assert any("lost or restored" in text for text in world.tick(1).errors)
    assert "not polled to its end since" in world.arm().text
    world.splunk.faults.clear()
    world.clock.advance(60)
    world.tick()
    assert world.arm().code == 0


# -- a disk that will not last ---------------------------------------------------------------------


def on_overlay(world: World, *, accept: bool) -> Service:
    world.journal.close()
    config = world.configure({"accept_passing_disk": accept})
    # Emulated products may be acted on from anywhere; real ones may not.
    world.journal = Journal(config.state_dir, world.clock, on=[Mount("/", "overlay")])
    return Service(config, world.journal, world.service._runtime)


def test_check_on_a_passing_disk_then_it_is_named(world: World) -> None:
    bad = check(on_overlay(world, accept=False))
    assert "BAD  state folder: it lies on overlay, a container's own layer" in bad.text
    good = check(on_overlay(world, accept=True))
    assert "ok   state folder" in good.text


def real(world: World, *, accept: bool) -> Service:
    """As with real products: nothing says that they are emulated."""
    service = on_overlay(world, accept=accept)
    service.config = msgspec.structs.replace(service.config, emulated=False)
    return service


def test_arm_on_a_passing_disk_then_refused_unless_it_is_accepted(world: World) -> None:
    refused = arm(real(world, accept=False), "test", "a test arms")
    assert refused.code == 1
    assert "a container's own layer, which ends with the container" in refused.text
    assert "accept_passing_disk: true" in refused.text
    assert arm(real(world, accept=True), "test", "a test arms").code == 0


def test_round_on_a_passing_disk_then_an_armed_journal_is_disarmed_and_it_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.arm()
    for _ in range(2):
        service = real(world, accept=False)
        notice(service.journal, service.config, world.clock)
    assert caplog.text.count("state_dir lies on overlay") == 1
    with service.journal.read() as tx:
        assert arming(tx) is None
    assert [entry.payload for entry in world.entries("disarmed")]


def test_status_when_a_journal_is_on_a_local_disk_then_nothing_is_said_of_it(world: World) -> None:
    assert "lies on" not in show_status(world.journal, world.config, None).text


@pytest.mark.skipif(os.geteuid() != 0, reason="as root the folder is handed to another user")
def test_journal_when_its_file_may_only_be_read_then_one_sentence(world: World) -> None:
    world.journal.close()
    folder = world.config.state_dir
    for file in [folder, *folder.iterdir()]:
        os.chown(file, 65534, 65534)
        file.chmod(0o500 if file.is_dir() else 0o400)
    done = python(
        """
        import os
        os.chdir(folder)
        os.setgid(65534)
        os.setuid(65534)
        try:
            Journal(Path("."), clock)
        except JournalError as fault:
            print(fault)
        """,
        folder,
    )
    assert "journal.db: cannot be opened: Permission denied; look at permissions" in done.stdout


# -- the commands ----------------------------------------------------------------------------------


def test_commands_when_a_service_runs_then_backup_works_and_restore_is_refused(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUICK) as line:
        line.store(1)
        assert line("run").code == 0
        with line.start("serve") as served:
            reader = Journal(tmp_path / "journal", SystemClock())
            deadline = time.monotonic() + 30
            while not reader.is_owned() and time.monotonic() < deadline:
                time.sleep(0.05)
            made = line("backup", "one.db", "--json")
            refused = line("restore", "one.db")
            served.terminate()
            served.communicate(timeout=30)
            reader.close()
        assert (made.code, made.value["faults"]) == (0, [])
        assert refused.code == 1
        assert "a runner is at work on it; stop it, then restore" in refused.err
        again = line("backup", "one.db")
        assert again.code == 1
        assert "name a file that is not there yet" in again.err
        assert "NOT ARMED" in line("restore", "one.db").out
        assert line("audit", "verify").code == 0
        assert line("run").code == 0
        assert line("restore", "nothing.db").code == 1
