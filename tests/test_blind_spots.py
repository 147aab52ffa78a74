"""What a hunt did not see is said on the card, in the ticket and in the graph, and never reads as
"no spread"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.case_graph import graph_of
from runner.journal.records import ApprovalState
from tests.polling import store_many
from tests.world import World, running_world
from tests.world_settings import HOST, malicious

GUID = "{00000000-0000-4000-8000-0000000000aa}"
WMIC = r"C:\Windows\System32\wbem\WMIC.exe"
URL_LINE = malicious()
OTHER = "WORKSTATION50"
"""A host that the stand-in's EDR knows."""
JOBS = "POST /services/search/v2/jobs"
CLEAN = ("no other host used", "no event shows that anything was started")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        yield found


def sysmon(world: World, number: int, host: str = HOST, age_s: float = 20, **facts: Any) -> None:
    raw = {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": number,
        "Hostname": host,
        "ProcessGuid": GUID,
        "Image": WMIC,
        **facts,
    }
    world.splunk.add_event(raw, age_s=age_s, index_age_s=age_s)


def same_line(world: World, host: str, age_s: float = 300) -> None:
    """The same stylesheet on another host, by a renamed copy that the saved search does not see."""
    sysmon(
        world,
        1,
        host,
        age_s,
        CommandLine=URL_LINE.replace("wmic ", "updater.exe ", 1),
        Image=r"C:\Users\Public\updater.exe",
        OriginalFileName="wmic.exe",
        User=r"CORP\user50",
        ProcessGuid=f"{{00000000-0000-4000-8000-{abs(hash(host)) % 16**12:012x}}}",
    )


def remote(nodes: str) -> str:
    return rf"wmic /node:{nodes} process list /format:D:\tools\one.xsl"


def settled(world: World, minutes: int = 12) -> None:
    """Until the hunts have ended and people have refused what they were asked."""
    for _ in range(minutes):
        world.tick()
        world.clock.advance(60)
    for question in world.questions(ApprovalState.OPEN):
        world.no(question)
    for _ in range(3):
        world.tick()
        world.clock.advance(30)


def ticket(world: World) -> str:
    return "\n".join(world.ticket_texts())


def blind_in_graph(world: World) -> str:
    case = world.case()
    with world.journal.read() as tx:
        graph = graph_of(tx, case)
    assert graph is not None
    return "\n".join(graph.blind_spots)


def result(world: World) -> dict[str, Any]:
    (run,) = world.runs()
    (found,) = [s.value for key, s in world.steps(run).items() if key.endswith("#result")]
    assert isinstance(found, dict)
    return found


# -- each reads as a blind spot --------------------------------------------------------------------


def refused(world: World) -> None:
    world.splunk.misbehave(
        method="POST", path="*/search/v2/jobs", status=403, body="{}", times=None
    )


def partial(world: World) -> None:
    for _ in range(60):
        world.splunk.spoil_job(messages=(("WARN", "peer idx2 is down"),))


def after(world: World, searches: int, then: Callable[[], None]) -> None:
    """Do something just before the search of this number."""

    def count() -> None:
        if searches > 1:
            after(world, searches - 1, then)
        else:
            then()

    world.before.append((JOBS, count))


def edr_refuses(world: World) -> None:
    for method in ("GET", "POST"):
        world.falcon.misbehave(method=method, path="/devices/*", status=403, body="{}", times=None)


@pytest.mark.parametrize(("spoil", "words"), [(refused, "403"), (partial, "idx2")])
def test_hunt_whose_searches_fail_is_a_blind_spot_everywhere_and_no_good_news(
    world: World, spoil: Callable[[World], None], words: str
) -> None:
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID)
    world.before.append((JOBS, lambda: spoil(world)))
    settled(world)
    assert result(world)["outcome"] in ("not_searched", "incomplete")
    assert words in ticket(world)
    assert words in blind_in_graph(world)
    assert not any(clean in ticket(world) for clean in CLEAN)


def test_hunt_of_more_hosts_than_are_watched_says_so_everywhere(world: World) -> None:
    nodes = ",".join(f"SRV-{number}" for number in range(40))
    world.hit(cmdline=remote(nodes), ProcessGuid=GUID)
    settled(world)
    said = "whether Sysmon saw 35 more hosts"
    assert said in ticket(world)
    assert said in blind_in_graph(world)
    assert not any(clean in ticket(world) for clean in CLEAN)


def test_hunt_when_the_edr_fails_in_the_middle_says_so_everywhere(world: World) -> None:
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID)
    same_line(world, OTHER)
    after(world, searches=9, then=lambda: edr_refuses(world))
    settled(world)
    said = f"{OTHER}: NOT looked up in the EDR, so nobody is asked"
    assert [host["host"] for host in result(world)["hosts"]] == [OTHER]
    assert said in ticket(world)
    assert said in blind_in_graph(world)
    assert not any(clean in ticket(world) for clean in CLEAN)


def test_address_that_the_whole_fleet_uses_is_not_selective_everywhere(world: World) -> None:
    for number in range(40):
        same_line(world, f"WORKSTATION{number + 10}")
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID)
    settled(world)
    assert result(world)["outcome"] == "not_selective"
    assert result(world)["targets"] == []
    assert "not selective" in ticket(world)
    assert "not selective" in blind_in_graph(world)
    assert not any(clean in ticket(world) for clean in CLEAN)
    assert [len(one.items) for one in world.questions()] == [1], "nobody but the alert's host"


def test_named_host_of_which_sysmon_says_nothing_is_a_blind_spot_everywhere(world: World) -> None:
    world.hit(cmdline=remote(OTHER), ProcessGuid=GUID)
    settled(world)
    said = f"{OTHER}: no Sysmon event in the window, so what ran there is not known"
    assert result(world)["outcome"] == "incomplete"
    assert said in ticket(world)
    assert said in blind_in_graph(world)
    assert not any(clean in ticket(world) for clean in CLEAN)


def test_busy_host_is_no_blind_spot_though_not_all_of_its_events_are_read(world: World) -> None:
    store_many(world.splunk, 1100, host=HOST, spread_s=800)
    for event in world.splunk.events[-1100:]:
        event.row.update(process_name="cmd.exe", cmdline="cmd.exe", CommandLine="cmd.exe")
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID)
    settled(world)
    assert result(world)["outcome"] == "none_found"
    assert "more than 1000 events" not in ticket(world)


def test_wave_says_on_its_card_what_was_not_seen(world: World) -> None:
    same_line(world, OTHER)
    line = URL_LINE.replace("wmic ", "wmic /node:SRV-9 ", 1)
    world.hit(cmdline=line, ProcessGuid=GUID)
    for _ in range(4):
        world.tick()
        world.clock.advance(20)
    cards = [str(message) for message in world.cards()]
    (wave,) = [card for card in cards if f"ISOLATE {OTHER}?" in card]
    assert "SRV-9: no Sysmon event in the window" in wave


def test_way_back_that_is_longer_than_its_bounds_says_so_everywhere(world: World) -> None:
    """Parents without end: origin asks for so many, and names where it stopped."""
    for number in range(40):
        sysmon(
            world,
            1,
            age_s=60,
            Image=r"C:\Windows\System32\cmd.exe",
            CommandLine="cmd.exe",
            ProcessGuid=chained(number),
            ParentProcessGuid=chained(number + 1),
            ParentImage=r"C:\Windows\System32\cmd.exe",
        )
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID, ParentProcessGuid=chained(0))
    settled(world)
    said = "no event shows the start of cmd.exe"
    assert said in ticket(world)
    assert said in blind_in_graph(world)


def chained(number: int) -> str:
    return f"{{00000000-0000-4000-a000-{number:012x}}}"


def test_targets_in_a_file_are_unresolved_and_what_the_process_reached_is_named(
    world: World,
) -> None:
    line = r"wmic /node:@C:\lists\all.txt process list /format:D:\tools\one.xsl"
    world.hit(cmdline=line, ProcessGuid=GUID)
    sysmon(world, 22, QueryName="SRV-9", QueryResults="::ffff:192.0.2.99;")
    settled(world)
    assert result(world)["outcome"] == "incomplete"
    for text in (ticket(world), blind_in_graph(world)):
        assert r"stand in a file, C:\lists\all.txt" in text
        assert "SRV-9: no Sysmon event in the window" in text
    assert "wmic reached SRV-9, where nothing was seen to run" in ticket(world)


def test_host_that_speaks_soon_after_the_alert_was_not_silent(world: World) -> None:
    world.hit(cmdline=URL_LINE, ProcessGuid=GUID, age_s=240)
    same_line(world, OTHER, age_s=200)
    settled(world)
    assert f"{OTHER}: Sysmon was silent" not in ticket(world)


# -- where the account went ------------------------------------------------------------------------


def logon(world: World, host: str, age_s: float, address: str) -> None:
    raw = {
        "Channel": "Security",
        "EventID": 4624,
        "Hostname": host,
        "LogonType": 3,
        "TargetUserName": "wardog",
        "TargetDomainName": "WORKGROUP",
        "TargetLogonId": "0x99",
        "IpAddress": address,
    }
    world.splunk.add_event(raw, age_s=age_s, index_age_s=age_s)


def test_account_is_followed_from_wherever_it_came_and_proposes_nobody(tmp_path: Path) -> None:
    with running_world(tmp_path, {"hunts": {"security_index": "wineventlog"}}) as world:
        world.arm()
        world.hit(cmdline=URL_LINE, ProcessGuid=GUID, age_s=200)
        logon(world, OTHER, 100, "192.0.2.200")
        settled(world)
        found = [one for one in result(world)["spread"]["found"] if one["how"].startswith("logon")]
        assert [(one["host"], one["confidence"]) for one in found] == [(OTHER, "low")]
        assert result(world)["targets"] == []


def test_account_that_is_everywhere_is_not_selective_everywhere(tmp_path: Path) -> None:
    with running_world(tmp_path, {"hunts": {"security_index": "wineventlog"}}) as world:
        world.arm()
        world.hit(cmdline=URL_LINE, ProcessGuid=GUID, age_s=200)
        for number in range(60):
            logon(world, f"WORKSTATION{number + 10}", 100, "192.0.2.200")
        settled(world)
        said = "not selective: account WORKGROUP\\wardog on 60"
        assert said in ticket(world)
        assert said in blind_in_graph(world)
