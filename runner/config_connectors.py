"""What each configured connector must hold: its address, its credentials, its own options.

Secrets are read here and nowhere else. It opens no connection; `runner/config_rules.py` calls it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from connectors.base import ROLES, actions_of
from connectors.http import HttpSettings
from connectors.model import Secret
from connectors.product import Product
from connectors.registry import CONNECTORS
from runner import config_shapes as shapes
from runner import config_types as made
from runner.schema import closest, decode
from runner.yaml_reader import Node, Report
from runner.yaml_reader import Path as Where

MAX_SECRET_CHARS = 16 * 1024
LEAST_SECRET_CHARS = 6
"""A shorter one cannot be taken out of a product's words without spoiling them."""
_NAMES = frozenset({"username", "email", "client_id"})
"""Credentials that are read as secrets and may be short."""
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
GROUP_AND_OTHERS = 0o077
GROUP_READS = 0o040


class Reading:
    """One reading's inputs, and the ways to report and to find files and secrets."""

    def __init__(
        self,
        root: Node,
        shape: shapes.ConfigShape,
        folder: Path,
        environ: Mapping[str, str],
        report: Report,
    ) -> None:
        self.root = root
        self.shape = shape
        self.report = report
        self.warnings: list[str] = []
        self._folder = folder.absolute()
        self._environ = environ

    def add(self, path: Where, text: str, mend: str, code: str) -> None:
        self.report.add(self.root.find(path), text, mend, f"config-{code}")

    def keys(self, path: Where) -> list[str]:
        """The keys that stand in a mapping of the file, sound or not; none when it is not there."""
        node = self.root
        for part in path:
            below = node.value.get(str(part)) if isinstance(node.value, dict) else None
            if below is None:
                return []
            node = below
        return list(node.keys)

    def path(self, text: str, where: Where) -> Path:
        if text.startswith("~"):
            mend = "Write the whole path: under cron, the home folder may be another."
            self.add(where, f"{'.'.join(map(str, where))} begins with `~`", mend, "path")
        return self._folder / text

    def secret(self, source: shapes.SecretShape, where: Where) -> Secret | None:
        named = ".".join(map(str, where))
        if (source.env is None) == (source.file is None):
            mend = "Write {env: NAME} or {file: path}, one of them."
            self.add(where, f"{named} says not where its secret is", mend, "secret")
            return None
        if source.env is not None:
            value = self._environ.get(source.env, "").strip()
            if not value:
                # What does not look like a variable's name may be the secret itself.
                shown = source.env if _VARIABLE.fullmatch(source.env) else "that it names"
                text = f"{named}: the environment variable {shown} is not set, or empty"
                self.add(where, text, "Set it where the runner starts.", "secret")
            self._long_enough(value, where, named)
            return Secret(value) if value else None
        path = self.path(source.file or "", where)
        value = self._secret_file(path, where, named)
        self._long_enough(value, where, named)
        return Secret(value, partial(_reread, path)) if value else None

    def _long_enough(self, value: str, where: Where, named: str) -> None:
        if 0 < len(value) < LEAST_SECRET_CHARS and where[-1] not in _NAMES:
            text = f"{named}: the secret has fewer than {LEAST_SECRET_CHARS} characters"
            self.add(where, text, "Give the account a longer one.", "secret")

    def _secret_file(self, path: Path, where: Where, named: str) -> str:
        try:
            value = _text_of(path)
            is_open = _is_open(path.stat())
        except (OSError, UnicodeDecodeError):
            text = f"{named}: the secret's file {path} cannot be read"
            self.add(where, text, "Name a text file that the runner may read.", "secret")
            return ""
        if not value or len(value) > MAX_SECRET_CHARS:
            what = "too large" if value else "empty"
            text = f"{named}: the secret's file {path} is {what}"
            self.add(where, text, "Put the secret there, and nothing else.", "secret")
        if is_open:
            self.warnings.append(f"{named}: others may read {path}; chmod 600 it")
        return value


def _text_of(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        return stream.read(MAX_SECRET_CHARS + 1).strip()


def _reread(path: Path) -> str | None:
    """A rotated secret; None while the file is away, half written or no secret."""
    try:
        value = _text_of(path)
    except (OSError, UnicodeDecodeError):
        return None
    return value if value and len(value) <= MAX_SECRET_CHARS else None


def _is_open(found: os.stat_result) -> bool:
    """May others read it? A file of another owner that only our group may read is how an
    orchestrator hands one over."""
    others = found.st_mode & GROUP_AND_OTHERS
    is_handed_over = found.st_uid != os.geteuid() and others == GROUP_READS
    return bool(others) and not is_handed_over


class ConnectorRules:
    """Makes the connectors' configurations. `classes` says which class each one has."""

    def __init__(self, reading: Reading, load: made.LoadProduct) -> None:
        self._reading = reading
        self._load = load
        self.classes: dict[str, type[Product]] = {}

    def connectors(self) -> dict[str, made.ConnectorConfig]:
        found = {}
        for name, shape in self._reading.shape.connectors.items():
            try:
                cls = self._load(shape.type)
            except KeyError:
                text = f"connectors.{name}: there is no connector of type `{shape.type}`"
                mend = closest(shape.type, list(CONNECTORS))
                self._reading.add(("connectors", name, "type"), text, mend, "type")
                continue
            self.classes[name] = cls
            options = self._options(name, cls)
            found[name] = made.ConnectorConfig(
                name=name,
                type=shape.type,
                tenant=shape.tenant,
                settings=self._settings(name, shape, cls),
                credentials=self._credentials(name, shape, cls, options),
                options=options,
            )
        return found

    def _settings(
        self, name: str, shape: shapes.ConnectorShape, cls: type[Product]
    ) -> HttpSettings:
        self._base_url(name, shape.base_url)
        self._settle(name, shape.settle_s, cls)
        where = ("connectors", name)
        proxy = shape.proxy
        if proxy is not None and not is_plain_url(proxy, ("http", "https")):
            mend = "Write http://host:port, without a name and password."
            self._reading.add(
                (*where, "proxy"), f"connectors.{name}.proxy is no such address", mend, "url"
            )
        ca_file = None
        if shape.tls.ca_file is not None:
            path = self._reading.path(shape.tls.ca_file, (*where, "tls", "ca_file"))
            ca_file = str(path)
            if not path.is_file():
                text = f"connectors.{name}.tls.ca_file: there is no file {path}"
                self._reading.add((*where, "tls", "ca_file"), text, "Name a PEM file.", "path")
        fingerprint = shape.tls.fingerprint_sha256
        return HttpSettings(
            base_url=shape.base_url,
            ca_file=ca_file,
            fingerprint_sha256=fingerprint.replace(":", "").lower() if fingerprint else None,
            proxy=proxy,
            settle_s=shape.settle_s,
        )

    def _base_url(self, name: str, base_url: str) -> None:
        where = ("connectors", name, "base_url")
        if not is_plain_url(base_url, ("http", "https")):
            text = f"connectors.{name}.base_url is no plain web address"
            mend = "Write https://host or https://host:port/path, without password or query."
            self._reading.add(where, text, mend, "url")
            return
        if self._reading.shape.emulated:
            if not is_loopback(base_url):
                text = f"connectors.{name}.base_url is no loopback address, but `emulated` is true"
                mend = "With `emulated: true` every product must be at 127.0.0.1: none may be real."
                self._reading.add(where, text, mend, "emulated")
        elif not base_url.startswith("https://"):
            mend = "Use https; plain http is only for `emulated: true` at 127.0.0.1."
            self._reading.add(where, f"connectors.{name}.base_url is plain http", mend, "url")

    def _settle(self, name: str, settle_s: float | None, cls: type[Product]) -> None:
        declared = max((a.settle_s for a in actions_of(ROLES[cls.ROLE]).values()), default=0.0)
        if settle_s is not None and settle_s < declared and not self._reading.shape.emulated:
            text = f"connectors.{name}.settle_s is {settle_s}, less than this product's {declared}"
            mend = f"Write {declared} or more, or leave it out: a late request could come twice."
            self._reading.add(("connectors", name, "settle_s"), text, mend, "settle")

    def _credentials(
        self, name: str, shape: shapes.ConnectorShape, cls: type[Product], options: object
    ) -> dict[str, Secret]:
        where = ("connectors", name, "credentials")
        known = (*cls.CREDENTIALS, *cls.OR_CREDENTIALS, *cls.MAY_CREDENTIALS)
        given = self._reading.keys(where)
        for wanted in self._wanted(name, given, cls, options):
            # A credential that is there but faulty has been reported already.
            if wanted not in given:
                text = f"connectors.{name}.credentials has no `{wanted}`"
                mend = f"Add `{wanted}: {{env: NAME}}` or `{wanted}: {{file: path}}`."
                self._reading.add(where, text, mend, "credential")
        secrets = {}
        for key, source in shape.credentials.items():
            if key not in known:
                text = f"connectors.{name}.credentials.{key} is unknown to type `{shape.type}`"
                self._reading.add((*where, key), text, closest(key, list(known)), "credential")
                continue
            secret = self._reading.secret(source, (*where, key))
            if secret is not None:
                secrets[key] = secret
        return secrets

    def _wanted(
        self, name: str, given: list[str], cls: type[Product], options: object
    ) -> tuple[str, ...]:
        """Which of the two ways to sign in was begun, or is due; a credential of both, or of the
        one that the options rule out, is a fault."""
        first = [key for key in given if key in cls.CREDENTIALS]
        other = [key for key in given if key in cls.OR_CREDENTIALS]
        where = ("connectors", name, "credentials")
        ways = [" with ".join(f"`{key}`" for key in cls.CREDENTIALS)]
        ways += [" with ".join(f"`{key}`" for key in cls.OR_CREDENTIALS)]
        if first and other:
            text = f"connectors.{name}.credentials gives `{first[0]}` and `{other[0]}`"
            mend = f"Give {ways[0]}, or {ways[1]}: one of the two."
            self._reading.add(where, text, mend, "credential")
        is_other = bool(other and not first)
        for key, due in cls.OR_OPTIONS.items():
            said = getattr(options, key, None)
            if (first and other) or said is None or (said == due) == is_other or not given:
                continue
            text = f"connectors.{name}.options.{key} is `{said}`, which signs in otherwise"
            mend = f"Give {ways[said == due]}, or another `{key}`: {ways[1]} goes with `{due}`."
            self._reading.add(where, text, mend, "credential")
        return cls.OR_CREDENTIALS if is_other else cls.CREDENTIALS

    def _options(self, name: str, cls: type[Product]) -> object:
        where = ("connectors", name, "options")
        connector = self._reading.root.find(where[:2])
        node = self._reading.root.find(where)
        if "options" not in connector.keys:
            node = Node(value={}, line=connector.line, column=connector.column)
        return decode(node, cls.Options, self._reading.report, ".".join(where))


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    return url.scheme in schemes and bool(url.hostname) and not any(map(str.isspace, text))


def is_plain_url(text: str, schemes: tuple[str, ...]) -> bool:
    """An address without name and password, query or fragment."""
    return is_url(text, schemes) and not any(mark in text for mark in "@?#")


def is_loopback(text: str) -> bool:
    """By number, as `connectors/http.py` has it: `localhost` is whatever a hosts file says."""
    return urlsplit(text).hostname in ("127.0.0.1", "::1")
