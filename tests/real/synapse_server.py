"""A private Matrix homeserver in a folder, on a free port of loopback, for the time of a block.

It is Synapse (`tests/servers/synapse/install.sh`) with SQLite and without federation. Its limit on
messages is lifted for each user; `limit` lays it on again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tests.real.server_process import ServerProcess, free_port

INSTALLED = Path(
    os.environ.get("STOCKADE_SYNAPSE")
    or Path(__file__).parent.parent / "servers" / "synapse" / "venv"
)
TIMEOUT_S = 60
_SECRET = "made-up-for-a-test"
_numbers = count(1)

_CONFIG = """
server_name: example.test
pid_file: {folder}/synapse.pid
signing_key_path: {folder}/signing.key
log_config: {folder}/log.yaml
media_store_path: {folder}/media
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
federation_domain_whitelist: []
enable_registration: false
registration_shared_secret: made-up-for-a-test
macaroon_secret_key: made-up-for-a-test
form_secret: made-up-for-a-test
url_preview_enabled: false
presence: {enabled: false}
bcrypt_rounds: 4
caches: {sync_response_cache_duration: 0s}
database: {name: sqlite3, args: {database: '{folder}/homeserver.db'}}
listeners:
  - {port: {port}, tls: false, type: http, bind_addresses: ['127.0.0.1'],
     resources: [{names: [client], compress: false}]}
rc_message: {per_second: 0.05, burst_count: 1}
rc_registration: &fast {per_second: 1000, burst_count: 1000}
rc_login: {address: *fast, account: *fast, failed_attempts: *fast}
rc_joins: {local: *fast, remote: *fast}
rc_invites: {per_room: *fast, per_user: *fast, per_issuer: *fast}
rc_room_creation: *fast
"""
_LOG = """
version: 1
formatters: {f: {format: '%(levelname)s %(name)s %(message)s'}}
handlers: {file: {class: logging.FileHandler, filename: '{folder}/synapse.log', formatter: f}}
root: {level: WARNING, handlers: [file]}
disable_existing_loggers: false
"""


@dataclass(frozen=True)
class User:
    """A user of the homeserver, as it sits before a client of its own."""

    base_url: str
    id: str
    token: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.base_url}{path}",
            json=body,
            params=params,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=TIMEOUT_S,
        )

    def do(self, method: str, path: str, body: Any = None, **params: Any) -> dict[str, Any]:
        """Errors: `HTTPError`."""
        reply = self.call(method, path, body, **params)
        if not reply.ok:
            raise requests.HTTPError(f"{reply.status_code} {reply.text}", response=reply)
        answer: dict[str, Any] = reply.json()
        return answer

    def in_room(self, method: str, room: str, path: str, body: Any = None) -> dict[str, Any]:
        return self.do(method, f"/_matrix/client/v3/rooms/{quote(room, safe='')}/{path}", body)

    def send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        """Gives the event's id. Errors: `HTTPError`."""
        sent = self.in_room("PUT", room, f"send/{kind}/person-{next(self._numbers)}", content)
        return str(sent["event_id"])

    def react(self, room: str, event: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return self.send(room, "m.reaction", {"m.relates_to": relation})

    def redact(self, room: str, event: str) -> None:
        path = f"redact/{quote(event, safe='')}/person-{next(self._numbers)}"
        self.in_room("PUT", room, path, {})

    def join(self, room: str) -> None:
        self.do("POST", f"/_matrix/client/v3/join/{quote(room, safe='')}", {})

    def create_room(self, invite: list[User], **more: Any) -> str:
        body = {"preset": "private_chat", "invite": [user.id for user in invite], **more}
        room = str(self.do("POST", "/_matrix/client/v3/createRoom", body)["room_id"])
        for user in invite:
            user.join(room)
        return room

    def highlights(self, room: str) -> int:
        """How many messages of the room called this user by name."""
        joined = self.do("GET", "/_matrix/client/v3/sync", timeout=0)["rooms"]["join"]
        return int(joined[room]["unread_notifications"]["highlight_count"])


@dataclass(frozen=True)
class SynapseServer:
    base_url: str
    admin: User
    process: ServerProcess

    def user(self, name: str) -> User:
        """A new user, with a number behind the name, who may send as fast as it likes."""
        user = register(self.base_url, f"{name}{next(_numbers)}", is_admin=False)
        self.unlimit(user)
        return user

    def deactivate(self, user: User) -> None:
        path = f"/_synapse/admin/v1/deactivate/{quote(user.id, safe='')}"
        self.admin.do("POST", path, {"erase": False})

    def unlimit(self, user: User) -> None:
        lifted = {"messages_per_second": 1000, "burst_count": 1000}
        self.admin.do("POST", self._limit_of(user), lifted)

    def limit(self, user: User) -> None:
        """From now on the user may send one message in twenty seconds, as everybody else."""
        self.admin.do("DELETE", self._limit_of(user))

    @staticmethod
    def _limit_of(user: User) -> str:
        return f"/_synapse/admin/v1/users/{quote(user.id, safe='')}/override_ratelimit"


def what_is_missing() -> str | None:
    """Why no Synapse can be started here; None when it can."""
    if not (INSTALLED / "bin" / "synapse_homeserver").exists():
        return f"there is no Synapse in {INSTALLED}: run tests/servers/synapse/install.sh"
    return None


def register(base_url: str, name: str, *, is_admin: bool) -> User:
    """A user made with the server's shared secret."""
    path = f"{base_url}/_synapse/admin/v1/register"
    nonce = requests.get(path, timeout=TIMEOUT_S).json()["nonce"]
    password = f"password-of-{name}"
    parts = (nonce, name, password, "admin" if is_admin else "notadmin")
    mac = hmac.new(_SECRET.encode(), "\x00".join(parts).encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": is_admin, "mac": mac}
    reply = requests.post(path, json=body, timeout=TIMEOUT_S)
    reply.raise_for_status()
    said = reply.json()
    return User(base_url, said["user_id"], said["access_token"])


@contextmanager
def running_synapse(folder: Path) -> Iterator[SynapseServer]:
    """Errors: `RuntimeError` when Synapse does not come up."""
    port = free_port()
    for name, text in (("homeserver.yaml", _CONFIG), ("log.yaml", _LOG)):
        filled = text.replace("{port}", str(port)).replace("{folder}", str(folder))
        (folder / name).write_text(filled)
    key = [INSTALLED / "bin" / "generate_signing_key", "-o", folder / "signing.key"]
    subprocess.run(key, check=True, timeout=300)
    base_url = f"http://127.0.0.1:{port}"

    def ask() -> None:
        reply = requests.get(f"{base_url}/_matrix/client/versions", timeout=TIMEOUT_S)
        reply.raise_for_status()

    command = [INSTALLED / "bin" / "synapse_homeserver", "-c", folder / "homeserver.yaml"]
    process = ServerProcess("Synapse", command, folder / "stdout.log", ask)
    try:
        process.start()
        yield SynapseServer(base_url, register(base_url, "admin", is_admin=True), process)
    finally:
        process.stop()
