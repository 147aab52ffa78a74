"""Who reaches whom in the lab of namespaces, and what that looks like while a host is cut off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.servers.lab.network import Network
from tests.world_settings import HOST

NEIGHBOR, SERVER, PLANE = "WORKSTATION7-SYNTHETIC", "server", "management"
WAYS = {
    "out": (HOST, SERVER),
    "in": (NEIGHBOR, HOST),
    "beside": (NEIGHBOR, SERVER),
    "plane": (PLANE, HOST),
    "to plane": (HOST, PLANE),
}
ALL = dict.fromkeys(WAYS, True)
CUT = {**ALL, "out": False, "in": False}


def paths(lab: Network) -> dict[str, bool]:
    """Which of the connections that matter come about now."""
    with ThreadPoolExecutor(len(WAYS)) as pool:
        reached = pool.map(lambda way: lab.reaches(*way), WAYS.values())
        return dict(zip(WAYS, reached, strict=True))
