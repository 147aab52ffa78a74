"""What the documents say exists, and what exists is said in the documents."""

from __future__ import annotations

import re
import subprocess
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from connectors.registry import CONNECTORS
from runner.catalogue import CATALOGUE
from runner.editor_schema import (
    config_schema,
    playbook_schema,
    rehearsal_schema,
    suppressions_schema,
)
from runner.guards import GUARDS
from runner.playbook_shapes import STEP_SHAPES

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
OWN_PATH = re.compile(r"(?:runner|connectors|tests|playbooks|docs|\.ci)/[\w./-]*\w/?")
MACHINE_PATH = re.compile(r"(?<![\w.~}-])/(?:home|root|work|Users)/\w+")
REGISTRY = re.compile(
    r"\b(?:py" + r"pi\.org|python" + r"hosted\.org)|\bindex" + "-url|\bfind" + "-links"
)


@cache
def documents() -> dict[str, str]:
    """The project's own prose, by path."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(paths)
    }


@cache
def user_code() -> str:
    """All code in README.md and docs/, where a user looks things up."""
    texts = [text for name, text in documents().items() if name.startswith(("README", "docs/"))]
    blocks = [match["text"] for text in texts for match in BLOCK.finditer(text)]
    spans = [span for text in texts for span in SPAN.findall(BLOCK.sub("", text))]
    return "\n".join([*blocks, *spans])


def is_said(word: str) -> bool:
    return bool(re.search(rf"(?<![\w.]){re.escape(word)}(?![\w])", user_code()))


def parser() -> ArgumentParser:
    # Here, so that the other tests run while the command line is broken.
    from runner.cli_parser import build_parser

    return build_parser()


def subcommands(of: ArgumentParser) -> dict[str, ArgumentParser]:
    return {
        name: parser
        for action in of._actions
        if isinstance(action, _SubParsersAction)
        for name, parser in action.choices.items()
    }


def commands(of: ArgumentParser, before: str = "stockade") -> Iterator[tuple[str, ArgumentParser]]:
    """Each full command, as it is typed."""
    for name, below in subcommands(of).items():
        yield f"{before} {name}", below
        yield from commands(below, f"{before} {name}")


def keys_in(schema: Any) -> set[str]:
    """Every key that a JSON schema lets a file have."""
    if isinstance(schema, list):
        return set().union(*map(keys_in, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    below = set().union(*map(keys_in, schema.values())) if schema else set()
    properties = schema.get("properties")
    return below | (set(properties) if isinstance(properties, dict) else set())


def typed_lines() -> Iterator[tuple[str, str]]:
    """Each line of a shell block, with its document."""
    for name, text in documents().items():
        for match in BLOCK.finditer(text):
            if match["language"] in ("sh", "bash", "console", "shell"):
                for line in match["text"].splitlines():
                    yield name, line.removeprefix("$ ").strip()


# -- what exists is said ---------------------------------------------------------------------------


def test_every_command_and_option_is_in_the_docs() -> None:
    missing = [command for command, _ in commands(parser()) if command not in user_code()]
    for command, below in commands(parser()):
        options = [option for action in below._actions for option in action.option_strings]
        long = [option for option in options if option.startswith("--") and option != "--help"]
        missing += [f"{command} {option}" for option in long if not is_said(option)]
    assert missing == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("configuration keys", keys_in(config_schema())),
        ("playbook keys", keys_in(playbook_schema())),
        ("suppression keys", keys_in(suppressions_schema())),
        ("rehearsal keys", keys_in(rehearsal_schema())),
        ("step kinds", set(STEP_SHAPES)),
        ("actions", set(CATALOGUE)),
        ("guards", {guard.__name__ for guard in GUARDS}),
        ("connector types", set(CONNECTORS)),
    ],
)
def test_every_word_that_a_user_may_write_is_in_the_docs(what: str, words: set[str]) -> None:
    assert len(words) > 2, what
    assert sorted(word for word in words if not is_said(word)) == []


# -- what is said exists ---------------------------------------------------------------------------


def test_every_make_target_in_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    said = {
        (name, word)
        for name, line in typed_lines()
        if line.startswith("make ")
        for word in line.partition("#")[0].split()[1:]
        if "=" not in word
    }
    assert {word for _, word in said} <= targets, said


def test_every_stockade_command_in_the_docs_exists() -> None:
    unknown = []
    for name, line in typed_lines():
        found = re.match(r"(?:\S*/)?stockade(?!\S)((?: +[a-z][a-z-]*)*)(.*)", line)
        if found and not is_command(found[1].split(), found[2]):
            unknown.append(f"{name}: {line}")
    assert unknown == []


def is_command(words: list[str], rest: str) -> bool:
    """Do the words lead to a command, as far as the parser has commands, and its options exist?"""
    at = parser()
    for word in words:
        below = subcommands(at)
        if below and word not in below:
            return False
        at = below.get(word, at)
    known = {option for action in at._actions for option in action.option_strings}
    return set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.partition("#")[0])) <= known


def test_every_link_within_the_project_leads_somewhere() -> None:
    broken = []
    for name, text in documents().items():
        for match in LINK.finditer(BLOCK.sub("", text)):
            path, _, anchor = match["target"].partition("#")
            if "://" in path or path.startswith("mailto:"):
                continue
            target = (ROOT / name).parent / path if path else ROOT / name
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{name}: {match['target']}")
    assert broken == []


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_of_ours_that_the_docs_name_exists() -> None:
    missing = [
        f"{name}: {span}"
        for name, text in documents().items()
        for span in SPAN.findall(BLOCK.sub("", text))
        if OWN_PATH.fullmatch(span) and not (ROOT / span).exists()
    ]
    assert missing == []


# -- the project speaks of itself only -------------------------------------------------------------


def tracked_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_no_tracked_file_names_a_machines_path_or_a_registry() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line) or REGISTRY.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "parts",
    [
        ("see /home", "/ada/stockade"),
        ("cd /work", "/x"),
        ("https://py", "pi.org"),
        ("--index", "-url"),
    ],
)
def test_search_for_machine_paths_and_registries_finds_them(parts: tuple[str, str]) -> None:
    # In two parts, or the search would find this file.
    text = "".join(parts)
    assert MACHINE_PATH.search(text) or REGISTRY.search(text)
