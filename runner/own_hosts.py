"""Which machines does the runner itself need: the product servers it talks to, and its own?

Cut off, they would leave people without sight and without the way to let a host back. They are
derived from the configuration, so nobody has to list them. A name that is only an alias in DNS is
not followed.
"""

from __future__ import annotations

import platform
from urllib.parse import urlsplit

from msgspec import Struct

from connectors.model import Device, DeviceKind
from runner.config import Config
from runner.hostname import address_in, clean_host, is_same_host


def own_hosts(config: Config) -> tuple[str, ...]:
    """Names and addresses, sorted; none of the loopback interface."""
    urls = [c.settings.base_url for c in config.connectors.values()]
    urls += [c.settings.proxy for c in config.connectors.values() if c.settings.proxy]
    if config.heartbeat_url is not None:
        urls.append(config.heartbeat_url.reveal())
    found = {urlsplit(url).hostname or "" for url in urls} | {platform.node()}
    return tuple(sorted(filter(None, (address_in(one) or clean_host(one) for one in found))))


class Needed(Struct, frozen=True, kw_only=True):
    """The one of `own_hosts` that a device is; or may be, where nothing but an address agrees that
    it shares with others."""

    host: str
    is_sure: bool


def own_host(device: Device, hosts: tuple[str, ...]) -> Needed | None:
    """Which of `own_hosts` a device is, or may be; None for neither. Where either name has no
    domain, the short name decides: rather one host too many is left alone.

    An address that the device shares with all behind one gateway proves nothing. It is held
    against it where it could be a server, or where no address of its own is known.
    """
    short = device.hostname.partition(".")[0]
    name = f"{short}.{device.domain}" if device.domain else device.hostname
    shared = {address_in(one) for one in device.shared_addresses}
    own = {address_in(one) for one in device.addresses} - shared
    for host in hosts:
        if host in own if address_in(host) else is_same_host(name, host):
            return Needed(host=host, is_sure=True)
    if own and device.kind is DeviceKind.WORKSTATION:
        return None
    return next((Needed(host=host, is_sure=False) for host in hosts if host in shared), None)
