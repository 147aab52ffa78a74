"""Which playbook an alert starts, and what makes two alerts one case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from connectors.model import Alert, AssessmentKind
from runner.arming import arming
from runner.config import Config, SearchConfig
from runner.journal import Tx, cases, runs
from runner.journal.records import LIVE, Case, Run, RunStatus

if TYPE_CHECKING:
    from runner.bundle import Bundle
    from runner.yaml_reader import Fault


class Admission(StrEnum):
    """What became of a hit."""

    NEW = "new"
    REPEAT = "repeat"
    KNOWN = "known"


class Unrouted(Exception):
    """No run can be started for a hit, because of its playbook. One sentence: which, why, how to
    mend it."""


def rank_of(alert: Alert) -> int:
    """How urgent a hit looks by itself, 0 to `runs.MOST_URGENT`: in a flood the worst is carried
    first. An order and no judgement: that is made, with all that belongs to it, by the run."""
    from runner.wmic import assess

    return list(AssessmentKind).index(assess(alert).assessment)


class Routing:
    """Admits alerts. Playbooks that are not given are read when a new alert needs them."""

    def __init__(
        self,
        config: Config,
        bundles: Mapping[str, Bundle] | None = None,
        rank: Callable[[Alert], int] = rank_of,
    ) -> None:
        self._config = config
        self._rank = rank
        self._bundles: dict[str, Bundle] = dict(bundles or {})

    def bundle(self, name: str) -> Bundle:
        """A playbook with all that it runs. Errors: `Unrouted` for one that is nowhere, cannot be
        read, has a finding of lint, or needs an input that no hit gives; it is read anew next
        time."""
        # Imported here, as below: a poll that finds nothing reads no playbook and no row.
        from runner.bundle import neighbours
        from runner.catalogue import CATALOGUE
        from runner.loading import load_bundle, missing_input
        from runner.playbook import PlaybookFaults

        if name not in self._bundles:
            try:
                found = load_bundle(name, neighbours(self._config.playbook_dir), CATALOGUE)
            except KeyError:
                raise Unrouted(_unjudged(name, "it is nowhere; look at playbook_dir")) from None
            except (OSError, UnicodeDecodeError) as error:
                raise Unrouted(_unjudged(name, f"its file cannot be read: {error}")) from None
            except PlaybookFaults as refused:
                raise Unrouted(_unjudged(name, _first_of(refused.faults))) from None
            missing = missing_input(found)
            if missing is not None:
                why = f"it needs the input `{missing}`, and a hit gives none"
                raise Unrouted(_unjudged(name, why))
            self._bundles[name] = found
        return self._bundles[name]

    def admit(self, tx: Tx, search: SearchConfig, alert: Alert) -> Admission:
        """Store an alert once: in the case that takes it, or in a new one with its own run.
        Errors: `Unrouted`; nothing of the transaction may be kept then."""
        from runner.alerts import case_key
        from runner.hostname import normalise_host

        if cases.knows_alert(tx, alert.id):
            return Admission.KNOWN
        key = case_key(alert)
        known = cases.open_case_with_key(tx, key)
        if known is not None and not _is_suppressed(known):
            number = cases.add_alert(tx, alert, known.id)
            cases.add_repeat(tx, known)
            if _was_only_observed(tx, known, number):
                again = 1 + len(runs.of_case(tx, known.id))
                bundle = self.bundle(search.playbook)
                rank = self._rank(alert)
                start_run(tx, known.id, alert.id, bundle, generation=again, rank=rank)
            return Admission.REPEAT
        host = None if alert.host is None else normalise_host(alert.host)
        case = cases.new_case(tx, alert, key, host)
        cases.add_alert(tx, alert, case.id)
        start_run(tx, case.id, alert.id, self.bundle(search.playbook), rank=self._rank(alert))
        return Admission.NEW


def _is_suppressed(case: Case) -> bool:
    """Such a case takes no repeats: they are repeats by host and line, and the suppression goes by
    more. Each alert is judged by itself, so that its end and its narrowness hold."""
    return case.assessment is not None and case.assessment.suppression is not None


def _was_only_observed(tx: Tx, case: Case, number: int) -> bool:
    """Is this the first repeat after the arming of what came before it? Nobody was asked about that
    case yet; without a run of its own this alert would be one on which the runner may act, and
    never does."""
    armed = arming(tx)
    if armed is None or cases.alert_number(tx, case.alert_id) > armed.after_alert:
        return False
    done = runs.of_case(tx, case.id)
    last = max((cases.alert_number(tx, run.alert_id) for run in done), default=0)
    is_over = all(run.status not in LIVE for run in done)
    return is_over and last <= armed.after_alert < number


def _unjudged(name: str, why: str) -> str:
    return f"hits are not judged, and asked for again, because of the playbook {name}: {why}"


def _first_of(faults: Sequence[Fault]) -> str:
    more = f" (and {len(faults) - 1} more: run stockade lint)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}"


def start_run(
    tx: Tx,
    case_id: str,
    alert_id: str,
    bundle: Bundle,
    *,
    generation: int = 1,
    requested_by: str | None = None,
    inputs: dict[str, Any] | None = None,
    rank: int = runs.MOST_URGENT,
) -> Run:
    """Queue a run, pinned to the exact text of its playbooks. Its id follows from case and
    generation. `rank`: what a person asked for goes first."""
    run_id = "run-" + hashlib.sha256(f"{case_id}:{generation}".encode()).hexdigest()[:16]
    runs.keep_bundle(tx, bundle.sha256, bundle.name, bundle.body)
    now = tx.clock.now()
    run = Run(
        id=run_id,
        case_id=case_id,
        alert_id=alert_id,
        bundle_sha256=bundle.sha256,
        playbook=bundle.name,
        status=RunStatus.QUEUED,
        created_at=now,
        wake_at=now,
        requested_by=requested_by,
        inputs=inputs or {},
    )
    runs.save(tx, run, rank)
    tx.entry("run_queued", {"case": case_id, "run": run_id}, {"bundle": bundle.sha256})
    return run
