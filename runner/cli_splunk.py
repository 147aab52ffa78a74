"""The commands that put into Splunk what the runner needs there: shipped searches and a role.

Both show first. A search is written only after a yes, never over somebody's edit unless told to,
and is read back.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.document import visible
from runner.result import Result

if TYPE_CHECKING:
    from connectors.http import Runtime
    from connectors.siem.splunk.connection import Splunk
    from connectors.siem.splunk.install import Install, Plan
    from runner.config import Config

SEARCHES = ("wmic-format", "wmic-remote", "canary")
SOURCES = ("sysmon", "security")


class Refused(Exception):
    """The command cannot be done as it was given; its text says why. The exit code is 2."""


def add_splunk(commands: _SubParsersAction[ArgumentParser], common: ArgumentParser) -> None:
    """`splunk install-search` and `splunk role`."""
    text = "put into Splunk what the runner needs there"
    group = commands.add_parser("splunk", help=text, description=text)
    below = group.add_subparsers(dest="splunk_command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> ArgumentParser:
        return below.add_parser(name, help=text, description=text, parents=[common])

    install = command("install-search", "show how shipped searches differ, ask, then write them")
    install.add_argument("searches", nargs="*", metavar="SEARCH", help=", ".join(SEARCHES))
    install.add_argument("--source", choices=SOURCES, default="sysmon", help="Sysmon 1, or 4688")
    install.add_argument("--index", metavar="INDEX", help="default: hunts.index")
    install.add_argument("--app", default="search", help="the app that holds the searches")
    install.add_argument("--schedule", metavar="CRON", help="let Splunk run it, for mode history")
    install.add_argument("--token-file", type=Path, metavar="FILE", help="of who may write")
    install.add_argument("--dry-run", action="store_true", help="show, and write nothing")
    install.add_argument("--yes", action="store_true", help="write without asking")
    install.add_argument("--overwrite", action="store_true", help="also what somebody has edited")
    role = command("role", "print the stanza of the role that the runner needs, and no more")
    role.add_argument("--index", metavar="INDEX", help="besides those of hunts")


def splunk_command(arguments: Namespace, config: Config, runtime: Callable[[], Runtime]) -> Result:
    """Errors: none; what a product says is the result, with exit code 1."""
    from connectors.errors import AuthFailed, ConnectorError

    try:
        if arguments.splunk_command == "role":
            return _role(arguments, config)
        return _install(arguments, config, runtime())
    except Refused as fault:
        return Result(code=2, data={"error": str(fault)}, text=str(fault))
    except ConnectorError as fault:
        text = str(fault)
        if isinstance(fault, AuthFailed) and fault.status == 403:
            text += "; the runner's account may only read, as it should: name one that may write by"
            text += " --token-file, or put the stanzas of --dry-run into savedsearches.conf"
        return Result(code=1, data={"error": text}, text=text)


def _role(arguments: Namespace, config: Config) -> Result:
    from connectors.siem.splunk.role import role_for, stanza

    hunts = config.hunts
    indexes = [name for name in (arguments.index, hunts.index, hunts.security_index) if name]
    if not indexes:
        raise Refused("which indexes may the role search? Name --index, or hunts.index")
    text = stanza(role_for(indexes, hunts.lookback_s, len(config.searches)))
    return Result(code=0, data={"stanza": text}, text=text)


def _install(arguments: Namespace, config: Config, runtime: Runtime) -> Result:
    installer = _client(arguments, config, runtime).installer()
    done: dict[str, str] = {}
    is_bad = False
    for plan in _plans(arguments, config, installer):
        done[plan.search.name] = said = _one(arguments, installer, plan)
        is_bad |= said.startswith("not ")
    text = "\n".join(f"{name}: {said}" for name, said in done.items())
    return Result(code=1 if is_bad else 0, data=done, text=text)


def _plans(arguments: Namespace, config: Config, installer: Install) -> list[Plan]:
    from connectors.model import SavedSearch
    from connectors.siem.splunk.shipped import SHIPPED, Source, settings_of

    index = arguments.index or config.hunts.index
    if not index:
        raise Refused("which index holds the events? Name --index, or hunts.index")
    keys = arguments.searches or SEARCHES
    unknown = [key for key in keys if key not in SHIPPED]
    if unknown:
        raise Refused(f"there is no shipped search {unknown[0]}; there are {', '.join(SEARCHES)}")
    return [
        installer.plan(
            SavedSearch(name=SHIPPED[key].name, app=arguments.app),
            settings_of(
                SHIPPED[key],
                index=index,
                source=Source(arguments.source),
                schedule=arguments.schedule,
            ),
        )
        for key in keys
    ]


def _one(arguments: Namespace, installer: Install, plan: Plan) -> str:
    """What became of one search; it begins with `not` when a person has to look."""
    from connectors.siem.splunk.install import Standing

    if plan.standing is Standing.SAME:
        return "the same already"
    if not arguments.json:
        print(visible(plan.difference, keep_newlines=True), flush=True)
        if plan.macros:
            print("The search in Splunk uses macros, and the shipped one does not:")
        for macro in plan.macros:
            print(f"  {visible(macro.sentence())}", flush=True)
    if arguments.dry_run:
        return f"would be written; it is {plan.standing} now"
    if plan.standing is Standing.EDITED and not arguments.overwrite:
        return "not written: somebody has edited it; --overwrite takes the shipped one"
    if not arguments.yes and not _agreed(arguments, plan.search.name):
        return "not written: nobody said yes"
    left = installer.write(plan)
    return "written, and read back" if left is None else f"not as written:\n{left}"


def _agreed(arguments: Namespace, name: str) -> bool:
    if arguments.json:
        return False
    try:
        print(f"Write {name!r} to Splunk? [y/N] ", end="", flush=True)
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _client(arguments: Namespace, config: Config, runtime: Runtime) -> Splunk:
    """The Splunk that the configuration names, under the account that is to write."""
    from connectors.siem.splunk.connection import Splunk

    name = config.roles.get("siem", "")
    found = config.connectors.get(name)
    if found is None or found.type != Splunk.TYPE:
        raise Refused("roles.siem is no Splunk")
    options: Any = found.options
    return Splunk(
        name=found.name,
        tenant=found.tenant,
        settings=found.settings,
        credentials=_writer(arguments) or found.credentials,
        options=options,
        runtime=runtime,
    )


def _writer(arguments: Namespace) -> dict[str, Any] | None:
    from connectors.model import Secret

    if arguments.token_file is None:
        return None
    try:
        token = arguments.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        raise Refused(f"{arguments.token_file} holds no token that can be read")
    return {"token": Secret(token)}
