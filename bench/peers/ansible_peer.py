"""The calls as tasks of an Ansible playbook (`ansible.builtin.uri`), a process for each run.

python -m bench.peers.ansible_peer CALLS.json FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.peers.turns import take

KEYS = ("method", "url", "headers", "body")
folder = Path(sys.argv[2])
tasks = [
    {"ansible.builtin.uri": {k: v for k, v in zip(KEYS, call, strict=True) if v is not None}}
    for call in json.loads(Path(sys.argv[1]).read_text())
]
for task in tasks:
    # It writes these itself.
    uri = task["ansible.builtin.uri"]
    dropped = ("content-length", "connection", "accept-encoding")
    uri["headers"] = {k: v for k, v in uri["headers"].items() if k.lower() not in dropped}
play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
playbook = folder / "playbook.yml"
playbook.write_text(json.dumps([play]))


def run(_number: int) -> None:
    """Errors: `CalledProcessError` when a task failed."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook)]
    quiet = dict.fromkeys(
        ("ANSIBLE_LOCALHOST_WARNING", "ANSIBLE_INVENTORY_UNPARSED_WARNING"), "False"
    )
    environment = {**os.environ, **quiet, "HOME": str(folder)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


take(run)
