"""Which device an alert is about, and how sure that is.

Pure judgement over an alert, the event behind it and the EDR's records. `host` in a row may be the
log collector, so a name counts only when the endpoint gave it itself. What is not proved is a
choice for a person, never for the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.document import visible
from connectors.model import Alert, Device
from runner.alerts import DEFAULT_FIELDS, SENDER
from runner.context import Target
from runner.hit_row import values_of
from runner.hostname import full_host, is_same_host

LIVE_WITHIN = timedelta(days=7)
"""A sensor that was not heard of for longer is an old record of a machine that was set up anew."""
MOST_CANDIDATES = 10


def says_own_name(alert: Alert) -> bool:
    """Did the endpoint itself give the name, and not only whoever sent the event?"""
    own = [field for field in DEFAULT_FIELDS["host"] if field != SENDER]
    return alert.host is not None and any(
        is_same_host(value, alert.host) for field in own for value in values_of(alert.raw, field)
    )


def prove(alert: Alert, event: Alert | None, devices: Sequence[Device], now: datetime) -> Target:
    """Prove that exactly one device is the alert's, or say why it is not proved.

    `event` is the event behind the alert as read again, or None when it could not be read.
    `devices` are all that have the name (or the sensor's id) exactly.
    """
    told = event or alert
    live = [device for device in devices if _is_live(device, now)]
    candidates = tuple((live or list(devices))[:MOST_CANDIDATES])
    names = told.host or alert.host or " or ".join(told.host_candidates)
    shown = visible(names or "no name")
    if not devices and not names:
        proof = "the alert names no host, so the EDR was not asked for one"
        return Target(proved=False, proof=proof, devices=())
    if not devices:
        return Target(proved=False, proof=f"the EDR has no device named {shown}", devices=())
    is_sensors = len(devices) == 1 and devices[0].device_id == (alert.device_id or "").lower()
    if is_sensors:
        return _by_sensor(alert, devices[0])
    doubt = _doubt(told, event, live, shown)
    if doubt is not None:
        return Target(proved=False, proof=doubt, devices=candidates)
    agreeing = _agreements(told, live[0])
    if not agreeing:
        proof = f"only the name {shown} agrees; neither domain, address nor user does"
        return Target(proved=False, proof=proof, devices=candidates)
    proof = f"exactly one live device is named {shown}, and {' and '.join(agreeing)}"
    return Target(proved=True, proof=proof, devices=(live[0],))


def _is_live(device: Device, now: datetime) -> bool:
    return device.last_seen_at is not None and now - device.last_seen_at < LIVE_WITHIN


def _by_sensor(alert: Alert, device: Device) -> Target:
    if alert.host is not None and not is_same_host(alert.host, device.hostname):
        proof = (
            f"the sensor's id in the alert belongs to {visible(device.hostname)}, not to the host"
        )
        return Target(proved=False, proof=proof, devices=(device,))
    proof = "the sensor's id stands in the alert"
    return Target(proved=True, proof=proof, devices=(device,))


def _doubt(told: Alert, event: Alert | None, live: Sequence[Device], shown: str) -> str | None:
    if told.host is None:
        return f"the alert does not name one host, but {shown}"
    if event is None and not says_own_name(told):
        return (
            f"{shown} may be a log collector: the event with the endpoint's own name was not read"
        )
    if event is not None and not says_own_name(event):
        return f"the event does not give the endpoint's own name, and {shown} may be a collector"
    if not live:
        return f"no device named {shown} was seen in the last {LIVE_WITHIN.days} days"
    if len(live) > 1:
        return f"{len(live)} live devices are named {shown}"
    domain = full_host(told.host or "").partition(".")[2]
    if domain and live[0].domain and domain != live[0].domain.casefold():
        return f"the event's domain {visible(domain)} is not the device's {live[0].domain}"
    return None


def _agreements(told: Alert, device: Device) -> list[str]:
    """What agrees besides the name, each as a clause for the card."""
    found: list[str] = []
    domain = full_host(told.host or "").partition(".")[2]
    if domain and device.domain and domain == device.domain.casefold():
        found.append(f"its domain {device.domain} agrees")
    for address in told.addresses:
        if address in device.addresses and address not in device.shared_addresses:
            found.append(f"its address {address} agrees")
            break
    user = _bare(told.user)
    if user and user in {_bare(known) for known in device.users}:
        found.append(f"its logged-on user {visible(user)} agrees")
    return found


def _bare(user: str | None) -> str:
    return (user or "").rpartition("\\")[2].partition("@")[0].casefold()
