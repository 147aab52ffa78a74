"""The command `report`: what happened in the last days, on the terminal, as Markdown or as HTML."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runner.result import Result

if TYPE_CHECKING:
    from connectors.document import Document
    from runner.config import Config
    from runner.journal import Journal

REPORT_FORMATS = ("text", "markdown", "html")


def add_report(
    command: Callable[[str, str], argparse.ArgumentParser],
    duration: Callable[[str], timedelta],
) -> None:
    """The command's options."""
    report = command("report", "say what was found, and what would have been asked, and why")
    report.add_argument("--since", type=duration, default=timedelta(days=7), metavar="7d")
    report.add_argument("--format", choices=REPORT_FORMATS, default="text")
    report.add_argument("--out", type=Path, metavar="FILE", help="a new file, of mode 600")


def report_command(arguments: argparse.Namespace, config: Config, journal: Journal) -> Result:
    """Read the journal, and change nothing."""
    from runner.effects import plain
    from runner.needs import needs_of
    from runner.period import read_period
    from runner.period_text import period_document

    with journal.read() as tx:
        now = tx.clock.now()
        try:
            since = now - arguments.since
        except OverflowError:
            return _wrong("--since lies before any calendar; write 7d or 30d")
        period = read_period(tx, config, since)
    needs = needs_of(journal)
    data = {**plain(period), "needs": needs}
    text = _text(period_document(period, needs), arguments.format)
    if arguments.out is not None:
        return _written(arguments.out, text, data)
    if arguments.json or arguments.format == "text":
        return Result(code=0, data=data, text=text)
    # As it is: each serialiser has escaped and masked its evidence, and its markup is to stay.
    sys.stdout.write(text)
    sys.stdout.flush()
    return Result(code=0, data=None, text="")


def _text(document: Document, form: str) -> str:
    if form == "markdown":
        from runner.markdown import markdown_of

        return markdown_of(document)
    if form == "html":
        from runner.hypertext import page_of

        return page_of(document, "Stockade report")
    from runner.terminal import text_of

    return text_of(document).lstrip("\n")


def _written(out: Path, text: str, data: object) -> Result:
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _wrong(f"{out}: is there already and is not overwritten; name another --out")
    except OSError as fault:
        return _wrong(f"{out}: cannot be written: {fault.strerror}; name another --out")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text if text.endswith("\n") else text + "\n")
    return Result(code=0, data=data, text=f"written to {out}")


def _wrong(text: str) -> Result:
    return Result(code=2, data={"error": text}, text=text)
