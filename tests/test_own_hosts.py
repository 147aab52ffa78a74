"""The runner cuts off nothing that it works with itself, and nobody has to list it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.emulators.scenario import device_id
from connectors.model import Device, DeviceKind, Secret
from runner.checks import check
from runner.own_hosts import Needed, own_host, own_hosts
from tests.world import World, running_world
from tests.world_settings import HOST

OWN = ("192.0.2.7", "2001:db8::7", "runner-1", "splunk.corp.example.test")


def device(hostname: str, domain: str | None, *addresses: str) -> Device:
    return Device(
        instance="f",
        tenant="t",
        device_id="a" * 32,
        hostname=hostname,
        domain=domain,
        addresses=addresses,
    )


@pytest.mark.parametrize(
    ("named", "needed"),
    [
        (device("SPLUNK", "corp.example.test"), "splunk.corp.example.test"),
        (device("splunk.corp.example.test", "corp.example.test"), "splunk.corp.example.test"),
        (device("SPLUNK", None), "splunk.corp.example.test"),
        (device("SPLUNK", "other.example.test"), None),
        (device("SPLUNK2", "corp.example.test"), None),
        (device("OTHER", None, "2001:DB8:0::7"), "2001:db8::7"),
        (device("Runner-1", "corp.example.test"), "runner-1"),
        (device("WS-1", None, "198.51.100.1", "192.0.2.7"), "192.0.2.7"),
        (device("WS-1", "corp.example.test", "192.0.2.70"), None),
    ],
)
def test_own_host_when_a_device_is_one_then_it_is_named(named: Device, needed: str | None) -> None:
    expected = None if needed is None else Needed(host=needed, is_sure=True)
    assert own_host(named, OWN) == expected


@pytest.mark.parametrize(
    ("kind", "addresses", "sure"),
    [
        # One that is seen under the gateway's address, as everybody behind it.
        (DeviceKind.WORKSTATION, ("10.0.0.5", "192.0.2.7"), None),
        (DeviceKind.SERVER, ("10.0.0.5", "192.0.2.7"), False),
        (DeviceKind.DOMAIN_CONTROLLER, ("10.0.0.5", "192.0.2.7"), False),
        (DeviceKind.UNKNOWN, ("10.0.0.5", "192.0.2.7"), False),
        (DeviceKind.WORKSTATION, ("192.0.2.7",), False),
        # One that has another's address itself.
        (DeviceKind.SERVER, ("10.0.0.5", "192.0.2.70"), None),
    ],
)
def test_own_host_when_only_a_shared_address_agrees_then_only_what_may_be_it_is_left_alone(
    kind: DeviceKind, addresses: tuple[str, ...], sure: bool | None
) -> None:
    seen = replace(device("WS-1", None, *addresses), kind=kind, shared_addresses=addresses[-1:])
    expected = None if sure is None else Needed(host="192.0.2.7", is_sure=sure)
    assert own_host(seen, OWN) == expected


def test_own_host_when_the_address_is_its_own_then_no_gateway_excuses_it() -> None:
    seen = replace(
        device("WS-1", None, "192.0.2.7", "203.0.113.9"),
        kind=DeviceKind.WORKSTATION,
        shared_addresses=("203.0.113.9",),
    )
    assert own_host(seen, OWN) == Needed(host="192.0.2.7", is_sure=True)


def test_own_hosts_when_derived_then_products_proxies_heartbeat_and_this_machine(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        falcon = {"proxy": "http://proxy.example.test:3128"}
        config = world.configure({"connectors": {"falcon": falcon}})
    assert set(own_hosts(config)) == {"proxy.example.test", platform.node()}, "no loopback"
    splunk = config.connectors["splunk"]
    real = replace(splunk.settings, base_url="https://Splunk.example.test:8089/")
    config = replace(
        config,
        connectors={"splunk": replace(splunk, settings=real)},
        heartbeat_url=Secret("https://beat.example.test/ping/hidden"),
    )
    assert set(own_hosts(config)) == {"splunk.example.test", "beat.example.test", platform.node()}


def started_on(world: World, name: str) -> None:
    world.falcon.devices[device_id(HOST)]["hostname"] = name
    world.arm()
    world.hit(host=name)
    world.tick()


def test_isolation_when_the_host_is_the_runners_own_then_nobody_is_asked(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        started_on(world, platform.node())
        assert world.questions() == []
        assert world.asked_to("contain") == []
        said = "\n".join(str(step.value) for step in world.steps(world.runs()[0]).values())
        assert f"the runner itself needs {platform.node()}" in said
        assert f"the runner itself needs {platform.node()}" in "\n".join(world.ticket_texts())


def test_isolation_when_another_host_is_hit_then_people_are_asked(tmp_path: Path) -> None:
    """The same story with another name: the test above can fail."""
    with running_world(tmp_path) as world:
        started_on(world, "X" + platform.node())
        assert len(world.questions()) == 1


def test_check_when_run_then_it_names_what_is_never_isolated(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        text = check(world.service).text
        assert f"never isolated, as the runner needs them: {platform.node()}" in text
