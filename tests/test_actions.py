"""The table of actions and the catalogue of actions are one list."""

from __future__ import annotations

import pytest

from connectors.base import ROLES, Effect
from runner.actions import ACTIONS, contain
from runner.catalogue import CATALOGUE, ActionSpec


def test_actions_when_compared_with_the_catalogue_then_none_is_missing_and_none_is_hidden() -> None:
    assert set(ACTIONS) == set(CATALOGUE)
    assert all(name == spec.name for name, spec in CATALOGUE.items())


@pytest.mark.parametrize("name", CATALOGUE)
def test_action_when_it_contains_or_releases_then_it_takes_targets_and_passes_the_one_door(
    name: str,
) -> None:
    spec = CATALOGUE[name]
    is_containment = spec.effect in (Effect.CONTAIN, Effect.RELEASE)
    assert spec.takes_targets is is_containment
    assert (ACTIONS[name] is contain) is is_containment


@pytest.mark.parametrize(
    "name", [name for name, spec in CATALOGUE.items() if spec.effect is Effect.CONTAIN]
)
def test_action_when_it_contains_then_its_inverse_is_a_release_that_needs_the_same_inputs(
    name: str,
) -> None:
    inverse = CATALOGUE[str(CATALOGUE[name].inverse)]
    assert inverse.effect is Effect.RELEASE
    assert needed(inverse) == needed(CATALOGUE[name])


def needed(spec: ActionSpec) -> set[str]:
    return {name for name, given in spec.inputs.items() if given.required}


@pytest.mark.parametrize("name", CATALOGUE)
def test_action_when_named_then_it_speaks_of_a_role_never_of_a_product(name: str) -> None:
    role, _, verb = name.partition(".")
    assert verb
    assert role in (*ROLES, "wmic", "hunt")
