"""Which story a drill plays: the playbook, what starts it, and what it comes to without a kill."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from msgspec import Struct

from connectors.emulators.emulator import Emulator
from runner import commands
from runner.bundle import Bundle, neighbours
from runner.catalogue import CATALOGUE
from runner.demo_config import Hits
from runner.drill_chats import RESPONDERS
from runner.drill_checks import violations
from runner.drill_crew import Crew
from runner.drill_picture import Picture, picture_of
from runner.drill_trials import Spot
from runner.drill_world import Story, drill_world
from runner.journal import ledger
from runner.loading import load_bundle, missing_input
from runner.playbook import PlaybookFaults, shipped_playbooks
from runner.playbook_steps import every_step
from runner.releasing import RELEASE


class NoDrill(Exception):
    """A playbook that cannot be drilled, and why, in one sentence."""


class Quiet(Struct, frozen=True, kw_only=True):
    """The story without a kill: its points by name, the requests that change something, what it
    came to."""

    points: tuple[str, ...]
    spots: tuple[Spot, ...]
    picture: Picture


def choose(given: str) -> Story:
    """The story of a playbook: a file, or the name of a shipped one. Errors: `NoDrill`."""
    name, folder = _place_of(given)
    bundle = _bundle(given, name, folder)
    people = _people_needed(bundle)
    if people > len(RESPONDERS):
        raise NoDrill(f"{given} asks for {people} people; the drill has {len(RESPONDERS)}")
    if name == RELEASE and folder is None:
        return Story(hits=Hits())
    if missing := missing_input(bundle):
        raise NoDrill(
            f"{given} needs the input `{missing}`, and a hit gives none: drill the playbook that "
            "runs it"
        )
    return Story(hits=Hits(search=bundle.main.on or "drill_hits", playbook=name), folder=folder)


def is_release(given: str) -> bool:
    """Is it the shipped playbook that `stockade release` starts, and no hit?"""
    return _place_of(given) == (RELEASE, None)


def _place_of(given: str) -> tuple[str, Path | None]:
    """A playbook's name, and the folder that it lies in: None for what ships."""
    shipped = shipped_playbooks()
    path = Path(given)
    if not path.is_file():
        if given in shipped:
            return given, None
        raise NoDrill(
            f"{given} is no file, and no shipped playbook; those are {', '.join(sorted(shipped))}"
        )
    try:
        is_shipped = path.read_text(encoding="utf-8") == shipped.get(path.stem)
    except (OSError, UnicodeDecodeError) as fault:
        why = getattr(fault, "strerror", None) or "is not UTF-8 text"
        raise NoDrill(f"{given} cannot be read: {why}") from None
    return path.stem, None if is_shipped else path.resolve().parent


def _bundle(given: str, name: str, folder: Path | None) -> Bundle:
    try:
        return load_bundle(name, neighbours(folder), CATALOGUE)
    except KeyError:
        raise NoDrill(f"{given} is no file that a playbook can be in: name it NAME.yaml") from None
    except PlaybookFaults as refused:
        raise NoDrill(
            f"{given} has {len(refused.faults)} fault(s), which stockade lint lists; the first: "
            f"{refused.faults[0]}"
        ) from None


def _people_needed(bundle: Bundle) -> int:
    """The most people that any of its questions asks for."""
    quorums = [
        getattr(step, key, None) or 1
        for playbook in (bundle.main, *bundle.subs.values())
        for step in every_step((*playbook.steps, *playbook.on_error))
        for key in ("quorum", "approval_quorum")
    ]
    return max(quorums, default=1)


# -- the story without a kill ----------------------------------------------------------------------


def play_quietly(crew: Crew, folder: Path, story: Story) -> tuple[Quiet | None, list[str]]:
    """Play it once without a kill; what it came to, or why nothing can be held against it."""
    with drill_world(folder, story, lanes=1) as world:
        fate = crew.send(world.order())
        if fate.status != 0:
            return None, [f"without a kill the story does not come to its end: {fate}"]
        found = [f"without a kill: {text}" for text in violations(world)]
        spots = [spot for one in world.products.all() for spot in spots_of(one)]
        quiet = Quiet(points=fate.points, spots=tuple(spots), picture=picture_of(world))
    return quiet, found


def spots_of(product: Emulator) -> list[Spot]:
    """The requests that changed it, each with its place among those like it."""
    seen: Counter[tuple[str, str]] = Counter()
    spots = []
    for request in product.requests:
        path = re.sub(r"/\d{2,}(?=/|$)", "/*", request.path)
        seen[request.method, path] += 1
        if request.changed:
            place = seen[request.method, path]
            spots.append(
                Spot(product=product.PRODUCT, method=request.method, path=path, place=place)
            )
    return spots


def begin_release(crew: Crew, folder: Path, story: Story) -> Story:
    """A world in which all that the demo isolates is isolated, and a release of it is asked for.
    Errors: `RuntimeError` when it does not come to that."""
    with drill_world(folder, story, lanes=1) as world:
        fate = crew.send(world.order())
        with world.journal() as journal:
            with journal.read() as tx:
                hosts = [row.device.hostname for row in ledger.standing(tx)]
            for host in hosts:
                asked = commands.release(journal, world.config, host, "a drill", "drill", None)
                if asked.code != 0:
                    raise RuntimeError(asked.text)
    if fate.status != 0 or not hosts:
        raise RuntimeError(f"nothing was isolated that could be released: {fate}")
    return Story(hits=story.hits, begins=folder)
