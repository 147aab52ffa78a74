"""A splunkd stand-in: saved searches, jobs, results, over one small world of events.

Judged by splunk-sdk (as 9.2.1 and as 9.0.1, which has no `search/v2`). Error texts and timings are
our reading. SPL is evaluated for the part that `spl.py` and `spl_commands.py` document; anything
else is a 400 as for a search that cannot be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec

from connectors.emulators import scenario
from connectors.emulators.emulator import Keys
from connectors.emulators.spl_commands import StoredEvent
from connectors.emulators.splunk_access import Access
from connectors.emulators.splunk_jobs import SAVED_MAX_COUNT, saved_sid, scheduler_sid
from connectors.emulators.splunk_search import job_link, page_of
from connectors.emulators.splunk_wire import Entry, Writer
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call
from connectors.model import Clock, JsonObject

Handler = Callable[["Splunk", Call, dict[str, str], Writer, tuple[Any, ...]], Answer]


class Splunk(Access):
    """One search head with its saved searches."""

    PRODUCT: ClassVar[str] = "splunk"
    CREDENTIALS: ClassVar[dict[str, str]] = {"token": "", "username": "soar-", "password": ""}
    COMMANDS: ClassVar[frozenset[str]] = frozenset(
        {"add_event", "spoil_job", "drop_jobs", "expire_sessions", "run_schedule"}
    )

    def __init__(
        self,
        clock: Clock,
        *,
        keys: Keys | None = None,
        store: StateFile | None = None,
        base: datetime | None = None,
    ) -> None:
        super().__init__(clock, keys=keys, store=store, base=base)
        self.saved = {name: _saved(text) for name, text in scenario.SAVED_SEARCHES.items()}
        self.macros: dict[str, JsonObject] = {}
        """Stanza of macros.conf → its settings; `sharing` and `denied` (403) are ours."""

    def snapshot(self) -> JsonObject:
        added = msgspec.to_builtins(self._added)
        return {"saved": self.saved, "added": added}

    def restore(self, world: JsonObject) -> None:
        self.saved = world["saved"]
        self._added = msgspec.convert(world["added"], list[StoredEvent])

    def run_schedule(
        self, name: str, earliest_s: float, latest_s: float = 0.0, age_s: float = 0.0
    ) -> str:
        """The scheduler runs a saved search now, as for `age_s` ago, over event time from
        `earliest_s` to `latest_s` before that. Gives the job's id."""
        with self.lock:
            at = self.clock.now().timestamp() - age_s
            sid = scheduler_sid(name, int(at), next(self._numbers))
            times = {
                "earliest_time": f"{at - earliest_s:.0f}",
                "latest_time": f"{at - latest_s:.0f}",
            }
            writer = Writer("json", self.version)
            self._start(sid, _generating(self.saved[name]["search"]), times, writer, label=name)
            return sid

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        fields = call.fields()
        writer = Writer(fields.get("output_mode", "xml"), self.version)
        if call.path.rstrip("/") == "/services/auth/login":
            return self._login(call, fields, writer)
        if not self._is_authed(call):
            return writer.message(401, "WARN", "call not properly authenticated")
        path = re.sub(r"^/services(NS/[^/]+/[^/]+)?/", "", call.path).rstrip("/")
        if path.startswith("search/v2/") and not self._has_v2:
            return writer.message(404, "ERROR", "Not Found")
        for method, pattern, handler in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match is not None and call.method == method:
                try:
                    return handler(self, call, fields, writer, match.groups())
                except ValueError:
                    return writer.message(400, "ERROR", "An argument is not a number.")
        return writer.message(404, "ERROR", "Not Found")

    # -- saved searches ----------------------------------------------------------------------------

    def _list_saved(self, call: Call, fields: dict[str, str], writer: Writer, _: object) -> Answer:
        names = page_of(list(self.saved), fields, default=30)
        entries = [self._saved_entry(name) for name in names]
        return writer.feed("savedsearch", entries, total=len(self.saved))

    def _create_saved(
        self, call: Call, fields: dict[str, str], writer: Writer, _: object
    ) -> Answer:
        name = fields.pop("name", "")
        if not self.may_write:
            return writer.message(403, "ERROR", _FORBIDDEN)
        if name in self.saved:
            text = f"Unable to create saved search with name '{name}'. It already exists."
            return writer.message(409, "ERROR", text)
        own = {key: value for key, value in fields.items() if key != "output_mode"}
        self.saved[name] = _saved("") | own
        answer = writer.feed("savedsearch", [self._saved_entry(name)], 201)
        return msgspec.structs.replace(answer, changed=True)

    def _one_saved(
        self, call: Call, fields: dict[str, str], writer: Writer, groups: tuple[Any, ...]
    ) -> Answer:
        name = _decoded(groups[0])
        if name not in self.saved:
            return writer.message(404, "ERROR", f"Could not find object id={name}")
        action = groups[1]
        if action == "dispatch":
            return self._dispatch(name, fields, writer)
        if action == "history":
            return self._history(name, fields, writer)
        if call.method == "GET":
            return writer.feed("savedsearch", [self._saved_entry(name)])
        if not self.may_write:
            return writer.message(403, "ERROR", _FORBIDDEN)
        if call.method == "DELETE":
            del self.saved[name]
            return msgspec.structs.replace(writer.feed("savedsearch", []), changed=True)
        self.saved[name].update({k: v for k, v in fields.items() if k != "output_mode"})
        answer = writer.feed("savedsearch", [self._saved_entry(name)])
        return msgspec.structs.replace(answer, changed=True)

    def _macro(
        self, call: Call, fields: dict[str, str], writer: Writer, groups: tuple[Any, ...]
    ) -> Answer:
        name = _decoded(groups[0])
        macro = self.macros.get(name)
        if macro is None:
            return writer.message(404, "ERROR", f"{name} does not exist")
        if macro.get("denied"):
            return writer.message(403, "ERROR", _FORBIDDEN)
        link = f"/servicesNS/nobody/search/configs/conf-macros/{groups[0]}"
        sharing = str(macro.get("sharing", "app"))
        entry = Entry(name=name, link=link, content=macro, acl={"sharing": sharing})
        return writer.feed("conf-macros", [entry])

    def _expanded(self, text: str) -> str:
        """With macros that take no arguments in their places; any other stays, and is refused."""
        known = {name: str(macro["definition"]) for name, macro in self.macros.items()}
        return re.sub(r"`(\w+)`", lambda call: known.get(call[1], call[0]), text)

    def _saved_entry(self, name: str) -> Entry:
        # The SDK calls the link as it stands: a blank once encoded, a slash twice.
        encoded = name.replace("/", "%252F").replace(" ", "%20")
        link = f"/servicesNS/nobody/search/saved/searches/{encoded}"
        return Entry(name=name, link=link, content=self.saved[name])

    def _dispatch(self, name: str, fields: dict[str, str], writer: Writer) -> Answer:
        saved = self.saved[name]
        sid = saved_sid(self.credentials["username"], name, next(self._numbers), self.clock.now())
        text = _generating(self._expanded(saved["search"]))
        if saved["disabled"] in (True, "1"):
            return writer.message(400, "ERROR", f"Saved search '{name}' is disabled.")
        given = {**saved, **fields}
        cap = int(given.get("dispatch.max_count") or SAVED_MAX_COUNT)
        times = {
            key: given.get(f"dispatch.{key}", "")
            for key in ("earliest_time", "latest_time", "index_earliest", "index_latest")
        }
        return self._start(sid, text, times, writer, label=name, max_count=cap)

    def _history(self, name: str, fields: dict[str, str], writer: Writer) -> Answer:
        found = [job for job in self.jobs.values() if job.label == name]
        entries = [
            Entry(name=job.sid, link=job_link(job), content=job.content(self.clock.now()))
            for job in page_of(found, fields, default=30)
        ]
        return writer.feed("history", entries, total=len(found))


def _generating(text: str) -> str:
    text = text.strip()
    return text if text.startswith(("|", "search ")) else f"search {text}"


def _saved(search: str) -> JsonObject:
    return {
        "search": search,
        "is_scheduled": False,
        "disabled": False,
        "cron_schedule": "",
        "dispatch.earliest_time": "-24h",
        "dispatch.latest_time": "now",
        "dispatch.ttl": "2p",
    }


def _decoded(segment: str) -> str:
    return unquote(segment.replace("+", " ")).replace("%2F", "/")


_FORBIDDEN = "You do not have permission to perform this operation"
_JOBS = r"search/(v2/)?jobs"
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", r"server/info(?:/server-info)?", Splunk._info),
    ("GET", r"authentication/current-context", Splunk._context),
    ("GET", r"authorization/roles/([^/]+)", Splunk._role),
    ("GET", r"configs/conf-macros/([^/]+)", Splunk._macro),
    ("GET", r"saved/searches", Splunk._list_saved),
    ("POST", r"saved/searches", Splunk._create_saved),
    ("GET", r"saved/searches/([^/]+)(?:/(history))?", Splunk._one_saved),
    ("POST", r"saved/searches/([^/]+)(?:/(dispatch))?", Splunk._one_saved),
    ("DELETE", r"saved/searches/([^/]+)()", Splunk._one_saved),
    ("GET", _JOBS, Splunk._list_jobs),
    ("POST", _JOBS + r"(?:/(export))?", Splunk._create_job),
    ("GET", _JOBS + r"/([^/]+)(?:/(results|results_preview|events))?", Splunk._one_job),
    ("POST", _JOBS + r"/([^/]+)/(control|results|results_preview|events)", Splunk._one_job),
    ("DELETE", _JOBS + r"/([^/]+)()", Splunk._one_job),
)
