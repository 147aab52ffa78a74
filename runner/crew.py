"""Who does the work once there is work: cards, follow-up, and the runs themselves.

Built when a tick first needs it; a quiet poll never loads this room nor what lies below it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from connectors.model import Clock
from runner.actions import act
from runner.bundle import Bundle, read_bundle
from runner.cards import Cards
from runner.catalogue import CATALOGUE
from runner.config import Config
from runner.containment import Containment
from runner.context import Carry
from runner.effects import Effects, plain
from runner.engine import Engine, RunContext
from runner.followup import FollowUp
from runner.interpreter import play
from runner.journal import Journal, cases, runs
from runner.playbook_steps import Do
from runner.roles import Roles
from runner.work import Bench, Work


class Crew:
    """Everything behind the effect door, wired once. `between_calls` reads decisions; `carry` keeps
    a fault of the program to the piece of work that it is in."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        roles: Roles,
        clock: Clock,
        between_calls: Callable[[], None],
        carry: Carry,
    ) -> None:
        self._journal = journal
        effects = Effects(journal, clock, config.guards.allowed_effects)
        self.cards = Cards(journal, config, roles, effects, clock, carry)
        self.followup = FollowUp(journal, config, roles, effects, carry)
        self.engine = Engine(journal, config, effects, clock, self._play, between_calls)
        self._bench = Bench(
            journal=journal,
            config=config,
            roles=roles,
            containment=Containment(journal, config, roles, self.cards.last_look.objectors),
        )
        self._bundles: dict[str, Bundle] = {}

    def _play(self, ctx: RunContext) -> Coroutine[Any, Any, str]:
        with self._journal.read() as tx:
            case = cases.read(tx, ctx.run.case_id)
        names = {
            "alert": plain(ctx.alert),
            "case": {"id": case.id, "host": case.host, "search": case.search},
        }

        bundle = self._bundle(ctx.run.bundle_sha256, ctx.run.playbook)

        async def do(step: Do, path: str, inputs: dict[str, Any], targets: Any) -> Any:
            return await act(
                Work(
                    bench=self._bench,
                    ctx=ctx,
                    step=step,
                    path=path,
                    inputs=inputs,
                    targets=targets,
                    severity=bundle.main.severity,
                )
            )

        return play(ctx, bundle, names, ctx.run.inputs, do)

    def _bundle(self, sha256: str, name: str) -> Bundle:
        if sha256 not in self._bundles:
            with self._journal.read() as tx:
                text = runs.bundle(tx, sha256)
            self._bundles[sha256] = read_bundle(text, name, CATALOGUE)
        return self._bundles[sha256]
