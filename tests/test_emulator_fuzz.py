"""Calls that make no sense must be refused, as a product would; a stand-in that crashes hides
faults.

Shapes are drawn from the products' own arguments, so that most calls come past the first check.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.emulators.emulator import Emulator
from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.scenario import device_id
from connectors.emulators.slack_workspace import CHANNEL
from connectors.emulators.wire import Answer, Call
from tests.fake_clock import FakeClock

SPLUNK_PATHS = (
    "/services/auth/login",
    "/services/search/jobs",
    "/services/search/v2/jobs/export",
    "/services/search/v2/jobs/1/results",
    "/servicesNS/nobody/search/saved/searches",
    "/servicesNS/nobody/search/saved/searches/WMIC%20format%20hits/dispatch",
)
SLACK_METHODS = (
    "chat.postMessage",
    "chat.update",
    "conversations.history",
    "conversations.replies",
    "conversations.info",
    "reactions.add",
    "reactions.get",
    "reactions.remove",
    "users.info",
    "usergroups.users.list",
)
FALCON_PATHS = (
    "/oauth2/token",
    "/oauth2/revoke",
    "/devices/queries/devices/v1",
    "/devices/entities/devices/v2",
    "/devices/entities/devices-actions/v2",
)
JIRA_PATHS = (
    "/issue",
    "/issue/SEC-1",
    "/issue/SEC-1/comment",
    "/issue/SEC-1/transitions",
    "/issue/SEC-1/attachments",
    "/search/jql",
    "/mypermissions",
)
GOOD_FIELDS = {
    "project": {"key": "SEC"},
    "issuetype": {"name": "Task"},
    "summary": "x",
    "description": {"type": "doc", "version": 1, "content": []},
    "labels": [],
}
FEW = settings(max_examples=500, deadline=None, database=None, derandomize=True)

words = st.text(max_size=12) | st.sampled_from(
    [
        'search host="x*" | head 1',
        "search (",
        "| makeresults",
        "hostname:'x'+",
        "hostname:['a','b']",
        'labels = "x" ORDER BY created',
        "-1",
        "0",
        "1e9",
        "true",
        "contain",
        "lift_containment",
        device_id("WORKSTATION5"),
        CHANNEL,
        "1.000001",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
keyed = st.dictionaries(st.sampled_from(["key", "name", "id"]), values, max_size=2)
methods = st.sampled_from(["POST", "POST", "POST", "GET", "DELETE"])


def arguments(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    folder: Path = tmp_path_factory.mktemp("world")
    with running_emulators(folder, FakeClock()) as running:
        yield running


def ask(
    emulator: Emulator, method: str, path: str, given_values: Any, auth: str, *, as_json: bool
) -> Answer:
    """One call with its arguments in the body, or in the query when it is a GET."""
    pairs = given_values if isinstance(given_values, dict) else {}
    text = urlencode({name: str(value) for name, value in pairs.items()})
    is_get = method == "GET"
    kind = "application/json" if as_json else "application/x-www-form-urlencoded"
    body = json.dumps(given_values).encode() if as_json else text.encode()
    call = Call(
        method=method,
        path=path,
        query=text if is_get else "",
        headers={"authorization": auth, "content-type": kind},
        body=b"" if is_get else body,
    )
    return emulator.respond(call, None)


def is_refusal_or_success(answer: Answer) -> bool:
    return 200 <= answer.status < 300 or 400 <= answer.status < 500


@FEW
@given(
    method=methods,
    path=st.sampled_from(SPLUNK_PATHS),
    values_given=arguments(
        "search", "name", "count", "offset", "exec_mode", "earliest_time", "max_count", "username"
    ),
)
def test_splunk_when_the_arguments_are_nonsense_then_it_answers(
    world: Emulators, method: str, path: str, values_given: dict[str, Any]
) -> None:
    auth = f"Bearer {world.splunk.credentials['token']}"

    assert is_refusal_or_success(ask(world.splunk, method, path, values_given, auth, as_json=False))


@FEW
@given(
    method=methods,
    path=st.sampled_from(SLACK_METHODS),
    values_given=values
    | arguments(
        "channel",
        "ts",
        "timestamp",
        "text",
        "blocks",
        "metadata",
        "limit",
        "cursor",
        "oldest",
        "latest",
        "name",
        "user",
        "thread_ts",
        "usergroup",
    ),
    as_json=st.booleans(),
)
def test_slack_when_the_arguments_are_nonsense_then_it_answers(
    world: Emulators, method: str, path: str, values_given: Any, as_json: bool
) -> None:
    auth = f"Bearer {world.slack.credentials['token']}"
    if not world.slack.messages():
        world.slack.say("U0RESPONDA", CHANNEL, "a message that the calls may name")
    known = {"channel": CHANNEL, "text": "x", "ts": world.slack.messages()[0]["ts"]}
    if isinstance(values_given, dict):
        values_given = {**known, **values_given}

    answer = ask(world.slack, method, f"/api/{path}", values_given, auth, as_json=as_json)

    assert answer.status == 200
    assert isinstance(json.loads(answer.body)["ok"], bool)


@FEW
@given(
    method=methods,
    path=st.sampled_from(FALCON_PATHS),
    values_given=values | arguments("ids", "filter", "limit", "offset", "action_name", "token"),
    action=words,
    as_json=st.booleans(),
)
def test_falcon_when_the_arguments_are_nonsense_then_it_answers(
    world: Emulators, method: str, path: str, values_given: Any, action: str, as_json: bool
) -> None:
    falcon = world.falcon
    login = ask(falcon, "POST", "/oauth2/token", falcon.credentials, "", as_json=False)
    auth = f"Bearer {json.loads(login.body)['access_token']}"
    call = Call(
        method=method,
        path=path,
        query=f"action_name={quote(action)}",
        headers={"authorization": auth, "content-type": "application/json"},
        body=json.dumps(values_given).encode(),
    )

    assert is_refusal_or_success(ask(falcon, method, path, values_given, auth, as_json=as_json))
    assert is_refusal_or_success(falcon.respond(call, None))


@FEW
@given(
    method=methods,
    path=st.sampled_from(JIRA_PATHS),
    values_given=values
    | arguments(
        "fields",
        "body",
        "transition",
        "jql",
        "maxResults",
        "nextPageToken",
        "permissions",
        "reconcileIssues",
    )
    | st.fixed_dictionaries(
        {
            "fields": arguments(
                "project", "issuetype", "summary", "description", "labels", "priority"
            )
            | st.fixed_dictionaries(
                {}, optional={name: keyed for name in ("project", "issuetype", "priority")}
            )
        }
    ),
)
def test_jira_when_the_arguments_are_nonsense_then_it_answers(
    world: Emulators, method: str, path: str, values_given: Any
) -> None:
    pair = f"{world.jira.credentials['email']}:{world.jira.credentials['api_token']}"
    auth = "Basic " + base64.b64encode(pair.encode()).decode()

    if isinstance(values_given, dict) and isinstance(values_given.get("fields"), dict):
        values_given = {**values_given, "fields": {**GOOD_FIELDS, **values_given["fields"]}}

    answer = ask(world.jira, method, f"/rest/api/3{path}", values_given, auth, as_json=True)

    assert is_refusal_or_success(answer)
