r"""Do two spellings name the same machine, and is a text a machine's name at all?

`WS-1`, `ws-1.example.test.`, `WS-1$` and `EXAMPLE\WS-1$` do; `ws-1.a.test` and `ws-1.b.test` do
not. It compares texts only; that a name is a certain device, the EDR has to prove.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

NO_HOST = frozenset({"localhost", "localhost.localdomain"})
"""Names by which every machine calls itself."""

_NAME = re.compile(r"[\w][\w.-]{0,253}")


def clean_host(text: str) -> str | None:
    """The machine's name in a text, its case kept; None when the text is no machine's name."""
    name = text.strip().rpartition("\\")[2].rstrip(".").removesuffix("$")
    is_name = bool(_NAME.fullmatch(name)) and name.casefold() not in NO_HOST
    return name if is_name and _address(name) is None else None


def address_in(text: str) -> str | None:
    """The IP address that a text is, when it says which machine; None for loopback and the like."""
    address = _address(text.strip())
    if address is None or address.is_loopback or address.is_unspecified:
        return None
    return str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def normalise_host(text: str) -> str:
    """The short name for comparison: lower case, without domain, `$` or a dot at the end."""
    return full_host(text).partition(".")[0]


def full_host(text: str) -> str:
    """As `normalise_host`, but with the domain as far as the text has one."""
    return (clean_host(text) or text.strip()).casefold()


def is_same_host(one: str, other: str) -> bool:
    """Equal names, and no two domains that differ."""
    (one_name, _, one_domain), (other_name, _, other_domain) = (
        full_host(one).partition("."),
        full_host(other).partition("."),
    )
    return one_name == other_name and (
        not one_domain or not other_domain or one_domain == other_domain
    )


class Hosts:
    """Machines that are known by their names: `name in hosts` as `is_same_host` says it of any of
    them, and as fast with many as with few."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._domains: dict[str, set[str]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        short, _, domain = full_host(name).partition(".")
        self._domains.setdefault(short, set()).add(domain)

    def __contains__(self, name: str) -> bool:
        short, _, domain = full_host(name).partition(".")
        known = self._domains.get(short)
        return known is not None and (not domain or "" in known or domain in known)


def distinct_hosts(names: Iterable[str]) -> tuple[str, ...]:
    """One name a machine, in order of appearance; of two spellings the one with the domain."""
    found: list[str] = []
    for name in names:
        known = next((at for at, other in enumerate(found) if is_same_host(name, other)), None)
        if known is None:
            found.append(name)
        elif "." in name and "." not in found[known]:
            found[known] = name
    return tuple(found)
