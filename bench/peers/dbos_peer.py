"""The calls as the steps of a DBOS workflow, kept in SQLite.

python -m bench.peers.dbos_peer CALLS.json FOLDER
"""

from __future__ import annotations

import sys

from dbos import DBOS

from bench.peers.turns import Calls, take

calls = Calls(sys.argv[1])
DBOS(
    config={
        "name": "beside",
        "system_database_url": f"sqlite:///{sys.argv[2]}/dbos.db",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
def call(number: int) -> str:
    return calls.make(number)


@DBOS.workflow()
def eight(_run: int) -> None:
    for number in range(len(calls)):
        call(number)


DBOS.launch()
take(eight)
DBOS.destroy()
