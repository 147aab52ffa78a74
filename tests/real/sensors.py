"""What the lab's hosts write down of their own connections, as Sysmon does, and Splunk gets of it.

Each attempt is a process that starts (event 1); a connection that comes about is an event 3 at both
ends; one that does not leaves none. So what Splunk holds is what really happened on the wire.
"""

from __future__ import annotations

from itertools import count

from connectors.emulators.splunk import Splunk
from tests.real.reaching import WAYS, paths
from tests.servers.lab.network import PORT, Network

_numbers = count(1)


def observed_paths(lab: Network, splunk: Splunk) -> dict[str, bool]:
    """Try each way once, and let the hosts tell Splunk of it. Gives what came about."""
    reached = paths(lab)
    for name, (source, destination) in WAYS.items():
        ends = {"SourceIp": lab.address_of(source), "DestinationIp": lab.address_of(destination)}
        facts = {"Image": r"C:\Windows\System32\curl.exe", **ends}
        guid = f"{{00000000-0000-4000-8000-{next(_numbers):08x}cafe}}"
        _tell(splunk, source, 1, CommandLine="curl.exe probe", ProcessGuid=guid, **facts)
        if reached[name]:
            ports = {"SourcePort": 50000, "DestinationPort": PORT}
            _tell(splunk, source, 3, Initiated="true", ProcessGuid=guid, **ports, **facts)
            _tell(splunk, destination, 3, Initiated="false", **ports, **facts)
    return reached


def _tell(splunk: Splunk, host: str, number: int, **facts: object) -> None:
    channel = "Microsoft-Windows-Sysmon/Operational"
    raw = {"Channel": channel, "EventID": number, "Hostname": host, **facts}
    splunk.add_event(raw, age_s=0, index_age_s=0)
