"""Which version of a playbook is meant: a file, or one of a git revision (`REV:path`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from connectors.document import shorten, visible
from runner.bundle import neighbours
from runner.catalogue import CATALOGUE
from runner.loading import load_bundle, missing_input
from runner.playbook import read_playbook
from runner.playbook_steps import PlaybookFaults
from runner.replaying import Version


class NoVersion(Exception):
    """The version cannot be played; the text says why."""


def version_of(given: str, playbook_dir: Path | None) -> Version:
    """Read a playbook with what it runs beside it. Errors: `NoVersion`."""
    path = Path(given)
    name = visible(given)
    is_file = path.is_file() or ":" not in given
    text = _read(path, name) if is_file else _from_git(given, name)
    folder = path.parent if is_file else playbook_dir
    beside = neighbours(folder)
    try:
        own = read_playbook(text, name, CATALOGUE).name
        bundle = load_bundle(
            own, lambda one: (text, name) if one == own else beside(one), CATALOGUE
        )
    except PlaybookFaults as refused:
        raise NoVersion("\n".join(map(str, refused.faults))) from None
    if (missing := missing_input(bundle)) is not None:
        raise NoVersion(f"{name}: it needs the input `{missing}`, and a hit gives none")
    return Version(name=name, bundles={bundle.name: bundle})


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = getattr(fault, "strerror", None) or "it is not UTF-8 text"
        raise NoVersion(f"{name} cannot be read: {why}") from None


def _from_git(given: str, name: str) -> str:
    if given.startswith("-"):
        raise NoVersion(f"{name} is no git revision with a path")
    git = shutil.which("git")
    if git is None:
        raise NoVersion(f"{name}: there is no such file, and git is not installed")
    try:
        done = subprocess.run(  # noqa: S603  an argument list, no shell; no option can be given
            [git, "show", given], capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoVersion(f"{name}: git did not answer within 60 seconds") from None
    if done.returncode != 0:
        said = shorten(visible(done.stderr.decode("utf-8", "replace").strip()), 200)
        raise NoVersion(f"{name}: git does not have it here: {said}")
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        raise NoVersion(f"{name}: it is not UTF-8 text") from None
