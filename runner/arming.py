"""In which mode an alert is handled, and why.

The configured mode is only a wish: without a usable protected-assets file, without arming, or with
a journal that was lost or restored, the runner observes. Nothing here makes a mode bolder.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.base import Edr
from connectors.errors import ConnectorError
from runner.config import Config, Mode
from runner.journal import Journal, Tx, cases, polls
from runner.protected import ProtectedAssets, read_protected

PROOF_STANDS = timedelta(hours=24)


class Arming(Struct, frozen=True, kw_only=True):
    """Who allowed the runner to act, when, why, and after which alert."""

    at: datetime
    actor: str
    reason: str
    after_alert: int


class Standing(Struct, frozen=True, kw_only=True):
    """The mode that holds, and a sentence for each thing that holds it back."""

    mode: Mode
    why: tuple[str, ...] = ()


class _Proof(Struct, frozen=True, kw_only=True):
    sha256: str
    at: datetime


def arm(tx: Tx, actor: str, reason: str) -> Arming:
    """Allow acting on the alerts that come from now on. Repeat: moves the line forward."""
    armed = Arming(
        at=tx.clock.now(), actor=actor, reason=reason, after_alert=cases.last_alert_number(tx)
    )
    tx.set_meta("armed", msgspec.json.encode(armed).decode())
    tx.entry("armed", {}, armed, actor=actor)
    return armed


def disarm(tx: Tx, why: str) -> None:
    """Repeat: harmless."""
    if tx.meta("armed") is not None:
        tx.set_meta("armed", None)
        tx.entry("disarmed", {}, {"why": why})


def restored(tx: Tx, why: str) -> None:
    """The journal does not know what happened lately: it is not armed, says so anew, and may be
    armed again only once every search was polled, or old hits would count as new ones."""
    disarm(tx, why)
    tx.set_meta("told_unarmed", None)
    tx.set_meta("restored_at", tx.clock.now().isoformat())
    tx.entry("journal_restored", {}, {"why": why})


def unpolled_since_restored(tx: Tx, config: Config) -> list[str]:
    """The searches whose hits of the lost time are not in the journal yet."""
    text = tx.meta("restored_at")
    if text is None:
        return []
    at = datetime.fromisoformat(text)
    last = {name: polls.last(tx, name, ok_only=True) for name in config.searches}
    return [name for name, poll in last.items() if poll is None or poll.at < at]


def arming(tx: Tx) -> Arming | None:
    text = tx.meta("armed")
    return None if text is None else msgspec.json.decode(text, type=Arming)


def prove_protection(protected: ProtectedAssets, edr: Edr) -> list[str]:
    """Ask the EDR whether each rule meets a device: a rule that meets none protects nothing.

    Gives a sentence for each fault. Errors: `ConnectorError` when the EDR cannot say.
    """
    if protected.faults:
        return list(protected.faults)
    empty = [
        f"the rule «host {pattern}» in the protected-assets file matches no device"
        for pattern in protected.hosts
        if not edr.count_devices(pattern)
    ]
    for device_id in protected.device_ids:
        if not edr.find_devices(device_id=device_id):
            empty.append(
                f"the rule «id {device_id}» in the protected-assets file matches no device"
            )
    return empty


def refresh_proof(journal: Journal, config: Config, edr: Callable[[], Edr]) -> list[str]:
    """Prove the protected-assets file once a day and whenever it changed; sentences for its faults.

    When the EDR cannot say, an older proof of the same text stands; without one the file is
    unproved.
    """
    if config.mode is Mode.OBSERVE:
        return []
    protected = read_protected(config.guards.protected_file)
    if protected.faults:
        return list(protected.faults)
    with journal.read() as tx:
        proof = _proof(tx)
        now = tx.clock.now()
    is_same = proof is not None and proof.sha256 == protected.sha256
    if proof is not None and is_same and now - proof.at < PROOF_STANDS:
        return []
    try:
        faults = prove_protection(protected, edr())
    except ConnectorError as error:
        return [] if is_same else [f"the protected-assets file is not proved yet: {error}"]
    with journal.write() as tx:
        if faults:
            tx.set_meta("protected_proof", None)
            tx.entry("protection_unproved", {}, {"faults": faults})
        else:
            fresh = _Proof(sha256=protected.sha256, at=now)
            tx.set_meta("protected_proof", msgspec.json.encode(fresh).decode())
            tx.entry("protection_proved", {}, {"sha256": protected.sha256})
    return faults


def _proof(tx: Tx) -> _Proof | None:
    text = tx.meta("protected_proof")
    return None if text is None else msgspec.json.decode(text, type=_Proof)


def standing(tx: Tx, config: Config) -> Standing:
    """The mode that holds for alerts that come now."""
    if config.mode is Mode.OBSERVE:
        return Standing(mode=Mode.OBSERVE, why=("the configuration says observe",))
    protected = read_protected(config.guards.protected_file)
    proof = _proof(tx)
    why = list(protected.faults)
    if not why and (proof is None or proof.sha256 != protected.sha256):
        why.append("the protected-assets file is not proved against the EDR")
    if config.mode is Mode.ACT and arming(tx) is None:
        why.append("the journal is not armed: run stockade arm --reason …")
    return Standing(mode=Mode.OBSERVE if why else config.mode, why=tuple(why))


def standing_for(tx: Tx, config: Config, alert_id: str | None) -> Standing:
    """The mode for one alert; one that came before the arming is only observed. `alert_id` None: a
    person started it by hand."""
    now = standing(tx, config)
    armed = arming(tx)
    if now.mode is not Mode.ACT or armed is None or alert_id is None:
        return now
    if cases.alert_number(tx, alert_id) > armed.after_alert:
        return now
    return Standing(mode=Mode.OBSERVE, why=("the alert came before the runner was armed",))


def is_paused(tx: Tx) -> str | None:
    """Why everything but polling stands still; None when it does not."""
    return tx.meta("paused")


def pause(tx: Tx, actor: str, reason: str) -> None:
    tx.set_meta("paused", reason)
    tx.entry("paused", {}, {"reason": reason}, actor=actor)


def resume(tx: Tx, actor: str) -> None:
    """Repeat: harmless."""
    tx.set_meta("paused", None)
    tx.entry("resumed", {}, None, actor=actor)
