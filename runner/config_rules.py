"""What must hold between the values of a configuration, and what becomes of them.

One small method a section; each reports and goes on, so that one reading finds everything. It is
called by `runner/config.py` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import cast

from connectors.base import ROLES, Effect
from connectors.model import SavedSearch, Secret
from runner import config_shapes as shapes
from runner import config_types as made
from runner.config_approvals import ApprovalRules
from runner.config_connectors import ConnectorRules, Reading, is_loopback, is_url
from runner.config_fallback import FallbackRules
from runner.schema import closest, decode
from runner.yaml_reader import Node, Report, read_yaml

OTHERS_WRITE = 0o002


def read_config(path: Path, environ: Mapping[str, str], load: made.LoadProduct) -> made.Config:
    """As `runner.config.load_config` says."""
    report = Report(str(path))
    config = None
    root = _read_root(path, report)
    if root is not None:
        shape = decode(root, shapes.ConfigShape, report)
        if shape is not None:
            reading = Reading(root, shape, path.parent, environ, report)
            if path.stat().st_mode & OTHERS_WRITE:
                reading.warnings.append(f"others may change {path}; chmod o-w it")
            config = _Rules(reading, load).config()
    if report.faults or config is None:
        raise made.ConfigFaults(report.sorted())
    return config


def _read_root(path: Path, report: Report) -> Node | None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        report.add((1, 1), "the file is not UTF-8", "Save it as UTF-8.", "yaml-encoding")
        return None
    except OSError as error:
        text = f"the file cannot be read ({error.strerror})"
        report.add((1, 1), text, "Name an existing, readable file.", "config-file")
        return None
    return read_yaml(text, report)


class _Rules:
    """`config()` gives the configuration, which is to be thrown away when the report has faults."""

    def __init__(self, reading: Reading, load: made.LoadProduct) -> None:
        self._reading = reading
        self._connectors = ConnectorRules(reading, load)

    def config(self) -> made.Config:
        shape = self._reading.shape
        connectors = self._connectors.connectors()
        roles = self._roles()
        people = self._people(roles)
        return made.Config(
            state_dir=self._state_dir(),
            version=shape.version,
            mode=shape.mode,
            emulated=shape.emulated,
            people=people,
            connectors=connectors,
            roles=roles,
            searches=self._searches(roles),
            approvals=self._approvals(people, roles),
            guards=self._guards(),
            hunts=self._hunts(),
            silence=self._silence(roles),
            heartbeat_url=self._heartbeat(),
            playbook_dir=self._playbook_dir(),
            accept_passing_disk=shape.accept_passing_disk,
            metrics=made.Metrics(listen=shape.metrics.listen) if shape.metrics else None,
            retention=made.Retention(days=shape.retention.days) if shape.retention else None,
            suppressions_file=self._suppressions_file(),
            runs_at_once=shape.runs_at_once,
            warnings=tuple(self._reading.warnings),
        )

    def _state_dir(self) -> Path:
        text = self._reading.shape.state_dir
        if text is None and "state_dir" not in self._reading.keys(()):
            mend = "Add `state_dir:` and a folder on a local disk."
            self._reading.add((), "the file has no `state_dir`", mend, "path")
        return self._reading.path(text or "", ("state_dir",))

    def _people(self, roles: Mapping[str, str]) -> dict[str, made.Person]:
        """With the accounts at the bound chat products; one account of another product does not
        vote."""
        self._one_owner()

        def account(person: shapes.PersonShape, role: str) -> str | None:
            bound = self._reading.shape.connectors.get(roles.get(role, ""))
            return None if bound is None else getattr(person, bound.type, None)

        return {
            name: made.Person(
                name=name,
                account=account(person, "chat"),
                fallback_account=account(person, made.FALLBACK),
                os_user=person.os_user,
                windows_user=person.windows_user,
            )
            for name, person in self._reading.shape.people.items()
        }

    def _approvals(
        self, people: Mapping[str, made.Person], roles: Mapping[str, str]
    ) -> made.Approvals:
        FallbackRules(self._reading, people, roles).check()
        return ApprovalRules(self._reading, people, roles).approvals()

    def _one_owner(self) -> None:
        owners: dict[tuple[str, str], str] = {}
        for name, person in self._reading.shape.people.items():
            keys = (*shapes.AccountsShape.__struct_fields__, "os_user")
            accounts = [(key, cast("str | None", getattr(person, key))) for key in keys]
            accounts += [("windows_user", account) for account in person.windows_user]
            for channel, account in accounts:
                if account is None:
                    continue
                owner = owners.setdefault((channel, account.casefold()), name)
                if owner != name:
                    text = f"people.{name}: the {channel} account is also that of {owner}"
                    mend = "One account belongs to one person, or votes would count twice."
                    self._reading.add(("people", name, channel), text, mend, "account")

    def _heartbeat(self) -> Secret | None:
        source = self._reading.shape.heartbeat_url
        secret = self._reading.secret(source, ("heartbeat_url",)) if source else None
        if secret is None:
            return None
        url = secret.reveal()
        if not is_url(url, ("http", "https")) or not (
            is_loopback(url) if self._reading.shape.emulated else url.startswith("https://")
        ):
            text = "heartbeat_url: what its secret holds is no https address"
            mend = "Use https; with `emulated: true`, an address at 127.0.0.1."
            self._reading.add(("heartbeat_url",), text, mend, "url")
        return secret

    def _roles(self) -> dict[str, str]:
        bound: dict[str, str] = {}
        present = self._reading.keys(("connectors",))
        for role in (*ROLES, made.FALLBACK):
            kind = "chat" if role == made.FALLBACK else role
            name = cast("str | None", getattr(self._reading.shape.roles, role))
            if name is None:
                continue
            bound[role] = name
            if name not in present:
                text = f"roles.{role}: there is no connector `{name}`"
                self._reading.add(("roles", role), text, closest(name, present), "role")
            elif (found := self._role_of(name)) not in (kind, None):
                text = f"roles.{role}: the connector `{name}` is of role {found}"
                self._reading.add(
                    ("roles", role), text, f"Bind a connector of role {kind}.", "role"
                )
        self._missing_roles(bound)
        return bound

    def _role_of(self, connector: str) -> str | None:
        cls = self._connectors.classes.get(connector)
        return cls.ROLE if cls else None

    def _missing_roles(self, bound: Mapping[str, str]) -> None:
        mode = self._reading.shape.mode
        wanted = [] if mode is made.Mode.OBSERVE else ["edr", "chat", "tickets"]
        if self._reading.shape.searches:
            wanted.insert(0, "siem")
        given = self._reading.keys(("roles",))
        for role in wanted:
            if role not in bound and role not in given:
                text = f"roles has no `{role}`, which mode {mode.value} needs"
                mend = f"Add `{role}:` and the name of a connector."
                self._reading.add(("roles",), text, mend, "role")

    def _searches(self, roles: Mapping[str, str]) -> dict[str, made.SearchConfig]:
        if not self._reading.shape.searches:
            self._reading.warnings.append("searches: none is configured, so nothing is polled")
        return {name: _search(name, shape) for name, shape in self._reading.shape.searches.items()}

    def _guards(self) -> made.Guards:
        shape = self._reading.shape.guards
        budget = made.Budget(
            per_hour=shape.budget.per_hour, fleet_percent=float(shape.budget.fleet_percent)
        )
        protected = None
        if shape.protected_file is not None:
            protected = self._reading.path(shape.protected_file, ("guards", "protected_file"))
        if self._reading.shape.mode is made.Mode.ACT:
            if protected is None:
                self._reading.warnings.append(
                    "guards.protected_file is missing: the runner only observes"
                )
            if Effect.CONTAIN not in (shape.allowed_effects or ()):
                self._reading.warnings.append(
                    "guards.allowed_effects has no `contain`: nothing is isolated"
                )
        return made.Guards(
            protected_file=protected,
            allowed_effects=self._allowed_effects(shape.allowed_effects),
            budget=budget,
            lease_h=None if shape.lease_h is None else float(shape.lease_h),
        )

    def _allowed_effects(self, given: tuple[Effect, ...] | None) -> frozenset[Effect]:
        """Reading is always allowed: without it, nothing could be judged."""
        if given is None:
            return made.UNSET_EFFECTS
        acts = [effect for effect in (Effect.CONTAIN, Effect.RELEASE) if effect in given]
        if acts and Effect.NOTIFY not in given:
            self._reading.add(
                ("guards", "allowed_effects"),
                f"guards.allowed_effects: `{acts[0]}` needs `notify`: people are asked first",
                "Add notify, or take contain and release out.",
                "effects",
            )
        return frozenset(given) | {Effect.INVESTIGATE}

    def _hunts(self) -> made.Hunts:
        shape = self._reading.shape.hunts
        return made.Hunts(
            index=shape.index,
            security_index=shape.security_index,
            lookback_s=shape.lookback_s,
            fields=_fields(shape.fields),
        )

    def _silence(self, roles: dict[str, str]) -> made.Silence | None:
        shape = self._reading.shape.silence
        if shape is None:
            return None
        if self._reading.shape.hunts.index is None or "siem" not in roles:
            text = "silence: nothing can be listened to without `hunts.index` and the role `siem`"
            mend = "Name the index that holds Sysmon's events, or take `silence` away."
            self._reading.add(("silence",), text, mend, "silence")
        allowed = [
            self._network(text, ("silence", "allowed", at)) for at, text in enumerate(shape.allowed)
        ]
        return made.Silence(
            allowed=tuple(network for network in allowed if network is not None),
            before_s=shape.before_s,
            margin_s=shape.margin_s,
            after_s=shape.after_s,
            late_s=shape.late_s,
            looks=shape.looks,
        )

    def _network(self, text: str, place: tuple[str | int, ...]) -> IPv4Network | IPv6Network | None:
        try:
            found = ip_network(text)
        except ValueError:
            said = f"silence.allowed: {text} is no address and no network"
            mend = "Write 192.0.2.7 or 192.0.2.0/24; a name would be the attacker's to choose."
            self._reading.add(place, said, mend, "silence")
            return None
        if found.prefixlen == 0:
            said = f"silence.allowed: {text} allows every address, so silence would prove nothing"
            mend = "Name the addresses of the EDR's cloud and of your management."
            self._reading.add(place, said, mend, "silence")
        return found

    def _suppressions_file(self) -> Path | None:
        text = self._reading.shape.suppressions_file
        return None if text is None else self._reading.path(text, ("suppressions_file",))

    def _playbook_dir(self) -> Path | None:
        text = self._reading.shape.playbook_dir
        if text is None:
            return None
        path = self._reading.path(text, ("playbook_dir",))
        if not path.is_dir():
            self._reading.add(
                ("playbook_dir",), f"playbook_dir: there is no folder {path}", "Make it.", "path"
            )
        return path


def _search(name: str, shape: shapes.SearchShape) -> made.SearchConfig:
    canary = None
    if shape.canary is not None:
        canary = SavedSearch(name=shape.canary, app=shape.app, owner=shape.owner)
    return made.SearchConfig(
        name=name,
        saved_search=SavedSearch(name=shape.saved_search, app=shape.app, owner=shape.owner),
        playbook=shape.playbook,
        identity=shape.identity,
        fields=_fields(shape.fields),
        overlap_s=shape.overlap_s,
        settle_s=shape.settle_s,
        first_lookback_s=shape.first_lookback_s,
        canary=canary,
        canary_every_s=shape.canary_every_s,
        mode=shape.mode,
        history_lag_s=shape.history_lag_s,
    )


def _fields(fields: shapes.Fields) -> dict[str, tuple[str, ...]]:
    return {str(name): names for name, names in fields.items()}
