"""What is written is wholly written, by the owner only, for the owner's eyes only; and what cannot
be used says so in one sentence."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from runner.journal import Fenced, Journal, JournalError, Tx, schema
from runner.journal.disk import NETWORK_FILE_SYSTEMS, Mount, _mount, mount_of, mounts, passing
from tests.fake_clock import FakeClock

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal(folder, FakeClock())
    yield opened
    opened.close()


def sentence_of(folder: Path) -> str:
    """Why a journal cannot be opened."""
    with pytest.raises(JournalError) as refused:
        Journal(folder, FakeClock())
    text = str(refused.value)
    assert "\n" not in text
    return text


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own; `folder` and `clock` are there."""
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


# -- who may read it -------------------------------------------------------------------------------


def test_journal_when_made_then_folder_and_files_are_for_the_owner_only(folder: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal(folder, FakeClock())
        journal.own()
        with journal.write() as tx:
            tx.entry("test", {})
        journal.note_head()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert {"journal.db", "journal.db-wal", "journal.db-shm", "runner.lock", "head"} <= set(modes)
    assert set(modes.values()) == {0o600}
    journal.close()


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o701])
def test_journal_when_others_may_enter_its_folder_then_it_is_refused(
    folder: Path, mode: int
) -> None:
    folder.mkdir()
    folder.chmod(mode)
    assert f"others may read it (mode {mode:o}); run chmod 700" in sentence_of(folder)
    assert not (folder / "journal.db").exists()


def test_journal_when_its_folder_is_a_file_then_it_is_refused(folder: Path) -> None:
    folder.write_text("")
    assert "name another state_dir" in sentence_of(folder)


# -- where it lies ---------------------------------------------------------------------------------


MOUNTS = [
    Mount("/", "ext4"),
    Mount("/srv", "nfs4"),
    Mount("/srv/local", "xfs"),
    Mount("/srv/local/far", "fuse.sshfs"),
    Mount("/srvx", "tmpfs"),
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/stockade", "ext4"),
        ("/srv/stockade", "nfs4"),
        ("/srv", "nfs4"),
        ("/srv/local/stockade", "xfs"),
        ("/srv/local/far/stockade", "fuse.sshfs"),
        ("/srvx/stockade", "tmpfs"),
    ],
)
def test_file_system_when_mounts_are_nested_then_the_innermost_counts(path: str, kind: str) -> None:
    assert mount_of(Path(path), MOUNTS).kind == kind


def test_file_system_when_one_is_mounted_over_another_then_the_later_counts() -> None:
    assert mount_of(Path("/srv/x"), [*MOUNTS, Mount("/srv", "ext4")]).kind == "ext4"


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "fuse.sshfs",
        "ceph",
        "fuse.ceph",
        "glusterfs",
        "fuse.glusterfs",
        "lustre",
        "beegfs",
        "afs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "ocfs2",
        "gfs2",
    ],
)
def test_journal_on_a_disk_behind_a_network_then_it_is_refused_and_nothing_is_made(
    folder: Path, kind: str
) -> None:
    with pytest.raises(JournalError, match=f"lies on {kind}; the journal needs a local disk"):
        Journal(folder, FakeClock(), on=[Mount("/", kind)])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", ""])
def test_journal_on_a_local_disk_then_it_is_taken_and_stays(folder: Path, kind: str) -> None:
    assert kind not in NETWORK_FILE_SYSTEMS
    journal = Journal(folder, FakeClock(), on=[Mount("/", kind)])
    assert journal.passing is None
    journal.close()


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        (Mount("/", "overlay"), "ends with the container"),
        (Mount("/", "fuse.fuse-overlayfs"), "ends with the container"),
        (Mount("/", "tmpfs"), "memory"),
        (
            Mount(
                "/state", "ext4", "/var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/state"
            ),
            "ends with its pod",
        ),
    ],
)
def test_disk_when_it_ends_with_its_container_then_it_is_named(mount: Mount, said: str) -> None:
    assert said in str(passing(mount))


def test_disk_when_it_is_a_claimed_volume_of_a_pod_then_it_stays() -> None:
    root = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount"
    assert passing(Mount("/state", "ext4", root)) is None


def test_mounts_when_the_kernel_tells_them_then_the_root_is_among_them() -> None:
    assert "/" in {mount.point for mount in mounts()}


def test_mounts_when_a_path_has_a_blank_then_it_is_read_whole() -> None:
    line = r"36 35 8:1 / /mnt/my\040disk rw,noatime shared:1 master:2 - nfs4 srv:/x rw"
    assert _mount(line) == Mount("/mnt/my disk", "nfs4", "/")
    assert _mount("") is None


# -- what it finds there ---------------------------------------------------------------------------


def test_journal_when_written_by_a_newer_version_then_it_is_refused_and_not_touched(
    folder: Path, journal: Journal
) -> None:
    journal.close()
    with sqlite3.connect(journal.path) as db:
        db.execute(f"pragma user_version = {schema.VERSION + 1}")
    db.close()
    sentence = sentence_of(folder)
    assert f"newer Stockade (version {schema.VERSION + 1})" in sentence
    assert f"reads version {schema.VERSION} at most" in sentence
    with sqlite3.connect(journal.path) as db:
        assert db.execute("pragma user_version").fetchone() == (schema.VERSION + 1,)
    db.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 300])
def test_journal_when_the_file_is_something_else_then_one_sentence(
    folder: Path, content: bytes
) -> None:
    folder.mkdir(mode=0o700)
    (folder / "journal.db").write_bytes(content)
    assert "journal.db" in sentence_of(folder)
    assert (folder / "journal.db").read_bytes() == content, "nothing is written over it"


def test_journal_when_a_page_is_damaged_then_reading_gives_one_sentence(
    folder: Path, journal: Journal
) -> None:
    with journal.write() as tx:
        for number in range(400):
            tx.entry("filler", {"number": str(number)}, {"text": "x" * 200})
    journal.close()
    with journal.path.open("r+b") as file:
        for page in range(1, journal.path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(JournalError, match="malformed") as refused:
        use(folder)
    assert "backup" in str(refused.value)
    assert "\n" not in str(refused.value)


def use(folder: Path) -> None:
    damaged = Journal(folder, FakeClock())
    try:
        with damaged.read() as tx:
            tx.all("select * from entry")
    finally:
        damaged.close()


# -- wholly or not at all --------------------------------------------------------------------------


def test_write_when_it_is_broken_off_then_nothing_of_it_stands(journal: Journal) -> None:
    def stop_halfway() -> None:
        with journal.write() as tx:
            tx.set_meta("half", "done")
            tx.entry("half", {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    with journal.read() as tx:
        assert tx.meta("half") is None
        assert tx.head()[0] == 1, "only the entry of its making"


def test_write_when_committed_then_the_hook_is_called_once_and_the_data_is_there(
    folder: Path,
) -> None:
    seen: list[str | None] = []

    def look() -> None:
        other = Journal(folder, FakeClock())
        with other.read() as tx:
            seen.append(tx.meta("key"))
        other.close()

    journal = Journal(folder, FakeClock(), on_commit=look)
    with journal.write() as tx:
        tx.set_meta("key", "value")
        assert seen == []
    assert seen == ["value"]
    with journal.read():
        pass
    with pytest.raises(ValueError, match="no"), journal.write():
        raise ValueError("no")
    assert seen == ["value"], "neither a read nor a broken write is a commit"
    journal.close()


def test_write_when_the_disk_is_full_then_one_sentence_and_nothing_is_written(
    folder: Path,
) -> None:
    done = python(
        """
        import resource
        journal = Journal(folder, clock)
        journal.own()
        with journal.write() as tx:
            tx.set_meta("before", "stands")
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            with journal.write() as tx:
                for number in range(2000):
                    tx.entry("filler", {}, {"text": "x" * 500})
        except JournalError as fault:
            print(fault)
        with journal.read() as tx:
            print(tx.meta("before"), tx.one("select count(*) from entry where kind = 'filler'")[0])
        """,
        folder,
    )
    assert done.returncode == 0, done.stderr
    sentence, after = done.stdout.splitlines()
    assert "nothing was written. Look at disk space" in sentence
    assert after == "stands 0"
    with Journal(folder, FakeClock()).read() as tx:
        assert tx.meta("before") == "stands"


def test_write_when_the_disk_is_full_then_the_sentence_says_that_and_not_what_followed(
    journal: Journal,
) -> None:
    """SQLite rolls back by itself then: a second rollback must not hide why."""
    with journal.read() as tx:
        pages = tx.one("pragma page_count")[0]
        tx.db.execute(f"pragma max_page_count = {pages + 2}")

    def fill() -> None:
        with journal.write() as tx:
            for _ in range(2000):
                tx.entry("filler", {}, {"text": "x" * 500})

    with pytest.raises(JournalError, match="disk is full; nothing was written"):
        fill()
    with journal.read() as tx:
        assert tx.head()[0] == 1


def test_head_when_it_cannot_be_written_then_one_sentence(folder: Path, journal: Journal) -> None:
    (folder / f"head.{os.getpid()}.new").mkdir()
    with pytest.raises(JournalError, match="head"):
        journal.note_head()


def test_journal_when_two_processes_make_it_at_once_then_there_is_one(folder: Path) -> None:
    code = f"""
        from pathlib import Path
        from runner.journal import Journal
        from tests.fake_clock import FakeClock
        import sys, time
        sys.stdin.readline()
        journal = Journal(Path({str(folder)!r}), FakeClock())
        with journal.write() as tx:
            tx.entry("made", {{}})
        journal.close()
    """
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", dedent(code)], cwd=ROOT, stdin=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    for maker in makers:
        with maker:
            assert maker.wait(30) == 0
    journal = Journal(folder, FakeClock())
    with journal.read() as tx:
        kinds = [row[0] for row in tx.all("select kind from entry order by seq")]
    assert kinds == ["journal_created", *["made"] * 4]
    journal.close()


# -- one owner -------------------------------------------------------------------------------------


def test_own_when_another_process_owns_it_then_false_until_that_ends(folder: Path) -> None:
    code = f"""
        from pathlib import Path
        from runner.journal import Journal
        from tests.fake_clock import FakeClock
        import sys
        journal = Journal(Path({str(folder)!r}), FakeClock())
        print(journal.own(), flush=True)
        sys.stdin.readline()
    """
    journal = Journal(folder, FakeClock())
    other = subprocess.Popen(
        [sys.executable, "-c", dedent(code)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert journal.is_owned()
        assert not journal.own()
        other.kill()
        other.wait(10)
    assert not journal.is_owned()
    assert journal.own()
    assert journal.own(), "an owner stays one"
    journal.close()


def test_is_owned_when_nobody_is_or_was_then_false(folder: Path, journal: Journal) -> None:
    assert not journal.is_owned()
    assert not (folder / "runner.lock").exists(), "looking makes nothing"
    journal.own()
    assert journal.is_owned()
    journal.disown()
    assert not journal.is_owned()


def test_is_owned_when_asked_from_beside_the_owner_then_true_and_the_owner_stays_one(
    folder: Path, journal: Journal
) -> None:
    journal.own()
    beside = Journal(folder, FakeClock())
    assert beside.is_owned()
    assert not beside.own()
    with journal.write() as tx:
        tx.entry("still", {})
    beside.close()


def test_write_when_another_took_over_then_fenced_and_nothing_is_written(
    folder: Path, journal: Journal
) -> None:
    journal.own()
    (folder / "runner.lock").unlink()
    usurper = Journal(folder, FakeClock())
    assert usurper.own(), "the lock file is gone, so the lock is anybody's"
    with pytest.raises(Fenced), journal.write() as tx:
        tx.set_meta("stale", "written")
    with usurper.write() as tx:
        assert tx.meta("stale") is None
        tx.set_meta("fresh", "written")
    usurper.close()


def test_own_when_the_lock_file_is_replaced_before_it_is_locked_then_the_new_one_is_locked(
    folder: Path,
) -> None:
    """Python tells an audit hook of each `flock` before it is done: the moment at which somebody
    puts another file in the place of the one that was opened."""
    done = python(
        """
        import os, sys
        path = folder / "runner.lock"
        journal = Journal(folder, clock)
        seen = []

        def replace_once(event, arguments):
            if event == "fcntl.flock":
                seen.append(os.fstat(arguments[0]).st_ino)
                if len(seen) == 1:
                    fresh = path.with_suffix(".fresh")
                    fresh.touch(mode=0o600)
                    fresh.replace(path)

        sys.addaudithook(replace_once)
        print(journal.own(), len(seen), seen[-1] == path.stat().st_ino)
        other = Journal(folder, clock)
        print(other.own())
        """,
        folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True 2 True", "False"]


def test_write_when_no_runner_then_small_commands_may_write_beside_the_owner(
    folder: Path, journal: Journal
) -> None:
    journal.own()
    person = Journal(folder, FakeClock(), actor="responder")
    with person.write() as tx:
        tx.entry("paused", {})
    with journal.write() as tx:
        rows = tx.all("select actor from entry order by seq desc limit 1")
    assert rows == [("responder",)]
    person.close()


# -- lost or restored ------------------------------------------------------------------------------


def test_lost_when_the_journal_is_the_one_whose_head_was_noted_then_none(
    journal: Journal,
) -> None:
    assert journal.lost_since_head() is None, "nothing was noted yet"
    journal.note_head()
    assert journal.lost_since_head() is None
    with journal.write() as tx:
        tx.entry("more", {})
    assert journal.lost_since_head() is None


def test_lost_when_an_older_copy_was_put_back_then_a_sentence(
    folder: Path, journal: Journal
) -> None:
    journal.close()
    copy = (folder / "journal.db").read_bytes()
    newer = Journal(folder, FakeClock())
    with newer.write() as tx:
        tx.entry("more", {})
    newer.note_head()
    newer.close()
    (folder / "journal.db").write_bytes(copy)
    restored = Journal(folder, FakeClock())
    said = restored.lost_since_head()
    assert said == "the journal lacks entry 2, which was there: it was lost or restored"
    restored.close()


def test_lost_when_the_journal_was_deleted_then_a_sentence(folder: Path, journal: Journal) -> None:
    with journal.write() as tx:
        tx.entry("more", {})
    journal.note_head()
    journal.close()
    for file in folder.glob("journal.db*"):
        file.unlink()
    fresh = Journal(folder, FakeClock())
    assert "lost or restored" in str(fresh.lost_since_head())
    fresh.close()


@pytest.mark.parametrize(
    "content", [b"", b"x y\n", b"\xff\xfe", "² x".encode(), b"-1 x", b"9" * 30]
)
def test_lost_when_the_noted_head_is_damaged_then_it_is_not_taken_for_well(
    folder: Path, journal: Journal, content: bytes
) -> None:
    (folder / "head").write_bytes(content)
    assert journal.lost_since_head() == "the file head beside the journal is damaged"


# -- what rides with the next transaction ----------------------------------------------------------


def metas(journal: Journal) -> list[str]:
    """Which of the keys that these tests write are there."""
    with journal.read() as tx:
        return [key for key in ("rides", "next", "third") if tx.meta(key) is not None]


def test_write_with_next_when_something_is_written_then_it_is_there_too_and_only_once(
    folder: Path, journal: Journal
) -> None:
    order: list[str] = []

    def ride(tx: Tx) -> None:
        tx.set_meta("rides", "along")
        order.append("rides")

    journal.write_with_next(ride)
    assert metas(journal) == []
    with journal.write() as tx:
        order.append("next")
        assert tx.meta("rides") == "along"
        tx.set_meta("next", "written")
    with journal.write() as tx:
        tx.set_meta("third", "written")
    beside = Journal(folder, FakeClock())
    assert metas(beside) == ["rides", "next", "third"]
    beside.close()
    assert order == ["rides", "next"]


def test_write_with_next_when_the_next_is_broken_off_then_it_rides_with_the_one_after(
    journal: Journal,
) -> None:
    journal.write_with_next(lambda tx: tx.set_meta("rides", "along"))
    with pytest.raises(ValueError, match="no"), journal.write():
        raise ValueError("no")
    assert metas(journal) == []
    with journal.write() as tx:
        tx.set_meta("third", "written")
    assert metas(journal) == ["rides", "third"]


def test_write_with_next_when_another_took_over_then_it_is_never_written(
    folder: Path, journal: Journal
) -> None:
    journal.own()
    journal.write_with_next(lambda tx: tx.set_meta("rides", "along"))
    (folder / "runner.lock").unlink()
    usurper = Journal(folder, FakeClock())
    assert usurper.own()
    with pytest.raises(Fenced), journal.write() as tx:
        tx.set_meta("next", "written")
    usurper.close()
    journal.disown()
    assert journal.own()
    with journal.write() as tx:
        tx.set_meta("third", "written")
    assert metas(journal) == ["third"]


@pytest.mark.parametrize("bad", ["\ud800", 2**70, object()])
def test_write_with_next_when_it_cannot_be_written_then_one_write_fails_and_it_is_given_up(
    journal: Journal, bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    journal.write_with_next(lambda tx: tx.set_meta("rides", "along"))
    journal.write_with_next(lambda tx: tx.change("insert into meta values ('bad', ?)", bad))
    with pytest.raises(Exception, match=r"surrogate|too large|type"), journal.write() as tx:
        tx.set_meta("next", "rests on it")
    assert "given up" in caplog.text
    assert metas(journal) == []
    with journal.write() as tx:
        tx.set_meta("third", "written")
    assert metas(journal) == ["rides", "third"]


def test_write_with_next_when_sqlite_is_at_fault_then_it_rides_with_the_one_after(
    journal: Journal,
) -> None:
    faults = [sqlite3.OperationalError("database or disk is full")]

    def ride(tx: Tx) -> None:
        if faults:
            raise faults.pop()
        tx.set_meta("rides", "along")

    journal.write_with_next(ride)
    with pytest.raises(JournalError), journal.write():
        pass
    with journal.write() as tx:
        tx.set_meta("third", "written")
    assert metas(journal) == ["rides", "third"]
