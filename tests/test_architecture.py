"""ARCHITECTURE.md names every room with its level, and no room that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fences import ROOMS, ROOT, level_of, project

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<level>\d+) \| `(?P<room>[\w/.*]+)` \| (?P<says>.+) \|$", re.MULTILINE)


def rows() -> list[tuple[int, str]]:
    return [(int(row["level"]), row["room"]) for row in ROW.finditer(PAGE)]


def test_architecture_names_every_room_at_its_level() -> None:
    with_level = {room for room in ROOMS if not room[1].endswith("__init__.py")}
    assert sorted(with_level - set(rows())) == []
    packages = [room for _, room in ROOMS if room.endswith("__init__.py")]
    assert [room for room in packages if f"`{room}`" not in PAGE] == []


def test_architecture_names_no_room_that_is_not_there() -> None:
    assert sorted(set(rows()) - set(ROOMS)) == []
    assert len(rows()) == len(set(rows()))


def test_architecture_names_every_file_of_the_rooms_that_hold_a_client() -> None:
    missing = []
    for source in project():
        if level_of(source.path) != 2 and not source.path.startswith("runner/journal/"):
            continue
        name = Path(source.path).stem
        if name != "__init__" and f"`{name}`" not in PAGE:
            missing.append(source.path)
    assert missing == []
