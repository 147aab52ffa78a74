"""How one call is sent: time-out, retry, TLS, proxy, error mapping, redaction.

The only place for `requests` and `tenacity`. It never follows a redirect, never reads the
environment's proxies or `.netrc`, never turns certificate checks off, and never repeats a write
whose first copy may have arrived.
"""

from __future__ import annotations

import json as jsonlib
import logging
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.exceptions import HTTPError as Urllib3Error

from connectors.certificates import certificate_fault
from connectors.document import shorten, visible
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.model import Clock, Secret
from connectors.sign_ins import RefusedSignIns

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 8.0
CALL_BUDGET_S = 10.0
"""No call holds a run longer than about this, retries and waits included."""
MAX_BODY_BYTES = 64 * 1024 * 1024
ATTEMPTS = 3
_Answer = TypeVar("_Answer")


class Repeat(StrEnum):
    """May this request be sent again when its answer was lost?"""

    SAFE = "safe"
    ONCE = "once"


class HttpSettings(Struct, frozen=True, kw_only=True):
    """How a connector reaches its product."""

    base_url: str
    ca_file: str | None = None
    fingerprint_sha256: str | None = None
    proxy: str | None = None
    settle_s: float | None = None


class Runtime(Struct, frozen=True, kw_only=True):
    """What comes in from outside. `emulated` allows plain http, to loopback only; `transport` makes
    the adapter that carries requests (None: the real one); `on_fault` is told of each call that
    failed; `refused_sign_ins` remembers what must not be sent again (None: nothing is)."""

    clock: Clock
    emulated: bool = False
    transport: Callable[[], HTTPAdapter] | None = None
    on_fault: Callable[[ConnectorError], None] | None = None
    refused_sign_ins: RefusedSignIns | None = None


class Reply(Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]
    body: bytes
    product: str
    repeat: Repeat

    @property
    def is_json(self) -> bool:
        """Does it say that it is JSON? What its body is, is another question."""
        return "json" in self.headers.get("Content-Type", "").lower() and bool(self.body)

    def json(self, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
        """The body as JSON; `pairs` makes each object from its names and values, so that a name
        that comes twice can be seen. Errors: what is no JSON is `Unavailable` after a read, and
        `OutcomeUnknown` after a write, because the product did take the request."""
        if self.is_json:
            try:
                return jsonlib.loads(self.body, object_pairs_hook=pairs)
            except (ValueError, RecursionError):
                pass
        kind = self.headers.get("Content-Type", "no content type")
        what = "an empty body" if not self.body else f"{visible(kind[:80])}, not readable as JSON"
        text = f"answered HTTP {self.status} with {what}"
        if self.repeat is Repeat.ONCE:
            raise OutcomeUnknown(self.product, text, status=self.status)
        raise Unavailable(self.product, text, status=self.status)


class _Adapter(HTTPAdapter):
    """The real transport; with a fingerprint, the certificate itself is the trust."""

    def __init__(self, fingerprint: str | None) -> None:
        self._fingerprint = fingerprint
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._fingerprint:
            kwargs["assert_fingerprint"] = self._fingerprint
        super().init_poolmanager(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Through a proxy other pools are used: without this the pin would be no check at all."""
        if self._fingerprint:
            proxy_kwargs["assert_fingerprint"] = self._fingerprint
        return super().proxy_manager_for(proxy, **proxy_kwargs)


class _Again(Exception):
    """Inside this file only: the attempt may be repeated after `wait_s`."""

    def __init__(self, fault: ConnectorError, wait_s: float | None) -> None:
        super().__init__(fault.text)
        self.fault = fault
        self.wait_s = wait_s


class _Call(Struct, frozen=True):
    """One request, ready to be sent (again), and until when."""

    request: requests.PreparedRequest
    repeat: Repeat
    accept: Sequence[int]
    deadline: float
    wait_s: float = 0


def _require_header(value: str | bytes) -> None:
    """Errors: `ValueError` for what would end the header or cannot be sent as one."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not text.isprintable() or not text.isascii():
        raise ValueError("not a header")


@lru_cache(maxsize=512)
def _address(url: str) -> str:
    """An address as `requests` writes it; the same few come again and again. Errors: as its."""
    formed = requests.PreparedRequest()
    formed.prepare_url(url, None)
    return formed.url or url


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """For what is no HTTP call: the same trust as ours, a fingerprint aside."""
    return ssl.create_default_context(cafile=settings.ca_file or DEFAULT_CA_BUNDLE_PATH)


def path_of(*parts: str) -> str:
    """Join path segments, each percent-encoded whole (a slash inside a segment too)."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


class HttpClient:
    """One product's door. `secrets` are replaced wherever a product's text reaches a message;
    `told_wait` reads from the body of a 429 how many seconds to wait, where no header says so."""

    def __init__(
        self,
        product: str,
        settings: HttpSettings,
        runtime: Runtime,
        *,
        secrets: Sequence[Secret] = (),
        explain: Callable[[int, bytes], str | None] | None = None,
        told_wait: Callable[[bytes], float | None] | None = None,
    ) -> None:
        self.product = product
        self.base_url = settings.base_url.rstrip("/")
        self._clock = runtime.clock
        self._on_fault = runtime.on_fault
        self._rotating = tuple(secrets)
        self._secrets = [secret.reveal() for secret in secrets]
        self._explain = explain
        self._told_wait = told_wait
        self._require_safe(settings, runtime)
        # No session of `requests`: it keeps cookies, which must not stand in for the credential
        # that we send, reads the environment, and merges all that it holds anew for each call.
        make = runtime.transport or (lambda: _Adapter(settings.fingerprint_sha256))
        self._adapter = make()
        self._headers = dict(requests.utils.default_headers())
        self._verify = settings.ca_file or not settings.fingerprint_sha256
        proxy = settings.proxy
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}

    def _require_safe(self, settings: HttpSettings, runtime: Runtime) -> None:
        """Refuse settings under which a call would leak something or could not be judged."""
        url = urlsplit(self.base_url)
        if url.username or url.password:
            raise Rejected(self.product, "a credential in base_url is refused: it would be shown")
        is_loopback = url.hostname in ("127.0.0.1", "::1")
        if url.scheme != "https" and not (
            url.scheme == "http" and runtime.emulated and is_loopback
        ):
            raise Rejected(self.product, f"plain http is refused: {visible(self.base_url)}")
        if not url.hostname or url.query or url.fragment:
            raise Rejected(self.product, "base_url is scheme, host and path, and no more")
        if settings.ca_file:
            try:
                ssl.create_default_context(cafile=settings.ca_file)
            except OSError as error:
                text = f"tls.ca_file cannot be read: {visible(settings.ca_file)} ({error.strerror})"
                raise Rejected(self.product, text) from None
        pin = settings.fingerprint_sha256
        if pin is not None and not re.fullmatch(r"(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}", pin):
            text = "tls.fingerprint_sha256 is not 64 hexadecimal digits (colons between are fine)"
            raise Rejected(self.product, text)
        if settings.proxy:
            self._hide(urlsplit(settings.proxy).password)

    def add_secret(self, secret: Secret) -> None:
        """A token that came later (a session key) is redacted from now on."""
        self._hide(secret.reveal())

    def _hide(self, text: str | None) -> None:
        if text and text not in self._secrets:
            self._secrets.append(text)

    def renewing(self, call: Callable[[], _Answer]) -> _Answer:
        """Make a call; when the credential is refused and its file holds another one by now, make
        it once more under that. A refusal comes before anything is done: a write may be repeated.

        Errors: as the call's; `AuthFailed` when no secret has changed, or the new one is refused.
        """
        try:
            return call()
        except AuthFailed:
            changed = [secret for secret in self._rotating if secret.reread()]
            if not changed:
                raise
            for secret in changed:
                self._hide(secret.reveal())
            log.info("product=%s: a credential was read anew from its file", self.product)
            return call()

    def send(
        self,
        method: str,
        path: str,
        *,
        repeat: Repeat,
        auth: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        form: Mapping[str, str | int] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (200,),
        wait_s: float = 0,
    ) -> Reply:
        """Send one request and give its reply when the status is one of `accept`. `wait_s`: how
        long the product was asked to keep it (a long poll), beyond what any call may take.

        Repeat: `SAFE` requests are tried up to three times within the call's budget; `ONCE`
        requests again only when the product cannot have taken them (never connected, 429, or 503
        with Retry-After). Errors: as `connectors/errors.py` groups them.
        """
        deadline = self._clock.monotonic() + CALL_BUDGET_S + wait_s
        request = self._formed(
            method,
            path,
            params,
            {"data": form, "files": files, "json": json},
            {**self._headers, **(headers or {}), **(auth or {})},
        )
        # What a header carries is redacted too: a product may echo `Basic` and what follows it.
        for value in (auth or {}).values():
            self._hide(value.rpartition(" ")[2])
        call = _Call(request, repeat, accept, deadline, wait_s)
        try:
            return self._carry(call)
        except ConnectorError as fault:
            self.note_fault(fault)
            raise

    def _carry(self, call: _Call) -> Reply:
        try:
            return self._attempt(call)
        except _Again as first:
            return self._again(call, first)

    def note_fault(self, fault: ConnectorError) -> None:
        """Tell of a call that failed; also of a refusal that came inside a good answer."""
        if self._on_fault is not None:
            self._on_fault(fault)

    def _formed(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> requests.PreparedRequest:
        """Errors: `Rejected` when there is nothing that could be sent; the message shows no value,
        because the fault may lie in a credential."""
        formed = requests.PreparedRequest()
        try:
            formed.method = method
            formed.url = _address(self.base_url + path)
            if params:
                formed.url += f"?{urlencode(params)}"
            formed.prepare_headers(headers)
            formed.prepare_body(**body)
            for value in formed.headers.values():
                _require_header(value)
        except (requests.exceptions.RequestException, ValueError) as error:
            text = f"the request cannot be formed ({type(error).__name__})"
            raise Rejected(self.product, text, code="malformed_request") from None
        return formed

    def _again(self, call: _Call, first: _Again) -> Reply:
        # Imported here: a quiet poll needs no retry, and a cron process pays for each import.
        from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt

        pending: list[_Again] = [first]

        def attempt() -> Reply:
            last = pending[-1]
            wait_s = last.wait_s if last.wait_s is not None else 0.5 * len(pending)
            if self._clock.monotonic() + wait_s > call.deadline:
                raise last.fault
            self._clock.sleep(wait_s)
            try:
                return self._attempt(call)
            except _Again as again:
                pending.append(again)
                raise

        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(ATTEMPTS - 1),
            sleep=lambda _seconds: None,
        )
        try:
            return retrying(attempt)
        except RetryError:
            raise pending[-1].fault from None

    def _attempt(self, call: _Call) -> Reply:
        left_s = max(call.deadline - self._clock.monotonic(), 0.5)
        with (
            self._mapped(call.repeat),
            self._adapter.send(
                call.request,
                timeout=(
                    min(CONNECT_TIMEOUT_S, left_s),
                    min(READ_TIMEOUT_S + call.wait_s, left_s),
                ),
                stream=True,
                verify=self._verify,
                proxies=self._proxies,
            ) as response,
        ):
            body = self._read(response, call)
        log.debug(
            "http product=%s method=%s status=%s",
            self.product,
            call.request.method,
            response.status_code,
        )
        reply = Reply(
            status=response.status_code,
            headers=response.headers,
            body=body,
            product=self.product,
            repeat=call.repeat,
        )
        if reply.status in call.accept:
            return reply
        raise self._refusal(reply)

    def _read(self, response: requests.Response, call: _Call) -> bytes:
        chunks: list[bytes] = []
        size = 0
        # One read at a time gives what has come: a body that drips cannot hold the call past its
        # deadline, as waiting for a full chunk would.
        while chunk := response.raw.read1(65536, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES or self._clock.monotonic() > call.deadline:
                fault = OutcomeUnknown if call.repeat is Repeat.ONCE else Unavailable
                raise fault(self.product, "sends an answer that is too long or too slow")
        return b"".join(chunks)

    @contextmanager
    def _mapped(self, repeat: Repeat) -> Iterator[None]:
        """Map the lower libraries' errors: never sent, or sent and then lost."""
        try:
            yield
        except (requests.exceptions.RequestException, Urllib3Error) as error:
            raise self._fault(error, repeat) from None

    def _fault(self, error: BaseException, repeat: Repeat) -> Exception:
        root = _root(error)
        refused = certificate_fault(root, is_trust_set=isinstance(self._verify, str))
        if refused is not None:
            text = f"{refused}: {self._clean(str(root))}"
            return Unavailable(self.product, text, code="certificate")
        if isinstance(error, _NEVER_FORMED):
            return Rejected(self.product, "the request cannot be formed", code="malformed_request")
        if _never_sent(error):
            via = " through the proxy" if _is_proxy_fault(error) else ""
            text = f"no connection{via}: {self._clean(str(root))}"
            return _Again(Unavailable(self.product, text, code="no_connection"), None)
        text = f"the answer was lost ({type(error).__name__})"
        if repeat is Repeat.ONCE:
            return OutcomeUnknown(self.product, text)
        return _Again(Unavailable(self.product, text), None)

    def _refusal(self, reply: Reply) -> Exception:
        """The error for a status that was not accepted."""
        status = reply.status
        wait_s = retry_after_s(reply.headers, self._clock.now())
        if wait_s is None and status == 429 and self._told_wait is not None:
            wait_s = self._told_wait(reply.body)
        text = self._text(reply)
        if status == 429 or (status == 503 and wait_s is not None):
            fault = Unavailable(self.product, text, status=status, retry_after_s=wait_s)
            return _Again(fault, wait_s if wait_s is not None else 1.0)
        if status in (401, 403):
            return AuthFailed(self.product, text, status=status)
        if status == 404:
            return NotFound(self.product, text, status=status)
        if status >= 500 or status == 408:
            if reply.repeat is Repeat.ONCE:
                return OutcomeUnknown(self.product, text, status=status)
            return _Again(Unavailable(self.product, text, status=status), None)
        if 300 <= status < 400:
            text = f"answered with a redirect (HTTP {status}), which is not followed"
        if status < 300:
            fault_type = OutcomeUnknown if reply.repeat is Repeat.ONCE else Unavailable
            return fault_type(self.product, text, status=status)
        return Rejected(self.product, text, status=status)

    def _text(self, reply: Reply) -> str:
        # Before anybody shortens it: half a secret would not be found any more.
        body = self._without_secrets(reply.body.decode("utf-8", "surrogateescape"))
        bare = body.encode("utf-8", "surrogateescape")
        said = self._explain(reply.status, bare) if self._explain else None
        text = f"HTTP {reply.status}"
        return f"{text}: {self._clean(said)}" if said else text

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, self._secrets):
            for form in {secret, quote(secret, safe=""), jsonlib.dumps(secret)[1:-1]}:
                text = text.replace(form, "***")
        return text

    def _clean(self, text: str) -> str:
        return visible(shorten(self._without_secrets(text), 300))

    def redact(self, text: str) -> str:
        """A product's own words, safe to show: secrets out, control characters as escapes,
        short."""
        return self._clean(text)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as told: whole or broken seconds, an HTTP date, or Falcon's epoch.

    Clamped to 0..300; garbage is as good as no header. Source: RFC 9110 section 10.2.3;
    X-RateLimit-RetryAfter as read in PSFalcon, 2026-11-25.
    """
    epoch = headers.get("X-RateLimit-RetryAfter")
    if epoch and re.fullmatch(r"\d{9,11}", epoch.strip()):
        return _clamp(int(epoch) - now.timestamp())
    value = (headers.get("Retry-After") or "").strip()
    if not value:
        return None
    try:
        return _clamp(float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return _clamp((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp())


def _clamp(seconds: float) -> float | None:
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None


def _root(error: BaseException) -> BaseException:
    """The innermost cause that the lower libraries wrapped."""
    seen = error
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            return seen
        seen = inner


_NEVER_FORMED = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.URLRequired,
)
"""Faults of the request as it is sent. `InvalidHeader` is not here: by then it is the answer's."""
_HANDSHAKE_REASONS = frozenset(
    {
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_UNRECOGNIZED_NAME",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)
"""OpenSSL's words for a connection that came to no agreement. Any other TLS error may have struck
after the request was sent."""


def _is_proxy_fault(error: BaseException) -> bool:
    return isinstance(error, requests.exceptions.ProxyError)


def _never_sent(error: BaseException) -> bool:
    """True when the connection itself was not made, so that nothing can have arrived."""
    root = _root(error)
    if isinstance(root, ssl.SSLError):
        return root.reason in _HANDSHAKE_REASONS
    seen: BaseException | None = error
    while isinstance(seen, BaseException):
        if isinstance(seen, (NewConnectionError, ConnectTimeoutError)):
            return True
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = inner if isinstance(inner, BaseException) else None
    return isinstance(error, requests.exceptions.ConnectTimeout) or _is_proxy_fault(error)
