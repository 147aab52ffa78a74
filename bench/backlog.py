"""A backlog of rows that are known already: how many are judged by their key in a second, and in
how much memory.

    python -m bench.backlog

The rows come page by page from a server in another process, through the connector and the poll's
own code, into a journal that knows all of them: as after a watermark that was set back. Each size
is measured in a process of its own. Exit code 1 when an aim is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.canned import started
from bench.pages import row_json
from connectors.http import HttpSettings, Runtime
from connectors.model import SavedSearch, SearchJob, Secret, Window
from connectors.siem.splunk.connection import Splunk
from runner.alerts import AlertIds
from runner.cli import SystemClock
from runner.config import SearchConfig
from runner.intake import take_rows
from runner.journal import Journal
from runner.routing import Admission
from runner.row_chunks import chunks_of

SIZES = (50_000, 1_000_000)
AIM_ROWS_S, AIM_MB, AIM_GROWTH = 100_000, 100, 1.2
SEARCH = SearchConfig(
    name="hits",
    saved_search=SavedSearch(name="hits", app="search", owner="stockade"),
    playbook="wmic-format",
)
WINDOW = Window(start=0, end=1, event_start=0, event_end=1)


def fill(journal: Journal, rows: int) -> None:
    """Let the journal know each row, in bulk."""
    ids = AlertIds("splunk", "hits", ())
    known = ((ids.of(json.loads(row_json(number))),) for number in range(rows))
    with journal.write() as tx:
        tx.db.executemany(
            "insert into alert (id, case_id, search, received_at, body)"
            " values (?, 'case', 'hits', 0, '')",
            known,
        )


def peak_mb() -> float:
    """The most memory that this process had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not say how much memory was used")


def judge(url: str, folder: Path, rows: int) -> None:
    """Judge all rows once; prints rows a second and the peak of memory as JSON."""
    clock = SystemClock()
    splunk = Splunk(
        name="splunk",
        tenant="",
        settings=HttpSettings(base_url=url),
        credentials={"token": Secret("bench")},
        options=Splunk.Options(),
        runtime=Runtime(clock=clock, emulated=True),
    )
    journal = Journal(folder, clock)
    job = SearchJob(sid="backlog", started_at=datetime.now(UTC), row_cap=rows + 1)
    known = 0
    begun = time.perf_counter()
    for chunk, _ in chunks_of(splunk.fetch_rows(job, rows)):
        with journal.write() as tx:
            taken = take_rows(tx, "splunk", SEARCH, WINDOW, chunk, lambda *_: Admission.NEW)
        known += taken.known
    took_s = time.perf_counter() - begun
    if known != rows:
        raise RuntimeError(f"{known} of {rows} rows were known")
    print(json.dumps({"rows_s": rows / took_s, "peak_mb": peak_mb()}))


def main() -> int:
    """Measure both sizes."""
    found = []
    with tempfile.TemporaryDirectory() as place, started("bench.pages") as url:
        for rows in SIZES:
            folder = Path(place) / str(rows)
            journal = Journal(folder, SystemClock())
            fill(journal, rows)
            journal.close()
            command = [sys.executable, "-m", "bench.backlog", url, str(folder), str(rows)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found.append(json.loads(said))
    (_, small), (rows_s, large) = [(one["rows_s"], one["peak_mb"]) for one in found]
    growth = large / small
    print(
        f"backlog of {SIZES[1]:,} known rows: {rows_s:,.0f} rows/s (aim {AIM_ROWS_S:,}), "
        f"peak {large:.0f} MB (aim {AIM_MB}), {growth:.2f} times that of {SIZES[0]:,} rows "
        f"(aim {AIM_GROWTH})"
    )
    return 0 if rows_s >= AIM_ROWS_S and large <= AIM_MB and growth <= AIM_GROWTH else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        judge(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
