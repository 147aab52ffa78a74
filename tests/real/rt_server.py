"""A private Request Tracker 5 in a folder, on a free port of loopback, for the time of a block.

It is Debian's program (`tests/servers/rt/install.sh`) with a configuration and a SQLite file of its
own: nothing of the machine's RT is read or written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.real.server_process import ServerProcess, free_port

SEEDS = Path(__file__).parent.parent / "servers" / "rt"
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
SETUP = "rt-setup-database-5"
RIGHTS = (
    "SeeQueue",
    "CreateTicket",
    "ShowTicket",
    "ShowTicketComments",
    "CommentOnTicket",
    "SeeCustomField",
    "ModifyCustomField",
)
"""As tests/servers/rt/seed.pl has them."""
MAX_BYTES = 500_000
"""RT cuts what is longer, as it does when an administrator says so."""
_ROOT_PASSWORD = "made-up-for-a-test"

_CONFIG = """
Set($rtname, 'example.test'); Set($Organization, 'example.test'); Set($Timezone, 'UTC');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{folder}/rt.sqlite3');
Set($DatabaseHost, ''); Set($DatabasePort, '');
Set($MailCommand, 'testfile');
Set($MaxAttachmentSize, {max_bytes}); Set($TruncateLongAttachments, 1);
Set($LogToSyslog, ''); Set($LogToSTDERR, 'warning');
$RT::VarPath = '{folder}'; $RT::MasonDataDir = '{folder}/mason';
$RT::MasonSessionDir = '{folder}/session';
1;
"""


@dataclass(frozen=True)
class Part:
    """A piece of a ticket as it is stored: a text, or a file."""

    subject: str
    file_name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class RtServer:
    base_url: str
    tokens: dict[str, str]
    process: ServerProcess

    def as_root(self, method: str, path: str, **more: Any) -> Any:
        """What an administrator does by hand."""
        return _ask_as_root(self.base_url, method, path, **more)

    def ids_of(self, key: str) -> list[str]:
        """The tickets that carry a correlation key, as an administrator finds them."""
        query = f"'CF.{{Stockade Key}}' = '{key}'"
        found = self.as_root("GET", "tickets", params={"query": query, "per_page": 100})
        return [str(one["id"]) for one in found["items"]]

    def parts(self, ticket_id: str) -> list[Part]:
        """All texts and files of a ticket, oldest first."""
        path = f"ticket/{ticket_id}/attachments"
        listed = self.as_root("GET", path, params={"per_page": 100})["items"]
        records = [self.as_root("GET", f"attachment/{entry['id']}") for entry in listed]
        return [
            Part(
                subject=record.get("Subject") or "",
                file_name=record.get("Filename") or "",
                content_type=record["ContentType"],
                content=b64decode(record.get("Content") or ""),
            )
            for record in records
        ]


def _ask_as_root(base_url: str, method: str, path: str, **more: Any) -> Any:
    reply = requests.request(
        method,
        f"{base_url}/REST/2.0/{path}",
        auth=("root", _ROOT_PASSWORD),
        timeout=60,
        **more,
    )
    reply.raise_for_status()
    return reply.json()


def what_is_missing() -> str | None:
    """Why no RT can be started here; None when it can."""
    if not SERVER.exists() or shutil.which(SETUP) is None:
        return "Request Tracker 5 is not installed: run tests/servers/rt/install.sh as root"
    return None


@contextmanager
def running_rt(folder: Path) -> Iterator[RtServer]:
    """Errors: `RuntimeError` when RT does not come up."""
    port = free_port()
    for name in ("site.d", "mason", "session"):
        (folder / name).mkdir(parents=True)
    config = folder / "RT_SiteConfig.pm"
    text = _CONFIG.replace("{port}", str(port)).replace("{folder}", str(folder))
    config.write_text(text.replace("{max_bytes}", str(MAX_BYTES)))
    environ = {
        **os.environ,
        "RT_SITE_CONFIG": str(config),
        "RT_SITE_CONFIG_DIR": str(folder / "site.d"),
    }
    tokens = _set_up(folder, environ)
    base_url = f"http://127.0.0.1:{port}"
    listen = ["--host", "127.0.0.1", "--port", str(port)]
    process = ServerProcess(
        "RT",
        [SERVER, "--server", "Starlet", "--max-workers", "2", *listen],
        folder / "rt.log",
        lambda: _ask_as_root(base_url, "GET", "rt"),
        environ,
    )
    try:
        process.start()
        server = RtServer(base_url, tokens, process)
        # As docs/products/rt.md says: the queue has a ticket, so that hiding one is noticed.
        server.as_root("POST", "ticket", json={"Queue": "Incidents", "Subject": "Stockade set-up"})
        yield server
    finally:
        process.stop()


def _set_up(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    password = folder / "root.password"
    password.touch(mode=0o600)
    password.write_text(_ROOT_PASSWORD)
    init = ["--action", "init", "--skip-create", "--root-password-file", str(password)]
    _run([SETUP, *init], environ)
    _run([SETUP, "--action", "insert", "--datafile", str(SEEDS / "seed.pl")], environ)
    accounts = ["stockade", *(f"without-{right}" for right in RIGHTS)]
    said = _run(["perl", str(SEEDS / "tokens.pl"), *accounts], environ)
    return dict(line.split() for line in said.splitlines() if line.strip())  # type: ignore[misc]


def _run(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout
