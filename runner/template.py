"""What a template or a condition is worth: strict values, one pass, no path from data to code.

Jinja2's grammar, expressions only. Only a playbook's own text is parsed: values from the scope are
data. A text without braces never loads jinja2, so that an idle poll does not pay for it. What an
expression may hold is in `runner/expression.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from connectors.document import shorten, visible
from runner.filters import Refused, kind_of

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_TEMPLATE_CHARS = 4000


class TemplateFault(Exception):
    """A template or condition has no value. `text` is one sentence, and names the expression."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Reference(Struct, frozen=True):
    """A name that an expression reads, and the fields below it as far as they are written out.
    `is_guarded`: it stands under `default`, `is defined` or `is none`, so it may be empty."""

    name: str
    path: tuple[str, ...] = ()
    is_guarded: bool = False


class _Template:
    """A parsed text: pieces of text and expressions, in order."""

    def __init__(self, text: str, parts: tuple[str | nodes.Expr, ...]) -> None:
        self.text = text
        self.parts = parts

    @property
    def lone(self) -> nodes.Expr | None:
        """The expression, when nothing but white space stands around it."""
        found = [part for part in self.parts if not isinstance(part, str) or part.strip()]
        return found[0] if len(found) == 1 and not isinstance(found[0], str) else None

    @property
    def expressions(self) -> list[nodes.Expr]:
        return [part for part in self.parts if not isinstance(part, str)]


def is_template(text: str) -> bool:
    """Whether a text is more than itself; only then jinja2 is needed."""
    return "{{" in text or "{%" in text or "{#" in text


def render(value: object, scope: Mapping[str, object]) -> object:
    """A value with each template in it replaced, through lists and mappings; keys stay.

    A lone `{{ expression }}` keeps its type; with text around it, it makes a text. One pass: what
    comes out is never looked at again. Errors: `TemplateFault`.
    """
    if isinstance(value, str):
        return _render_text(value, scope) if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: render(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, scope) for item in value]
    return value


def condition(text: str | bool, scope: Mapping[str, object]) -> bool:
    """The truth of a condition. Errors: `TemplateFault` for whatever is no boolean."""
    if isinstance(text, bool):
        return text
    template = _parse(text) if is_template(text) else None
    if template is None or template.lone is None:
        raise TemplateFault(f"`{_named(text)}` is no condition: write {{{{ an expression }}}}")
    value = _value(template, template.lone, scope)
    if not isinstance(value, bool):
        what = kind_of(value)
        raise TemplateFault(f"the condition `{_named(text)}` is {what}, not true or false")
    return value


class Partly(dict[str, object]):
    """Names of which only some are known: every other one is there, and its value is open."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> object:
        raise Refused(f"`{key}` is open")


def certain(text: str | bool, known: Partly) -> bool | None:
    """What a condition certainly is with what is known; None where that is open.
    Errors: `TemplateFault` for what cannot be read."""
    if isinstance(text, bool):
        return text
    from runner.expression import truth

    lone = _parse(text).lone if is_template(text) else None
    return None if lone is None else truth(lone, known)


def certain_text(text: str, known: Partly) -> str | None:
    """The text that an expression certainly is with what is known; None where that is open."""
    try:
        value = render(text, known)
    except TemplateFault:
        return None
    return value if isinstance(value, str) else None


def check_template(text: str) -> None:
    """Errors: `TemplateFault` when the text could not be rendered in any scope."""
    if is_template(text):
        _parse(text)


def references(text: str) -> list[Reference]:
    """Every name that the text's expressions read. Errors: `TemplateFault`."""
    if not is_template(text):
        return []
    found: list[Reference] = []
    for expression in _parse(text).expressions:
        found.extend(_references(expression, False))
    return found


def is_lone(text: str) -> bool:
    """Whether the text is one expression and keeps its type. Errors: `TemplateFault`."""
    return is_template(text) and _parse(text).lone is not None


def infer(text: str, type_of: Callable[[Reference], str | None]) -> str | None:
    """The type of a text's value, in the catalogue's words, or None where nothing can be proved.
    `type_of` answers for a reference. Errors: `TemplateFault`."""
    if not is_template(text):
        return "text"
    lone = _parse(text).lone
    return "text" if lone is None else _infer(lone, type_of)


def _render_text(text: str, scope: Mapping[str, object]) -> object:
    template = _parse(text)
    lone = template.lone
    if lone is not None:
        value = _value(template, lone, scope)
        if value is None:
            raise TemplateFault(f"`{_shown(template)}` is empty (null); use `default`")
        return value
    pieces = [
        part if isinstance(part, str) else _as_text(template, _value(template, part, scope))
        for part in template.parts
    ]
    return "".join(pieces)


def _as_text(template: _Template, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    what = kind_of(value)
    raise TemplateFault(f"`{_shown(template)}` puts {what} into a text; use `default` or `join`")


def _value(template: _Template, expression: nodes.Expr, scope: Mapping[str, object]) -> object:
    from runner.expression import evaluate

    try:
        return evaluate(expression, scope)
    except Refused as refused:
        raise TemplateFault(f"`{_shown(template)}`: {refused}") from None


def _shown(template: _Template) -> str:
    return _named(template.text)


def _named(text: str) -> str:
    return visible(shorten(text, 200))


# -- reading ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment

    # It only parses; nothing that it knows (globals, filters, escaping) is ever used.
    return Environment(autoescape=True, keep_trailing_newline=True)


@lru_cache(maxsize=2048)
def _parse(text: str) -> _Template:
    from jinja2 import TemplateSyntaxError

    from runner.expression import check

    named = _named(text)
    if len(text) > MAX_TEMPLATE_CHARS:
        raise TemplateFault(f"a template is longer than {MAX_TEMPLATE_CHARS} characters")
    if "{%" in text or "{#" in text:
        raise TemplateFault(f"`{named}`: only expressions, `{{{{ … }}}}`; no statement, no comment")
    try:
        parts = tuple(_parts(_environment().parse(text)))
        for part in parts:
            if not isinstance(part, str):
                check(part)
    except TemplateSyntaxError as error:
        raise TemplateFault(f"`{named}`: {error.message}") from None
    except Refused as refused:
        raise TemplateFault(f"`{named}`: {refused}") from None
    except RecursionError:
        raise TemplateFault(f"`{named}`: nested too deeply") from None
    return _Template(text, parts)


def _parts(template: nodes.Template) -> Iterator[str | nodes.Expr]:
    from jinja2 import nodes

    for statement in template.body:
        if not isinstance(statement, nodes.Output):
            raise Refused("only expressions may be used")
        for part in statement.nodes:
            yield part.data if isinstance(part, nodes.TemplateData) else part


def _references(node: nodes.Node, is_guarded: bool) -> Iterator[Reference]:
    from jinja2 import nodes

    chain = _chain(node)
    if chain is not None:
        yield Reference(chain[0], chain[1:], is_guarded)
        return
    if isinstance(node, nodes.Filter | nodes.Test) and node.name in _GUARDS:
        if node.node is not None:
            yield from _references(node.node, True)
        for argument in node.args:
            yield from _references(argument, is_guarded)
        return
    for child in node.iter_child_nodes():
        yield from _references(child, is_guarded)


def _chain(node: nodes.Node) -> tuple[str, ...] | None:
    """`a.b['c']` as ("a", "b", "c")."""
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        below = _chain(node.node)
        return (*below, node.attr) if below else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        below = _chain(node.node)
        key = node.arg.value
        return (*below, key) if below and isinstance(key, str) else None
    return None


_GUARDS = ("default", "defined", "none")
_BOOLEAN = ("Compare", "And", "Or", "Not", "Test")
_FILTER_TYPES = {
    "int": "number",
    "join": "text",
    "length": "number",
    "lower": "text",
    "replace": "text",
    "sort": "list",
    "trim": "text",
    "unique": "list",
    "upper": "text",
}


def _infer(node: nodes.Node, type_of: Callable[[Reference], str | None]) -> str | None:
    from jinja2 import nodes

    kind = type(node).__name__
    if kind in _BOOLEAN:
        return "boolean"
    if isinstance(node, nodes.Const):
        words = {"a boolean": "boolean", "a number": "number", "a text": "text"}
        return words.get(kind_of(node.value))
    if kind in ("List", "Dict"):
        return "list" if kind == "List" else "object"
    if isinstance(node, nodes.Filter) and node.node is not None:
        if node.name == "default":
            found = _infer(node.node, type_of)
            return found if _infer(node.args[0], type_of) == found else None
        return _FILTER_TYPES.get(node.name)
    chain = _chain(node)
    return type_of(Reference(chain[0], chain[1:])) if chain else None
