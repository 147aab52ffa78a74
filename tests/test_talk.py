"""Does an isolated host still talk? What may be said of it, by its events (`runner/talk.py`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from connectors.model import Row
from runner.config import Hunts
from runner.journal.talk_records import TalkVerdict
from runner.talk import Heard, address_of, agreeing, judge, read_events, twins

SINCE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=15)
FOREIGN = "198.51.100.9"
EDR = "203.0.113.7"
OWN = "192.0.2.50"


def row(kind: str, minutes: float, host: str = "WS-1", **more: Any) -> Row:
    """An event so many minutes after the isolation."""
    at = SINCE + timedelta(minutes=minutes)
    return {"_time": at.isoformat(), "EventCode": kind, "Computer": host, **more}


def connection(minutes: float, to: str = FOREIGN, host: str = "WS-1", **more: Any) -> Row:
    facts = {"SourceIp": OWN, "DestinationIp": to, "DestinationPort": "443", "Initiated": "true"}
    image = r"C:\Users\Public\x.exe"
    return row("3", minutes, host, **{**facts, "Image": image, **more})


def netbios(minutes: float, to: str = "192.0.2.255", **more: Any) -> Row:
    facts = {"DestinationPort": "137", "Protocol": "udp", "Image": "System"}
    return connection(minutes, to, **{**facts, **more})


def heard(**rows: list[Row]) -> Heard:
    """Everything is as it should be, but for the rows that are named."""
    usual: dict[str, list[Row]] = {
        "before": [connection(-25), connection(-10)],
        "connections": [connection(3, EDR)],
        "others": [row("1", 2), row("1", 14)],
        "peers": [connection(13, host="WS-2"), connection(14, host="WS-3")],
    }
    events = {name: tuple(read_events(found, "splunk", Hunts())) for name, found in usual.items()}
    events |= {name: tuple(read_events(found, "splunk", Hunts())) for name, found in rows.items()}
    return Heard(
        since=SINCE,
        until=UNTIL,
        looked_at=UNTIL + timedelta(minutes=5),
        margin=timedelta(minutes=1),
        asked_at=SINCE - timedelta(minutes=2),
        back=timedelta(hours=1),
        allowed=(ip_network("203.0.113.0/28"),),
        own=tuple(filter(None, [address_of(OWN)])),
        **events,
    )


def test_judge_when_heard_and_no_connection_is_then_silent_and_says_until_when_and_by_what() -> (
    None
):
    judged = judge(heard())
    assert judged.verdict is TalkVerdict.SILENT
    assert judged.foreign == ()
    assert judged.text.startswith("confirmed by silence until 2026-11-25 12:14:00 UTC: ")
    assert "1 allowed connections, 2 starts of processes" in judged.text
    assert "2 other host(s) are heard meanwhile" in judged.text


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ({"before": []}, "no connection of it was heard before the isolation either"),
        # It spoke with nobody whom an isolation would have cut off.
        ({"before": [connection(-5, EDR)]}, "was heard before the isolation either"),
        ({"peers": []}, "the feed is behind"),
        ({"peers": [connection(2, host="WS-2")]}, "the feed is behind"),
        ({"others": [], "connections": []}, "nothing at all of it is heard since"),
        ({"others": [row("1", -5)], "connections": []}, "nothing at all of it is heard since"),
        ({"others": [row("1", 2)]}, "it is heard only until 2026-11-25 12:03:00 UTC"),
        ({"connections": [connection(3, "no address")]}, "whose other end cannot be read"),
        ({"before": [connection(-59), connection(-10)]}, "it spoke too rarely before: not between"),
        ({"before": [connection(-59), connection(-25)]}, "it spoke too rarely before: not between"),
        # What is dated in time to come is of a clock that is ahead, and happened who knows when.
        ({"others": [row("1", 2), row("1", 55)]}, "its clock is ahead: an event of it is dated"),
        ({"others": [row("1", 2), row("1", 20.5)]}, "it is heard only until 2026-11-25 12:03:00"),
        ({"peers": [connection(55, host="WS-2")]}, "the feed is behind"),
        ({"changes": [row("4", -20)]}, "its logging was changed or stopped, the last time at"),
        ({"changes": [row("16", 1)]}, "its logging was changed or stopped"),
        ({"changes": [row("255", 9)]}, "its logging was changed or stopped"),
        # That somebody else names it beside itself is no sign of its life.
        ({"others": [], "connections": [connection(9, EDR, dest="OTHER")]}, "nothing at all of it"),
        ({"connections": [netbios(9)]}, "it sent NetBIOS to 192.0.2.255 at 2026-11-25 12:09:00"),
        ({"before": [netbios(-25), netbios(-10)]}, "was heard before the isolation either"),
    ],
)
def test_judge_when_silence_proves_nothing_then_unproved_and_says_why(
    rows: dict[str, list[Row]], why: str
) -> None:
    judged = judge(heard(**rows))
    assert judged.verdict is TalkVerdict.UNPROVED
    assert judged.text.startswith("not confirmed by silence: ")
    assert why in judged.text


def test_judge_when_a_search_was_not_whole_then_unproved_however_silent() -> None:
    judged = judge(msgspec.structs.replace(heard(), gaps=("incomplete: more than 1000 events",)))
    assert judged.verdict is TalkVerdict.UNPROVED
    assert "incomplete: more than 1000 events" in judged.text


def test_judge_when_a_connection_is_seen_then_a_contradiction_whatever_else_is_missing() -> None:
    lacking = heard(connections=[connection(9)], before=[], peers=[], others=[])
    judged = judge(msgspec.structs.replace(lacking, gaps=("not searched: an outage",)))
    assert judged.verdict is TalkVerdict.TALKING
    assert judged.foreign == (FOREIGN,)
    assert judged.text.startswith("CONTRADICTION: isolated, says the EDR, yet it talks: ")
    assert f"{FOREIGN} port 443 (x.exe)" in judged.text
    assert "Treat it as NOT contained" in judged.text


def test_judge_when_somebody_reaches_it_then_who_reached_it_is_the_other_end() -> None:
    inward = connection(9, OWN, SourceIp="192.0.2.77", SourcePort="50123", Initiated="false")
    assert judge(heard(connections=[inward])).foreign == ("192.0.2.77",)


@pytest.mark.parametrize(
    "peer",
    [EDR, f"::ffff:{EDR}", OWN, "127.0.0.1", "::1", "ff02::1%12", "224.0.0.252", "255.255.255.255"],
)
def test_judge_when_it_is_itself_everybody_or_allowed_then_no_contradiction(peer: str) -> None:
    assert judge(heard(connections=[connection(9, peer)])).verdict is TalkVerdict.SILENT


@pytest.mark.parametrize("peer", ["fe80::1234", "fe80::1234%12", "169.254.7.9"])
def test_judge_when_it_speaks_with_a_neighbor_on_its_link_then_a_contradiction(peer: str) -> None:
    judged = judge(heard(connections=[connection(5, peer, DestinationPort="445")]))
    assert judged.verdict is TalkVerdict.TALKING
    assert judged.foreign == (peer.partition("%")[0],)


def test_judge_when_both_ends_are_one_address_of_the_link_then_it_speaks_with_itself() -> None:
    itself = connection(9, "fe80::1234%12", SourceIp="fe80::1234%7")
    assert judge(heard(connections=[itself])).verdict is TalkVerdict.SILENT


@pytest.mark.parametrize(
    "call",
    [
        netbios(9, "198.51.100.255"),
        netbios(9, "192.0.2.254"),
        netbios(9, Protocol="tcp"),
        netbios(9, DestinationPort="445"),
    ],
)
def test_judge_when_it_is_not_netbios_to_its_own_net_then_a_contradiction(call: Row) -> None:
    assert judge(heard(connections=[call])).verdict is TalkVerdict.TALKING


def test_judge_when_it_is_heard_after_what_is_surely_in_then_silent_only_until_that() -> None:
    judged = judge(heard(others=[row("1", 17)]))
    assert judged.text.startswith("confirmed by silence until 2026-11-25 12:15:00 UTC: ")


def test_judge_when_it_looks_back_less_far_then_it_must_have_spoken_in_both_halves() -> None:
    short = msgspec.structs.replace(heard(), back=timedelta(minutes=20))
    assert "too rarely" in judge(short).text
    both = msgspec.structs.replace(
        heard(before=[connection(-14), connection(-10)]), back=timedelta(minutes=20)
    )
    assert judge(both).verdict is TalkVerdict.SILENT


def test_agreeing_when_a_twin_of_another_domain_is_heard_then_it_is_left_out_and_named() -> None:
    hosts = ("WS-1", "ws-1.a.test", "WS-1.b.test")
    events = read_events([row("1", 2, host=host) for host in hosts], "splunk", Hunts())
    assert [one.host for one in agreeing(events, "WS-1.a.test")] == ["WS-1", "ws-1.a.test"]
    assert twins(events, "WS-1.a.test") == (
        "2 hosts of that name are heard: ws-1.a.test, ws-1.b.test"
    )
    assert twins(events, "WS-1") is not None
    assert twins(events[:2], "WS-1.a.test") is None
    assert twins(events[:1], "WS-1") is None


def test_judge_when_the_connection_was_before_the_isolation_then_no_contradiction() -> None:
    # Searches are widened to whole seconds, and clocks differ: what lies before counts as before.
    early = connection(-0.01)
    assert judge(heard(connections=[early, connection(9, EDR)])).verdict is TalkVerdict.SILENT


def test_judge_when_many_are_spoken_with_then_five_are_shown_and_the_rest_is_counted() -> None:
    many = [connection(9, f"198.51.100.{number}") for number in range(1, 9)]
    judged = judge(heard(connections=many))
    assert len(judged.foreign) == 8
    assert judged.text.count("port 443") == 5
    assert "and 3 more" in judged.text


def test_judge_when_the_image_is_hostile_then_it_is_one_short_visible_text() -> None:
    hostile = connection(9, Image="C:\\x\\" + "\u202e\n[a](b)" * 50, DestinationPort="4\n43")
    text = judge(heard(connections=[hostile])).text
    assert "\n" not in text
    assert "\u202e" not in text
    assert len(text) < 500


def test_events_when_a_row_has_no_time_then_it_says_nothing() -> None:
    assert read_events([{"EventCode": "3", "DestinationIp": FOREIGN}], "splunk", Hunts()) == []
