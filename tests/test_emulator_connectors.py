"""Our own connectors against the stand-ins: the same happy path that a run takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors.base import Connector
from connectors.chat.slack import Slack
from connectors.document import Document, Paragraph
from connectors.edr.falcon import Falcon
from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.jira_requests import PROJECT
from connectors.emulators.slack_messages import TEAM
from connectors.emulators.slack_workspace import CHANNEL
from connectors.http import HttpSettings, Runtime
from connectors.model import (
    Answer,
    Card,
    Choice,
    EventQuery,
    IsolationState,
    Operator,
    SavedSearch,
    SearchPhase,
    Secret,
    Term,
    TicketDraft,
    Window,
)
from connectors.siem.splunk.connection import Splunk
from connectors.tickets.jira import Jira
from tests.fake_clock import FakeClock

CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="Isolate"),
    Choice(name="deny", emoji="x", label="Leave it"),
)
BODY = Document((Paragraph("wmic & <format>"),))
_Made = TypeVar("_Made", bound=Connector)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock) -> Iterator[Emulators]:
    with running_emulators(tmp_path, clock) as running:
        yield running


def connector(kind: type[_Made], world: Emulators, clock: FakeClock, **options: Any) -> _Made:
    product = kind.TYPE
    given = world.credentials()[product]
    return kind(
        name=product,
        tenant="emulated",
        settings=HttpSettings(base_url=world.base_urls()[product]),
        credentials={name: Secret(given[name]) for name in kind.CREDENTIALS},
        options=kind.Options(**options),
        runtime=Runtime(clock=clock, emulated=True),
    )


def test_checks_when_run_against_the_stand_ins_then_all_are_good(
    world: Emulators, clock: FakeClock
) -> None:
    checked = [
        *connector(Splunk, world, clock).check(),
        *connector(Falcon, world, clock).check(),
        *connector(Slack, world, clock, channel=CHANNEL, team=TEAM).check(),
        *connector(Jira, world, clock, project=PROJECT).check(),
    ]

    assert [result for result in checked if not result.ok] == []
    assert [effect for emulator in world.all() for effect in emulator.effects()] == []


@pytest.mark.parametrize("version", ["9.2.1", "9.0.1"])
def test_splunk_when_the_saved_search_runs_over_a_window_then_its_rows_come(
    world: Emulators, clock: FakeClock, version: str
) -> None:
    world.splunk.tune(version=version, job_s=2.0)
    splunk = connector(Splunk, world, clock)
    now = int(splunk.server_time().timestamp())
    window = Window(start=now - 600, end=now, event_start=now - 86_400, event_end=now + 86_400)

    job = splunk.start_saved_search(SavedSearch(name="WMIC format hits"), window)
    running = splunk.search_status(job).phase
    clock.advance(2)
    status = splunk.search_status(job)
    rows = list(splunk.fetch_rows(job, status.row_count))
    splunk.cancel_search(job)

    assert (running, status.phase) == (SearchPhase.RUNNING, SearchPhase.COMPLETE)
    assert "WORKSTATION5" in [row["host"] for row in rows]
    assert len(rows) == 4
    assert splunk.search_status(job).phase is SearchPhase.LOST


def test_splunk_when_a_hunt_runs_then_both_hosts_with_the_stylesheet_show(
    world: Emulators, clock: FakeClock
) -> None:
    splunk = connector(Splunk, world, clock)
    wanted = Term(
        fields=("cmdline", "CommandLine"), operator=Operator.CONTAINS, values=("wmicscript.xsl",)
    )
    address = Term(fields=("EventID",), operator=Operator.EQUALS, values=("1",))
    query = EventQuery(
        index="main",
        start=clock.now().replace(hour=0),
        end=clock.now(),
        terms=(wanted, address),
        fields=("host", "process_name"),
    )

    job = splunk.start_event_query(query)
    status = splunk.search_status(job)

    assert status.phase is SearchPhase.COMPLETE
    found = {str(row["host"]) for row in splunk.fetch_rows(job, status.row_count)}
    assert found == {"WORKSTATION5", "WORKSTATION7-SYNTHETIC"}


def test_falcon_when_a_host_is_isolated_and_released_then_the_states_follow(
    world: Emulators, clock: FakeClock
) -> None:
    world.falcon.tune(contain_s=5.0)
    falcon = connector(Falcon, world, clock)
    (device,) = falcon.find_devices(hostname="workstation5")

    states = [device.state]
    for act in (falcon.isolate_host, falcon.release_host):
        act(device.device_id, "test")
        states.append(falcon.read_device(device.device_id).state)
        clock.advance(5)
        states.append(falcon.read_device(device.device_id).state)

    assert states == [
        IsolationState.NORMAL,
        IsolationState.CONTAIN_PENDING,
        IsolationState.CONTAINED,
        IsolationState.RELEASE_PENDING,
        IsolationState.NORMAL,
    ]
    assert len(world.falcon.effects(path="*devices-actions*")) == 2
    assert falcon.count_devices() == 129
    assert falcon.count_devices("dc-*") == 1


def test_slack_when_a_card_is_answered_then_it_reads_back_unchanged_with_the_answer(
    world: Emulators, clock: FakeClock
) -> None:
    slack = connector(Slack, world, clock, channel=CHANNEL, team=TEAM)
    card = Card(key="card-1", fallback="Isolate <WORKSTATION5>?", body=BODY, choices=CHOICES)

    ref = slack.post_card(card)
    slack.seed_choices(ref, CHOICES)
    world.slack.react("U0RESPONDA", ref.channel, ref.id, "white_check_mark")
    reading = slack.read_card(ref)

    assert reading.sha256 == ref.sha256 == slack.card_sha256(card)
    assert reading.answers == (Answer(account="U0RESPONDA", choice="white_check_mark"),)
    assert slack.find_message("card-1") == ref
    world.slack.edit(ref.channel, ref.id, "something else")
    assert slack.read_card(ref).sha256 != ref.sha256
    assert slack.read_account("U0RESPONDA").is_full_member
    assert not slack.read_account("U0GUEST").is_full_member


def test_jira_when_a_ticket_is_kept_then_everything_is_found_again(
    world: Emulators, clock: FakeClock
) -> None:
    jira = connector(Jira, world, clock, project=PROJECT)
    draft = TicketDraft(correlation="case-1", title="wmic /format on WORKSTATION5", body=BODY)

    ticket = jira.create_ticket(draft)
    jira.comment_ticket(ticket, "step-1", BODY)
    jira.attach_file(ticket, "report.json", b"{}")

    assert jira.find_ticket("case-1") == ticket
    assert jira.find_comment(ticket, "step-1")
    assert jira.find_attachment(ticket, "report.json")
    assert not jira.read_ticket(ticket).is_closed
