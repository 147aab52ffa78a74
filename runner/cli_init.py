"""The command `init`: asks, tries each product, and writes a configuration last, or nothing."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.http import Runtime
from runner.config import ConfigFaults, load_config
from runner.init_products import Chosen, ProductTalk
from runner.init_site import ask_people, ask_protected, ask_search
from runner.init_talk import Stopped, Talk
from runner.init_write import NewFile, config_text, connector_data, secret_files, write_all
from runner.result import Result

if TYPE_CHECKING:
    from connectors.base import Connector
    from connectors.model import Clock

PROTECTED = "protected-assets.txt"
ALL_EFFECTS = ["investigate", "notify", "document", "contain", "release"]
NOTHING = "nothing was written"
ROLES = ("siem", "edr", "chat", "tickets")


def init_command(arguments: argparse.Namespace, clock: Clock) -> Result:
    """Exit codes: 0 written; 1 written, and it has faults; 2 nothing written; 130 stopped."""
    file: Path = arguments.file.absolute()
    if file.exists():
        return _refused(
            f"{arguments.file}: is there already and is never overwritten; name another"
        )
    if not file.parent.is_dir():
        return _refused(f"{file.parent}: is no folder; make it first")
    talk = _terminal(is_json=arguments.json)
    runtime = Runtime(clock=clock, emulated=arguments.emulated)
    try:
        files, data = _asked(talk, runtime, file)
        write_all(files)
    except KeyboardInterrupt:
        return Result(code=130, data={"error": "stopped"}, text=f"\nstopped: {NOTHING}")
    except Stopped as fault:
        return _refused(f"{fault}: {NOTHING}")
    except OSError as fault:
        return _refused(f"{fault.filename}: {fault.strerror}: {NOTHING}")
    return _done(file, files, data)


def _refused(text: str) -> Result:
    return Result(code=2, data={"error": text}, text=text)


def _terminal(*, is_json: bool) -> Talk:
    """On a terminal, or with answers from a pipe, a line each."""
    out = sys.stderr if is_json else sys.stdout

    def say(text: str) -> None:
        print(text, file=out, flush=True)

    def line(shown: str) -> str:
        print(shown, end="", file=out, flush=True)
        given = sys.stdin.readline()
        if not given:
            raise EOFError
        if not sys.stdin.isatty():
            # So that a transcript reads as a terminal does.
            print(file=out)
        return given

    def hidden(shown: str) -> str:
        return getpass.getpass(shown) if sys.stdin.isatty() else line(shown)

    return Talk(line=line, hidden=hidden, say=say)


def _asked(talk: Talk, runtime: Runtime, file: Path) -> tuple[list[NewFile], dict[str, Any]]:
    """All answers, as files to write; nothing is written yet."""
    folder = file.parent
    talk.say("Enter takes what stands in [ ]. Nothing is written before the end; Ctrl-C stops.")
    talk.title("state: where does the runner keep its journal?")
    state = talk.ask("state folder, on a local disk", "state", _why_no_folder)
    products = ProductTalk(talk, runtime, folder, os.environ)
    found = {role: products.choose(role) for role in ROLES}
    chosen = {role: one[0] for role, one in found.items() if one}
    clients: dict[str, Connector | None] = {role: one[1] for role, one in found.items() if one}
    searches = ask_search(talk, clients.get("siem")) if "siem" in chosen else {}
    chat = chosen.get("chat")
    people = ask_people(talk, chat.type if chat else None, clients.get("chat"))
    rules = ask_protected(talk, clients.get("edr"), folder / PROTECTED)
    talk.title("hunts: where are the events?")
    indexes = {
        "index": talk.ask("index of process events", ""),
        "security_index": talk.ask("index of the Windows Security log", ""),
    }
    data = _data(state, chosen, searches, people, indexes, is_emulated=runtime.emulated)
    files = [new for one in chosen.values() for new in secret_files(one, folder)]
    if rules is not None:
        files.append(NewFile(path=folder / PROTECTED, text=rules))
    text = config_text(data)
    talk.title(f"this will be {file.name}")
    talk.tell(text)
    if not talk.agree("write it?", default=True):
        raise Stopped("you said no")
    return [*files, NewFile(path=file, text=text)], data


def _why_no_folder(text: str) -> str | None:
    return "write the whole path: under cron, ~ may be another" if text.startswith("~") else None


def _data(
    state: str,
    chosen: dict[str, Chosen],
    searches: dict[str, Any],
    people: dict[str, Any],
    indexes: dict[str, str],
    *,
    is_emulated: bool,
) -> dict[str, Any]:
    chat = chosen.get("chat")
    approvers = [name for name, one in people.items() if chat and chat.type in one]
    hunts = {key: value for key, value in indexes.items() if value}
    sections: dict[str, Any] = {
        "people": people,
        "connectors": {one.name: connector_data(one) for one in chosen.values()},
        "roles": {role: one.name for role, one in chosen.items()},
        "searches": searches,
        "approvals": {"approvers": approvers, "quorum": 1} if approvers else {},
        "guards": {"protected_file": PROTECTED, "allowed_effects": ALL_EFFECTS},
        "hunts": hunts,
    }
    emulated = {"emulated": True} if is_emulated else {}
    kept = {key: value for key, value in sections.items() if value}
    return {"version": 1, "mode": "observe", **emulated, "state_dir": state, **kept}


def _done(file: Path, files: list[NewFile], data: dict[str, Any]) -> Result:
    faults = _faults(file)
    name = shlex.quote(str(file))
    # cron's PATH does not hold an environment's folder; and a percent sign ends its command.
    own = Path(sys.argv[0])
    program = shlex.quote(str(own.absolute())) if own.name == "stockade" else "stockade"
    cron = f"* * * * * {program} run -c {name}".replace("%", r"\%")
    lines = ["written, readable by you alone:", *(f"  {new.path}" for new in files)]
    lines += ["", *faults] if faults else []
    lines += ["", "Next:"]
    lines += [f"  stockade check -c {name}", f"  stockade run -c {name}", f"  {cron}"]
    lines += ["After some days:", f"  stockade report --since 7d -c {name}"]
    text = "\n".join(lines)
    result = {"file": str(file), "written": [str(new.path) for new in files], "faults": faults}
    return Result(code=1 if faults else 0, data={**result, "config": data}, text=text)


def _faults(file: Path) -> list[str]:
    """What the runner will say of it, here and now."""
    try:
        return list(load_config(file, os.environ).warnings)
    except ConfigFaults as refused:
        return [str(fault) for fault in refused.faults]
