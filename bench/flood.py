"""A flood: many hits of which few are attacks, and many attacks of one campaign.

    python -m bench.flood [HITS ATTACKS]

Two stories, each told to a `stockade serve` in a process of its own, over this machine's stand-ins:
HITS harmless lines in one poll, each on a host of its own, with ten attacks at random places among
them; and ATTACKS hits of one campaign, each on a host of its own. A person agrees to each card ten
seconds after it was put. It is not waited until all runs have ended: the runner is stopped when its
rows are in, a card stood, and some time has passed. Memory is compared with the same story of a
tenth of the size, rows a second with a script that parses, hashes and stores the same rows. Exit
code 1 when an aim is missed.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

from bench.flood_runner import (
    AT_ONCE,
    First,
    Seen,
    Story,
    Watcher,
    fill,
    floor_of,
    host_of,
    serving,
    settings,
)
from runner.crowding import MOST_OF_ONE_CAMPAIGN, MOST_OPEN
from tests.command_line import command_line
from tests.world_settings import malicious

HITS, ATTACKS = 50_000, 5_000
AMONG = 10
SEED = 7
AIM_MEMORY = 2.0
BUDGET = 5


def among_many(hits: int) -> Story:
    chance = random.Random(SEED)  # noqa: S311  the same places each time, and no secret
    places = chance.sample(range(hits), min(AMONG, hits))
    name = f"{hits} hits, {len(places)} of them attacks"
    # Each attack its own server: ten campaigns, and not one.
    line = malicious().replace("stager", "{host}")
    return Story(name, hits, frozenset(places), line, MOST_OPEN, per_hour=1000)


def one_campaign(hits: int) -> Story:
    name = f"{hits} attacks of one campaign"
    every = frozenset(range(hits))
    return Story(name, hits, every, malicious(), MOST_OF_ONE_CAMPAIGN, per_hour=BUDGET)


def play(story: Story) -> Seen:
    """One story, from an empty journal to a runner that has stopped."""
    with (
        tempfile.TemporaryDirectory() as place,
        command_line(Path(place), settings(story)) as line,
    ):
        fill(line, story)
        watcher = Watcher(line, story)
        with serving(line) as process:
            watcher.watch(process)
        seen = watcher.end()
        seen.floor_rows_s, seen.floor_rows_cpu_s = floor_of(line)
    return seen


def faults(story: Story, seen: Seen, small: Seen) -> list[str]:
    """Which aims were missed, a sentence each."""
    attacks = {host_of(number) for number in story.attacks}
    poll, total = seen.poll, sum(seen.runs.values())
    found = []
    if poll is None or seen.first is None:
        return ["the rows were not all taken in" if poll is None else "no card was put"]
    if not set(seen.asked) <= attacks:
        found.append("people were asked about a harmless hit")
    # The last attack and the first harmless hits may be taken at once, each in a lane.
    if seen.early >= AT_ONCE:
        found.append(f"{seen.early} harmless hits were looked at before the last attack")
    if seen.most_open > story.most_open:
        found.append(f"{seen.most_open} cards were open at once, {story.most_open} are allowed")
    if seen.isolated > story.per_hour:
        found.append(f"{seen.isolated} isolations, {story.per_hour} are allowed")
    repeats = seen.alerts - seen.cases
    if not poll.ok or not poll.rows == story.hits == poll.new + poll.known == seen.alerts:
        found.append(f"{poll.rows} rows, {seen.alerts} alerts of {story.hits} hits")
    if repeats != poll.known or total != seen.cases:
        found.append(f"{seen.cases} cases, {repeats} repeats and {total} runs do not agree")
    if seen.peak_mb > small.peak_mb * AIM_MEMORY:
        found.append(f"{seen.peak_mb / small.peak_mb:.2f} times the memory of a tenth")
    return found


def told(story: Story, seen: Seen, small: Seen) -> str:
    """The figures, as lines."""
    rows_s = seen.alerts / seen.took_s
    rows_cpu_s = seen.alerts / max(seen.cpu_s, 0.01)
    first = seen.first or First(after_s=0.0, rows=0, carried=0)
    poll = seen.poll
    by_status = ", ".join(f"{count} {status}" for status, count in sorted(seen.runs.items()))
    return (
        f"{story.name} (load {os.getloadavg()[0]:.0f}): {rows_s:,.0f} rows/s, others' turns among "
        f"them; a plain script {seen.floor_rows_s:,.0f}, {seen.floor_rows_s / rows_s:.1f} times as "
        f"many; in a second of the CPU {rows_cpu_s:,.0f} and {seen.floor_rows_cpu_s:,.0f}, "
        f"{seen.floor_rows_cpu_s / rows_cpu_s:.1f} times\n"
        f"  first card after {first.after_s:.1f} s, {first.rows} rows in and {first.carried} runs "
        f"carried by then; {seen.early} harmless looked at before the last attack\n"
        f"  at most {seen.most_open} cards open (aim {story.most_open}); {len(seen.asked)} hosts "
        f"asked about, {seen.isolated} isolated (budget {story.per_hour}), {seen.messages} "
        f"messages in chat\n"
        f"  peak {seen.peak_mb:.0f} MB, {seen.peak_mb / small.peak_mb:.2f} times that of a tenth "
        f"(aim {AIM_MEMORY:g})\n"
        f"  rows: {poll.new if poll else 0} new, {poll.known if poll else 0} known or repeats; "
        f"runs: {by_status}"
    )


def main() -> int:
    """Exit code 1 when an aim is missed."""
    hits, attacks = (int(one) for one in sys.argv[1:]) if len(sys.argv) == 3 else (HITS, ATTACKS)
    missed = False
    for tell, size in ((among_many, hits), (one_campaign, attacks)):
        story, small = tell(size), play(tell(max(size // 10, AMONG)))
        seen = play(story)
        print(told(story, seen, small), flush=True)
        for fault in faults(story, seen, small):
            missed = True
            print(f"  MISSED: {fault}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
