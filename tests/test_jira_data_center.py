"""Jira Data Center: the connector and its stand-in over real sockets, and the configuration."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from connectors.document import Code, Document, Heading, Paragraph
from connectors.emulators.jira_data_center import JiraDataCenter
from connectors.emulators.jira_requests import PROJECT
from connectors.errors import AuthFailed, OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret, TicketDraft
from connectors.tickets.jira import Jira
from connectors.tickets.wiki import last_line
from runner.config import ConfigFaults, load_config
from tests.fake_clock import FakeClock

BODY = Document((Heading("What happened"), Code("wmic {code} [~admin] \\x"), Paragraph("[a|b]")))
DRAFT = TicketDraft(correlation="case-1", title="wmic on ws-1", body=BODY)


@pytest.fixture
def product() -> Iterator[JiraDataCenter]:
    emulator = JiraDataCenter(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


@pytest.fixture
def jira(product: JiraDataCenter) -> Jira:
    return connect(product)


def connect(product: JiraDataCenter, **given: str) -> Jira:
    named = {"deployment": "data_center", "project": PROJECT, "priorities": {"high": "High"}}
    return Jira(
        name="tickets",
        tenant="main",
        settings=HttpSettings(base_url=product.base_url),
        credentials={k: Secret(v) for k, v in (given or product.credentials).items()},
        options=msgspec.convert(named, Jira.Options),
        runtime=Runtime(clock=product.clock, emulated=True),
    )


def test_ticket_when_opened_commented_and_attached_then_all_is_found_again(
    product: JiraDataCenter, jira: Jira
) -> None:
    assert jira.find_ticket("case-1") is None
    ticket = jira.create_ticket(DRAFT)
    assert jira.find_ticket("case-1") == ticket
    assert not jira.find_comment(ticket, "run/1")
    jira.comment_ticket(ticket, "run/1", BODY)
    assert jira.find_comment(ticket, "run/1")
    assert not jira.find_comment(ticket, "run/2")
    jira.attach_file(ticket, "case.json", b"{}")
    assert jira.find_attachment(ticket, "case.json")
    assert not jira.read_ticket(ticket).is_closed
    [issue] = product.all_issues()
    [comment] = issue["fields"]["comment"]["comments"]
    for text in (issue["fields"]["description"], comment["body"]):
        assert text.startswith("h3. What happened\n\nwmic ")
        assert not set("{}[]") & set(text)
    assert html.unescape(last_line(comment["body"])) == "[stockade:run/1]"
    assert {request.path.split("/")[3] for request in product.requests} == {"2"}


def test_find_comment_when_evidence_imitates_a_marker_then_only_the_last_paragraph_counts(
    jira: Jira,
) -> None:
    ticket = jira.create_ticket(DRAFT)
    jira.comment_ticket(ticket, "run/1", Document((Code("a\n\n[stockade:run/2]"),)))
    assert jira.find_comment(ticket, "run/1")
    assert not jira.find_comment(ticket, "run/2")


def test_find_when_pages_are_short_then_the_oldest_of_three(
    product: JiraDataCenter, jira: Jira
) -> None:
    product.tune(page_size=1)
    oldest = jira.create_ticket(DRAFT)
    jira.create_ticket(DRAFT)
    jira.create_ticket(msgspec.structs.replace(DRAFT, correlation="case-2"))
    assert jira.find_ticket("case-1") == oldest


def test_find_when_the_pages_do_not_grow_then_unavailable_and_no_endless_loop(
    product: JiraDataCenter, jira: Jira
) -> None:
    jira.create_ticket(DRAFT)
    product.misbehave(path="*/search", status=200, body='{"issues": [], "total": 1}')
    with pytest.raises(Unavailable, match="0 of 1"):
        jira.find_ticket("case-1")


def test_create_when_the_answer_is_lost_then_the_ticket_is_found_and_there_is_one(
    product: JiraDataCenter, jira: Jira
) -> None:
    product.misbehave(path="*/issue", lose_answer=True, apply=True)
    with pytest.raises(OutcomeUnknown):
        jira.create_ticket(DRAFT)
    product.behave()
    found = jira.find_ticket("case-1")
    assert found is not None
    assert [issue["key"] for issue in product.all_issues()] == [found.key]


def test_create_when_priority_is_not_on_the_screen_then_the_ticket_says_so(
    product: JiraDataCenter, jira: Jira
) -> None:
    product.tune(refused_fields=("priority",))
    jira.create_ticket(DRAFT)
    [issue] = product.all_issues()
    assert "priority High" in last_line(issue["fields"]["description"])


def test_check_when_all_is_granted_then_ok_and_the_world_is_unchanged(
    product: JiraDataCenter, jira: Jira
) -> None:
    assert [result for result in jira.check() if not result.ok] == []
    assert product.effects() == []


def test_check_when_labels_are_not_on_the_screen_then_named(
    product: JiraDataCenter, jira: Jira
) -> None:
    product.tune(refused_fields=("labels",))
    [bad] = [result for result in jira.check() if not result.ok]
    assert "labels" in str(bad.mend)


def test_find_when_answered_as_to_a_stranger_then_auth_failed_and_never_no_ticket(
    product: JiraDataCenter,
) -> None:
    product.tune(anonymous=True)
    with pytest.raises(AuthFailed, match=r"stranger.*AUTHENTICATED_FAILED"):
        connect(product, token="wrong").find_ticket("case-1")


def test_call_when_sign_ins_failed_too_often_then_the_captcha_is_named(
    product: JiraDataCenter,
) -> None:
    product.tune(captcha_after=2)
    stranger = connect(product, token="wrong")
    for _ in range(2):
        with pytest.raises(AuthFailed, match=r"HTTP 401.*AUTHENTICATED_FAILED"):
            stranger.find_ticket("case-1")
    with pytest.raises(AuthFailed, match=r"HTTP 403: .*CAPTCHA.*\(CAPTCHA_CHALLENGE\)") as fault:
        connect(product).create_ticket(DRAFT)
    assert product.credentials["token"] not in str(fault.value)
    [bad] = connect(product).check()
    assert "in a browser" in str(bad.mend)


def test_call_when_429_says_how_long_then_it_waits_and_is_sent_again(
    product: JiraDataCenter, jira: Jira
) -> None:
    headers = {"Retry-After": "7", "X-RateLimit-FillRate": "1", "X-RateLimit-Remaining": "0"}
    product.misbehave(path="*/issue", status=429, headers=headers, times=1)
    jira.create_ticket(DRAFT)
    assert isinstance(product.clock, FakeClock)
    assert product.clock.sleeps == [7]
    assert len(product.all_issues()) == 1


@pytest.mark.parametrize(
    ("deployment", "given"),
    [("data_center", ("email", "api_token")), ("cloud", ("token",))],
)
def test_connector_when_it_has_the_others_credentials_then_refused(
    deployment: str, given: tuple[str, ...]
) -> None:
    with pytest.raises(Rejected, match=f"deployment {deployment}"):
        Jira(
            name="tickets",
            tenant="main",
            settings=HttpSettings(base_url="https://jira.example.test"),
            credentials={name: Secret("x") for name in given},
            options=Jira.Options(project="SEC", deployment=deployment),
            runtime=Runtime(clock=FakeClock()),
        )


PAIR = "{email: {env: E}, api_token: {env: A}}"
TOKEN = "{token: {env: T}}"
BOTH = "{email: {env: E}, api_token: {env: A}, token: {env: T}}"


def faults_of(tmp_path: Path, credentials: str, deployment: str) -> list[str]:
    file = tmp_path / "config.yaml"
    file.write_text(
        "state_dir: state\nconnectors:\n  desk:\n    type: jira\n"
        f"    base_url: https://jira.example.test\n    credentials: {credentials}\n"
        f"    options: {{project: SEC{deployment}}}\n"
    )
    try:
        load_config(file, {"E": "e@example.test", "A": "made-up-a", "T": "made-up-t"})
    except ConfigFaults as faults:
        return [fault.text for fault in faults.faults]
    return []


@pytest.mark.parametrize(
    ("credentials", "deployment", "said"),
    [
        (PAIR, "", None),
        (PAIR, ", deployment: cloud", None),
        (TOKEN, ", deployment: data_center", None),
        (TOKEN, "", "options.deployment is `cloud`"),
        (PAIR, ", deployment: data_center", "options.deployment is `data_center`"),
        (BOTH, ", deployment: data_center", "gives `email` and `token`"),
        (TOKEN, ", deployment: server", "cloud or data_center"),
    ],
)
def test_config_when_credentials_and_deployment_do_not_fit_then_one_fault_says_so(
    tmp_path: Path, credentials: str, deployment: str, said: str | None
) -> None:
    found = faults_of(tmp_path, credentials, deployment)
    assert len(found) == (said is not None)
    assert all(said in text for text in found if said)
