"""A small network of namespaces whose hosts can really be cut off.

A switch, workstations, a server and the management plane, 10.77.0.0/24; no route leads to or from
the machine's own network. Needs root, `ip` (iproute2) and `nft` (nftables).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PORT = 445
MANAGEMENT = "10.77.0.2"
RULES = """\
table inet containment {{
  chain in {{
    type filter hook input priority 0; policy drop; iif lo accept; ip saddr {plane} accept;
  }}
  chain out {{
    type filter hook output priority 0; policy drop; oif lo accept; ip daddr {plane} accept;
  }}
}}
"""
LISTEN = """\
import socket
listener = socket.create_server(("0.0.0.0", {port}))
print("ready", flush=True)
while True:
    listener.accept()[0].close()
"""
REACH = """\
import socket, sys
try:
    socket.create_connection(("{address}", {port}), 5).close()
except TimeoutError:
    sys.exit(7)
"""
CUT_OFF = 7


def what_is_missing() -> str | None:
    """Why no lab can be built here; None when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} command (Debian: iproute2, nftables)"
    name = f"sk{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"`ip netns` is refused: {tried.stderr.strip()}"
    _run("ip", "netns", "del", name)
    return None


def _run(*words: str, told: str | None = None) -> None:
    subprocess.run(words, input=told, check=True, capture_output=True, text=True)


class Network:
    """Hosts by name. `act` is a hook for the stand-in of Falcon."""

    def __init__(self, hosts: list[str]) -> None:
        self._prefix = f"sk{os.getpid()}-"
        self._addresses = {host: f"10.77.0.{at}" for at, host in enumerate(hosts, start=11)}
        self._addresses["management"] = MANAGEMENT
        self._made: list[str] = []
        self._listeners: list[subprocess.Popen[str]] = []

    def _space(self, host: str) -> str:
        return self._prefix + host

    def build(self) -> None:
        """Errors: `CalledProcessError`; `remove` clears what was made until then."""
        switch = self._add("switch")
        _run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "br0", "up")
        for number, (host, address) in enumerate(self._addresses.items()):
            space, port = self._add(host), f"port{number}"
            ends = ["netns", switch, "type", "veth", "peer", "name", "eth0", "netns", space]
            _run("ip", "link", "add", port, *ends)
            _run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
            _run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _run("ip", "-n", space, "link", "set", "eth0", "up")
            _run("ip", "-n", space, "link", "set", "lo", "up")
            self._listen(host)

    def _add(self, host: str) -> str:
        space = self._space(host)
        _run("ip", "netns", "add", space)
        self._made.append(space)
        return space

    def _listen(self, host: str) -> None:
        code = LISTEN.format(port=PORT)
        words = ["ip", "netns", "exec", self._space(host), sys.executable, "-c", code]
        listener = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._listeners.append(listener)
        if listener.stdout is None or listener.stdout.readline() != "ready\n":
            raise RuntimeError(f"nothing listens at {host}")

    def remove(self) -> None:
        for listener in self._listeners:
            listener.kill()
            listener.communicate()
        for space in self._made:
            _run("ip", "netns", "del", space)

    def address_of(self, host: str) -> str:
        return self._addresses[host]

    def reaches(self, host: str, other: str) -> bool:
        """Does a TCP connection come about? Errors: `RuntimeError` for any other end than a
        time-out, so that a broken lab is not taken for an isolated host."""
        code = REACH.format(address=self._addresses[other], port=PORT)
        words = ["ip", "netns", "exec", self._space(host), sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode not in (0, CUT_OFF):
            raise RuntimeError(f"{host} to {other}: {done.stderr.strip()}")
        return done.returncode == 0

    def act(self, action: str, host: str) -> bool:
        """Carry out `contain` or `lift_containment` at a host; false for one that is not here."""
        if host not in self._addresses:
            return False
        inside = ("ip", "netns", "exec", self._space(host), "nft")
        if action == "contain":
            _run(*inside, "-f", "-", told=RULES.format(plane=MANAGEMENT))
        else:
            _run(*inside, "delete", "table", "inet", "containment")
        return True


@contextmanager
def network(hosts: list[str]) -> Iterator[Network]:
    """A lab for the time of a block."""
    lab = Network(hosts)
    try:
        lab.build()
        yield lab
    finally:
        lab.remove()
