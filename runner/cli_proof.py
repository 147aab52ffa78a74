"""The arguments of `audit`, `export` and `erase`; and the file that `export` writes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.journal import Journal
    from runner.result import Result


FIRST_YEAR = 2000


def add_proof(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Their parsers."""
    audit = command("audit", "prove the journal")
    audit.add_argument("what", choices=("verify",))
    audit.add_argument("--anchor", action="append", default=[], type=_anchor, metavar="NUMBER:HASH")
    audit.add_argument(
        "--anchors",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a text that shows anchors: a ticket, a channel's export; - is stdin",
    )
    export = command("export", "write one case, with its proof, to one zip file")
    export.add_argument("case", metavar="CASE")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a zip file")
    export.add_argument("--force", action="store_true", help="overwrite what is there")
    erase = command("erase", "erase what finished cases said; the proof stays")
    erase.add_argument("case", nargs="?", metavar="CASE")
    erase.add_argument(
        "--before", type=_day, metavar="2026-01-31", help="all that was over by then"
    )
    erase.add_argument("--reason", required=True)


def _anchor(text: str) -> str:
    from runner.anchors import is_anchor

    if not is_anchor(text.lower()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no anchor; write it as a card shows it: 44:eed4f691e8b86834"
        )
    return text.lower()


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write 2026-01-31") from None
    if day.year < FIRST_YEAR:
        raise argparse.ArgumentTypeError(f"{text!r} lies before all journals; write 2026-01-31")
    return datetime.combine(day, time(), UTC)


def proof_command(
    arguments: argparse.Namespace, config: Config, journal: Journal, actor: str
) -> Result:
    """Do one of them. Errors: `JournalError`."""
    if arguments.command == "erase":
        return _erase(arguments, journal, actor)
    if arguments.command == "export":
        return export(journal, config, arguments.case, arguments.out, is_forced=arguments.force)
    return _audit(arguments, journal)


def _audit(arguments: argparse.Namespace, journal: Journal) -> Result:
    from runner.anchors import shown_in
    from runner.commands import audit_verify

    given = list(arguments.anchor)
    for file in arguments.anchors:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "it is no UTF-8 text"
            return _wrong(f"{file}: cannot be read: {why}; name a text that shows anchors")
        found = shown_in(text)
        if not found:
            return _wrong(f"{file}: shows no anchor; nothing was compared")
        given += found
    return audit_verify(journal, list(dict.fromkeys(given)))


def _erase(arguments: argparse.Namespace, journal: Journal, actor: str) -> Result:
    from runner.erasing import erase_before, erase_case

    if (arguments.case is None) == (arguments.before is None):
        return _wrong("erase takes a case or --before, one of both")
    if arguments.case is None:
        return erase_before(journal, arguments.before, actor, arguments.reason)
    return erase_case(journal, arguments.case, actor, arguments.reason)


def export(journal: Journal, config: Config, case_id: str, out: Path, *, is_forced: bool) -> Result:
    """Write a case's pack, for the owner only. Exit code 1 when the journal's chain is broken: the
    pack is kept then, and says so. Errors: `JournalError`; no half a file is left."""
    from runner.erasing import absence
    from runner.evidence_pack import write_pack
    from runner.journal import cases
    from runner.result import Result

    if (
        out.is_dir()
        or out.is_symlink()
        or out.resolve().is_relative_to(journal.state_dir.resolve())
    ):
        text = (
            f"{out}: is a folder, a link, or lies in the journal's own folder; name another --out"
        )
        return _wrong(text)
    with journal.read() as tx:
        case = cases.find(tx, case_id)
        if case is None:
            return _wrong(absence(tx, case_id))
        try:
            with _fresh(out, is_forced=is_forced) as stream:
                verdict = write_pack(tx, case, config.mode, stream)
        except FileExistsError:
            return _wrong(f"{out}: is there already; name another --out, or add --force")
        except OSError as fault:
            return _wrong(f"{out}: cannot be written: {fault.strerror}; name another --out")
    data = {"file": str(out), "case": case_id, "faults": list(verdict.faults)}
    if verdict.faults:
        text = f"{out}: written, but the journal is not whole: " + "; ".join(verdict.faults)
        return Result(code=1, data=data, text=text)
    return Result(code=0, data=data, text=f"{out}: {case_id}, with the proof of its entries")


@contextmanager
def _fresh(out: Path, *, is_forced: bool) -> Iterator[IO[bytes]]:
    """A new file, whole or not at all. Errors: `OSError`, `FileExistsError` among them."""
    if out.exists() and not is_forced:
        raise FileExistsError
    begun = out.with_name(f".{out.name}.{os.getpid()}.new")
    fd = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        begun.replace(out)
    finally:
        with suppress(FileNotFoundError):
            begun.unlink()


def _wrong(text: str) -> Result:
    from runner.result import Result

    return Result(code=2, data={"error": text}, text=text)
