r"""The real runner over the real stand-ins, in this process, on a clock that only a test moves.

    with running_world(tmp_path, {"approvals": {"quorum": 2}}) as world:
        world.arm()
        world.hit(host="WORKSTATION5", user=r"WORKGROUP\wardog")
        world.tick()
        world.yes(world.question())
        world.tick()
        assert world.contains() == ["WORKSTATION5"]

It is wired by the same constructors as `runner/cli.py` and `runner/demo.py`; nothing is patched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import Struct
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from connectors.emulators.emulator import Emulator
from connectors.emulators.falcon import Hook
from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.slack_workspace import CHANNEL
from connectors.http import Runtime
from connectors.model import JsonObject, Row
from runner import commands
from runner.config import Config, load_config
from runner.journal import Journal, approvals, cases, ledger, runs
from runner.journal.records import (
    Approval,
    ApprovalState,
    Case,
    LedgerRow,
    LedgerState,
    Run,
    StepResult,
)
from runner.resolve import Said
from runner.result import Result
from runner.service import Service, Tick
from tests.fake_clock import FakeClock
from tests.world_settings import (
    HOST,
    NO,
    PROTECTED,
    RESPONDER_A,
    USER,
    YES,
    malicious,
    merged,
    settings,
)


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the journal's chain; `payload` None when it has none."""

    seq: int
    actor: str
    kind: str
    refs: dict[str, str]
    payload: Any
    sha256: str


class _Watched(HTTPAdapter):
    """The real transport, which notes each request, and lets a test act between two of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(max_retries=0)

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        line = f"{request.method} {request.path_url}"
        for rule in [one for one in self._world.before if fnmatchcase(line, one[0])]:
            self._world.before.remove(rule)
            rule[1]()
        self._world.sent.append(line)
        return super().send(request, *args, **named)


class World:
    """One runner, its folder and its products. Attributes are the real things."""

    def __init__(
        self,
        folder: Path,
        emulators: Emulators,
        clock: FakeClock,
        changes: dict[str, Any],
        playbooks: dict[str, str],
    ) -> None:
        self.folder = folder
        self.emulators = emulators
        self.clock = clock
        self.splunk, self.falcon = emulators.splunk, emulators.falcon
        self.slack, self.jira = emulators.slack, emulators.jira
        self.changes = changes
        self.sent: list[str] = []
        """Every request of the runner in order, over all products: `METHOD path?query`."""
        self.before: list[tuple[str, Callable[[], None]]] = []
        """Shell patterns of `sent`, and what happens, once, just before the first such request."""
        self._numbers = count(1)
        self._write_secrets()
        self.protect(PROTECTED)
        for name, text in playbooks.items():
            (folder / "playbooks").mkdir(exist_ok=True)
            (folder / "playbooks" / f"{name}.yaml").write_text(text)
            self.changes = merged(self.changes, {"playbook_dir": "playbooks"})
        self.config = self.configure({})
        self.journal: Journal
        self.service: Service
        self.open()

    # -- the runner --------------------------------------------------------------------------------

    def open(self) -> None:
        """Start as a new process does."""
        self.journal = Journal(self.config.state_dir, self.clock, actor="test")
        self.service = Service(
            self.config,
            self.journal,
            Runtime(clock=self.clock, emulated=self.config.emulated, transport=self._transport),
        )

    def _transport(self) -> HTTPAdapter:
        return _Watched(self)

    def restart(self, changes: dict[str, Any] | None = None) -> None:
        """End the process and start it again, with a changed configuration if need be."""
        self.journal.close()
        self.config = self.configure(changes or {})
        self.open()

    def configure(self, changes: dict[str, Any]) -> Config:
        """Write the configuration's file, and read it as the command line does."""
        self.changes = merged(self.changes, changes)
        file = self.folder / "config.yaml"
        file.touch(mode=0o600)
        file.write_text(json.dumps(merged(settings(self.emulators), self.changes), indent=2))
        return load_config(file, {})

    def _write_secrets(self) -> None:
        folder = self.folder / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        for product, credentials in self.emulators.credentials().items():
            for name, value in credentials.items():
                file = folder / f"{product}.{name}"
                file.touch(mode=0o600)
                file.write_text(value)

    def protect(self, rules: str) -> None:
        """Write the protected-assets file."""
        (self.folder / "protected.txt").write_text(rules)

    def arm(self) -> Result:
        return commands.arm(self.service, "test", "a test arms")

    def tick(self, linger_s: float = 30.0) -> Tick:
        """One tick of the service; waiting moves the clock only."""
        return self.service.tick(linger_s)

    def ticks(self, count: int, every_s: float, linger_s: float = 5.0) -> list[Tick]:
        """Ticks with time between them, as cron gives them."""
        done = []
        for _ in range(count):
            self.clock.advance(every_s)
            done.append(self.tick(linger_s))
        return done

    def release(self, host: str, *, actor: str = "operator", case: str | None = None) -> Result:
        reason = "the host is clean"
        return commands.release(self.journal, self.config, host, reason, actor, case)

    def resolve(self, code: str, said: str) -> Result:
        return commands.resolve_code(self.journal, code, Said(said), "operator")

    # -- Splunk ------------------------------------------------------------------------------------

    def hit(
        self,
        host: str = HOST,
        user: str = USER,
        cmdline: str | None = None,
        age_s: float = 20.0,
        **more: Any,
    ) -> Row:
        """A wmic start that the saved search finds in the next tick; a minute goes by before it."""
        self.clock.advance(60)
        number = next(self._numbers)
        raw = {
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "EventID": 1,
            "Hostname": host,
            "User": user,
            "Image": r"C:\Windows\System32\wbem\WMIC.exe",
            "OriginalFileName": "wmic.exe",
            "CommandLine": cmdline or malicious(host),
            "ParentCommandLine": "cmd.exe",
            "ParentImage": r"C:\Windows\System32\cmd.exe",
            "ProcessGuid": f"{{00000000-0000-4000-8000-{number:012x}}}",
            **more,
        }
        return self.splunk.add_event(raw, age_s=age_s, index_age_s=age_s)

    # -- Slack -------------------------------------------------------------------------------------

    def questions(self, *states: ApprovalState) -> list[Approval]:
        """Every question (in these states), in the order of opening."""
        with self.journal.read() as tx:
            found = [
                approval
                for case in cases.every(tx)
                for run in runs.of_case(tx, case.id)
                for approval in approvals.of_run(tx, run.id)
                if not states or approval.state in states
            ]
        return sorted(found, key=lambda approval: (approval.created_at, approval.n))

    def question(self, *states: ApprovalState) -> Approval:
        """The only question; open ones by default. Errors: `AssertionError` for none or several."""
        found = self.questions(*(states or (ApprovalState.OPEN,)))
        if len(found) != 1:
            raise AssertionError(f"{len(found)} questions: {[one.state for one in found]}")
        return found[0]

    def again(self, approval: Approval) -> Approval:
        """The question as the journal holds it now."""
        with self.journal.read() as tx:
            return approvals.read(tx, approval.id)

    def react(self, approval: Approval, user: str, emoji: str) -> None:
        self.slack.react(user, CHANNEL, self.message_id(approval), emoji)

    def unreact(self, approval: Approval, user: str, emoji: str) -> None:
        self.slack.unreact(user, CHANNEL, self.message_id(approval), emoji)

    def yes(self, approval: Approval, user: str = RESPONDER_A) -> None:
        self.react(approval, user, YES)

    def no(self, approval: Approval, user: str = RESPONDER_A) -> None:
        self.react(approval, user, NO)

    def pick(self, approval: Approval, device_id: str, user: str = RESPONDER_A) -> None:
        """Answer with the number of a candidate, or veto a device of a wave."""
        emoji = next(a.choice.emoji for a in approval.choices if a.device_id == device_id)
        self.react(approval, user, emoji)

    def message_id(self, approval: Approval) -> str:
        if approval.message is None:
            raise AssertionError("the question has no card")
        return approval.message.id

    def card(self, approval: Approval) -> JsonObject:
        """The card as Slack shows it now."""
        ts = self.message_id(approval)
        return next(message for message in self.slack.messages() if message["ts"] == ts)

    def cards(self) -> list[JsonObject]:
        """Every message in the channel that is in no thread."""
        return [message for message in self.slack.messages() if not message.get("thread_ts")]

    def thread(self, approval: Approval) -> list[str]:
        """What stands under a card, oldest first, as shown."""
        ts = self.message_id(approval)
        return [m["text"] for m in self.slack.messages() if m.get("thread_ts") == ts]

    # -- Falcon ------------------------------------------------------------------------------------

    def contains(self) -> list[str]:
        """The hosts whose containment Falcon took, in order."""
        return self._acted("contain")

    def lifts(self) -> list[str]:
        """The hosts whose release Falcon took, in order."""
        return self._acted("lift_containment")

    def _acted(self, action: str) -> list[str]:
        return [
            self.falcon.devices[json.loads(seen.body)["ids"][0]]["hostname"]
            for seen in self.asked_to(action)
            if seen.changed
        ]

    def asked_to(self, action: str) -> list[Any]:
        """Every request for an action that reached Falcon, also the refused ones."""
        return [seen for seen in self.falcon.requests if seen.query == f"action_name={action}"]

    # -- the journal -------------------------------------------------------------------------------

    def entries(self, kind: str | None = None) -> list[Entry]:
        with self.journal.read() as tx:
            rows = tx.all(
                "select e.seq, e.actor, e.kind, e.refs, p.body, e.sha256 from entry e"
                " left join payload p on p.seq = e.seq order by e.seq"
            )
        found = [
            Entry(
                seq=row[0],
                actor=row[1],
                kind=row[2],
                refs=json.loads(row[3]),
                payload=None if row[4] is None else json.loads(row[4]),
                sha256=row[5],
            )
            for row in rows
        ]
        return [entry for entry in found if kind in (None, entry.kind)]

    def cases(self) -> list[Case]:
        """Every case, oldest first."""
        with self.journal.read() as tx:
            return sorted(cases.every(tx), key=lambda case: case.first_at)

    def case(self) -> Case:
        """The only case."""
        (case,) = self.cases()
        return case

    def runs(self) -> list[Run]:
        """Every run, oldest first."""
        with self.journal.read() as tx:
            found = [run for case in cases.every(tx) for run in runs.of_case(tx, case.id)]
        return sorted(found, key=lambda run: run.created_at)

    def steps(self, run: Run) -> dict[str, StepResult]:
        with self.journal.read() as tx:
            return {step.key: step for step in runs.steps_of(tx, run.id)}

    def isolation(self, host: str = HOST) -> LedgerRow | None:
        """The ledger's row of a host, by name."""
        with self.journal.read() as tx:
            found = [row for row in ledger.every(tx) if row.device.hostname == host]
        return found[0] if found else None

    def isolation_state(self, host: str = HOST) -> LedgerState | None:
        row = self.isolation(host)
        return None if row is None else row.state

    # -- Jira --------------------------------------------------------------------------------------

    def ticket_texts(self, case: Case | None = None) -> list[str]:
        """A ticket's title, description and comments as plain text, oldest first."""
        ticket = (case or self.case()).ticket
        if ticket is None:
            raise AssertionError("the case has no ticket")
        issue = next(one for one in self.jira.all_issues() if one["key"] == ticket.key)
        fields = issue["fields"]
        bodies = [comment["body"] for comment in fields["comment"]["comments"]]
        return [fields["summary"], *(_text_of(body) for body in [fields["description"], *bodies])]

    # -- all ---------------------------------------------------------------------------------------

    def writes(self) -> dict[str, int]:
        """How many calls changed a product's world; searches and tokens do not."""
        products: tuple[Emulator, ...] = (self.falcon, self.slack, self.jira)
        return {product.PRODUCT: len(product.effects()) for product in products}


def _text_of(node: Any) -> str:
    """The words of an Atlassian document, a line each."""
    if isinstance(node, list):
        return "\n".join(_text_of(child) for child in node)
    if not isinstance(node, dict):
        return ""
    return node["text"] if "text" in node else _text_of(node.get("content", []))


def is_wmic_format(row: Row) -> bool:
    return "format" in str(row.get("cmdline", "")).lower()


@contextmanager
def running_world(
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    playbooks: dict[str, str] | None = None,
    hook: Hook | None = None,
    recorded: bool = False,
    second_chat: bool = False,
) -> Iterator[World]:
    """A world for the time of a block. `changes`: laid over `settings()`. `recorded`: with the
    scenario's own hits; without, only those that `hit` makes. `second_chat`: a Matrix room runs,
    too, which `tests/second_chat.py` configures."""
    clock = FakeClock()
    with running_emulators(
        folder / "products", clock, hook=hook, second_chat=second_chat
    ) as emulators:
        if not recorded:
            splunk = emulators.splunk
            splunk.events = [event for event in splunk.events if not is_wmic_format(event.row)]
        world = World(folder, emulators, clock, changes or {}, playbooks or {})
        try:
            yield world
        finally:
            world.journal.close()
