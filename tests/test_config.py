"""The configuration: secrets, modes, roles, approvers; every fault at once, with its place."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, get_args

import jsonschema
import msgspec
import pytest
import yaml

from connectors.base import Connector, Effect
from connectors.model import Secret
from connectors.registry import CONNECTORS, PRODUCTS, load_connector, load_product
from runner.alerts import DEFAULT_FIELDS
from runner.config import Config, ConfigFaults, Mode, load_config
from runner.config_shapes import AccountsShape, ConfigShape, Fields
from runner.editor_schema import config_schema

ROOT = Path(__file__).parent.parent
ENVIRON = {
    name: f"secret-of-{name.lower()}"
    for name in (
        "SPLUNK_TOKEN",
        "FALCON_CLIENT_ID",
        "FALCON_CLIENT_SECRET",
        "SLACK_BOT_TOKEN",
        "JIRA_EMAIL",
        "JIRA_API_TOKEN",
        "RT_TOKEN",
        "TOKEN",
    )
}


class _FakeChat(Connector):
    """A chat product of its own, so that these tests stand apart from the real connectors."""

    TYPE: ClassVar[str] = "slack"
    ROLE: ClassVar[str] = "chat"
    CREDENTIALS: ClassVar[tuple[str, ...]] = ("token",)

    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        channel: str = "C0"
        limit: int = 1

        def __post_init__(self) -> None:
            if self.limit > 9:
                raise ValueError("limit is at most 9")


class _FakeSiem(_FakeChat):
    TYPE = "siem"
    ROLE = "siem"


class _FakeEdr(_FakeChat):
    TYPE = "edr"
    ROLE = "edr"


class _FakeTickets(_FakeChat):
    TYPE = "tickets"
    ROLE = "tickets"


class _FakeMatrix(_FakeChat):
    TYPE = "matrix"


FAKES: dict[str, type[Connector]] = {
    cls.TYPE: cls for cls in (_FakeChat, _FakeMatrix, _FakeSiem, _FakeEdr, _FakeTickets)
}

ACTING = """\
mode: act
state_dir: state
people:
  alex: {slack: U01, os_user: alex}
  kim: {slack: U02}
  pat: {os_user: pat}
connectors:
  siem1: {type: siem, base_url: "https://siem.example.test", credentials: {token: {env: TOKEN}}}
  edr1: {type: edr, base_url: "https://edr.example.test", credentials: {token: {env: TOKEN}}}
  chat1: {type: slack, base_url: "https://chat.example.test", credentials: {token: {env: TOKEN}}}
  desk1: {type: tickets, base_url: "https://desk.example.test", credentials: {token: {env: TOKEN}}}
roles: {siem: siem1, edr: edr1, chat: chat1, tickets: desk1}
searches:
  hits: {saved_search: wmic hits, playbook: wmic-format}
approvals: {approvers: [alex, kim]}
guards:
  protected_file: protected.txt
  allowed_effects: [investigate, notify, document, contain, release]
"""

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, ENVIRON, load=lambda name: FAKES[name])

    return load_text


def faults_of(load: Load, text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ConfigFaults) as caught:
        load(text)
    assert all(fault.mend for fault in caught.value.faults)
    return [(fault.line, fault.column, fault.code) for fault in caught.value.faults]


def codes_of(load: Load, text: str) -> list[str]:
    return [code for _, _, code in faults_of(load, text)]


def changed(old: str, new: str) -> str:
    assert ACTING.count(old) == 1, old
    return ACTING.replace(old, new)


def test_config_when_nothing_is_configured_only_observes(load: Load, tmp_path: Path) -> None:
    config = load("state_dir: state\n")
    assert config.mode is Mode.OBSERVE
    assert not {Effect.CONTAIN, Effect.RELEASE} & config.guards.allowed_effects
    assert config.state_dir == tmp_path / "state"
    assert config.warnings == ("searches: none is configured, so nothing is polled",)


def test_config_when_complete_is_typed_and_without_warnings(load: Load, tmp_path: Path) -> None:
    config = load(ACTING)
    assert config.mode is Mode.ACT
    assert config.approvals.approvers == ("alex", "kim")
    assert config.guards.protected_file == tmp_path / "protected.txt"
    assert config.guards.budget.per_hour == 3
    assert config.searches["hits"].saved_search.name == "wmic hits"
    assert config.connectors["edr1"].credentials["token"].reveal() == "secret-of-token"
    assert config.connectors["edr1"].tenant == "default"
    assert config.warnings == ()


def test_config_of_the_example_loads_with_the_real_connectors() -> None:
    config = load_config(ROOT / "config.example.yaml", ENVIRON)
    assert config.mode is Mode.OBSERVE
    assert set(config.roles) == {"siem", "edr", "chat", "tickets"}
    # Of two products for one role, one stands in a comment.
    said = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    assert [name for name in CONNECTORS if f" type: {name}\n" not in said] == []
    assert config.warnings == ()


def test_config_of_the_example_in_act_mode_needs_nothing_more(tmp_path: Path) -> None:
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("mode: observe", "mode: act"), encoding="utf-8")
    assert load_config(path, ENVIRON).mode is Mode.ACT


def test_config_with_ten_faults_gives_ten_messages_in_order(load: Load) -> None:
    text = """\
version: 2
mode: on
stat_dir: x
people:
  alex: {slack: U01, slack: U02}
connectors:
  chat1:
    type: slck
    base_url: https://chat.example.test
  edr1:
    type: edr
    base_url: http://edr.example.test
    credentials: {token: hunter2}
    settle_s: 5
roles: {edr: chat1}
approvals: {approvers: ["*"]}
"""
    with pytest.raises(ConfigFaults) as caught:
        load(text)
    found = [(fault.line, fault.column, fault.code) for fault in caught.value.faults]
    assert found == [
        (1, 1, "config-path"),
        (1, 10, "schema-value"),
        (2, 7, "yaml-word"),
        (3, 1, "schema-unknown"),
        (5, 22, "yaml-duplicate"),
        (8, 11, "config-type"),
        (12, 15, "config-url"),
        (13, 26, "schema-type"),
        (14, 15, "config-settle"),
        (16, 25, "config-approver"),
    ]
    assert "hunter2" not in str(caught.value)


def test_config_that_cannot_be_read_is_a_fault_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        load_config(tmp_path / "nothing.yaml", {})
    assert [fault.code for fault in caught.value.faults] == ["config-file"]
    path = tmp_path / "latin.yaml"
    path.write_bytes("state_dir: f\u00fcr\n".encode("latin-1"))
    with pytest.raises(ConfigFaults) as caught:
        load_config(path, {})
    assert [fault.code for fault in caught.value.faults] == ["yaml-encoding"]


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "literal",
    [
        "*hunter2",
        "!hunter2",
        "&hunter2",
        "{env: hunter2}",
        "hunter2",
        '"hunter2"',
        "[hunter2]",
        "12345",
        "{value: hunter2}",
    ],
)
def test_config_with_a_literal_secret_refuses_it_and_shows_it_to_nobody(
    load: Load, literal: str
) -> None:
    text = changed(
        'edr.example.test", credentials: {token: {env: TOKEN}}',
        f'edr.example.test", credentials: {{token: {literal}}}',
    )
    with pytest.raises(ConfigFaults) as caught:
        load(text)
    assert {fault.line for fault in caught.value.faults} == {9}
    assert "hunter2" not in str(caught.value)
    assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{env: NOT_SET}",
        "{file: large.txt}",
        "{file: nothing.txt}",
        "{file: empty.txt}",
        "{}",
        "{env: A, file: b}",
        "{file: .}",
    ],
)
def test_config_with_a_secret_that_is_not_there_says_so(
    load: Load, tmp_path: Path, source: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    (tmp_path / "large.txt").write_text("x" * 20_000, encoding="utf-8")
    for name in ("empty.txt", "large.txt"):
        (tmp_path / name).chmod(0o600)
    text = changed(
        'edr.example.test", credentials: {token: {env: TOKEN}}',
        f'edr.example.test", credentials: {{token: {source}}}',
    )
    assert codes_of(load, text) == ["config-secret"]


def test_config_with_an_empty_variable_says_so(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ACTING, encoding="utf-8")
    with pytest.raises(ConfigFaults) as caught:
        load_config(path, {"TOKEN": " "}, load=lambda name: FAKES[name])
    assert [fault.code for fault in caught.value.faults] == ["config-secret"] * 4


@pytest.mark.parametrize("value", ["1", "x", "12345"])
def test_config_with_a_secret_too_short_to_be_masked_refuses_it(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ACTING, encoding="utf-8")
    with pytest.raises(ConfigFaults) as caught:
        load_config(path, {"TOKEN": value}, load=lambda name: FAKES[name])
    faults = caught.value.faults
    assert [fault.code for fault in faults] == ["config-secret"] * 4
    assert all("fewer than 6 characters. " in str(fault) for fault in faults)
    assert f"`{value}`" not in str(faults)


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_config_with_a_secret_file_warns_when_others_may_read_it(
    load: Load, tmp_path: Path, mode: int, warnings: int
) -> None:
    secret = tmp_path / "token.txt"
    secret.write_text("s3cret\n", encoding="utf-8")
    secret.chmod(mode)
    config = load(
        changed(
            'edr.example.test", credentials: {token: {env: TOKEN}}',
            'edr.example.test", credentials: {token: {file: token.txt}}',
        )
    )
    assert config.connectors["edr1"].credentials["token"].reveal() == "s3cret"
    assert len(config.warnings) == warnings
    assert "s3cret" not in repr(config)


def test_config_that_others_may_change_warns(load: Load, tmp_path: Path) -> None:
    load(ACTING)
    path = tmp_path / "config.yaml"
    path.chmod(0o602)
    config = load_config(path, ENVIRON, load=lambda name: FAKES[name])
    assert config.warnings == (f"others may change {path}; chmod o-w it",)


def test_config_with_missing_or_unknown_credentials_says_which(load: Load) -> None:
    text = changed(
        'edr.example.test", credentials: {token: {env: TOKEN}}',
        'edr.example.test", credentials: {tokn: {env: TOKEN}}',
    )
    assert codes_of(load, text) == ["config-credential", "config-credential"]


def test_config_with_a_heartbeat_keeps_its_address_secret(load: Load, tmp_path: Path) -> None:
    secret = tmp_path / "beat.txt"
    secret.write_text("https://beat.example.test/abc", encoding="utf-8")
    secret.chmod(0o600)
    config = load(ACTING + "heartbeat_url: {file: beat.txt}\n")
    assert isinstance(config.heartbeat_url, Secret)
    secret.write_text("http://beat.example.test/abc", encoding="utf-8")
    assert codes_of(load, ACTING + "heartbeat_url: {file: beat.txt}\n") == ["config-url"]
    assert codes_of(load, ACTING + "heartbeat_url: https://x.example.test\n") == ["schema-type"]


# -- connectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://edr.example.test",
        "http://127.0.0.1:8000",
        "ftp://edr.example.test",
        "edr.example.test",
        "https://me:pw@edr.example.test",
        "https://edr.example.test?x=1",
        "https://edr.example.test:port",
        "https://",
    ],
)
def test_config_with_an_address_that_is_not_plain_https_refuses_it(load: Load, url: str) -> None:
    assert faults_of(load, changed("https://edr.example.test", url)) == [(9, 31, "config-url")]


def test_config_emulated_takes_loopback_only_and_all_of_it(load: Load) -> None:
    text = "emulated: true\n" + ACTING
    assert codes_of(load, text) == ["config-emulated"] * 4
    text = re.sub(r"https://\w+\.example\.test", "http://127.0.0.1:8000", text)
    assert load(text).emulated is True
    mixed = text.replace("http://127.0.0.1:8000", "https://edr.example.test", 1)
    assert codes_of(load, mixed) == ["config-emulated"]
    named = text.replace("http://127.0.0.1:8000", "http://localhost:8000", 1)
    assert codes_of(load, named) == ["config-emulated"]


def test_config_with_a_lowered_settle_time_is_refused_unless_emulated(load: Load) -> None:
    short = ACTING.replace("type: edr,", "type: edr, settle_s: 59,")
    assert codes_of(load, short) == ["config-settle"]
    raised = load(ACTING.replace("type: edr,", "type: edr, settle_s: 90,"))
    assert raised.connectors["edr1"].settings.settle_s == 90
    emulated = re.sub(r"https://\w+\.example\.test", "http://127.0.0.1:8000", short)
    assert load("emulated: true\n" + emulated).connectors["edr1"].settings.settle_s == 59


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("{chanel: C1}", "schema-unknown"),
        ("{limit: many}", "schema-type"),
        ("{limit: 10}", "schema-value"),
    ],
)
def test_config_with_wrong_options_is_refused_by_the_products_own_struct(
    load: Load, options: str, code: str
) -> None:
    assert codes_of(load, ACTING.replace("type: edr,", f"type: edr, options: {options},")) == [code]


def test_config_with_tls_and_proxy_hands_them_on(load: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x", encoding="utf-8")
    pin = ":".join(["AB"] * 32)
    tls = f'tls: {{ca_file: ca.pem, fingerprint_sha256: "{pin}"}}, proxy: "http://proxy.example.test:3128",'
    settings = load(ACTING.replace("type: edr,", f"type: edr, {tls}")).connectors["edr1"].settings
    assert settings.ca_file == str(tmp_path / "ca.pem")
    assert settings.fingerprint_sha256 == "ab" * 32
    assert settings.proxy == "http://proxy.example.test:3128"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("tls: {ca_file: nothing.pem},", "config-path"),
        ("tls: {fingerprint_sha256: abcd},", "schema-value"),
        ("tls: {verify: false},", "schema-unknown"),
        ("verify: false,", "schema-unknown"),
        ('proxy: "http://me:pw@proxy.example.test",', "config-url"),
    ],
)
def test_config_with_unsafe_transport_is_refused(load: Load, more: str, code: str) -> None:
    assert codes_of(load, ACTING.replace("type: edr,", f"type: edr, {more}")) == [code]


# -- roles, approvers, guards ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "codes"),
    [
        ("{siem: siem1, edr: edr1, chat: chat1}", ["config-role"]),
        ("{siem: siem1, edr: edr1, chat: chat1, tickets: nobody}", ["config-role"]),
        ("{siem: siem1, edr: chat1, chat: chat1, tickets: desk1}", ["config-role"]),
        ("{siem: siem1, edr: edr1, chat: chat1, tickets: desk1, pager: x}", ["schema-unknown"]),
        ("{}", ["config-role"] * 4),
    ],
)
def test_config_with_wrong_roles_is_refused(load: Load, roles: str, codes: list[str]) -> None:
    old = "{siem: siem1, edr: edr1, chat: chat1, tickets: desk1}"
    assert codes_of(load, changed(old, roles)) == codes


@pytest.mark.parametrize("mode", ["practice", "act"])
@pytest.mark.parametrize(
    "approvals",
    [
        "{}",
        "{approvers: []}",
        "{approvers: }",
        "{approvers: null}",
        '{approvers: ""}',
        '{approvers: [""]}',
        '{approvers: "*"}',
        '{approvers: ["*"]}',
        "{approvers: [nobody]}",
        "{approvers: [pat]}",
        "{approvers: alex}",
        "{approvers: [alex, alex]}",
        "{approvers: [alex], quorum: 0}",
        "{approvers: [alex], quorum: 2}",
        "{approvers: [alex], expires_s: 0}",
        "{approvers: [alex], expires_s: 90000}",
        "{approvers: [alex], on_timeout: approve}",
        "{approvers: [alex], escalate_to: kim}",
        "{approvers: [alex], escalate_to: [nobody]}",
        "{approvers: [alex], escalate_after_s: 60}",
        "{approvers: [alex], escalate_to: [kim], escalate_after_s: 1800}",
        "{approvers: [alex], tiers: {server: {approvers: [kim]}}}",
        "{approvers: [alex], tiers: {server: {approvers: [alex], quorum: 2}}}",
        "{approvers: [alex], tiers: {server: {approvers: [nobody, alex]}}}",
        "{approvers: [alex], tiers: {laptop: {approvers: [alex]}}}",
        "{approvers: [kim], cli: true}",
        "{approvers: [alex], mention: [pat]}",
    ],
)
def test_config_that_asks_nobody_or_takes_silence_is_refused(
    load: Load, mode: str, approvals: str
) -> None:
    text = changed("{approvers: [alex, kim]}", approvals).replace("mode: act", f"mode: {mode}")
    assert len(codes_of(load, text)) == 1


def test_config_in_observe_mode_needs_no_approver_but_refuses_a_wrong_one(load: Load) -> None:
    observing = ACTING.replace("mode: act", "mode: observe")
    assert load(observing.replace("[alex, kim]", "[]")).approvals.approvers == ()
    assert codes_of(load, observing.replace("[alex, kim]", '["*"]')) == ["config-approver"]


def test_config_with_one_account_of_two_people_is_refused(load: Load) -> None:
    text = changed("kim: {slack: U02}", "kim: {slack: U02, os_user: ALEX}")
    assert faults_of(load, text) == [(5, 30, "config-account")]


def test_config_of_a_person_takes_the_account_at_the_chat_that_is_bound(load: Load) -> None:
    both = changed("slack: U01,", 'slack: U01, matrix: "@alex:example.test",')
    both = both.replace("approvers: [alex, kim]", "approvers: [alex]")
    assert load(both).people["alex"].account == "U01"
    other = load(both.replace("chat1: {type: slack", "chat1: {type: matrix"))
    assert other.people["alex"].account == "@alex:example.test"
    assert other.people["kim"].account is None


def test_config_when_an_approver_has_no_account_at_the_bound_chat_is_refused(load: Load) -> None:
    text = ACTING.replace("chat1: {type: slack", "chat1: {type: matrix")
    assert codes_of(load, text) == ["config-approver"] * 2


@pytest.mark.parametrize(
    "account",
    ["slack: alex", "slack: C0123", "matrix: alex", "matrix: '@alex'", "matrix: '@Alex:a.test x'"],
)
def test_config_when_an_account_is_no_id_is_refused(load: Load, account: str) -> None:
    assert codes_of(load, changed("pat: {os_user", f"pat: {{{account}, os_user")) == [
        "schema-value"
    ]


def test_config_of_a_person_knows_each_chat_product() -> None:
    products = [load_product(name) for name in PRODUCTS]
    chats = {product.TYPE for product in products if product.ROLE == "chat"}
    assert chats == set(AccountsShape.__struct_fields__)


def test_config_in_act_mode_warns_of_what_keeps_it_from_acting(load: Load) -> None:
    text = changed("  protected_file: protected.txt\n", "").replace(", contain, release", "")
    assert load(text).warnings == (
        "guards.protected_file is missing: the runner only observes",
        "guards.allowed_effects has no `contain`: nothing is isolated",
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("state_dir: ~/state", "config-path"),
        ("playbook_dir: nowhere", "config-path"),
        ("state_dir: 1", "schema-type"),
        ("hunts: {index: 'a b'}", "schema-value"),
        ("hunts: {lookback_s: 1}", "schema-value"),
        ("hunts: {fields: {hots: [a]}}", "schema-value"),
        ("searches: {a: {saved_search: x}}", "schema-missing"),
        ("searches: {a: {saved_search: x, playbook: ../x}}", "schema-value"),
        ("searches: {'a b': {saved_search: x, playbook: p}}", "schema-value"),
        ("guards: {budget: {per_hour: -1}}", "schema-value"),
        ("guards: {budget: {fleet_percent: 200}}", "schema-value"),
        ("guards: {allowed_effects: [contain, eradicate]}", "schema-value"),
    ],
)
def test_config_with_a_wrong_value_is_refused(load: Load, line: str, code: str) -> None:
    text = line if line.startswith("state_dir") else f"state_dir: state\n{line}"
    assert code in codes_of(load, text)


# -- docs and schema -------------------------------------------------------------------------------


def _keys(schema: dict[str, object]) -> set[str]:
    found: set[str] = set()
    for definition in schema["$defs"].values():  # type: ignore[attr-defined]
        found.update(definition.get("properties", {}))
    return found


def codes_in(path: str) -> set[str]:
    """The codes that a file of rules reports: the fourth argument of each `add`."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and len(node.args) == 4:
            code = node.args[3]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                found.add(f"config-{code.value.removeprefix('config-')}")
    return found - {"config-yaml-encoding"}


def test_docs_name_every_key_and_every_code() -> None:
    docs = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    keys = _keys(config_schema())
    assert {"approvers", "fleet_percent", "settle_s", "canary"} <= keys
    missing = [key for key in sorted(keys) if f"`{key}`" not in docs]
    assert missing == []
    rooms = ("config_rules", "config_approvals", "config_connectors")
    codes = {code for room in rooms for code in codes_in(f"runner/{room}.py")}
    assert {"config-approver", "config-settle", "config-secret", "config-role"} <= codes
    assert [code for code in sorted(codes) if f"`{code}`" not in docs] == []


def test_docs_name_every_option_and_credential_of_every_connector() -> None:
    docs = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    for name in CONNECTORS:
        cls = load_connector(name)
        words = [name, *cls.CREDENTIALS, *cls.Options.__struct_fields__]
        assert [word for word in words if f"`{word}`" not in docs] == []


def test_example_holds_every_key_even_if_only_in_a_comment() -> None:
    example = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    missing = [key for key in sorted(_keys(config_schema())) if f"{key}:" not in example]
    # {env} and {file} are shown in the head.
    assert [key for key in missing if key not in ("env", "file")] == []


def test_fields_of_searches_are_the_facts_of_an_alert() -> None:
    literal, _ = get_args(Fields)
    assert set(get_args(literal)) == set(DEFAULT_FIELDS)


def test_schema_for_editors_agrees_with_the_reader_on_the_example_and_on_faults() -> None:
    validator = jsonschema.Draft202012Validator(config_schema())
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    example = json.loads(json.dumps(yaml.safe_load(text)))
    assert list(validator.iter_errors(example)) == []
    msgspec.convert(example, ConfigShape)
    for path, value in (("mode", "on"), ("version", 2), ("people", []), ("extra", 1)):
        broken = {**example, path: value}
        assert list(validator.iter_errors(broken)) != []
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(broken, ConfigShape)
