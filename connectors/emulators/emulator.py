"""A product's stand-in: credentials, state, spoiled answers on request, a log of every call.

It knows no product and no socket. A product is a subclass that turns a `Call` into an `Answer`, and
can write down and restore its world.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from threading import Event, RLock
from typing import Any, ClassVar

import msgspec

from connectors.emulators.faults import Misbehaviour, Misbehaviours
from connectors.emulators.server import LoopbackServer
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call, Logged, json_answer
from connectors.model import Clock, JsonObject

MARK = "".join(reversed("7e2ce57e2ce5"))
"""Stands in each secret of a stand-in, so that one search finds any of them anywhere. Written the
other way round here: a copy of this file is no secret."""
NAMES = ("email", "username")
"""Credentials that open nothing."""


def new_secret() -> str:
    """A random secret of 32 letters, with the mark in it."""
    return MARK + secrets.token_hex(10)


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What opens a stand-in: the product's own credentials, and a token for whoever runs the test
    (`control`) or plays the people (`human`)."""

    credentials: dict[str, str]
    control: str
    human: str

    @classmethod
    def fresh(cls, shape: Mapping[str, str]) -> Keys:
        """Random keys; `shape` names the credentials and gives each one's prefix."""
        made = {
            name: prefix + (secrets.token_hex(16) if name in NAMES else new_secret())
            for name, prefix in shape.items()
        }
        return cls(credentials=made, control=secrets.token_hex(16), human=secrets.token_hex(16))


class Emulator:
    """One product's stand-in. The promise: what was answered with success is already on disk."""

    PRODUCT: ClassVar[str]
    CREDENTIALS: ClassVar[dict[str, str]]
    """Credential name → prefix of its random value."""
    TUNABLE: ClassVar[frozenset[str]] = frozenset()
    """Attributes that a test may set (`tune`): delays, caps, quirks."""
    COMMANDS: ClassVar[frozenset[str]] = frozenset()
    """Methods that a test may call over `/_control/do`."""
    HUMAN: ClassVar[frozenset[str]] = frozenset()
    """Methods that play the people, over `/_human/<name>`."""

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        self.clock = clock
        self.keys = keys or Keys.fresh(self.CREDENTIALS)
        self.lock = RLock()
        self.faults = Misbehaviours()
        self.crashes: list[str] = []
        self._store = store
        self._log: list[Logged] = []
        self._server: LoopbackServer | None = None
        self.stopping = Event()

    # -- the product: each stand-in writes these ---------------------------------------------------

    def answer(self, call: Call) -> Answer:
        """Do what the call asks, under the lock."""
        raise NotImplementedError

    def snapshot(self) -> JsonObject:
        """The world, as JSON."""
        raise NotImplementedError

    def restore(self, world: JsonObject) -> None:
        raise NotImplementedError

    # -- life --------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> None:
        """Restore the world, then serve on 127.0.0.1; port 0 lets the system choose."""
        world = self._store.read() if self._store else None
        if world is not None:
            self.restore(world)
        else:
            self.save()
        self.stopping.clear()
        self._server = LoopbackServer(self, port)
        self._server.serve()

    def stop(self) -> None:
        """Stop listening and cut open connections, as a process that ends does."""
        self.stopping.set()
        if self._server is not None:
            self._server.end()
            self._server = None

    @property
    def address(self) -> tuple[str, int]:
        if self._server is None:
            raise RuntimeError(f"the {self.PRODUCT} stand-in is not running")
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def base_url(self) -> str:
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def credentials(self) -> dict[str, str]:
        return dict(self.keys.credentials)

    def save(self) -> None:
        if self._store is not None:
            self._store.write(self.snapshot())

    # -- for tests ---------------------------------------------------------------------------------

    def misbehave(self, fault: Misbehaviour | None = None, **how: Any) -> None:
        """Spoil coming calls; the keywords are those of `Misbehaviour`, added to `fault`'s."""
        if fault is None:
            self.faults.add(Misbehaviour(**how))
        else:
            self.faults.add(msgspec.structs.replace(fault, **how))

    def behave(self) -> None:
        """Drop all rules."""
        self.faults.clear()

    def tune(self, **values: Any) -> None:
        """Set delays, caps and quirks. Errors: `ValueError` for a name that is not tunable."""
        unknown = set(values) - self.TUNABLE
        if unknown:
            raise ValueError(f"{self.PRODUCT} cannot be tuned by {sorted(unknown)}")
        with self.lock:
            for name, value in values.items():
                setattr(self, name, value)

    @property
    def requests(self) -> list[Logged]:
        """Every call so far, control calls left out."""
        with self.lock:
            return list(self._log)

    def effects(self, path: str = "*", query: str = "*") -> list[Logged]:
        """The calls that changed the product's world, by shell patterns."""
        wanted = Misbehaviour(path=path, query=query)
        return [
            seen
            for seen in self.requests
            if seen.changed and wanted.matches(seen.method, seen.path, seen.query)
        ]

    def forget_requests(self) -> None:
        with self.lock:
            self._log.clear()

    # -- serving -----------------------------------------------------------------------------------

    def respond(self, call: Call, fault: Misbehaviour | None) -> Answer:
        """Do the call unless the fault replaces it, log it, and give the answer to be sent."""
        with self.lock:
            if fault is not None and fault.refuse:
                answer = Answer(status=0)
            elif fault is not None and fault.replaces:
                done = self.perform(call) if fault.apply else None
                answer = _replaced(fault, done)
            else:
                answer = self.perform(call)
            self._record(call, answer, fault)
        return answer

    def perform(self, call: Call) -> Answer:
        answer = self.answer(call)
        if answer.changed:
            self.save()
        return answer

    def _record(self, call: Call, answer: Answer, fault: Misbehaviour | None) -> None:
        is_lost = fault is not None and (fault.refuse or fault.lose_answer)
        self._log.append(
            Logged(
                number=len(self._log) + 1,
                method=call.method,
                path=call.path,
                query=self.masked(call.query),
                body=self.masked(call.body.decode("utf-8", "replace")),
                status=answer.status,
                changed=answer.changed,
                is_answered=not is_lost,
            )
        )

    def masked(self, text: str) -> str:
        for value in self.keys.credentials.values():
            text = text.replace(value, "***")
        return text

    def aside(self, call: Call) -> Answer | None:
        """Answer `/_control/…` and `/_human/…`; None for the product's own paths."""
        _, room, rest = [*call.path.split("/", 2), "", ""][:3]
        if room == "_human":
            return self._command(call, rest, self.HUMAN, self.keys.human, "x-human-token")
        if room != "_control":
            return None
        if rest.startswith("do/"):
            name = rest.removeprefix("do/")
            return self._command(call, name, self.COMMANDS, self.keys.control, "x-control-token")
        if not _is_same(call.header("x-control-token"), self.keys.control):
            return json_answer({"error": "control token needed"}, 403)
        return self._control(call, rest)

    def _control(self, call: Call, what: str) -> Answer:
        value = call.json() if call.body else {}
        if what == "requests":
            return json_answer(msgspec.to_builtins(self.requests))
        if what == "misbehave":
            self.faults.add(msgspec.convert(value, Misbehaviour))
        elif what == "behave":
            self.behave()
        elif what == "forget":
            self.forget_requests()
        elif what == "tune":
            self.tune(**value)
        else:
            return json_answer({"error": f"no control {what}"}, 404)
        return json_answer({"ok": True})

    def _command(
        self, call: Call, name: str, allowed: frozenset[str], token: str, header: str
    ) -> Answer:
        if not _is_same(call.header(header), token):
            return json_answer({"error": f"{header} needed"}, 403)
        if name not in allowed:
            return json_answer({"error": f"no command {name}"}, 404)
        method: Callable[..., Any] = getattr(self, name)
        result = method(**(call.json() if call.body else {}))
        return json_answer({"ok": True, "result": result})


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _replaced(fault: Misbehaviour, done: Answer | None) -> Answer:
    return Answer(
        status=fault.status if fault.status is not None else 200,
        body=(fault.body or "").encode(),
        content_type=fault.content_type,
        headers=tuple(fault.headers.items()),
        changed=done.changed if done else False,
    )
