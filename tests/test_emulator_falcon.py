"""The Falcon stand-in, judged by CrowdStrike's own falconpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from falconpy import Hosts, OAuth2

from connectors.emulators.falcon import Falcon
from connectors.emulators.faults import Misbehaviour
from connectors.emulators.scenario import FILLER_DEVICES
from tests.contract_session import ContractError, ContractSession, on_loopback
from tests.fake_clock import FakeClock
from tests.falcon_document import ACTIONS, falcon_document
from tests.loopback_only import loopback_only

__all__ = ["loopback_only"]

PENDING_S = 20.0


@pytest.fixture
def falcon() -> Iterator[Falcon]:
    emulator = Falcon(FakeClock())
    emulator.tune(contain_s=PENDING_S)
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def hosts(falcon: Falcon) -> Any:
    return Hosts(auth_object=login(falcon))


def login(falcon: Falcon, **other: str) -> Any:
    given: dict[str, Any] = {**falcon.credentials, **other}
    return OAuth2(**given, base_url=falcon.base_url)


def advance(falcon: Falcon, seconds: float) -> None:
    assert isinstance(falcon.clock, FakeClock)
    falcon.clock.advance(seconds)


def ids_of(hosts: Any, fql: str | None = None) -> list[str]:
    answer = hosts.query_devices_by_filter(**({"filter": fql} if fql else {}), limit=5000)
    assert answer["status_code"] == 200, answer
    found: list[str] = answer["body"]["resources"]
    return found


def id_of(falcon: Falcon, hostname: str) -> str:
    return str(falcon.device(hostname)["device_id"])


def status_of(hosts: Any, device_id: str) -> str:
    return str(hosts.get_device_details(ids=[device_id])["body"]["resources"][0]["status"])


def codes(answer: dict[str, Any]) -> list[int]:
    return [error["code"] for error in answer["body"]["errors"]]


def names(falcon: Falcon, ids: list[str]) -> list[str]:
    return [falcon.devices[device_id]["hostname"] for device_id in ids]


# -- tokens ----------------------------------------------------------------------------------------


def test_token_when_asked_rightly_then_it_is_created(falcon: Falcon) -> None:
    answer = login(falcon).token()

    assert answer["status_code"] == 201
    assert answer["body"]["expires_in"] == 1799


@pytest.mark.parametrize(
    ("wrong", "status"), [({"client_secret": "x"}, 403), ({"client_id": "x"}, 401)]
)
def test_token_when_the_client_is_wrong_then_it_is_refused(
    falcon: Falcon, wrong: dict[str, str], status: int
) -> None:
    assert login(falcon, **wrong).token()["status_code"] == status


def test_token_when_it_expires_then_calls_are_refused(falcon: Falcon) -> None:
    hosts = Hosts(
        access_token=login(falcon).token()["body"]["access_token"], base_url=falcon.base_url
    )
    before = hosts.query_devices_by_filter()["status_code"]

    advance(falcon, 1799)

    assert (before, hosts.query_devices_by_filter()["status_code"]) == (200, 401)


def test_token_when_revoked_then_calls_are_refused(falcon: Falcon) -> None:
    session = login(falcon)
    token = session.token()["body"]["access_token"]
    session.revoke(token)

    hosts = Hosts(access_token=token, base_url=falcon.base_url)
    assert hosts.query_devices_by_filter()["status_code"] == 401


# -- finding ---------------------------------------------------------------------------------------


def test_query_when_a_name_is_quoted_then_longer_names_match_too(
    falcon: Falcon, hosts: Any
) -> None:
    found = names(falcon, ids_of(hosts, "hostname:'workstation5'"))

    assert found == ["WORKSTATION5", "WORKSTATION50", "WORKSTATION5-OLD"]


@pytest.mark.parametrize(
    ("fql", "found"),
    [
        ("hostname:['WORKSTATION5']", ["WORKSTATION5"]),
        ("hostname:['workstation5']", []),
        ("hostname:*'dc-*'", ["DC-SYNTHETIC"]),
        ("hostname:'dc-*'", ["DC-SYNTHETIC"]),
        ("product_type_desc:'Domain Controller'", ["DC-SYNTHETIC"]),
        ("tags:'SensorGroupingTags/tier0'", ["DC-SYNTHETIC"]),
        ("hostname:'workstation5'+last_login_user:'user50'", ["WORKSTATION50"]),
        (
            "local_ip:'192.0.2.107',hostname:['LAPTOP9-SYNTHETIC']",
            ["WORKSTATION7-SYNTHETIC", "LAPTOP9-SYNTHETIC"],
        ),
        (
            "hostname:!'desk'+product_type_desc:'Server'",
            ["INVENTORY1-SYNTHETIC", "INVENTORY2-SYNTHETIC"],
        ),
    ],
)
def test_query_when_filtered_then_these_devices_match(
    falcon: Falcon, hosts: Any, fql: str, found: list[str]
) -> None:
    assert names(falcon, ids_of(hosts, fql)) == found


@pytest.mark.parametrize(
    "fql", ["hostname='x'", "hostname:x", "colour:'x'", "hostname:'x'+", "hostname:'a'+hostname:*"]
)
def test_query_when_the_filter_is_no_fql_then_400(hosts: Any, fql: str) -> None:
    assert hosts.query_devices_by_filter(filter=fql)["status_code"] == 400


def test_query_when_paged_then_every_device_comes_once_and_the_total_is_told(
    falcon: Falcon, hosts: Any
) -> None:
    pages = [
        hosts.query_devices_by_filter(limit=50, offset=offset)["body"] for offset in (0, 50, 100)
    ]

    assert {page["meta"]["pagination"]["total"] for page in pages} == {len(falcon.devices)}
    found = [device_id for page in pages for device_id in page["resources"]]
    assert sorted(found) == sorted(falcon.devices)
    assert len(found) == FILLER_DEVICES + 9


def test_record_when_read_then_it_has_what_an_identity_proof_needs(
    falcon: Falcon, hosts: Any
) -> None:
    answer = hosts.get_device_details(ids=[id_of(falcon, "WORKSTATION5")])
    record = answer["body"]["resources"][0]

    assert record["last_login_user"] == "wardog"
    assert record["local_ip"] == "192.168.2.5"
    assert record["product_type_desc"] == "Workstation"
    assert record["last_seen"] == "2026-11-25T12:00:00Z"
    assert not {"offline", "due_at", "last_seen_days"} & set(record)


def test_record_when_one_id_is_unknown_then_the_answer_has_both(falcon: Falcon, hosts: Any) -> None:
    answer = hosts.get_device_details(ids=[id_of(falcon, "WORKSTATION5"), "f" * 32])

    assert (answer["status_code"], codes(answer)) == (200, [404])
    assert len(answer["body"]["resources"]) == 1


def test_answer_when_given_then_the_rate_limit_is_in_its_headers(hosts: Any) -> None:
    headers = hosts.query_devices_by_filter()["headers"]

    assert headers["X-Ratelimit-Limit"] == "6000"
    assert int(headers["X-Ratelimit-Remaining"]) < 6000


# -- containing ------------------------------------------------------------------------------------


def test_contain_when_accepted_then_it_is_pending_and_later_contained(
    falcon: Falcon, hosts: Any
) -> None:
    aid = id_of(falcon, "WORKSTATION5")

    answer = hosts.perform_action(action_name="contain", ids=[aid])
    at_once = status_of(hosts, aid)
    advance(falcon, PENDING_S)

    assert answer["status_code"] == 202
    assert answer["body"]["resources"][0]["id"] == aid
    assert (at_once, status_of(hosts, aid)) == ("containment_pending", "contained")
    assert len(falcon.effects(query="action_name=contain")) == 1


def test_lift_when_contained_then_the_device_is_normal_again(falcon: Falcon, hosts: Any) -> None:
    aid = id_of(falcon, "WORKSTATION5")
    falcon.set_device("WORKSTATION5", status="contained")

    answer = hosts.perform_action(action_name="lift_containment", ids=[aid])
    at_once = status_of(hosts, aid)
    advance(falcon, PENDING_S)

    assert answer["status_code"] == 202
    assert (at_once, status_of(hosts, aid)) == ("lift_containment_pending", "normal")


def test_contain_when_the_sensor_is_off_then_it_stays_pending(falcon: Falcon, hosts: Any) -> None:
    aid = id_of(falcon, "LAPTOP9-SYNTHETIC")
    hosts.perform_action(action_name="contain", ids=[aid])

    advance(falcon, 40 * PENDING_S)
    still = status_of(hosts, aid)
    falcon.set_device("LAPTOP9-SYNTHETIC", offline=False)

    assert (still, status_of(hosts, aid)) == ("containment_pending", "contained")


@pytest.mark.parametrize("state", ["containment_pending", "contained", "lift_containment_pending"])
def test_contain_when_the_state_forbids_it_then_409_among_the_errors(
    falcon: Falcon, hosts: Any, state: str
) -> None:
    falcon.set_device("WORKSTATION5", status=state)

    answer = hosts.perform_action(action_name="contain", ids=[id_of(falcon, "WORKSTATION5")])

    assert (answer["status_code"], codes(answer)) == (202, [409])
    assert answer["body"]["resources"] == []
    assert falcon.effects() == []


def test_contain_when_409_is_set_as_the_status_then_the_whole_answer_is_409(
    falcon: Falcon, hosts: Any
) -> None:
    falcon.tune(conflict_status=409)
    falcon.set_device("WORKSTATION5", status="contained")

    answer = hosts.perform_action(action_name="contain", ids=[id_of(falcon, "WORKSTATION5")])

    assert (answer["status_code"], codes(answer)) == (409, [409])


def test_contain_when_one_of_two_is_contained_then_good_and_bad_come_together(
    falcon: Falcon, hosts: Any
) -> None:
    falcon.set_device("WORKSTATION50", status="contained")
    good, bad = id_of(falcon, "WORKSTATION5"), id_of(falcon, "WORKSTATION50")

    answer = hosts.perform_action(action_name="contain", ids=[good, bad])

    assert (answer["status_code"], codes(answer)) == (202, [409])
    assert [resource["id"] for resource in answer["body"]["resources"]] == [good]


@pytest.mark.parametrize(
    ("action", "ids", "status"),
    [("contain", [], 400), ("contain", ["f" * 32], 404), ("contain", ["f" * 32] * 101, 400)],
)
def test_contain_when_the_ids_are_wrong_then_it_is_refused(
    hosts: Any, action: str, ids: list[str], status: int
) -> None:
    assert hosts.perform_action(action_name=action, ids=ids)["status_code"] == status


def test_action_when_falcon_has_no_such_action_then_400(falcon: Falcon, hosts: Any) -> None:
    body = {"ids": [id_of(falcon, "WORKSTATION5")]}

    answer = requests.post(
        falcon.base_url + "/devices/entities/devices-actions/v2",
        params={"action_name": "isolate"},
        json=body,
        headers=hosts.headers,
        timeout=5,
    )

    assert answer.status_code == 400
    assert falcon.effects() == []


def test_contain_when_the_answer_is_lost_then_the_device_is_pending(
    falcon: Falcon, hosts: Any
) -> None:
    falcon.misbehave(Misbehaviour(query="action_name=contain*", lose_answer=True))
    aid = id_of(falcon, "WORKSTATION5")

    answer = hosts.perform_action(action_name="contain", ids=[aid])

    assert answer["status_code"] >= 500
    assert status_of(hosts, aid) == "containment_pending"


def test_hook_when_it_fails_then_the_device_stays_pending() -> None:
    cut: list[tuple[str, str]] = []
    works = [False]

    def hook(action: str, hostname: str) -> bool:
        cut.append((action, hostname))
        return works[0]

    falcon = Falcon(FakeClock(), hook=hook)
    falcon.start()
    hosts = Hosts(auth_object=login(falcon))
    aid = id_of(falcon, "WORKSTATION5")
    hosts.perform_action(action_name="contain", ids=[aid])
    pending = status_of(hosts, aid)
    works[0] = True
    contained = status_of(hosts, aid)
    falcon.stop()

    assert (pending, contained) == ("containment_pending", "contained")
    assert cut[-1] == ("contain", "WORKSTATION5")


def test_device_when_added_like_another_then_two_share_the_name(falcon: Falcon, hosts: Any) -> None:
    made = falcon.add_device("WORKSTATION5", last_seen_days=40)

    assert made in ids_of(hosts, "hostname:['WORKSTATION5']")
    assert len(ids_of(hosts, "hostname:['WORKSTATION5']")) == 2


# -- requests, judged by the tables inside falconpy ------------------------------------------------


@pytest.fixture
def session(falcon: Falcon) -> Iterator[ContractSession]:
    with ContractSession(on_loopback(falcon_document())) as opened:
        opened.trust_env = False
        yield opened


def test_contract_when_requests_are_right_then_the_stand_in_takes_them(
    falcon: Falcon, session: ContractSession
) -> None:
    base = falcon.base_url
    token = session.post(base + "/oauth2/token", data=falcon.credentials)
    session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
    wanted: dict[str, Any] = {"filter": "hostname:['WORKSTATION5']", "limit": 10}

    found = session.get(base + "/devices/queries/devices/v1", params=wanted).json()["resources"]
    records = session.post(base + "/devices/entities/devices/v2", json={"ids": found})
    acted = session.post(base + ACTIONS, params={"action_name": "contain"}, json={"ids": found})

    assert (token.status_code, records.status_code, acted.status_code) == (201, 200, 202)
    assert session.judged == 4


@pytest.mark.parametrize(
    "request_parts",
    [
        {"path": "/oauth2/token", "json": {"client_id": "a", "client_secret": "b"}},
        {"path": "/oauth2/token", "data": {"client_id": "a"}},
        {"path": ACTIONS, "json": {"action_name": "contain", "ids": ["0" * 32]}},
        {"path": ACTIONS, "params": {"action_name": "contain"}, "json": {"ids": ["ws2"]}},
        {"path": ACTIONS, "params": {"action_name": "contain"}, "json": {"ids": "0" * 32}},
        {"path": ACTIONS.replace("v2", "v1"), "json": {"ids": []}},
    ],
    ids=["json-token", "no-secret", "action-in-body", "hostname-as-id", "ids-as-text", "old-path"],
)
def test_contract_when_a_request_is_wrong_then_it_is_not_sent(
    falcon: Falcon, session: ContractSession, request_parts: dict[str, Any]
) -> None:
    path = request_parts.pop("path")

    with pytest.raises(ContractError):
        session.post(falcon.base_url + path, **request_parts)

    assert falcon.requests == []
