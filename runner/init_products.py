"""Which product plays a role, how it is reached, and whether that works: asked, then tried.

What is asked follows from each product's own definition, so a new connector is asked about by
itself. A product is tried with its own `check`, which changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from connectors.base import Connector
from connectors.errors import ConnectorError
from connectors.http import HttpSettings, Runtime
from connectors.model import CheckResult, Secret
from connectors.product import Product
from connectors.registry import PRODUCTS, load_connector, load_product
from runner.config_connectors import MAX_SECRET_CHARS, is_loopback, is_plain_url
from runner.init_talk import Talk

NONE = "none"
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")
_PRINT = re.compile(r"([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}")
WAYS = (
    "a file that init writes, mode 600, from what you type unseen",
    "a file that is there already",
    "an environment variable",
)


class Kept(Struct, frozen=True, kw_only=True):
    """Where a credential is: `place` as the configuration has it. `secret` None: it cannot be read
    here. `is_new`: its file is to be written."""

    way: str
    place: str
    secret: Secret | None
    is_new: bool = False


class Chosen(Struct, frozen=True, kw_only=True):
    """One connector, as it will stand in the configuration."""

    name: str
    type: str
    tenant: str
    base_url: str
    credentials: dict[str, Kept]
    options: dict[str, Any]
    tls: dict[str, str] = {}
    proxy: str | None = None


class ProductTalk:
    """Asks about products, and tries them. `folder` is the configuration's."""

    def __init__(
        self, talk: Talk, runtime: Runtime, folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._talk = talk
        self._runtime = runtime
        self._folder = folder
        self._environ = environ

    def choose(self, role: str) -> tuple[Chosen, Connector | None] | None:
        """The product for a role, tried; None when there is to be none. The connector is None when
        a credential cannot be read here."""
        types = [name for name in PRODUCTS if role == load_product(name).ROLE]
        self._talk.title(f"{role}: which product?")
        type_name = self._talk.choose("product", [*types, NONE])
        if type_name == NONE:
            return None
        product = load_product(type_name)
        chosen: Chosen | None = None
        while True:
            chosen = self._ask(type_name, product, chosen)
            while True:
                connector = self._connector(chosen, product)
                if connector is None or self._try(connector):
                    return chosen, connector
                again = self._talk.choose(
                    "what now", ("answer anew", "try again", "go on as it is")
                )
                if again == "go on as it is":
                    return chosen, connector
                if again == "answer anew":
                    break

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, type_name: str, product: type[Product], before: Chosen | None) -> Chosen:
        """All of it; what was said `before` is what Enter takes."""
        talk = self._talk
        usual = before.base_url if before else product.USUAL_URL or None
        base_url = talk.ask(f"address of {type_name}", usual, self._why_no_address).rstrip("/")
        kept = before.credentials if before else {}
        credentials = {
            key: self._credential(type_name, key, kept.get(key))
            for key in self._which_credentials(product)
        }
        given = before.options if before else {}
        free = {key: value for key, value in given.items() if key not in product.OR_OPTIONS}
        is_other = set(credentials) <= set(product.OR_CREDENTIALS)
        options = self._options(product, {**free, **(product.OR_OPTIONS if is_other else {})})
        tenant, tls, proxy = "default", {}, None
        if talk.agree("anything special: tenant, own CA, fingerprint, proxy?", default=False):
            tenant = talk.ask("tenant, a name of yours for it", "default", _why_no_name)
            tls = self._tls()
            proxy = talk.ask("proxy", "", _why_no_proxy) or None
        return Chosen(
            name=type_name,
            type=type_name,
            tenant=tenant,
            base_url=base_url,
            credentials=credentials,
            options=options,
            tls=tls,
            proxy=proxy,
        )

    def _why_no_address(self, text: str) -> str | None:
        if not is_plain_url(text, ("http", "https")):
            return "write https://host or https://host:port/path, without password or query"
        if self._runtime.emulated:
            return None if is_loopback(text) else "with --emulated it must be at 127.0.0.1"
        return None if text.startswith("https://") else "plain http is refused; write https://…"

    def _which_credentials(self, product: type[Product]) -> tuple[str, ...]:
        if not product.OR_CREDENTIALS:
            return product.CREDENTIALS
        ways = {" with ".join(way): way for way in (product.CREDENTIALS, product.OR_CREDENTIALS)}
        return ways[self._talk.choose("sign in by", tuple(ways))]

    def _credential(self, name: str, key: str, before: Kept | None) -> Kept:
        talk = self._talk
        if before is not None and talk.agree(f"{key}: keep what you gave?", default=True):
            return before
        way = WAYS.index(talk.choose(f"{key} is kept in", WAYS))
        if way == 0:
            place = f"secrets/{name}.{key}"
            if not (self._folder / place).exists():
                return Kept(way="file", place=place, secret=Secret(talk.secret(key)), is_new=True)
            talk.tell(f"  {place} is there already, and is used as it is")
            return Kept(way="file", place=place, secret=_read_secret(self._folder / place))
        if way == 1:
            given = talk.ask("its path", None, lambda text: _why_no_secret(self._folder / text))
            path = self._folder / given
            return Kept(way="file", place=str(path), secret=_read_secret(path))
        usual = f"{name}_{key}".upper()
        variable = talk.ask("its name", usual, _why_no_variable)
        value = self._environ.get(variable, "").strip()
        return Kept(way="env", place=variable, secret=Secret(value) if value else None)

    def _tls(self) -> dict[str, str]:
        talk = self._talk
        ca_file = talk.ask("PEM file of the CA to trust", "", self._why_no_file)
        if ca_file:
            return {"ca_file": str(self._folder / ca_file)}
        text = "SHA-256 fingerprint of the one certificate to trust"
        print_ = talk.ask(
            text, "", lambda given: None if _PRINT.fullmatch(given) else "write 64 hex digits"
        )
        return {"fingerprint_sha256": print_} if print_ else {}

    def _why_no_file(self, text: str) -> str | None:
        return None if (self._folder / text).is_file() else "there is no such file"

    def _options(self, product: type[Product], before: dict[str, Any]) -> dict[str, Any]:
        """The product's own keys: the required ones always, the others when wanted. What one line
        cannot hold (a mapping) is left to an editor."""
        fields = msgspec.structs.fields(product.Options)
        needed = [one for one in fields if one.required]
        free = [one for one in fields if not one.required and one.name not in product.OR_OPTIONS]
        others = [one for one in free if _kind(one.type) is not None]
        given = dict(before)
        while True:
            given |= {one.name: self._option(one, given) for one in needed}
            names = ", ".join(one.name for one in others)
            if others and self._talk.agree(f"set any of {names}?", default=False):
                said = {one.name: self._option(one, given) for one in others}
                given |= {name: value for name, value in said.items() if value is not None}
            try:
                msgspec.convert(given, product.Options)
            except msgspec.ValidationError as fault:
                self._talk.tell(f"  {fault}")
                given = {name: value for name, value in given.items() if name in before}
                continue
            return given

    def _option(self, field: msgspec.structs.FieldInfo, given: dict[str, Any]) -> Any:
        kind = _kind(field.type)
        many = " (several: with commas)" if kind is tuple else ""
        was = given.get(field.name)
        usual = ",".join(was) if isinstance(was, list) else None if was is None else str(was)
        text = self._talk.ask(f"{field.name}{many}", usual or (None if field.required else ""))
        if not text:
            return None
        if kind is tuple:
            return [part.strip() for part in text.split(",") if part.strip()]
        if kind is bool:
            return text.lower() in ("y", "yes", "true")
        return int(text) if kind is int and text.lstrip("-").isdecimal() else text

    # -- trying ------------------------------------------------------------------------------------

    def _connector(self, chosen: Chosen, product: type[Product]) -> Connector | None:
        secrets = {key: kept.secret for key, kept in chosen.credentials.items()}
        missing = [chosen.credentials[key].place for key, secret in secrets.items() if not secret]
        if missing:
            self._talk.tell(f"not tried: {', '.join(missing)} cannot be read in this terminal")
            return None
        return load_connector(chosen.type)(
            name=chosen.name,
            tenant=chosen.tenant,
            settings=HttpSettings(
                base_url=chosen.base_url,
                ca_file=chosen.tls.get("ca_file"),
                fingerprint_sha256=_digits(chosen.tls.get("fingerprint_sha256")),
                proxy=chosen.proxy,
            ),
            credentials={key: secret for key, secret in secrets.items() if secret is not None},
            options=msgspec.convert(chosen.options, product.Options),
            runtime=self._runtime,
        )

    def _try(self, connector: Connector) -> bool:
        self._talk.say("trying it; nothing is changed …")
        try:
            return show_results(self._talk, list(connector.check()))
        except ConnectorError as fault:
            self._talk.tell(f"  BAD  {fault}")
            return False


def show_results(talk: Talk, results: list[CheckResult]) -> bool:
    """Print what a check found; true when all of it is good."""
    for one in results:
        mend = f": {one.mend}" if one.mend else ""
        talk.tell(f"  {'ok ' if one.ok else 'BAD'}  {one.what}{mend}")
    return all(one.ok for one in results)


def _digits(fingerprint: str | None) -> str | None:
    return fingerprint.replace(":", "").lower() if fingerprint else None


def _kind(annotated: object) -> type | None:
    """What one line can hold: str, int, bool, or a tuple of texts; None for anything else."""
    kinds: dict[object, type] = {
        str: str,
        int: int,
        bool: bool,
        tuple[str, ...]: tuple,
    }
    inside = [one for one in get_args(annotated) if one is not type(None)]
    is_optional = type(None) in get_args(annotated) and len(inside) == 1
    return kinds.get(inside[0] if is_optional else annotated)


def _why_no_name(text: str) -> str | None:
    is_name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text)
    return None if is_name else "a name has letters, digits, `_`, `.` and `-`"


def _why_no_proxy(text: str) -> str | None:
    is_good = is_plain_url(text, ("http", "https"))
    return None if is_good else "write http://host:port, without name and password"


def _why_no_variable(text: str) -> str | None:
    # What looks like no variable may be the secret itself: it is not repeated.
    return None if _VARIABLE.fullmatch(text) else "write the name of a variable, as in SPLUNK_TOKEN"


def _read_secret(path: Path) -> Secret | None:
    try:
        with path.open(encoding="utf-8") as stream:
            value = stream.read(MAX_SECRET_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Secret(value) if 0 < len(value) <= MAX_SECRET_CHARS else None


def _why_no_secret(path: Path) -> str | None:
    if not path.is_file() or not os.access(path, os.R_OK):
        return "there is no such file that can be read"
    return None if _read_secret(path) else "it is empty, too large, or no text"
