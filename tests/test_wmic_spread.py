from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.model import Observable
from runner.wmic.accounts import skipped_account
from runner.wmic.events import (
    ExplicitLogon,
    FileWritten,
    ImageLoaded,
    Logon,
    Lookup,
    Process,
    Source,
    Subscription,
)
from runner.wmic.findings import Found, How, Seed, Spread
from runner.wmic.indicators import matches, widened
from runner.wmic.places import Confidence, Places
from runner.wmic.remote import remote_starts
from runner.wmic.spread import spread_of
from tests.event_sets import (
    DC,
    EMPIRE,
    EXECMETHOD,
    HIJACK,
    MSBUILD,
    PERSIST,
    SAME_URL,
    SHARPWMI,
    SUBSCRIPTION,
    T1220,
    W5,
    W6,
    first_at,
    process,
    recorded,
)

AT = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
URL = (
    "https://raw.githubusercontent.com/redcanaryco/atomic-red-team/master/atomics/T1220/src/"
    "wmicscript.xsl"
)
WMIPRVSE = r"C:\Windows\System32\wbem\WmiPrvSE.exe"


def seed_of(name: str, **more: Any) -> Seed:
    return Seed(host=W5, at=first_at(name, W5), user=r"THESHIRE\pgustavo", **more)


def by_how(found: Spread) -> dict[How, list[Found]]:
    kinds: dict[How, list[Found]] = {}
    for one in found.found:
        kinds.setdefault(one.how, []).append(one)
    return kinds


# -- recorded sets: hosts, edges and what must be none ---------------------------------------------


@dataclass(frozen=True)
class Expected:
    name: str
    how: How
    confidence: Confidence
    word: str


@pytest.mark.parametrize(
    "expected",
    [
        Expected(EMPIRE, How.REMOTE_START, Confidence.HIGH, "net.exe"),
        Expected(SHARPWMI, How.REMOTE_START, Confidence.HIGH, "grunthttp2.exe"),
        Expected(HIJACK, How.REMOTE_START, Confidence.MEDIUM, "notepad.exe"),
        Expected(EXECMETHOD, How.REMOTE_START, Confidence.HIGH, "powershell.exe"),
        Expected(MSBUILD, How.REMOTE_START, Confidence.HIGH, "cmd.exe"),
        Expected(SUBSCRIPTION, How.SUBSCRIPTION, Confidence.MEDIUM, "a subscription was made"),
    ],
    ids=lambda expected: expected.name,
)
def test_spread_of_a_recorded_attack_is_workstation6_only(expected: Expected) -> None:
    found = spread_of(seed_of(expected.name, nodes=("WORKSTATION6",)), recorded(expected.name))

    assert found.hosts == (W6,)
    (one,) = by_how(found)[expected.how]
    assert (one.source, one.host, one.confidence) == (W5, W6, expected.confidence)
    assert expected.word in one.what
    assert any("Security 4624 on WORKSTATION6" in ref for ref in one.evidence)
    assert not [other for other in found.found if other.host in (W5, DC)]
    assert How.NAMED not in by_how(found)


def test_spread_of_the_added_account_names_the_account_that_was_made() -> None:
    found = spread_of(seed_of(EMPIRE), recorded(EMPIRE))

    (one,) = by_how(found)[How.REMOTE_START]
    assert "changed account backdoor" in one.what
    assert any("Security 4720" in ref for ref in one.evidence)


def test_spread_of_a_child_in_a_services_session_blames_no_service_account() -> None:
    found = spread_of(seed_of(HIJACK), recorded(HIJACK))

    (one,) = by_how(found)[How.REMOTE_START]
    assert one.account is None
    assert [skipped.account for skipped in found.skipped] == [r"NT AUTHORITY\NETWORK SERVICE"]


@pytest.mark.parametrize("name", [EMPIRE, SHARPWMI, HIJACK, EXECMETHOD, MSBUILD, SUBSCRIPTION])
def test_remote_starts_hold_neither_wmiprvse_itself_nor_what_it_runs_alone(name: str) -> None:
    events = recorded(name)

    found = remote_starts(events, Places(events))

    deeds = [one.deed for one in found]
    assert {deed.host for deed in deeds} == {W6}, "WmiPrvSE ran on WORKSTATION5 too"
    images = [deed.image.rpartition("\\")[2].casefold() for deed in deeds]
    assert "wmiprvse.exe" not in images
    assert len([i for i in images if i]) <= 1, "Security 4688 tells of the same start once more"


def test_spread_of_the_stylesheet_run_finds_no_other_host() -> None:
    """WmiPrvSE runs here too, and calc.exe's Calculator.exe comes from svchost."""
    start = process(T1220, "wmic.exe")
    indicators = (Observable(type="url", value=URL),)

    found = spread_of(
        Seed(host=start.host, at=start.at, user=start.user, indicators=indicators), recorded(T1220)
    )

    assert found.found == ()
    assert remote_starts(recorded(T1220), Places(recorded(T1220))) == []


def test_spread_of_five_hosts_without_a_remote_deed_is_none() -> None:
    """A service's 4648 against localhost, network logons of machines, DNS: nothing of it tells."""
    names = {event.host for event in recorded(PERSIST)}
    host = "IT001.shire.com"
    seed = Seed(host=host, at=first_at(PERSIST, host), user=r"shire\pgustavo")

    found = spread_of(seed, recorded(PERSIST))

    assert len(names) == 5
    assert found.found == ()


# -- the same address on several hosts (synthetic) -------------------------------------------------


def same_url() -> Spread:
    start = process(T1220, "wmic.exe")
    return spread_of(
        Seed(
            host=start.host,
            at=start.at,
            user=start.user,
            indicators=(Observable(type="url", value=URL),),
        ),
        recorded(T1220, SAME_URL),
        fleet_size=200,
    )


def test_spread_by_address_finds_every_host_that_met_it_and_no_other() -> None:
    found = same_url()

    assert {one.host.partition("-SYNTHETIC")[0] for one in found.found} == {
        "HOST-B",
        "HOST-C",
        "HOST-E",
        "HOST-F",
    }
    assert not [one for one in found.found if one.host.startswith("HOST-D")], "an inventory run"


def test_spread_by_address_is_surest_where_the_command_line_has_it() -> None:
    best: dict[str, Confidence] = {}
    for one in same_url().found:
        host = one.host.partition("-SYNTHETIC")[0]
        best[host] = max(best.get(host, Confidence.LOW), one.confidence, key=lambda c: c.rank)

    assert best == {
        "HOST-B": Confidence.HIGH,
        "HOST-C": Confidence.HIGH,
        "HOST-E": Confidence.HIGH,
        "HOST-F": Confidence.LOW,
    }


def test_spread_by_address_is_in_order_of_time() -> None:
    assert same_url().hosts[0].startswith("HOST-C"), "it fetched ten minutes before the alert"


def test_spread_when_most_of_the_fleet_met_it_is_not_selective() -> None:
    lookups = [lookup(f"HOST-{n}", "cdn.example.test") for n in range(30)]
    indicators = (Observable(type="domain", value="cdn.example.test"),)

    found = spread_of(Seed(host="HOST-0", at=AT, indicators=indicators), lookups, fleet_size=100)

    assert found.found == ()
    assert found.hosts == ()
    (wide,) = found.not_selective
    assert (wide.what, wide.hosts, wide.of) == ("domain cdn.example.test", 29, 100)


@pytest.mark.parametrize(
    ("hosts", "fleet", "is_spread"),
    [(4, 10, True), (5, 25, True), (6, 25, False), (50, 100_000, True), (51, 100_000, False)],
)
def test_spread_is_selective_up_to_a_share_and_a_number(
    hosts: int, fleet: int, is_spread: bool
) -> None:
    lookups = [lookup(f"HOST-{n}", "x.example.test") for n in range(1, hosts + 1)]
    indicators = (Observable(type="domain", value="x.example.test"),)

    found = spread_of(Seed(host="HOST-0", at=AT, indicators=indicators), lookups, fleet_size=fleet)

    assert (len(found.hosts), len(found.not_selective)) == ((hosts, 0) if is_spread else (0, 1))


# -- targets, credentials, accounts ----------------------------------------------------------------


def lookup(host: str, asked: str, image: str = r"C:\x\wmic.exe") -> Lookup:
    return Lookup(
        source=Source.SYSMON, id=22, host=host, at=AT, ref=f"22 {host}", image=image, asked=asked
    )


def child(host: str, seconds: float = 1, logon_id: str = "0x99") -> Process:
    return Process(
        source=Source.SYSMON,
        id=1,
        host=host,
        at=AT + timedelta(seconds=seconds),
        ref=f"1 {host} {seconds}",
        guid=f"{host}-{seconds}",
        image=r"C:\Windows\System32\cmd.exe",
        parent_image=WMIPRVSE,
        user=r"CORP\user-a",
        logon_id=logon_id,
    )


def logon(
    host: str, address: str | None, seconds: float = 2, logon_id: str = "0x99", **more: Any
) -> Logon:
    given: dict[str, Any] = {"type": 3, "user": r"CORP\user-a", **more}
    return Logon(
        source=Source.SECURITY,
        id=4624,
        host=host,
        at=AT + timedelta(seconds=seconds),
        ref=f"4624 {host} {seconds}",
        logon_id=logon_id,
        address=address,
        **given,
    )


KNOWN = {"192.0.2.1": "HOST-A", "192.0.2.2": "HOST-B", "192.0.2.3": "HOST-C"}


def test_spread_goes_on_from_a_host_that_was_reached() -> None:
    events = [
        child("HOST-B", 1),
        logon("HOST-B", "192.0.2.1", 2),
        child("HOST-C", 60),
        logon("HOST-C", "192.0.2.2", 61),
    ]

    found = spread_of(Seed(host="HOST-A", at=AT), events, KNOWN)

    starts = [(one.source, one.host) for one in by_how(found)[How.REMOTE_START]]
    assert starts == [("HOST-A", "HOST-B"), ("HOST-B", "HOST-C")]


def test_spread_leaves_out_what_happened_long_before() -> None:
    events = [child("HOST-B", -7200), logon("HOST-B", "192.0.2.1", -7200)]

    assert spread_of(Seed(host="HOST-A", at=AT), events, KNOWN).found == ()


def test_spread_leaves_out_what_another_host_started() -> None:
    events = [child("HOST-B", 1), logon("HOST-B", "192.0.2.3", 1)]

    assert spread_of(Seed(host="HOST-A", at=AT), events, KNOWN).found == ()


def test_spread_of_hosts_in_a_circle_ends() -> None:
    events = [
        child("HOST-B", 1),
        logon("HOST-B", "192.0.2.1", 1),
        child("HOST-A", 2),
        logon("HOST-A", "192.0.2.2", 2),
    ]

    found = spread_of(Seed(host="HOST-A", at=AT), events, KNOWN)

    assert [(one.source, one.host) for one in found.found] == [
        ("HOST-A", "HOST-B"),
        ("HOST-B", "HOST-A"),
    ]


def test_spread_to_a_named_node_where_nothing_ran_says_so_and_is_low() -> None:
    found = spread_of(Seed(host="HOST-A", at=AT, nodes=("host-b", "HOST-A", "nowhere")), [], KNOWN)

    named = by_how(found)[How.NAMED]
    assert sorted(one.host for one in named) == ["HOST-B", "nowhere"]
    assert {one.confidence for one in named} == {Confidence.LOW}
    assert found.hosts == ()
    assert found.gaps == ("the command line names nowhere, of which no event tells",)


def explicit(server: str, **more: Any) -> ExplicitLogon:
    given: dict[str, Any] = {"subject": r"CORP\user-a", "user": r"CORP\adm-b", **more}
    return ExplicitLogon(
        source=Source.SECURITY,
        id=4648,
        host="HOST-A",
        at=AT,
        ref="4648 HOST-A",
        image=r"C:\x\wmic.exe",
        server=server,
        **given,
    )


def test_spread_follows_a_password_that_was_used_against_another_host() -> None:
    found = spread_of(Seed(host="HOST-A", at=AT), [explicit("HOST-B")], KNOWN)

    (one,) = found.found
    assert (one.how, one.host, one.source) == (How.CREDENTIALS, "HOST-B", "HOST-A")
    assert one.account == r"CORP\adm-b"
    assert one.confidence is Confidence.MEDIUM


@pytest.mark.parametrize(
    "event",
    [
        explicit("localhost"),
        explicit("HOST-A"),
        explicit("HOST-B", subject="HOST-A$"),
        explicit("HOST-B", subject_sid="S-1-5-18"),
        explicit("HOST-B", user="HOST-B$"),
    ],
    ids=["localhost", "itself", "machine", "system", "machine account"],
)
def test_spread_of_credentials_that_tell_nothing_is_none(event: ExplicitLogon) -> None:
    assert spread_of(Seed(host="HOST-A", at=AT), [event], KNOWN).found == ()


def test_spread_of_the_account_is_medium_from_a_bad_host_and_low_from_another() -> None:
    events = [
        logon("HOST-B", "192.0.2.1", 5),
        logon("HOST-C", "198.51.100.9", 6),
        logon("HOST-C", "192.0.2.1", 7, user=r"CORP\somebody"),
        logon("HOST-B", "192.0.2.1", 8, is_success=False),
    ]

    found = spread_of(Seed(host="HOST-A", at=AT, user=r"CORP\user-a"), events, KNOWN)

    assert [(one.host, one.confidence) for one in by_how(found)[How.LOGON]] == [
        ("HOST-B", Confidence.MEDIUM),
        ("HOST-C", Confidence.LOW),
    ]


def test_spread_of_an_account_that_is_everywhere_is_not_selective() -> None:
    events = [logon(f"SRV-{n}", "192.0.2.1", n) for n in range(1, 12)]

    found = spread_of(Seed(host="HOST-A", at=AT, user=r"CORP\user-a"), events, KNOWN, fleet_size=40)

    assert found.found == ()
    assert [wide.what for wide in found.not_selective] == [r"account CORP\user-a"]


@pytest.mark.parametrize(
    ("user", "sid"),
    [
        (r"NT AUTHORITY\SYSTEM", ""),
        (r"NT-AUTORITÄT\SYSTEM", "S-1-5-18"),
        (r"AUTORITE NT\Système", ""),
        ("HOST-A$", ""),
        (r"CORP\renamed", "S-1-5-21-1-2-3-500"),
        ("Administrator", ""),
        ("DWM-3", ""),
        ("x", "S-1-5-90-0-3"),
    ],
)
def test_spread_of_a_well_known_account_is_skipped_with_a_reason(user: str, sid: str) -> None:
    events = [logon("HOST-B", "192.0.2.1", 5, user=user)]

    found = spread_of(Seed(host="HOST-A", at=AT, user=user, sid=sid), events, KNOWN)

    assert found.found == ()
    assert [(skipped.account, bool(skipped.why)) for skipped in found.skipped] == [(user, True)]


def test_skipped_account_of_a_person_is_none() -> None:
    assert skipped_account(r"CORP\systemics", "S-1-5-21-1-2-3-1500") is None


def test_spread_of_a_service_accounts_subscription_is_none() -> None:
    made = Subscription(
        source=Source.SYSMON,
        id=19,
        host="HOST-B",
        at=AT,
        ref="19",
        user=r"NT AUTHORITY\SYSTEM",
        operation="Created",
    )

    assert (
        spread_of(Seed(host="HOST-A", at=AT), [made, logon("HOST-B", "192.0.2.1")], KNOWN).found
        == ()
    )


# -- indicators ------------------------------------------------------------------------------------


def test_widened_url_is_looked_for_by_domain_and_file_name_too() -> None:
    found = widened([Observable(type="url", value="https://X.example.test:8443/a/st%79le.xsl?q=1")])

    assert [(one.type, one.value) for one in found[1:]] == [
        ("domain", "x.example.test"),
        ("file", "style.xsl"),
    ]


@pytest.mark.parametrize("url", ["https://[bad", "x", "https://", "https://x.example.test/a"])
def test_widened_url_that_holds_less_gives_less(url: str) -> None:
    found = widened([Observable(type="url", value=url)])

    assert all(one.type in ("url", "domain") for one in found)


def written(path: str, image: str = r"C:\Windows\System32\wbem\wmic.exe") -> FileWritten:
    return FileWritten(
        source=Source.SYSMON, id=11, host="HOST-B", at=AT, ref="11", image=image, path=path
    )


@pytest.mark.parametrize(
    ("path", "confidence"),
    [
        (r"C:\Users\u\AppData\Local\Microsoft\Windows\INetCache\IE\LQ86\style[1].xsl", "high"),
        (r"C:\x\STYLE.XSL", "high"),
        (r"C:\x\mystyle.xsl", None),
        (r"C:\x\style.xsl.bak", None),
    ],
)
def test_matches_of_a_written_file_compares_the_whole_name(
    path: str, confidence: str | None
) -> None:
    assert matches(Observable(type="file", value="style.xsl"), written(path)) == confidence


def test_matches_of_a_file_that_another_program_wrote_is_low() -> None:
    found = matches(Observable(type="file", value="style.xsl"), written(r"C:\style.xsl", "x.exe"))

    assert found is Confidence.LOW


def test_matches_of_a_hash_needs_the_hash() -> None:
    digest = "ab" * 32
    loaded = ImageLoaded(
        source=Source.SYSMON, id=7, host="HOST-B", at=AT, ref="7", path="x.dll", hashes=(digest,)
    )

    assert matches(Observable(type="hash", value=digest.upper()), loaded) is Confidence.HIGH
    assert matches(Observable(type="hash", value="cd" * 32), loaded) is None


@pytest.mark.parametrize(
    ("asked", "is_match"),
    [("example.test", True), ("a.example.test", True), ("badexample.test", False), ("test", False)],
)
def test_matches_of_a_domain_is_by_whole_labels(asked: str, is_match: bool) -> None:
    found = matches(Observable(type="domain", value="example.test"), lookup("HOST-B", asked))

    assert (found is not None) == is_match


def test_matches_of_an_empty_value_is_nothing() -> None:
    assert matches(Observable(type="domain", value=""), lookup("HOST-B", "x.test")) is None


def test_spread_over_many_events_takes_a_moment() -> None:
    events = [child(f"HOST-{n % 500}", n % 50, hex(n)) for n in range(10_000)]
    events_with = [
        *events,
        *(logon(f"HOST-{n % 500}", "192.0.2.1", 1, hex(n)) for n in range(9000)),
    ]
    indicators = tuple(Observable(type="domain", value=f"d{n}.example.test") for n in range(20))
    begun = time.perf_counter()

    spread_of(Seed(host="HOST-A", at=AT, user="u", indicators=indicators), events_with, KNOWN)

    assert time.perf_counter() - begun < 10


# -- targets that stand in a file ------------------------------------------------------------------


def test_spread_of_targets_in_a_file_is_what_the_process_reached_and_low() -> None:
    """The recorded run asked for WORKSTATION6 and connected to it; its line is not looked at."""
    start = process(EMPIRE, "WMIC.exe")
    events = [e for e in recorded(EMPIRE) if not (isinstance(e, Process) and e.host == W6)]
    blind = by_how(spread_of(seed_of(EMPIRE, guid=start.guid), events))
    assert [(one.host, one.confidence) for one in blind[How.REACHED]] == [(W6, Confidence.LOW)]
    assert blind[How.REACHED][0].evidence
    assert spread_of(seed_of(EMPIRE, guid=start.guid), events).hosts == ()


def test_spread_of_targets_in_a_file_where_something_ran_says_that_and_no_more() -> None:
    start = process(EMPIRE, "WMIC.exe")
    kinds = by_how(spread_of(seed_of(EMPIRE, guid=start.guid), recorded(EMPIRE)))
    assert [one.host for one in kinds[How.REMOTE_START]] == [W6]
    assert How.REACHED not in kinds


def test_spread_reached_is_neither_the_stylesheets_server_nor_another_process_doing() -> None:
    start = process(T1220, "WMIC.exe")
    url = Observable(type="url", value=URL)
    seed = Seed(host="WORKSTATION5", at=start.at, indicators=(url,), guid=start.guid or "")
    assert How.REACHED not in by_how(spread_of(seed, recorded(T1220)))
    other = seed_of(EMPIRE, guid="00000000-0000-4000-8000-0000000000ff")
    assert How.REACHED not in by_how(spread_of(other, recorded(EMPIRE)))
