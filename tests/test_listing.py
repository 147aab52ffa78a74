"""What a connector lists for a person who sets it up: whole, or an error, and of one kind only."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.errors import ConnectorError
from connectors.listing import ListsKinds, ListsSearches
from connectors.model import DeviceKind
from tests.world import World, running_world


@pytest.fixture(name="world", scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> object:
    with running_world(tmp_path_factory.mktemp("listing")) as world:
        yield world


def test_devices_of_kind_gives_those_of_the_kind_and_no_hidden_ones(world: World) -> None:
    edr = world.service.roles.edr
    assert isinstance(edr, ListsKinds)
    controllers = edr.devices_of_kind(DeviceKind.DOMAIN_CONTROLLER)
    assert [one.hostname for one in controllers] == ["DC-SYNTHETIC"]
    servers = edr.devices_of_kind(DeviceKind.SERVER)
    assert [one.hostname for one in servers] == ["INVENTORY1-SYNTHETIC", "INVENTORY2-SYNTHETIC"]
    assert {one.kind for one in servers} == {DeviceKind.SERVER}


def test_devices_of_kind_when_a_page_fails_then_an_error_and_no_short_list(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.falcon.misbehave(method="POST", path="*devices/v2", status=500, body="{}", times=None)
        edr = world.service.roles.edr
        assert isinstance(edr, ListsKinds)
        with pytest.raises(ConnectorError):
            edr.devices_of_kind(DeviceKind.SERVER)


def test_saved_search_names_are_all_that_the_account_sees(world: World) -> None:
    siem = world.service.roles.siem
    assert isinstance(siem, ListsSearches)
    assert set(siem.saved_search_names("search")) == set(world.splunk.saved)


def test_saved_search_names_are_not_cut_at_splunks_thirty(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        like = next(iter(world.splunk.saved.values()))
        world.splunk.saved |= {f"search {number}": dict(like) for number in range(40)}
        siem = world.service.roles.siem
        assert isinstance(siem, ListsSearches)
        assert len(siem.saved_search_names("search")) > 40
