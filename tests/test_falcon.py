"""The Falcon connector against answers that Falcon gives, good and bad; each request is held
against CrowdStrike's own endpoint tables (as falconpy ships them)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import requests
from falconpy._endpoint._hosts import _hosts_endpoints
from falconpy._endpoint._oauth2 import _oauth2_endpoints
from hypothesis import given
from hypothesis import strategies as st
from responses import RequestsMock
from responses.matchers import header_matcher, json_params_matcher, query_param_matcher

from connectors.edr.falcon import Falcon
from connectors.edr.falcon_records import is_same_host, valid_hostname
from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Device, DeviceKind, IsolationState, Secret
from tests.fake_clock import FakeClock
from tests.strict_responses import StrictRegistry

BASE = "https://falcon.example.test"
TOKEN = f"{BASE}/oauth2/token"
QUERY = f"{BASE}/devices/queries/devices/v1"
RECORDS = f"{BASE}/devices/entities/devices/v2"
ACTIONS = f"{BASE}/devices/entities/devices-actions/v2"
A, B, C = "a" * 32, "b" * 32, "c" * 32
NOBODY = "0" * 32


@pytest.fixture
def api() -> Iterator[RequestsMock]:
    """Falcon as the test scripts it; afterwards every request must fit the vendor's tables."""
    with RequestsMock(registry=StrictRegistry, assert_all_requests_are_fired=True) as mock:
        yield mock
        for call in mock.calls:
            assert_in_vendor_tables(call.request)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def falcon(clock: FakeClock) -> Falcon:
    return make(clock)


def make(clock: FakeClock, member_cid: str | None = None) -> Falcon:
    return Falcon(
        name="edr",
        tenant="main",
        settings=HttpSettings(base_url=BASE),
        credentials={
            "client_id": Secret("id-0001"),
            "client_secret": Secret("secret-0001-5ec2e75ec2e7"),
        },
        options=Falcon.Options(member_cid=member_cid),
        runtime=Runtime(clock=clock),
    )


def assert_in_vendor_tables(request: requests.PreparedRequest) -> None:
    url = urlsplit(str(request.url))
    tables: list[Any] = [*_hosts_endpoints, *_oauth2_endpoints]
    rows = [
        row[-1] for row in tables if (row[1], row[2].split("?")[0]) == (request.method, url.path)
    ]
    assert rows, f"Falcon has no {request.method} {url.path}"
    known = {entry["name"]: entry for entry in rows[0]}
    given_query = set(parse_qs(url.query))
    assert given_query <= {name for name, entry in known.items() if entry["in"] == "query"}
    required = {n for n, e in known.items() if e["in"] == "query" and e.get("required")}
    assert required <= given_query
    assert ("body" in known) == (request.headers.get("Content-Type") == "application/json")
    form = {name for name, entry in known.items() if entry["in"] == "formData"}
    if form:
        assert set(parse_qs(str(request.body))) <= form


def body(resources: Any = (), errors: Any = (), total: Any = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"query_time": 0.01, "trace_id": "0000"}
    if total is not None:
        meta["pagination"] = {"offset": 0, "limit": 1, "total": total}
    return {"meta": meta, "resources": list(resources), "errors": list(errors)}


def fault(code: int, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message}


def record(device_id: str, hostname: str, **more: Any) -> dict[str, Any]:
    return {"device_id": device_id, "hostname": hostname, "status": "normal", **more}


def sign_in(api: RequestsMock, access: str = "t-1") -> None:
    api.post(TOKEN, status=201, json={"access_token": access, "expires_in": 1799})


def listed(api: RequestsMock, name: str, records: list[dict[str, Any]]) -> None:
    """Falcon's answer to a search by name, and the records behind it."""
    ids = [entry["device_id"] for entry in records]
    api.get(
        QUERY,
        json=body(ids, total=len(ids)),
        match=[query_param_matcher({"filter": f"hostname:'{name}'"}, strict_match=False)],
    )
    if ids:
        api.post(RECORDS, json=body(records), match=[json_params_matcher({"ids": ids})])


def calls_to(api: RequestsMock, url: str) -> list[requests.PreparedRequest]:
    return [call.request for call in api.calls if str(call.request.url).startswith(url)]


# -- signing in ------------------------------------------------------------------------------------


def test_token_when_answered_201_then_used_for_all_calls_until_shortly_before_its_end(
    api: RequestsMock, falcon: Falcon, clock: FakeClock
) -> None:
    sign_in(api, "t-1")
    sign_in(api, "t-2")
    for token in ("t-1", "t-1", "t-2"):
        api.get(
            QUERY,
            json=body(total=3),
            match=[header_matcher({"Authorization": f"Bearer {token}"})],
        )
    falcon.count_devices()
    clock.advance(1799 - 61)
    falcon.count_devices()
    clock.advance(2)
    assert falcon.count_devices() == 3
    assert len(calls_to(api, TOKEN)) == 2


def test_token_when_member_cid_is_configured_then_it_is_locked_to_that_customer(
    api: RequestsMock, clock: FakeClock
) -> None:
    sign_in(api)
    api.get(QUERY, json=body(total=0))
    make(clock, member_cid=f"{C}-2A").count_devices()
    form = parse_qs(str(calls_to(api, TOKEN)[0].body))
    assert form == {
        "client_id": ["id-0001"],
        "client_secret": ["secret-0001-5ec2e75ec2e7"],
        "member_cid": [f"{C}-2A"],
    }


@pytest.mark.parametrize(
    ("region", "said"),
    [("eu-1", "set base_url to https://api.eu-1.crowdstrike.com"), ("moon\x1b", "moon\\x1b")],
)
def test_token_when_another_cloud_answers_308_then_refused_and_nothing_followed(
    api: RequestsMock, falcon: Falcon, region: str, said: str
) -> None:
    headers = {"X-Cs-Region": region, "Location": "https://elsewhere.example.test/oauth2/token"}
    api.post(TOKEN, status=308, headers=headers)
    with pytest.raises(Rejected) as caught:
        falcon.count_devices()
    assert said in caught.value.text
    assert len(api.calls) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_token_when_refused_then_no_call_is_made_and_no_secret_is_told(
    api: RequestsMock, falcon: Falcon, status: int
) -> None:
    api.post(
        TOKEN,
        status=status,
        json=body(errors=[fault(status, "bad client secret-0001-5ec2e75ec2e7")]),
    )
    with pytest.raises(Rejected) as caught:
        falcon.isolate_host(A, "test")
    assert isinstance(caught.value, AuthFailed) == (status != 400)
    assert "secret-0001-5ec2e75ec2e7" not in str(caught.value)
    assert len(api.calls) == 1


@pytest.mark.parametrize("said", [{}, {"access_token": None}, {"access_token": ""}, []])
def test_token_when_the_answer_has_none_then_unavailable(
    api: RequestsMock, falcon: Falcon, said: Any
) -> None:
    api.post(TOKEN, status=201, json=said)
    with pytest.raises(Unavailable):
        falcon.isolate_host(A, "test")


def test_call_when_token_is_refused_then_renewed_once_and_sent_again(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api, "old")
    sign_in(api, "new")
    api.post(ACTIONS, status=401, json=body(errors=[fault(401)]))
    api.post(
        ACTIONS,
        status=202,
        json=body([{"id": A}]),
        match=[header_matcher({"Authorization": "Bearer new"})],
    )
    falcon.isolate_host(A, "test")
    assert len(calls_to(api, ACTIONS)) == 2


def test_call_when_token_is_refused_twice_then_auth_failed(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    sign_in(api)
    api.get(QUERY, status=401, json=body(errors=[fault(401)]))
    api.get(QUERY, status=401, json=body(errors=[fault(401)]))
    with pytest.raises(AuthFailed):
        falcon.count_devices()


def test_call_when_429_names_no_limit_then_token_is_renewed_once(
    api: RequestsMock, falcon: Falcon, clock: FakeClock
) -> None:
    sign_in(api, "old")
    sign_in(api, "new")
    api.get(QUERY, status=429, json=body(errors=[fault(429)]))
    api.get(QUERY, json=body(total=5), match=[header_matcher({"Authorization": "Bearer new"})])
    assert falcon.count_devices() == 5
    assert clock.sleeps == []


def test_call_when_429_names_an_epoch_then_waits_until_then_with_the_same_token(
    api: RequestsMock, falcon: Falcon, clock: FakeClock
) -> None:
    sign_in(api)
    until = str(int(clock.now().timestamp()) + 4)
    headers = {"X-RateLimit-Limit": "6000", "X-RateLimit-RetryAfter": until}
    api.get(QUERY, status=429, headers=headers, json=body())
    api.get(QUERY, json=body(total=5))
    assert falcon.count_devices() == 5
    assert clock.sleeps == [4.0]


def test_call_when_429_asks_for_more_than_a_call_may_take_then_unavailable_with_the_wait(
    api: RequestsMock, falcon: Falcon, clock: FakeClock
) -> None:
    sign_in(api)
    api.get(QUERY, status=429, headers={"Retry-After": "120"}, json=body())
    with pytest.raises(Unavailable) as caught:
        falcon.count_devices()
    assert caught.value.retry_after_s == 120
    assert clock.sleeps == []


# -- finding ---------------------------------------------------------------------------------------


def test_find_when_names_only_begin_alike_then_only_the_exact_one_in_any_case(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    listed(api, "WS-1", [record(B, "WS-10"), record(A, "ws-1"), record(C, "WS-100")])
    assert [found.device_id for found in falcon.find_devices(hostname="WS-1")] == [A]


def test_find_when_nobody_has_the_name_then_empty_and_no_records_asked(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    listed(api, "ws-1", [])
    assert falcon.find_devices(hostname="ws-1") == []


def test_find_when_two_devices_have_the_name_then_both(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    listed(api, "ws-1", [record(A, "ws-1"), record(B, "WS-1.other.test")])
    assert [found.device_id for found in falcon.find_devices(hostname="ws-1")] == [A, B]


def test_find_when_full_name_is_asked_then_short_records_need_the_same_domain(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    listed(api, "ws-1.example.test", [])
    listed(
        api,
        "ws-1",
        [
            record(A, "WS-1", machine_domain="EXAMPLE.test"),
            record(B, "WS-1", machine_domain="other.test"),
            record(C, "WS-1"),
        ],
    )
    assert [d.device_id for d in falcon.find_devices(hostname="ws-1.example.test")] == [A]


def test_find_when_a_host_is_hidden_then_left_out(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    hidden = record(A, "ws-1", host_hidden_status="hidden")
    listed(api, "ws-1", [hidden, record(B, "ws-1", host_hidden_status="visible")])
    assert [found.device_id for found in falcon.find_devices(hostname="ws-1")] == [B]


def test_find_when_the_list_has_pages_then_all_are_read(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    pages = [[A, B], [C]]
    for offset, ids in zip((0, 2), pages, strict=True):
        api.get(
            QUERY,
            json=body(ids, total=3),
            match=[query_param_matcher({"offset": offset}, strict_match=False)],
        )
        api.post(
            RECORDS,
            json=body(record(i, "ws-1") for i in ids),
            match=[json_params_matcher({"ids": ids})],
        )
    assert [found.device_id for found in falcon.find_devices(hostname="ws-1")] == [A, B, C]


def test_find_when_the_list_ends_early_then_unavailable(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    api.get(QUERY, json=body([], total=1))
    with pytest.raises(Unavailable, match="0 of 1"):
        falcon.find_devices(hostname="ws-1")


def test_find_when_a_record_is_missing_then_unavailable_and_never_fewer_devices(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.get(QUERY, json=body([A, B], total=2))
    api.post(RECORDS, json=body([record(A, "ws-1")], [fault(404)]))
    with pytest.raises(Unavailable):
        falcon.find_devices(hostname="ws-1")


def test_find_when_too_many_names_begin_alike_then_rejected(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.get(QUERY, json=body([A], total=5001))
    with pytest.raises(Rejected) as caught:
        falcon.find_devices(hostname="ws")
    assert caught.value.code == "too_many"


def test_find_by_id_when_known_then_that_record_and_name_must_fit_too(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.post(RECORDS, json=body([record(A, "ws-1")]))
    api.post(RECORDS, json=body([record(A, "ws-1")]))
    assert [d.hostname for d in falcon.find_devices(device_id=A.upper())] == ["ws-1"]
    assert falcon.find_devices(device_id=A, hostname="ws-2") == []


@pytest.mark.parametrize("status", [200, 404])
def test_find_by_id_when_unknown_then_empty(api: RequestsMock, falcon: Falcon, status: int) -> None:
    sign_in(api)
    api.post(RECORDS, status=status, json=body(errors=[fault(404)]))
    assert falcon.find_devices(device_id=A) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "*",
        "ws-*",
        "ws'",
        "a'+hostname:'*",
        "ws-1 ",
        "ws,1",
        "w\n",
        ".",
        "a..b",
        "ü",
        "a" * 254,
    ],
)
def test_find_when_the_name_is_unsafe_or_empty_then_rejected_without_a_call(
    api: RequestsMock, falcon: Falcon, name: str
) -> None:
    with pytest.raises(Rejected):
        falcon.find_devices(hostname=name)
    assert len(api.calls) == 0


@pytest.mark.parametrize("device_id", ["", "*", "ws-1", A + "a", A[:-1], "g" * 32, f"{A},{B}"])
def test_each_method_when_the_id_is_no_id_then_rejected_without_a_call(
    api: RequestsMock, falcon: Falcon, device_id: str
) -> None:
    for ask in (
        lambda: falcon.find_devices(device_id=device_id),
        lambda: falcon.read_device(device_id),
        lambda: falcon.isolate_host(device_id, "test"),
        lambda: falcon.release_host(device_id, "test"),
    ):
        with pytest.raises(Rejected):
            ask()
    assert len(api.calls) == 0


def test_find_when_nothing_is_given_then_rejected_without_a_call(
    api: RequestsMock, falcon: Falcon
) -> None:
    with pytest.raises(Rejected):
        falcon.find_devices()
    assert len(api.calls) == 0


def test_find_when_member_cid_is_configured_then_devices_of_others_are_not_ours(
    api: RequestsMock, clock: FakeClock
) -> None:
    falcon = make(clock, member_cid=f"{C.upper()}-2A")
    sign_in(api)
    listed(api, "ws-1", [record(A, "ws-1", cid=C), record(B, "ws-1", cid="d" * 32)])
    assert [found.device_id for found in falcon.find_devices(hostname="ws-1")] == [A]
    api.post(RECORDS, json=body([record(B, "ws-1", cid="d" * 32)]))
    with pytest.raises(NotFound):
        falcon.read_device(B)


@given(st.text(max_size=300))
def test_valid_hostname_when_accepted_then_it_cannot_leave_its_quotes(text: str) -> None:
    try:
        name = valid_hostname(text)
    except Rejected:
        return
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


LABEL = st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)


@given(LABEL, LABEL, LABEL)
def test_is_same_host_when_names_differ_then_a_longer_name_is_never_the_same(
    name: str, more: str, domain: str
) -> None:
    longer = Device(instance="edr", tenant="t", device_id=A, hostname=name + more, domain=domain)
    assert not is_same_host(name, longer)
    assert not is_same_host(f"{name}.{domain}", longer)


# -- reading ---------------------------------------------------------------------------------------


def test_read_when_the_record_is_full_then_each_field_has_its_place(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    full = record(
        A,
        "WS-1",
        status="contained",
        product_type_desc="Domain Controller",
        machine_domain="example.test",
        last_login_user="EXAMPLE\\adm",
        local_ip="192.0.2.7",
        external_ip="203.0.113.9",
        connection_ip="192.0.2.7",
        tags=["FalconGroupingTags/vip", 3],
        platform_name="Windows",
        last_seen="2026-11-25T11:59:30Z",
        something_new={"x": 1},
    )
    api.post(RECORDS, json=body([full]))
    assert falcon.read_device(A) == Device(
        instance="edr",
        tenant="main",
        device_id=A,
        hostname="WS-1",
        domain="example.test",
        kind=DeviceKind.DOMAIN_CONTROLLER,
        tags=("FalconGroupingTags/vip",),
        users=("EXAMPLE\\adm",),
        addresses=("192.0.2.7", "203.0.113.9"),
        shared_addresses=("203.0.113.9",),
        platform="Windows",
        state=IsolationState.CONTAINED,
        last_seen_at=datetime(2026, 11, 25, 11, 59, 30, tzinfo=UTC),
    )


def test_read_when_the_record_is_almost_empty_then_everything_is_unknown(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.post(RECORDS, json={"resources": [{"device_id": A, "last_seen": "soon", "tags": None}]})
    device = falcon.read_device(A)
    assert (device.state, device.kind) == (IsolationState.UNKNOWN, DeviceKind.UNKNOWN)
    assert (device.hostname, device.last_seen_at, device.tags) == ("", None, ())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("normal", IsolationState.NORMAL),
        ("containment_pending", IsolationState.CONTAIN_PENDING),
        ("contained", IsolationState.CONTAINED),
        ("lift_containment_pending", IsolationState.RELEASE_PENDING),
        ("isolating_v2", IsolationState.UNKNOWN),
        ("contained ", IsolationState.UNKNOWN),
        ("", IsolationState.UNKNOWN),
        (None, IsolationState.UNKNOWN),
        (True, IsolationState.UNKNOWN),
    ],
)
def test_read_when_the_status_is_no_known_word_then_unknown(
    api: RequestsMock, falcon: Falcon, status: Any, state: IsolationState
) -> None:
    sign_in(api)
    api.post(RECORDS, json=body([record(A, "ws-1", status=status)]))
    assert falcon.read_device(A).state is state


@pytest.mark.parametrize(
    ("desc", "kind"),
    [
        ("Workstation", DeviceKind.WORKSTATION),
        ("Server", DeviceKind.SERVER),
        ("Mobile", DeviceKind.UNKNOWN),
        (None, DeviceKind.UNKNOWN),
    ],
)
def test_read_when_the_product_type_is_no_known_word_then_kind_is_unknown(
    api: RequestsMock, falcon: Falcon, desc: Any, kind: DeviceKind
) -> None:
    sign_in(api)
    api.post(RECORDS, json=body([record(A, "ws-1", product_type_desc=desc)]))
    assert falcon.read_device(A).kind is kind


def test_read_when_another_devices_record_comes_then_not_found(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.post(RECORDS, json=body([record(B, "ws-1")]))
    with pytest.raises(NotFound):
        falcon.read_device(A)


def test_read_when_the_host_is_hidden_then_still_read(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    hidden = record(A, "ws-1", host_hidden_status="hidden", status="contained")
    api.post(RECORDS, json=body([hidden]))
    assert falcon.read_device(A).state is IsolationState.CONTAINED


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (403, AuthFailed),
        (400, Rejected),
        (429, Unavailable),
        (500, Unavailable),
        (None, Unavailable),
    ],
)
def test_read_when_an_error_hides_in_a_200_then_raised_even_beside_a_record(
    api: RequestsMock, falcon: Falcon, code: Any, raised: type[Exception]
) -> None:
    sign_in(api)
    api.post(RECORDS, json=body([record(A, "ws-1")], [fault(code)]))
    with pytest.raises(raised):
        falcon.read_device(A)


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("<html>sign in</html>", "text/html"),
        ("", "application/json"),
        ('{"resources": [', "application/json"),
        ("[]", "application/json"),
    ],
)
def test_read_when_the_body_is_no_envelope_then_unavailable(
    api: RequestsMock, falcon: Falcon, text: str, content_type: str
) -> None:
    sign_in(api)
    api.post(RECORDS, body=text, content_type=content_type)
    with pytest.raises(Unavailable):
        falcon.read_device(A)


def test_read_when_forbidden_then_all_causes_are_named(api: RequestsMock, falcon: Falcon) -> None:
    sign_in(api)
    refusal = fault(403, "access denied, authorization failed")
    api.post(RECORDS, status=403, json=body(errors=[refusal]))
    with pytest.raises(
        AuthFailed, match=r"authorization failed.*scope.*secret.*allow list.*customer id"
    ):
        falcon.read_device(A)


# -- counting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [None, "*", "**"])
def test_count_when_no_name_is_limited_then_asks_without_a_filter(
    api: RequestsMock, falcon: Falcon, pattern: str | None
) -> None:
    sign_in(api)
    wanted = {"limit": "1", "offset": "0", "sort": "hostname.asc"}
    api.get(QUERY, json=body([A], total=4711), match=[query_param_matcher(wanted)])
    assert falcon.count_devices(pattern) == 4711


def test_count_when_a_pattern_is_given_then_falcons_wildcard_form_is_asked(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    match = [query_param_matcher({"filter": "hostname:*'dc-*'"}, strict_match=False)]
    api.get(QUERY, json=body([A], total=2), match=match)
    assert falcon.count_devices("dc-*") == 2


def test_count_when_the_pattern_has_no_star_then_prefixes_do_not_count(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    listed(api, "dc-1", [record(A, "dc-10"), record(B, "dc-11")])
    assert falcon.count_devices("dc-1") == 0


@pytest.mark.parametrize("pattern", ["", "'*", "dc-?*", "dc *", "*'+hostname:'*"])
def test_count_when_the_pattern_is_unsafe_then_rejected_without_a_call(
    api: RequestsMock, falcon: Falcon, pattern: str
) -> None:
    with pytest.raises(Rejected):
        falcon.count_devices(pattern)
    assert len(api.calls) == 0


@pytest.mark.parametrize("total", [None, "7", True])
def test_count_when_falcon_tells_no_total_then_unavailable_and_never_zero(
    api: RequestsMock, falcon: Falcon, total: Any
) -> None:
    sign_in(api)
    api.get(QUERY, json=body([A], total=total))
    with pytest.raises(Unavailable):
        falcon.count_devices()


# -- acting ----------------------------------------------------------------------------------------

VERBS = pytest.mark.parametrize(
    ("method", "action_name"),
    [("isolate_host", "contain"), ("release_host", "lift_containment")],
)


@VERBS
def test_action_when_taken_then_exactly_one_request_for_exactly_one_id(
    api: RequestsMock, falcon: Falcon, method: str, action_name: str
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=202, json=body([{"id": A, "path": "/x"}]))
    getattr(falcon, method)(A, "a reason with 'quotes'")
    [request] = calls_to(api, ACTIONS)
    assert parse_qs(urlsplit(str(request.url)).query) == {"action_name": [action_name]}
    assert json.loads(request.body or b"") == {"ids": [A]}


@VERBS
def test_action_when_202_is_empty_then_accepted_without_a_second_request(
    api: RequestsMock, falcon: Falcon, method: str, action_name: str
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=202, body=b"")
    getattr(falcon, method)(A, "test")
    assert len(calls_to(api, ACTIONS)) == 1


@pytest.mark.parametrize("status", [202, 409])
def test_isolate_when_the_state_forbids_it_then_conflict_inside_or_on_top(
    api: RequestsMock, falcon: Falcon, status: int
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=status, json=body([], [fault(409, f"Device {A} is in state x")]))
    with pytest.raises(Rejected) as caught:
        falcon.isolate_host(A, "test")
    assert caught.value.code == "conflict"
    assert A in caught.value.text


def test_isolate_when_409_has_no_readable_body_then_still_a_conflict(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=409, body="<html>", content_type="text/html")
    with pytest.raises(Rejected) as caught:
        falcon.isolate_host(A, "test")
    assert caught.value.code == "conflict"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (202, 404, NotFound),
        (404, 404, NotFound),
        (202, 403, AuthFailed),
        (403, 403, AuthFailed),
        (202, 400, Rejected),
        (400, 400, Rejected),
        (202, 500, OutcomeUnknown),
        (500, 500, OutcomeUnknown),
        (202, "strange", OutcomeUnknown),
    ],
)
def test_isolate_when_refused_then_grouped_by_what_to_do_next_and_sent_once(
    api: RequestsMock, falcon: Falcon, status: int, code: Any, raised: type[Exception]
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=status, json=body([], [fault(code)]))
    with pytest.raises(raised):
        falcon.isolate_host(A, "test")
    assert len(calls_to(api, ACTIONS)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        body([{"id": A}], [fault(409, f"Device {B}")]),
        body([{"id": B}]),
        body([{"id": A}, {"id": B}]),
        body(),
        {},
        {"resources": None, "errors": None},
        [],
    ],
)
def test_isolate_when_the_answer_is_not_clear_then_outcome_unknown(
    api: RequestsMock, falcon: Falcon, answer: Any
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=202, json=answer)
    with pytest.raises(OutcomeUnknown):
        falcon.isolate_host(A, "test")


@pytest.mark.parametrize("status", [200, 202])
def test_isolate_when_a_login_page_answers_then_outcome_unknown(
    api: RequestsMock, falcon: Falcon, status: int
) -> None:
    sign_in(api)
    api.post(ACTIONS, status=status, body="<html>sign in</html>", content_type="text/html")
    with pytest.raises(OutcomeUnknown):
        falcon.isolate_host(A, "test")


@VERBS
def test_action_when_the_answer_is_lost_then_outcome_unknown_and_not_sent_again(
    api: RequestsMock, falcon: Falcon, method: str, action_name: str
) -> None:
    sign_in(api)
    api.post(ACTIONS, body=requests.exceptions.ReadTimeout())
    with pytest.raises(OutcomeUnknown):
        getattr(falcon, method)(A, "test")
    assert len(calls_to(api, ACTIONS)) == 1


# -- checks and secrets ----------------------------------------------------------------------------


def test_check_when_all_is_granted_then_each_part_is_ok_and_only_nobody_is_named(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.get(QUERY, json=body(total=3))
    api.post(
        ACTIONS,
        status=404,
        json=body([], [fault(404, "No matching device found")]),
        match=[
            json_params_matcher({"ids": [NOBODY]}),
            query_param_matcher({"action_name": "lift_containment"}),
        ],
    )
    results = falcon.check()
    assert [result.ok for result in results] == [True, True, True]


def test_check_when_write_is_not_granted_then_the_scope_is_named(
    api: RequestsMock, falcon: Falcon
) -> None:
    sign_in(api)
    api.get(QUERY, json=body(total=3))
    api.post(ACTIONS, status=403, json=body([], [fault(403, "access denied")]))
    *rest, write = falcon.check()
    assert all(result.ok for result in rest)
    assert not write.ok
    assert "Hosts: Write" in str(write.mend)


@pytest.mark.parametrize("status", [202, 500])
def test_check_when_the_probe_is_not_refused_clearly_then_write_is_not_called_proved(
    api: RequestsMock, falcon: Falcon, status: int
) -> None:
    sign_in(api)
    api.get(QUERY, json=body(total=3))
    api.post(ACTIONS, status=status, json=body([{"id": NOBODY}]))
    assert [result.ok for result in falcon.check()] == [True, True, False]


def test_check_when_sign_in_fails_then_nothing_else_is_tried(
    api: RequestsMock, falcon: Falcon
) -> None:
    api.post(TOKEN, status=403, json=body(errors=[fault(403, "access denied, invalid client")]))
    [result] = falcon.check()
    assert not result.ok
    assert "invalid client" in str(result.mend)


def test_secrets_when_anything_is_shown_or_logged_then_never_in_it(
    api: RequestsMock, falcon: Falcon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sign_in(api, "token-0001")
    leak = "token-0001 and secret-0001-5ec2e75ec2e7 and id-0001"
    api.post(ACTIONS, status=202, json=body([], [fault(400, leak)]))
    with pytest.raises(Rejected) as caught:
        falcon.isolate_host(A, "test")
    shown = f"{caught.value} {falcon!r} {vars(falcon)!r} {caplog.text}"
    assert not [
        word for word in ("token-0001", "secret-0001-5ec2e75ec2e7", "id-0001") if word in shown
    ]


@pytest.mark.parametrize(
    "options",
    [{"member_cid": "x"}, {"member_cid": A + "-"}, {"member_cid": A, "extra": 1}, {"tenant": "x"}],
)
def test_options_when_wrong_then_refused_at_load(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, Falcon.Options)
