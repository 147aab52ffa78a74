"""A playbook with all that it runs: pinned together, read back as it was, and never in a circle."""

from __future__ import annotations

import hashlib

import pytest

from runner.bundle import Find, bundle_of, find_subs, read_bundle
from runner.catalogue import CATALOGUE
from runner.loading import load_bundle, missing_input
from runner.playbook import PlaybookFaults, read_playbook

STOP = "  - stop: {reason: done}\n"


def text_of(name: str, *runs: str, more: str = "") -> str:
    steps = "".join(f"  - run: {one}\n" for one in runs)
    return f"playbook: {name}\ndescription: A sample.\n{more}steps:\n{steps}{STOP}"


def among(**texts: str) -> Find:
    return lambda name: (texts[name], f"{name}.yaml")


def test_bundle_when_a_playbook_runs_none_then_its_body_is_its_text() -> None:
    text = text_of("one")
    bundle = load_bundle("one", among(one=text), CATALOGUE)
    assert (bundle.body, bundle.subs) == (text, {})
    assert bundle.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_bundle_when_any_of_its_playbooks_changes_then_its_hash_does() -> None:
    texts = {
        "one": text_of("one", "two"),
        "two": text_of("two", "three"),
        "three": text_of("three"),
    }
    first = load_bundle("one", among(**texts), CATALOGUE)
    assert sorted(first.subs) == ["three", "two"]
    for name in texts:
        changed = {**texts, name: texts[name] + "# a note\n"}
        assert load_bundle("one", among(**changed), CATALOGUE).sha256 != first.sha256
    assert load_bundle("one", among(**texts), CATALOGUE).sha256 == first.sha256


def test_bundle_when_read_back_then_it_is_the_same() -> None:
    texts = {"one": text_of("one", "two"), "two": text_of("two")}
    first = load_bundle("one", among(**texts), CATALOGUE)
    again = read_bundle(first.body, "one", CATALOGUE)
    assert (again.sha256, again.body) == (first.sha256, first.body)
    assert again.main.source == first.main.source
    assert again.subs["two"].file == "two.yaml"


@pytest.mark.parametrize(
    ("texts", "codes"),
    [
        ({"one": text_of("one", "one")}, {"playbook-run"}),
        ({"one": text_of("one", "two"), "two": text_of("two", "one")}, {"SP502"}),
        (
            {
                "one": text_of("one", "two"),
                "two": text_of("two", "three"),
                "three": text_of("three", "two"),
            },
            {"SP502"},
        ),
        ({"one": text_of("one", "two")}, {"SP501"}),
        ({"one": text_of("one", "two"), "two": text_of("other")}, {"SP501"}),
        ({"one": text_of("other")}, {"playbook-name"}),
        ({"one": text_of("one", "two"), "two": text_of("two") + STOP}, {"SP401"}),
    ],
)
def test_load_when_a_playbook_is_unsound_then_refused(
    texts: dict[str, str], codes: set[str]
) -> None:
    with pytest.raises(PlaybookFaults) as caught:
        load_bundle("one", among(**texts), CATALOGUE)
    assert {fault.code for fault in caught.value.faults} == codes


def test_read_when_a_pinned_bundle_goes_round_then_refused_by_the_reader_as_well() -> None:
    main = read_playbook(text_of("one", "two"), "one.yaml", CATALOGUE)
    for texts in ({"two": text_of("two", "one")}, {}):
        subs = find_subs(main, among(**texts), CATALOGUE)
        with pytest.raises(PlaybookFaults):
            bundle_of(main, {name: sub for name, sub in subs.items() if sub is not None})


def test_find_when_playbooks_run_ever_more_of_them_then_it_ends() -> None:
    main = read_playbook(text_of("p0", "p1"), "p0.yaml", CATALOGUE)
    texts = {f"p{n}": text_of(f"p{n}", f"p{n + 1}") for n in range(200)}
    assert len(find_subs(main, among(**texts), CATALOGUE)) == 30


def test_missing_input_when_one_is_required_then_named() -> None:
    more = "inputs: {a: {type: text, default: x}, b: {type: text}}\n"
    assert missing_input(load_bundle("one", among(one=text_of("one", more=more)), CATALOGUE)) == "b"
    assert missing_input(load_bundle("one", among(one=text_of("one")), CATALOGUE)) is None
