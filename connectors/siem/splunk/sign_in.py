"""By what name a call is made: a token, or a session that a user name and a password open.

A session's key lives in memory only. A session that ended (401) is opened anew once for the call
that met it; a password that was refused is not tried again at once, and not by a later process
either, so that no loop of ours locks the account.

Source: docs.splunk.com REST API Reference "auth/login", "Authentication"; server.conf.spec
`sessionTimeout`; read 2026-11-25.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from connectors.errors import AuthFailed, Rejected, Unavailable
from connectors.http import HttpClient, Repeat, Reply, Runtime
from connectors.model import Clock, Secret
from connectors.sign_ins import RefusedSignIns

PRODUCT = "splunk"
LOGIN = "/services/auth/login"
LOGIN_REST_S = 60.0
"""How long a refused password is not sent again; a tick of a service is no shorter."""

Send = Callable[[Mapping[str, str]], Reply]
"""Makes one call under the given headers."""


class SignIn(Protocol):
    def run(self, send: Send) -> Reply:
        """Make a call under a valid sign-in. Errors: as the call's; `AuthFailed`."""
        ...


class Token:
    """One authentication token, as long as it is valid."""

    def __init__(self, token: Secret) -> None:
        self._token = require(token, "token")

    def run(self, send: Send) -> Reply:
        return send({"Authorization": f"Bearer {self._token.reveal()}"})


class Session:
    """A user's session. Opened at the first call, and again when splunkd no longer knows it."""

    def __init__(
        self,
        http: HttpClient,
        username: Secret,
        password: Secret,
        clock: Clock,
        remembered: RefusedSignIns | None,
    ) -> None:
        self._http = http
        self._remembered = remembered
        self._username = require(username, "username")
        self._password = require(password, "password")
        self._clock = clock
        self._key: Secret | None = None
        self._refused: AuthFailed | None = None
        self._refused_at = 0.0
        self._refused_password = ""

    def run(self, send: Send) -> Reply:
        """A 401 is answered before anything is done, so a write may be sent again, too."""
        is_old = self._key is not None
        try:
            return send(self._headers())
        except AuthFailed as refusal:
            # A key that was made for this very call is refused for a reason that no login mends.
            if refusal.status != 401 or not is_old:
                raise
        self._key = None
        return send(self._headers())

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            self._key = self._open()
            self._http.add_secret(self._key)
        return {"Authorization": f"Splunk {self._key.reveal()}"}

    def _open(self) -> Secret:
        """One login. Errors: `AuthFailed` code `login`, also while the last refusal is young."""
        self._username.reread()
        password = self._password.reveal()
        is_same = self._refused is not None and password == self._refused_password
        if is_same and self._clock.monotonic() - self._refused_at < LOGIN_REST_S:
            raise self._refusal()
        sent = (self._username, Secret(password))
        if told := self._told(sent):
            raise AuthFailed(PRODUCT, told, status=401, code="login")
        try:
            answer = self._login(password)
        except AuthFailed as refusal:
            self._note(refusal, password)
            if self._remembered is not None and refusal.status == 401:
                # A 403 is a proxy's or a filter's: nothing was tried on the account.
                self._remembered.note(self._http.base_url, sent, refusal.text)
            raise self._refusal() from None
        self._refused = None
        if self._remembered is not None:
            self._remembered.forget(self._http.base_url)
        return answer

    def _told(self, sent: Sequence[Secret]) -> str | None:
        return self._remembered.told(self._http.base_url, sent) if self._remembered else None

    def _note(self, refusal: AuthFailed, password: str) -> None:
        self._refused = refusal
        self._refused_at = self._clock.monotonic()
        self._refused_password = password

    def _refusal(self) -> AuthFailed:
        told = f" ({self._refused.text})" if self._refused else ""
        text = f"the user name or the password was refused, or the account is locked{told}"
        return AuthFailed(PRODUCT, text, status=401, code="login")

    def _login(self, password: str) -> Secret:
        """Repeat: another session. Source: POST auth/login, 2026-11-25."""
        form = {"username": self._username.reveal(), "password": password, "output_mode": "json"}
        reply = self._http.send("POST", LOGIN, repeat=Repeat.SAFE, form=form)
        answer = reply.json()
        key = answer.get("sessionKey") if isinstance(answer, dict) else None
        if not isinstance(key, str) or not key:
            raise Unavailable(PRODUCT, "took the password but gave no session key", status=200)
        return Secret(key)


def sign_in(http: HttpClient, credentials: Mapping[str, Secret], runtime: Runtime) -> SignIn:
    """The sign-in that the configured credentials make. Errors: `Rejected` for an empty one."""
    if "token" in credentials:
        return Token(credentials["token"])
    return Session(
        http,
        credentials["username"],
        credentials["password"],
        runtime.clock,
        runtime.refused_sign_ins,
    )


def require(secret: Secret, what: str) -> Secret:
    if not secret.reveal().strip():
        raise Rejected(PRODUCT, f"the {what} is empty", code="empty_credential")
    return secret
