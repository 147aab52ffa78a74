"""The project's fences, as they are read off syntax trees: rooms, only places, size, blind excepts.

Each fence is a function over one `Source` that gives sentences, one a fault. A new file gets a row
in `ROOMS`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("runner", "connectors", "playbooks")

ROOMS: tuple[tuple[int, str], ...] = (
    (0, "playbooks/__init__.py"),
    (0, "runner/__init__.py"),
    (0, "connectors/__init__.py"),
    (0, "connectors/errors.py"),
    (0, "connectors/model.py"),
    (0, "connectors/document.py"),
    (0, "connectors/certificates.py"),
    (1, "connectors/http.py"),
    (1, "connectors/harmless.py"),
    (1, "connectors/product.py"),
    (0, "connectors/sign_ins.py"),
    (1, "connectors/listing.py"),
    (1, "connectors/base.py"),
    (1, "connectors/threads.py"),
    (1, "connectors/moving.py"),
    (1, "connectors/listening.py"),
    (2, "connectors/siem/*"),
    (2, "connectors/edr/*"),
    (2, "connectors/chat/*"),
    (2, "connectors/tickets/*"),
    (3, "connectors/registry.py"),
    (3, "connectors/emulators/*"),
    (4, "runner/yaml_reader.py"),
    (4, "runner/schema.py"),
    (4, "runner/config.py"),
    (4, "runner/config_approvals.py"),
    (4, "runner/config_connectors.py"),
    (4, "runner/config_fallback.py"),
    (4, "runner/config_rules.py"),
    (4, "runner/config_shapes.py"),
    (4, "runner/config_types.py"),
    (5, "runner/catalogue.py"),
    (5, "runner/journal/*"),
    (5, "runner/filters.py"),
    (5, "runner/expression.py"),
    (5, "runner/template.py"),
    (5, "runner/context.py"),
    (5, "runner/hit_row.py"),
    (5, "runner/hostname.py"),
    (5, "runner/masking.py"),
    (5, "runner/own_hosts.py"),
    (5, "runner/protected.py"),
    (5, "runner/roles.py"),
    (6, "runner/hearing.py"),
    (6, "runner/pressing.py"),
    (6, "runner/alerts.py"),
    (6, "runner/votes.py"),
    (6, "runner/reply_proof.py"),
    (6, "runner/typed_answers.py"),
    (6, "runner/wording.py"),
    (6, "runner/approvals.py"),
    (6, "runner/choices.py"),
    (6, "runner/crowding.py"),
    (6, "runner/electing.py"),
    (6, "runner/arming.py"),
    (6, "runner/refused_sign_ins.py"),
    (6, "runner/anchors.py"),
    (6, "runner/audit.py"),
    (6, "runner/guards.py"),
    (6, "runner/editor_schema.py"),
    (6, "runner/identity.py"),
    (6, "runner/bundle.py"),
    (6, "runner/lint.py"),
    (6, "runner/loading.py"),
    (6, "runner/lint_actions.py"),
    (6, "runner/lint_expiry.py"),
    (6, "runner/lint_flow.py"),
    (6, "runner/lint_names.py"),
    (6, "runner/lint_runs.py"),
    (6, "runner/lint_state.py"),
    (6, "runner/lint_values.py"),
    (6, "runner/playbook.py"),
    (6, "runner/playbook_made.py"),
    (6, "runner/playbook_reader.py"),
    (6, "runner/playbook_rules.py"),
    (6, "runner/playbook_shapes.py"),
    (6, "runner/playbook_steps.py"),
    (6, "runner/wmic/*"),
    (7, "runner/clusters.py"),
    (7, "runner/proposals.py"),
    (7, "runner/suppression_text.py"),
    (7, "runner/suppression_use.py"),
    (8, "runner/past.py"),
    (10, "runner/tuning.py"),
    (10, "runner/tuning_text.py"),
    (6, "runner/suppressing.py"),
    (6, "runner/suppression_file.py"),
    (7, "runner/actions.py"),
    (7, "runner/card_second.py"),
    (7, "runner/card_text.py"),
    (7, "runner/isolation.py"),
    (7, "runner/telling.py"),
    (7, "runner/work.py"),
    (7, "runner/cards.py"),
    (7, "runner/card_answers.py"),
    (7, "runner/card_calls.py"),
    (7, "runner/card_closing.py"),
    (7, "runner/card_posting.py"),
    (7, "runner/card_reach.py"),
    (7, "runner/card_replies.py"),
    (7, "runner/user_groups.py"),
    (7, "runner/case_graph.py"),
    (7, "runner/containment.py"),
    (7, "runner/cut.py"),
    (7, "runner/cut_steps.py"),
    (7, "runner/last_look.py"),
    (7, "runner/effects.py"),
    (7, "runner/evidence.py"),
    (7, "runner/hunt_fields.py"),
    (7, "runner/hunt_queries.py"),
    (7, "runner/hunts.py"),
    (7, "runner/origin_hunt.py"),
    (7, "runner/plan.py"),
    (7, "runner/resolve.py"),
    (7, "runner/terminal.py"),
    (7, "runner/report.py"),
    (8, "runner/evidence_pack.py"),
    (7, "runner/routing.py"),
    (7, "runner/scoping.py"),
    (7, "runner/triage.py"),
    (7, "runner/silence.py"),
    (7, "runner/spread_hunt.py"),
    (8, "runner/engine.py"),
    (8, "runner/reads.py"),
    (8, "runner/asking.py"),
    (8, "runner/frame.py"),
    (8, "runner/interpreter.py"),
    (8, "runner/loops.py"),
    (8, "runner/intake.py"),
    (8, "runner/poll.py"),
    (8, "runner/poll_rows.py"),
    (8, "runner/poll_stretch.py"),
    (5, "runner/row_chunks.py"),
    (8, "runner/steps.py"),
    (9, "runner/crew.py"),
    (9, "runner/case_reports.py"),
    (9, "runner/case_stage.py"),
    (9, "runner/ticket_state.py"),
    (9, "runner/ticket_news.py"),
    (6, "runner/ticket_trouble.py"),
    (8, "runner/needs.py"),
    (9, "runner/followup.py"),
    (8, "runner/leases.py"),
    (8, "runner/ledger_watch.py"),
    (6, "runner/talk.py"),
    (8, "runner/talk_watch.py"),
    (8, "runner/releasing.py"),
    (5, "runner/spool.py"),
    (6, "runner/exported.py"),
    (5, "runner/exported_evtx.py"),
    (5, "runner/exported_reader.py"),
    (6, "runner/rehearsal_file.py"),
    (7, "runner/stand_ins.py"),
    (7, "runner/stand_in_talk.py"),
    (8, "runner/stage_memory.py"),
    (7, "runner/canned.py"),
    (9, "runner/stage.py"),
    (9, "runner/staged.py"),
    (10, "runner/rehearsing.py"),
    (10, "runner/replaying.py"),
    (10, "runner/replaying_text.py"),
    (10, "runner/isolations.py"),
    (10, "runner/ledger_rebuild.py"),
    (10, "runner/undo.py"),
    (10, "runner/answering.py"),
    (9, "runner/noticing.py"),
    (9, "runner/lanes.py"),
    (9, "runner/service.py"),
    (9, "runner/metrics.py"),
    (9, "runner/period.py"),
    (9, "runner/period_steps.py"),
    (10, "runner/period_text.py"),
    (10, "runner/init_*.py"),
    (7, "runner/markdown.py"),
    (7, "runner/hypertext.py"),
    (10, "runner/storage.py"),
    (10, "runner/erasing.py"),
    (10, "runner/result.py"),
    (10, "runner/ticks.py"),
    (10, "runner/views.py"),
    (10, "runner/checks.py"),
    (10, "runner/reply_check.py"),
    (10, "runner/group_check.py"),
    (10, "runner/commands.py"),
    (10, "runner/cli*.py"),
    (10, "runner/demo*.py"),
    (10, "runner/drill*.py"),
)
"""Level and path (`*` for all that lies below): a room imports rooms of its own level or lower."""

DOORS = ("runner/wmic",)
"""Packages with one public door: from outside, only the package itself is imported."""

PRODUCTS = {
    "connectors/tickets/adf.py": "tickets/jira",
    "connectors/tickets/wiki.py": "tickets/jira",
}
"""Files that are named by a product's format instead of the product."""

EMULATORS = "connectors/emulators/*"
EDGE = ("runner/cli*.py", "runner/demo*.py", "runner/drill*.py", EMULATORS)
"""Where the world comes in: the clock, randomness, the terminal."""

ONLY_PLACES: dict[str, tuple[str, ...]] = {
    # The drill's transport is the real one, with a point before and after each request.
    "requests": ("connectors/http.py", "runner/drill_child.py"),
    "tenacity": ("connectors/http.py",),
    "slack_sdk": ("connectors/chat/slack_socket.py",),
    "evtx": ("runner/exported_reader.py",),
    "sqlite3": ("runner/journal/*",),
    "drawsvg": ("runner/wmic/picture.py",),
    "jinja2": ("runner/template.py", "runner/expression.py"),
    "yaml": ("runner/yaml_reader.py",),
    "socket": EDGE,
    "http": EDGE,
    "urllib.request": (),
    "subprocess": ("runner/cli_versions.py", "runner/drill_crew.py", "runner/exported_evtx.py"),
    "pkgutil": (),
    "asyncio": (),
    # The runner's threads are made by the lanes and by who hears; the others hold what must be one
    # thread's at a time. The drill sets whole runners side by side.
    "concurrent": ("runner/lanes.py", "runner/drill*.py"),
    "threading": (
        *EDGE,
        "runner/lanes.py",
        "runner/hearing.py",
        "runner/service.py",
        "runner/containment.py",
        "runner/roles.py",
        "runner/user_groups.py",
        "runner/journal/store.py",
    ),
    "connectors.emulators": ("runner/demo*.py", "runner/drill*.py", EMULATORS),
}
"""A module (with all below it) → the only files that may import it."""

FROM_OUTSIDE = (
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "os.urandom",
    "random",
    "secrets",
    "time.monotonic",
    "time.perf_counter",
    "time.sleep",
    "time.time",
    "uuid.uuid1",
    "uuid.uuid4",
)
"""Time, sleep, ids and randomness: below the edge they come in through constructors."""

MAX_FILE_LINES = 320
MAX_FUNCTION_LINES = 50
LONG: dict[str, str] = {
    "connectors/http.py": "one call's whole way; its safety rules are judged together",
    "connectors/model.py": "one list of plain records, each read alone",
}
"""What may be longer, a file (`path`) or a function (`path:name`) → why."""

CONTAINMENT = "runner/cut.py"
BLIND_EXCEPT = "runner/service.py"
TABLES: dict[str, str] = {
    "connectors/registry.py": "CONNECTORS",
    "runner/actions.py": "ACTIONS",
    "runner/guards.py": "GUARDS",
    "runner/steps.py": "STEP_KINDS",
}
"""The visible tables by which the project is extended: displays, never scanned or computed."""


class Source(NamedTuple):
    path: str
    text: str
    tree: ast.Module


def source(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text))


@cache
def project() -> tuple[Source, ...]:
    return tuple(
        source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    )


def within(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def level_of(path: str) -> int | None:
    return next((level for level, pattern in ROOMS if fnmatch(path, pattern)), None)


def imports(src: Source) -> Iterator[tuple[int, str]]:
    """Each imported dotted name with its line; `from a import b` gives `a.b`."""
    here = src.path.removesuffix(".py").removesuffix("/__init__").split("/")
    is_package = src.path.endswith("/__init__.py")
    for node in ast.walk(src.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - is_package
            base = here[: len(here) - up] if node.level else []
            parts = [*base, *(node.module.split(".") if node.module else [])]
            yield from ((node.lineno, ".".join([*parts, alias.name])) for alias in node.names)


def own_path(name: str, known: frozenset[str]) -> str | None:
    """The file behind a dotted name: the module, or the one that the name is taken from."""
    for parts in (name.split("."), name.split(".")[:-1]):
        for path in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
            if path in known:
                return path
    return None


@cache
def known_paths() -> frozenset[str]:
    return frozenset(src.path for src in project())


def edges(src: Source) -> Iterator[tuple[int, str]]:
    for line, name in imports(src):
        target = own_path(name, known_paths())
        if target is not None and target != src.path:
            yield line, target


def product_of(path: str) -> str | None:
    """`connectors/chat/slack_blocks.py` → `chat/slack`; None outside the products' rooms."""
    parts = path.removesuffix(".py").split("/")
    if level_of(path) != 2 or parts[2] == "__init__":
        return None
    return PRODUCTS.get(path, f"{parts[1]}/{parts[2].split('_')[0]}")


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """`dt.now` → `datetime.datetime.now`, by the file's own imports; None for anything else."""
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else None
    return names.get(node.id) if isinstance(node, ast.Name) else None


def imported_names(src: Source) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(src.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                names[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def is_below(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


# -- the fences ------------------------------------------------------------------------------------


def fence_room(src: Source) -> Iterator[str]:
    if level_of(src.path) is None:
        yield f"{src.path} has no room: give it a level in ROOMS (tests/test_fences.py)"


def fence_downward(src: Source) -> Iterator[str]:
    own = level_of(src.path)
    for line, target in edges(src):
        level = level_of(target)
        if own is not None and level is not None and level > own:
            yield f"{src.path}:{line} (level {own}) imports {target} (level {level}) above it"


def fence_sides(src: Source) -> Iterator[str]:
    """Connectors know no runner, and no product another."""
    for line, name in imports(src):
        if src.path.startswith("connectors/") and is_below(name, "runner"):
            yield f"{src.path}:{line} is a connector and imports the runner"
    for line, target in edges(src):
        mine, theirs = product_of(src.path), product_of(target)
        if mine and theirs and mine != theirs:
            yield f"{src.path}:{line} imports another product, {target}"


def fence_doors(src: Source) -> Iterator[str]:
    for line, target in edges(src):
        for door in DOORS:
            behind = target.startswith(door + "/") and target != f"{door}/__init__.py"
            if behind and not src.path.startswith(door + "/"):
                yield f"{src.path}:{line} goes past the door of {door} to {target}"


def fence_only_places(src: Source) -> Iterator[str]:
    for line, name in imports(src):
        for module, places in ONLY_PLACES.items():
            if is_below(name, module) and not within(src.path, places):
                yield f"{src.path}:{line} imports {name}; only {places or 'nobody'} may"


def fence_from_outside(src: Source) -> Iterator[str]:
    if within(src.path, EDGE):
        return
    names = imported_names(src)
    for node in ast.walk(src.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node, names)
            if name and any(is_below(name, taken) for taken in FROM_OUTSIDE):
                yield f"{src.path}:{node.lineno} takes {name} itself; it comes in by a constructor"


def fence_size(src: Source) -> Iterator[str]:
    lines = src.text.count("\n")
    if lines > MAX_FILE_LINES and src.path not in LONG:
        yield f"{src.path} has {lines} lines; {MAX_FILE_LINES} are allowed"
    for node in ast.walk(src.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES and f"{src.path}:{node.name}" not in LONG:
                yield f"{src.path}:{node.lineno} {node.name} has {length} lines"


def fence_blind_except(src: Source) -> Iterator[str]:
    allowed = 1 if src.path == BLIND_EXCEPT else 0
    blind = [line for node in ast.walk(src.tree) if (line := blind_line(node))]
    if len(blind) > allowed:
        yield f"{src.path} excepts blindly in lines {blind}; only {BLIND_EXCEPT} may, once"


def blind_line(node: ast.AST) -> int | None:
    """Where everything is caught and kept; a handler that raises again only cleans up."""
    wide = ("Exception", "BaseException")
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            return None
        if node.type is None:
            return node.lineno
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        kinds = node.args
    else:
        return None
    is_wide = any(isinstance(kind, ast.Name) and kind.id in wide for kind in kinds)
    return node.lineno if is_wide else None


def fence_containment(src: Source) -> Iterator[str]:
    """No call that cuts a machine off, or lets it back, stands outside the one door for it."""
    for node in ast.walk(src.tree):
        is_call = isinstance(node, ast.Attribute) and node.attr in ("isolate_host", "release_host")
        if is_call and src.path.startswith("runner/") and src.path != CONTAINMENT:
            yield f"{src.path} reaches for {ast.unparse(node)}; only {CONTAINMENT} may"


def fence_print(src: Source) -> Iterator[str]:
    for node in ast.walk(src.tree):
        if within(src.path, ("runner/cli*.py", "runner/demo*.py")):
            return
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{src.path}:{node.lineno} prints; only cli and demo speak to the terminal"


def fence_tables(src: Source) -> Iterator[str]:
    wanted = TABLES.get(src.path)
    if wanted is None:
        return
    value = next((found for name, found in assignments(src) if name == wanted), None)
    if not isinstance(value, ast.Dict | ast.Tuple):
        yield f"{src.path} does not show {wanted} as a dict or tuple display"
    elif any(isinstance(node, COMPUTED) for node in ast.walk(value)):
        yield f"{src.path} computes {wanted}; it is to be read, not run"


COMPUTED = (ast.Call, ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.Starred, ast.Lambda)


def assignments(src: Source) -> Iterator[tuple[str, ast.expr | None]]:
    for node in src.tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def import_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Circles of imports, each found once, as the path that closes."""
    done: set[str] = set()
    circles: list[list[str]] = []

    def walk(path: str, trail: list[str]) -> None:
        if path in trail:
            circles.append([*trail[trail.index(path) :], path])
        elif path not in done:
            for target in sorted(graph.get(path, ())):
                walk(target, [*trail, path])
            done.add(path)

    for path in sorted(graph):
        walk(path, [])
    return circles


Fence = Callable[[Source], Iterator[str]]

FENCES: tuple[Fence, ...] = (
    fence_room,
    fence_downward,
    fence_sides,
    fence_doors,
    fence_only_places,
    fence_from_outside,
    fence_size,
    fence_blind_except,
    fence_containment,
    fence_print,
    fence_tables,
)
