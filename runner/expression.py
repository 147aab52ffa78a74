"""What an expression is worth: Jinja2's grammar, evaluated here on its syntax tree.

Jinja2 parses; nothing is compiled to Python, so there is no sandbox to break out of. What the
tables below do not name does not exist: no calls, no attributes, no statements. Types are strict
where Jinja2 is not: `and`, `or`, `not` and `if` take booleans, a comparison takes two values of one
kind, and what is missing is an error. `runner/template.py` is the only caller.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from runner.filters import (
    FILTERS,
    FUNCTIONS,
    TESTS,
    Missing,
    Refused,
    bounded,
    contains,
    kind_of,
    need,
    number,
)

MAX_DEPTH = 50

Scope = Mapping[str, object]


def evaluate(node: nodes.Node, scope: Scope) -> object:
    """The value of an expression. Errors: `Refused`; `Missing` for a field that is not there."""
    return _EVALUATE[type(node)](node, scope)


def truth(node: nodes.Node, scope: Scope) -> bool | None:
    """A condition's truth where some names are open: None, unless what is known decides it."""
    if isinstance(node, nodes.And | nodes.Or):
        decides = isinstance(node, nodes.Or)
        sides = (truth(node.left, scope), truth(node.right, scope))
        if decides in sides:
            return decides
        return None if None in sides else not decides
    if isinstance(node, nodes.Not):
        inner = truth(node.node, scope)
        return None if inner is None else not inner
    try:
        value = evaluate(node, scope)
    except Refused:
        return None
    return value if isinstance(value, bool) else None


def check(node: nodes.Node, depth: int = 0) -> None:
    """Refuse whatever the tables do not know, before anything is evaluated. Errors: `Refused`."""
    if depth > MAX_DEPTH:
        raise Refused("nested too deeply")
    if type(node) not in _EVALUATE and not isinstance(node, nodes.Operand | nodes.Pair):
        raise Refused(f"{_WORDS.get(type(node), type(node).__name__)} may not be used")
    if isinstance(node, nodes.Filter | nodes.Test):
        _check_named(node)
    if isinstance(node, nodes.CondExpr) and node.expr2 is None:
        raise Refused("an `if` in an expression needs an `else`")
    for child in node.iter_child_nodes():
        check(child, depth + 1)


def _check_named(node: nodes.Filter | nodes.Test) -> None:
    table, word = (FILTERS, "filter") if isinstance(node, nodes.Filter) else (TESTS, "test")
    if node.name not in table:
        raise Refused(f"there is no {word} `{node.name}`; known are {', '.join(sorted(table))}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise Refused(f"the {word} `{node.name}` takes no named arguments")
    if len(node.args) != table[node.name]:
        raise Refused(f"the {word} `{node.name}` takes {table[node.name]} argument(s)")


# -- names, fields, literals -----------------------------------------------------------------------


def _name(node: nodes.Name, scope: Scope) -> object:
    if node.name not in scope:
        raise Refused(f"`{node.name}` is not known here")
    return scope[node.name]


def _field(holder: object, key: object) -> object:
    """An item of a mapping or a list, and never an attribute."""
    if isinstance(holder, Mapping) and isinstance(key, str):
        if key in holder:
            return holder[key]
        raise Missing(f"there is no `{key}`")
    if isinstance(holder, list | tuple) and isinstance(key, int) and not isinstance(key, bool):
        if -len(holder) <= key < len(holder):
            return holder[key]
        raise Missing(f"the list has no entry {key}")
    if holder is None:
        raise Missing(f"there is no `{key}`, because what should hold it is empty")
    raise Refused(f"{kind_of(holder)} has no `{key}`")


def _getattr(node: nodes.Getattr, scope: Scope) -> object:
    return _field(evaluate(node.node, scope), node.attr)


def _getitem(node: nodes.Getitem, scope: Scope) -> object:
    return _field(evaluate(node.node, scope), evaluate(node.arg, scope))


def _const(node: nodes.Const, scope: Scope) -> object:
    return node.value


def _list(node: nodes.List, scope: Scope) -> object:
    return [evaluate(item, scope) for item in node.items]


def _dict(node: nodes.Dict, scope: Scope) -> object:
    return {
        str(need(evaluate(pair.key, scope), "a text", "a key")): evaluate(pair.value, scope)
        for pair in node.items
    }


# -- operators -------------------------------------------------------------------------------------


def _boolean(node: nodes.Node, scope: Scope, what: str) -> bool:
    return bool(need(evaluate(node, scope), "a boolean", what))


def _and(node: nodes.And, scope: Scope) -> object:
    return _boolean(node.left, scope, "`and`") and _boolean(node.right, scope, "`and`")


def _or(node: nodes.Or, scope: Scope) -> object:
    return _boolean(node.left, scope, "`or`") or _boolean(node.right, scope, "`or`")


def _not(node: nodes.Not, scope: Scope) -> object:
    return not _boolean(node.node, scope, "`not`")


def _condition(node: nodes.CondExpr, scope: Scope) -> object:
    is_true = _boolean(node.test, scope, "`if`")
    return evaluate(node.expr1 if is_true or node.expr2 is None else node.expr2, scope)


def _negative(node: nodes.Neg, scope: Scope) -> object:
    return -number(evaluate(node.node, scope), "`-`")


def _add(node: nodes.Add, scope: Scope) -> object:
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    if isinstance(left, str) and isinstance(right, str):
        return bounded(left + right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return bounded([*left, *right])
    return number(left, "`+`") + number(right, "`+`")


def _subtract(node: nodes.Sub, scope: Scope) -> object:
    return number(evaluate(node.left, scope), "`-`") - number(evaluate(node.right, scope), "`-`")


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def _compare(node: nodes.Compare, scope: Scope) -> object:
    left = evaluate(node.expr, scope)
    for operand in node.ops:
        right = evaluate(operand.expr, scope)
        if not _holds(operand.op, left, right):
            return False
        left = right
    return True


def _holds(sign: str, left: object, right: object) -> bool:
    if sign in ("in", "notin"):
        return contains(right, left) is (sign == "in")
    kinds = {kind_of(left), kind_of(right)}
    if sign in ("eq", "ne"):
        if len(kinds - {"nothing"}) > 1:
            raise Refused(f"a comparison of {kind_of(left)} with {kind_of(right)}")
        return (left == right) is (sign == "eq")
    if kinds not in ({"a number"}, {"a text"}):
        raise Refused(f"an order of {kind_of(left)} and {kind_of(right)}")
    return _ORDER[sign](left, right)


def _filter(node: nodes.Filter, scope: Scope) -> object:
    if node.node is None:
        raise Refused("a filter without a value")
    arguments = [evaluate(argument, scope) for argument in node.args]
    if node.name == "default":
        return _default(node.node, arguments[0], scope)
    return FUNCTIONS[node.name](evaluate(node.node, scope), *arguments)


def _default(node: nodes.Node, fallback: object, scope: Scope) -> object:
    """For what is missing and for what is empty (null): both would fail a step."""
    try:
        value = evaluate(node, scope)
    except Missing:
        return fallback
    return fallback if value is None else value


def _test(node: nodes.Test, scope: Scope) -> object:
    try:
        value = evaluate(node.node, scope)
    except Missing:
        if node.name == "defined":
            return False
        raise
    return True if node.name == "defined" else value is None


_EVALUATE: dict[type, Callable[..., object]] = {
    nodes.Name: _name,
    nodes.Getattr: _getattr,
    nodes.Getitem: _getitem,
    nodes.Const: _const,
    nodes.List: _list,
    nodes.Dict: _dict,
    nodes.And: _and,
    nodes.Or: _or,
    nodes.Not: _not,
    nodes.CondExpr: _condition,
    nodes.Compare: _compare,
    nodes.Add: _add,
    nodes.Sub: _subtract,
    nodes.Neg: _negative,
    nodes.Filter: _filter,
    nodes.Test: _test,
}
"""Every kind of expression that exists here."""
_WORDS: dict[type, str] = {
    nodes.Call: "a call (a method or a function)",
    nodes.Concat: "`~` (write the text around the expression)",
    nodes.Slice: "a slice",
    nodes.Tuple: "a tuple (write a list)",
    nodes.Mul: "`*`",
    nodes.Div: "`/`",
    nodes.FloorDiv: "`//`",
    nodes.Mod: "`%`",
    nodes.Pow: "`**`",
}
