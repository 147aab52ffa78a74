"""Which devices an FQL filter means, for the part of FQL that is served.

How a name is matched follows what users report (CrowdStrike/psfalcon#509, falconpy#1279): `'x'`
matches every name that begins with x in any case, `['x']` exactly and with case, `*'x*'` as a
pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from connectors.model import JsonObject

_SEARCHABLE = frozenset(
    {
        "hostname",
        "device_id",
        "cid",
        "status",
        "tags",
        "platform_name",
        "product_type_desc",
        "machine_domain",
        "last_login_user",
        "local_ip",
        "external_ip",
    }
)
_CLAUSE = re.compile(r"(\w+):(!?)(\*?)(?:'([^']*)'|\[((?:'[^']*',?)*)\])")


class FqlError(Exception):
    """The filter is outside FQL, or outside the part of it that is served here."""


def matcher(fql: str) -> Callable[[JsonObject], bool]:
    """The filter as a test of one record: `+` is and, `,` is or, `!` is not. Errors: `FqlError`."""
    if not fql:
        return lambda _record: True
    alternatives = [[_clause(part) for part in either] for either in _split(fql)]
    return lambda record: any(all(test(record) for test in tests) for tests in alternatives)


def _split(fql: str) -> list[list[re.Match[str]]]:
    """Clauses joined by `+`, in groups joined by `,`."""
    groups: list[list[re.Match[str]]] = [[]]
    at = 0
    while True:
        match = _CLAUSE.match(fql, at)
        if match is None or match[1] not in _SEARCHABLE:
            raise FqlError(fql)
        groups[-1].append(match)
        at = match.end()
        if at == len(fql):
            return groups
        if fql[at] == ",":
            groups.append([])
        elif fql[at] != "+":
            raise FqlError(fql)
        at += 1


def _clause(match: re.Match[str]) -> Callable[[JsonObject], bool]:
    name, negated, starred, text, listed = match.groups()
    if listed is not None:
        exact = re.findall(r"'([^']*)'", listed)
        return lambda record: (
            any(value in exact for value in _values(record, name)) is not bool(negated)
        )
    pattern = text.lower() if starred or name != "hostname" else f"{text.lower()}*"
    if not starred and "*" in text and name != "hostname":
        raise FqlError(match[0])
    return lambda record: (
        any(fnmatchcase(value.lower(), pattern) for value in _values(record, name))
        is not bool(negated)
    )


def _values(record: JsonObject, name: str) -> list[str]:
    value = record.get(name)
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
