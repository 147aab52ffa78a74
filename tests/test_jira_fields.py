"""Custom fields of a ticket: by id or by name, with constants and the case's own values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from responses import RequestsMock

from connectors.document import Document
from connectors.errors import Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft
from connectors.tickets.jira import Jira
from connectors.tickets.jira_fields import filled
from tests.fake_clock import FakeClock
from tests.jira_documents import BASE, assert_in_vendor_document
from tests.strict_responses import StrictRegistry
from tests.world import running_world
from tests.world_settings import HOST

META = f"{BASE}/rest/api/3/issue/createmeta/SEC/issuetypes"
VALUES = {"host": "WS-042", "severity": "critical", "assessment": "malicious"}


@pytest.fixture
def api() -> Iterator[RequestsMock]:
    with RequestsMock(registry=StrictRegistry, assert_all_requests_are_fired=True) as mock:
        yield mock
        for call in mock.calls:
            assert_in_vendor_document(call.request)


def make(**fields: Any) -> Jira:
    return Jira(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=BASE),
        credentials={
            "email": Secret("bot@example.test"),
            "api_token": Secret("token-0001-5ec2e75ec2e7"),
        },
        options=msgspec.convert({"project": "SEC", "fields": fields}, Jira.Options),
        runtime=Runtime(clock=FakeClock()),
    )


def draft(**values: str) -> TicketDraft:
    return TicketDraft(
        correlation="case-1", title="t", body=Document(()), values={**VALUES, **values}
    )


def screen(api: RequestsMock, *named: tuple[str, str]) -> None:
    api.get(META, json={"issueTypes": [{"id": "3", "name": "Task"}], "total": 1})
    fields = [{"fieldId": key, "name": name} for key, name in named]
    api.get(f"{META}/3", json={"fields": fields, "total": len(fields)})


def created(api: RequestsMock) -> None:
    api.post(f"{BASE}/rest/api/3/issue", status=201, json={"id": "1", "key": "SEC-1"})


def sent(api: RequestsMock) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(api.calls[-1].request.body or b"")["fields"]
    return {key: value for key, value in fields.items() if key.startswith("customfield_")}


def test_fields_when_called_by_name_then_sent_by_id_and_looked_up_once(api: RequestsMock) -> None:
    screen(api, ("summary", "Summary"), ("customfield_7", "Affected host"))
    created(api)
    created(api)
    jira = make(**{"Affected host": {"case": "host"}, "customfield_9": {"value": "Blue"}})
    jira.create_ticket(draft())
    jira.create_ticket(draft(host="WS-043"))
    assert sent(api) == {"customfield_7": "WS-043", "customfield_9": {"value": "Blue"}}
    assert len(api.calls) == 4


def test_fields_when_all_are_ids_then_no_screen_is_read(api: RequestsMock) -> None:
    created(api)
    make(customfield_9=[{"value": {"case": "severity"}}]).create_ticket(draft())
    assert sent(api) == {"customfield_9": [{"value": "critical"}]}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ((("customfield_7", "Host"),), "is called Affected host; there are: Host"),
        ((("environment", "Affected host"),), "is called Affected host; there are: none"),
        (
            (("customfield_7", "Affected host"), ("customfield_8", "Affected host")),
            "several custom fields are called Affected host: customfield_7, customfield_8",
        ),
    ],
)
def test_fields_when_a_name_is_not_sure_then_nothing_is_opened_and_check_says_so(
    api: RequestsMock, named: tuple[tuple[str, str], ...], said: str
) -> None:
    jira = make(**{"Affected host": {"case": "host"}})
    screen(api, *named)
    with pytest.raises(Rejected, match=said):
        jira.create_ticket(draft())
    api.get(f"{BASE}/rest/api/3/myself", json={"accountId": "a", "active": True})
    api.get(f"{BASE}/rest/api/3/mypermissions", json={"permissions": {}})
    screen(api, *named)
    assert said in str(jira.check()[-1].mend)


def test_fields_when_the_screen_cannot_be_read_then_unavailable_and_nothing_is_opened(
    api: RequestsMock,
) -> None:
    api.get(META, json={"issueTypes": None})
    with pytest.raises(Unavailable):
        make(Host={"case": "host"}).create_ticket(draft())


@given(st.text(max_size=40))
def test_value_when_it_is_the_attackers_then_a_plain_word_or_not_at_all(host: str) -> None:
    said = filled({"case": "host"}, {"host": host})
    assert said in (host, "unknown", "unusual value")
    assert not set(said) & set("{}[]|*!@\\+^~?#<>:/()&\n")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Host": {"case": "password"}}, "severity, assessment, host, case, search, playbook"),
        ({"Host": [{"value": {"case": "user"}}]}, "not \\['user'\\]"),
        ({"priority": {"name": "High"}}, "by id .* or name"),
        ({"customfield_x": "x"}, "by id .* or name"),
        ({" Host": "x"}, "by id .* or name"),
        ({"Host": ""}, "gives no value"),
    ],
)
def test_options_when_a_field_is_wrong_then_refused_at_load(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        make(**fields)


def test_fields_when_a_case_opens_its_ticket_then_its_own_values_stand_there(
    tmp_path: Path,
) -> None:
    fields = {
        "Host": {"case": "host"},
        "Judged": {"value": {"case": "assessment"}},
        "Severity": {"case": "severity"},
        "Source": {"case": "search"},
    }
    priorities = {"high": "Highest"}
    changes = {"connectors": {"jira": {"options": {"fields": fields, "priorities": priorities}}}}
    with running_world(tmp_path, changes) as world:
        names = {f"customfield_{n}": name for n, name in enumerate(fields)}
        world.jira.tune(custom_fields=names)
        world.arm()
        world.hit()
        world.tick()
        (issue,) = world.jira.all_issues()
        told = {name: issue["fields"].get(key) for key, name in names.items()}
        assert told == {
            "Host": HOST.lower(),
            "Judged": {"value": "malicious"},
            "Severity": "high",
            "Source": "wmic_format_hits",
        }
        assert issue["fields"]["priority"] == {"name": "Highest"}
