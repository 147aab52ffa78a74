"""Exported events as rows: JSON lines, CSV, EVTX, read as they come, so that no file is too large.

What cannot be read is named with its line; nothing is left out silently.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from connectors.document import shorten, visible
from connectors.model import Row
from runner.exported_evtx import NotRead, evtx_records

MOST_BYTES = 1_048_576
"""How long one line may be: an endless one would fill the memory."""
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".evtx")


def exported_rows(path: Path, evtx_limit_s: float = 10.0) -> Iterator[tuple[int, Row | str]]:
    """Each row with its line's number, or why that line is none. Errors: `NotRead`.
    `evtx_limit_s`: how long the parser of EVTX may be about one record."""
    name = visible(str(path))
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise NotRead(f"{name}: the name must end in one of {', '.join(ENDINGS)}")
    try:
        if ending == ".csv":
            yield from _csv_rows(path)
        elif ending == ".evtx":
            for number, record in evtx_records(path, evtx_limit_s):
                yield number, _json_row(record) if isinstance(record, bytes) else record
        else:
            with path.open("rb") as stream:
                yield from _json_rows(stream)
    except OSError as fault:
        raise NotRead(f"{name} cannot be read: {fault.strerror}") from None


# -- JSON lines ------------------------------------------------------------------------------------


def _json_rows(stream: BinaryIO) -> Iterator[tuple[int, Row | str]]:
    number = 0
    while raw := stream.readline(MOST_BYTES + 1):
        number += 1
        if len(raw) > MOST_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MOST_BYTES)
            yield number, f"it is longer than {MOST_BYTES} bytes"
            continue
        if raw.strip():
            yield number, _json_row(raw)


def _json_row(raw: bytes) -> Row | str:
    try:
        found = json.loads(raw.decode("utf-8-sig"))
        if isinstance(found, dict) and isinstance(found.get("result"), dict):
            found = found["result"]
        if not isinstance(found, dict):
            return "it is no JSON object"
        row = row_of(found)
        if b"\\ud" in raw.lower():
            # Only an escape can name one half alone; such a text can be written nowhere.
            json.dumps(row, ensure_ascii=False).encode()
        return row or "it holds no values"
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as fault:
        return f"it is no JSON: {visible(shorten(str(fault), 200))}"


def row_of(found: Mapping[str, Any]) -> Row:
    """One event as a row: Splunk's flat fields, or the nested shape of a Windows event."""
    event = found.get("Event")
    if isinstance(event, dict):
        return _windows_row(event)
    row: Row = {}
    for name, value in found.items():
        _put(row, name, value)
    return row


def _windows_row(event: Mapping[str, Any]) -> Row:
    """`Event.System` and `Event.EventData`, as a Windows event is written by most tools."""
    row: Row = {}
    system = event.get("System")
    if isinstance(system, dict):
        for name in ("Computer", "Channel", "EventID"):
            value = system.get(name)
            _put(row, name, value.get("#text") if isinstance(value, dict) else value)
        created = system.get("TimeCreated")
        attributes = created.get("#attributes", created) if isinstance(created, dict) else None
        if isinstance(attributes, dict):
            _put(row, "_time", attributes.get("SystemTime"))
    data = event.get("EventData")
    for name, value in data.items() if isinstance(data, dict) else ():
        _put(row, name, value)
    return row


def _put(row: Row, name: str, value: Any) -> None:
    """Put a value as text; of what is nested, each leaf under its dotted name."""
    if isinstance(value, dict):
        for below, inner in value.items():
            _put(row, f"{name}.{below}", inner)
    elif isinstance(value, list):
        texts = [_text(one) for one in value if one is not None]
        if texts:
            row[name] = texts
    elif value is not None:
        row[name] = _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# -- CSV -------------------------------------------------------------------------------------------


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | str]]:
    csv.field_size_limit(MOST_BYTES)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        names: list[str] | None = None
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as fault:
                yield number, f"it is no CSV: {fault}"
                continue
            if not cells:
                continue
            if names is None:
                names = cells
                if len(set(names)) < len(names):
                    raise NotRead(f"{visible(str(path))}: two columns have one name")
                continue
            yield number, _csv_row(names, cells)


def _csv_row(names: list[str], cells: list[str]) -> Row | str:
    if len(cells) != len(names):
        return f"it has {len(cells)} values, and the first line names {len(names)}"
    if any("\udc80" <= char <= "\udcff" for cell in cells for char in cell):
        return "it is not UTF-8"
    row: Row = {}
    for name, cell in zip(names, cells, strict=True):
        if cell and not name.startswith("__mv_"):
            row[name] = cell
    for name, cell in zip(names, cells, strict=True):
        # Splunk writes a field of several values a second time, as $one$;$two$.
        if name.startswith("__mv_") and len(cell) > 1 and cell[0] == cell[-1] == "$":
            row[name.removeprefix("__mv_")] = [
                one.replace("$$", "$") for one in cell[1:-1].split("$;$")
            ]
    return row or "it holds no values"
