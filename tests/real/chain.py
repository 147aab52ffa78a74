"""The whole chain on real servers: the command line as cron starts it, people in a room of a real
Synapse, tickets in a real Request Tracker, and hosts that nftables really cuts off.

Splunk and Falcon are stand-ins; the machine behind Falcon's record is the lab's namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from runner.config import load_config
from runner.journal import Journal, cases, ledger
from runner.journal.records import Case, LedgerState
from tests.command_line import CommandLine, Done, command_line
from tests.fake_clock import FakeClock
from tests.real.bindings import with_matrix, with_rt
from tests.real.reaching import NEIGHBOR
from tests.real.rt_server import Part, RtServer
from tests.real.synapse_server import SynapseServer, User
from tests.servers.lab.network import Network
from tests.world_settings import HOST, malicious, merged

YES, NO = "\u2705", "\u274c"
MOST_TICKS = 25
"""A generous end, counted in ticks: each is a process of its own, on a machine that may be busy."""


@dataclass(frozen=True)
class Chain:
    line: CommandLine
    rt: RtServer
    lead: User
    alice: User
    bot: User
    room: str

    # -- the runner --------------------------------------------------------------------------------

    def tick(self, is_well: bool = True) -> Done:
        """One `stockade run`. Errors: `AssertionError` where it should have gone well."""
        done = self.line("run")
        assert done.code in ((0,) if is_well else (0, 1)), done
        return done

    def tick_until(self, what: str, is_so: Callable[[], Any], is_well: bool = True) -> Any:
        """Tick until it is so, and give that. Errors: `AssertionError` after a generous end."""
        last: Done | None = None
        for _ in range(MOST_TICKS):
            if found := is_so():
                return found
            last = self.tick(is_well)
        raise AssertionError(f"never: {what}. {last}")

    def journal(self) -> Journal:
        """The journal, for reading; to be closed."""
        config = load_config(self.line.config, {})
        return Journal(config.state_dir, FakeClock(), actor="test")

    def case(self) -> Case | None:
        """The one case; None as long as there is none."""
        journal = self.journal()
        try:
            with journal.read() as tx:
                found = cases.every(tx)
        finally:
            journal.close()
        assert len(found) <= 1
        return found[0] if found else None

    def state(self, host: str = HOST) -> LedgerState | None:
        journal = self.journal()
        try:
            with journal.read() as tx:
                states = [row.state for row in ledger.every(tx) if row.device.hostname == host]
        finally:
            journal.close()
        return states[0] if states else None

    # -- the room ----------------------------------------------------------------------------------

    def messages(self) -> list[dict[str, Any]]:
        """Every message of the room that is no edit, oldest first, as the lead's client gets it."""
        chunk = self.lead.in_room("GET", self.room, "messages?dir=f&limit=200")["chunk"]
        return [
            event
            for event in chunk
            if event["type"] == "m.room.message"
            and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
        ]

    def cards(self, start: str) -> list[str]:
        """The ids of the cards whose first line begins so."""
        return [
            str(event["event_id"])
            for event in self.messages()
            if event["sender"] == self.bot.id
            and "m.relates_to" not in event["content"]
            and str(event["content"].get("body", "")).startswith(start)
        ]

    def thread(self, card: str) -> list[str]:
        path = f"/_matrix/client/v1/rooms/{self.room}/relations/{card}/m.thread"
        return [found["content"]["body"] for found in self.lead.do("GET", path)["chunk"]]

    # -- the tickets -------------------------------------------------------------------------------

    def tickets(self) -> list[dict[str, Any]]:
        """All tickets of this room's runner: those that carry the case's key."""
        case = self.case()
        if case is None:
            return []
        return [self.rt.as_root("GET", f"ticket/{one}") for one in self.rt.ids_of(key_of(case))]

    def ticket(self) -> dict[str, Any]:
        (only,) = self.tickets()
        return only

    def texts(self) -> list[str]:
        """What the ticket says, oldest first; files left out."""
        return [part.content.decode() for part in self.parts() if not part.file_name]

    def parts(self) -> list[Part]:
        return self.rt.parts(str(self.ticket()["id"])) if self.tickets() else []


def key_of(case: Case) -> str:
    """The key as RT holds it, counted here once more: a mistake in it would open second tickets."""
    return f"stockade-{sha256(f'stockade-{case.id}'.encode()).hexdigest()[:16]}"


@contextmanager
def running_chain(
    folder: Path,
    rt: RtServer,
    synapse: SynapseServer,
    lab: Network | None = None,
    changes: dict[str, Any] | None = None,
) -> Iterator[Chain]:
    """An armed runner with one hit in Splunk, for the time of a block."""
    lead, alice, bot = synapse.user("lead"), synapse.user("alice"), synapse.user("stockade")
    room = lead.create_room([alice, bot])
    bound = merged(with_rt(rt, folder), with_matrix(folder, bot, room, lead, alice))
    hook = lab.act if lab is not None else None
    with command_line(folder, merged(bound, changes or {}), hook=hook) as line:
        chain = Chain(line, rt, lead, alice, bot, room)
        armed = line("arm", "--reason", "a test arms")
        assert armed.code == 0, armed
        line.store(1, HOST, malicious())
        yield chain


def store_on_neighbor(chain: Chain) -> None:
    """The same stylesheet, fetched on the neighbor by another program: no hit, but a trace."""
    url = malicious().partition('"')[2].rstrip('"')
    raw = {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Hostname": NEIGHBOR,
        "User": r"EXAMPLE\user7",
        "Image": r"C:\Windows\System32\curl.exe",
        "CommandLine": f"curl.exe {url}",
        "ProcessGuid": "{00000000-0000-4000-8000-00000000beef}",
    }
    chain.line.splunk.add_event(raw, age_s=15, index_age_s=15)
