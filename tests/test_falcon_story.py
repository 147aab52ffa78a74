"""The Falcon connector and the Falcon stand-in over real sockets: find, contain, read, release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.edr.falcon import Falcon
from connectors.emulators import falcon as stand_in
from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Rejected
from connectors.http import HttpSettings, Runtime
from connectors.model import Device, IsolationState, Secret
from tests.fake_clock import FakeClock

PENDING_S = 20.0


@pytest.fixture
def product() -> Iterator[stand_in.Falcon]:
    emulator = stand_in.Falcon(FakeClock())
    emulator.tune(contain_s=PENDING_S)
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def falcon(product: stand_in.Falcon) -> Falcon:
    return connect(product)


def connect(product: stand_in.Falcon, **other: str) -> Falcon:
    return Falcon(
        name="edr",
        tenant="main",
        settings=HttpSettings(base_url=product.base_url),
        credentials={k: Secret(v) for k, v in {**product.credentials, **other}.items()},
        options=Falcon.Options(),
        runtime=Runtime(clock=product.clock, emulated=True),
    )


def some_device(product: stand_in.Falcon, falcon: Falcon) -> Device:
    hostname = str(next(iter(product.devices.values()))["hostname"])
    [device] = falcon.find_devices(hostname=hostname.swapcase())
    assert device.hostname == hostname
    return device


def pass_time(product: stand_in.Falcon) -> None:
    assert isinstance(product.clock, FakeClock)
    product.clock.advance(PENDING_S + 1)


def test_host_when_contained_and_released_then_every_state_is_read_in_turn(
    product: stand_in.Falcon, falcon: Falcon
) -> None:
    device = some_device(product, falcon)

    def state() -> IsolationState:
        return falcon.read_device(device.device_id).state

    assert state() is IsolationState.NORMAL
    falcon.isolate_host(device.device_id, "case 1")
    assert state() is IsolationState.CONTAIN_PENDING
    pass_time(product)
    assert state() is IsolationState.CONTAINED
    falcon.release_host(device.device_id, "case 1")
    assert state() is IsolationState.RELEASE_PENDING
    pass_time(product)
    assert state() is IsolationState.NORMAL
    assert len(product.effects("*devices-actions*")) == 2


@pytest.mark.parametrize("status", [202, 409])
def test_isolate_when_already_under_way_then_conflict(
    product: stand_in.Falcon, falcon: Falcon, status: int
) -> None:
    product.tune(conflict_status=status)
    device = some_device(product, falcon)
    falcon.isolate_host(device.device_id, "case 1")
    with pytest.raises(Rejected) as caught:
        falcon.isolate_host(device.device_id, "case 1")
    assert caught.value.code == "conflict"


def test_isolate_when_the_answer_is_lost_then_outcome_unknown_sent_once_and_state_tells(
    product: stand_in.Falcon, falcon: Falcon
) -> None:
    device = some_device(product, falcon)
    product.misbehave(path="*devices-actions*", lose_answer=True, apply=True)
    with pytest.raises(OutcomeUnknown):
        falcon.isolate_host(device.device_id, "case 1")
    product.behave()
    assert falcon.read_device(device.device_id).state is IsolationState.CONTAIN_PENDING
    assert len(product.effects("*devices-actions*")) == 1


def test_isolate_when_nobody_has_the_id_then_not_found(falcon: Falcon) -> None:
    with pytest.raises(NotFound):
        falcon.isolate_host("f" * 32, "case 1")


def test_token_when_the_product_forgets_it_then_renewed(
    product: stand_in.Falcon, falcon: Falcon
) -> None:
    total = falcon.count_devices()
    product.expire_tokens()
    assert falcon.count_devices() == total == len(product.devices)


def test_count_when_a_pattern_is_asked_then_the_products_own_wildcard_counts(
    product: stand_in.Falcon, falcon: Falcon
) -> None:
    names = [str(device["hostname"]) for device in product.devices.values()]
    prefix = names[0][:3]
    assert falcon.count_devices(f"{prefix}*") == sum(name.startswith(prefix) for name in names)
    assert falcon.count_devices(names[0]) == 1


def test_check_when_all_is_granted_then_ok_and_the_world_is_unchanged(
    product: stand_in.Falcon, falcon: Falcon
) -> None:
    assert all(result.ok for result in falcon.check())
    assert product.effects("*devices-actions*") == []


def test_call_when_the_secret_is_wrong_then_auth_failed(product: stand_in.Falcon) -> None:
    with pytest.raises(AuthFailed):
        connect(product, client_secret="wrong").count_devices()
