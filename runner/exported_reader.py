"""Run as a script by `runner/exported_evtx.py`: writes each record of an EVTX file as a line of
JSON, `{"data": text}` or `{"bad": why}`. It imports nothing of ours, so that it starts fast."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

MOST_BAD = 1000
"""So many faults one after another are one: a damaged file may yield them without end."""


def said(path: str) -> Iterator[dict[str, str]]:
    """One object for each record, or for what is none."""
    from evtx import PyEvtxParser

    bad = 0
    records = iter(PyEvtxParser(path).records_json())
    while bad < MOST_BAD:
        try:
            found = next(records)
        except StopIteration:
            return
        except (RuntimeError, ValueError, OSError) as fault:
            bad += 1
            yield {"bad": str(fault)}
        else:
            bad = 0
            yield {"data": "" if found is None else str(found["data"])}
    yield {"bad": f"{bad} damaged records one after another: the rest is not read"}


def main() -> None:
    try:
        for one in said(sys.argv[1]):
            sys.stdout.write(json.dumps(one) + "\n")
            sys.stdout.flush()
    except (RuntimeError, ValueError, OSError) as fault:
        sys.stdout.write(json.dumps({"bad": str(fault)}) + "\n")


if __name__ == "__main__":
    main()
