"""How a file's values become typed structs: one definition, and all faults at once.

The struct says what is allowed. When everything fits, msgspec decodes it and nothing else is
imported; only then a walk over the same struct finds each fault with its place, and leaves what is
faulty out, so that later rules still see the rest. It knows no key's meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

import msgspec
from msgspec import Struct

from connectors.document import shorten, visible
from runner.yaml_reader import FAULTY, Faulty, Node, Report

T = TypeVar("T")


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of a file. Unknown keys are faults; `LATER` are keys that the design knows and this
    version does not; `MISFIT` is what to say when something other than a mapping stands there."""

    LATER: ClassVar[tuple[str, ...]] = ()
    MISFIT: ClassVar[tuple[str, str] | None] = None


def decode(node: Node, shape: type[T], report: Report, where: str = "") -> T | None:
    """A node as the given type; faults go to `report`. None when nothing can be made of it.

    With faults, the value holds what is sound: faulty optional keys read as absent.
    """
    if not report.faults:
        try:
            return msgspec.convert(node.plain(), shape)
        except msgspec.ValidationError:
            pass
    known = len(report.faults)
    sound = _Walk(report).value(node, _inspect(shape), where)
    if isinstance(sound, Faulty):
        return None
    try:
        return msgspec.convert(sound, shape)
    except msgspec.ValidationError as error:
        # A rule that only the struct itself knows (`__post_init__`); the walk cannot see it.
        if len(report.faults) == known:
            text = f"{where or 'the file'}: {visible(str(error))}"
            report.add(node, text, "Correct it.", "schema-value")
        return None


def _inspect(shape: Any) -> Any:
    import msgspec.inspect

    return msgspec.inspect.type_info(shape)


def closest(word: str, known: list[str]) -> str:
    """A sentence that offers the nearest known word, or lists them."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(sorted(known))}."


_NAMES = {
    "StrType": "a text",
    "IntType": "a whole number",
    "FloatType": "a number",
    "BoolType": "true or false",
    "NoneType": "nothing",
    "ListType": "a list",
    "VarTupleType": "a list",
    "FrozenSetType": "a list",
    "DictType": "a mapping",
    "StructType": "a mapping",
    "EnumType": "a word",
    "LiteralType": "a word",
}
_LISTS = ("ListType", "VarTupleType", "FrozenSetType")
_MAPPINGS = ("DictType", "StructType")
_WORDS = ("StrType", "EnumType", "LiteralType")


class _Walk:
    """Walks a node beside msgspec's description of its type. The description's classes are told
    apart by name, so that a load without faults never imports them."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def value(self, node: Node, info: Any, where: str) -> Any:
        """The sound part of a node as builtins, or FAULTY."""
        extra: dict[str, Any] = {}
        while type(info).__name__ == "Metadata":
            extra = info.extra_json_schema or extra
            info = info.type
        if isinstance(node.value, Faulty):
            return FAULTY
        kind = type(info).__name__
        if kind == "AnyType":
            return node.plain()
        if kind == "UnionType":
            return self._union(node, info, where)
        if not _fits(node.value, kind):
            return self._misfit(node, info, where)
        if kind == "StructType":
            return self._struct(node, info, where)
        if kind == "DictType":
            return self._dict(node, info, where)
        if kind in _LISTS:
            return self._list(node, info, where)
        return self._scalar(node, info, where, extra.get("description"))

    def _union(self, node: Node, info: Any, where: str) -> Any:
        for member in info.types:
            inner = member.type if type(member).__name__ == "Metadata" else member
            if isinstance(node.value, Faulty) or _fits(node.value, type(inner).__name__):
                return self.value(node, member, where)
        return self._misfit(node, info, where)

    def _misfit(self, node: Node, info: Any, where: str) -> Faulty:
        misfit = getattr(getattr(info, "cls", None), "MISFIT", None)
        if misfit is not None:
            self._report.add(node, f"{where}: {misfit[0]}", misfit[1], "schema-type")
            return FAULTY
        text = f"{where or 'the file'} is {_name_of(node)}, and must be {_wanted(info)}"
        self._report.add(node, text, "Write it so; quote a text.", "schema-type")
        return FAULTY

    def _struct(self, node: Node, info: Any, where: str) -> Any:
        children = cast("dict[str, Node]", node.value)
        fields = {field.encode_name: field for field in info.fields}
        sound: dict[str, Any] = {}
        is_faulty = False
        for key in children:
            if key not in fields:
                self._unknown(node, key, info, where)
        for key, field in fields.items():
            child = children.get(key)
            if child is None:
                if field.required:
                    text = f"{where or 'the file'} has no `{key}`"
                    self._report.add(node, text, f"Add `{key}:`.", "schema-missing")
                    is_faulty = True
                continue
            value = self.value(child, field.type, f"{where}.{key}" if where else key)
            if not isinstance(value, Faulty):
                sound[key] = value
            elif field.required:
                is_faulty = True
        return FAULTY if is_faulty else sound

    def _unknown(self, node: Node, key: str, info: Any, where: str) -> None:
        place = node.keys[key]
        named = f"`{visible(shorten(key, 60))}`" + (f" in {where}" if where else "")
        if key in getattr(info.cls, "LATER", ()):
            text = f"{named} is not supported in this version"
            self._report.add(place, text, "Remove it.", "schema-later")
            return
        mend = closest(key, [field.encode_name for field in info.fields])
        self._report.add(place, f"the key {named} is unknown", mend, "schema-unknown")

    def _dict(self, node: Node, info: Any, where: str) -> Any:
        children = cast("dict[str, Node]", node.value)
        sound: dict[str, Any] = {}
        for key, child in children.items():
            below = f"{where}.{key}" if where else key
            line, column = node.keys[key]
            name = self.value(Node(value=key, line=line, column=column), info.key_type, below)
            value = self.value(child, info.value_type, below)
            if not isinstance(name, Faulty) and not isinstance(value, Faulty):
                sound[name] = value
        return sound

    def _list(self, node: Node, info: Any, where: str) -> Any:
        items = cast("list[Node]", node.value)
        sound = [
            self.value(item, info.item_type, f"{where}[{number}]")
            for number, item in enumerate(items, start=1)
        ]
        minimum = info.min_length or 0
        if len(sound) < minimum:
            text = f"{where} has {len(sound)} entries, and needs at least {minimum}"
            self._report.add(node, text, "Add one.", "schema-length")
            return FAULTY
        return FAULTY if any(isinstance(item, Faulty) for item in sound) else sound

    def _scalar(self, node: Node, info: Any, where: str, description: str | None) -> Any:
        try:
            msgspec.convert(node.value, _rebuilt(info))
        except msgspec.ValidationError:
            text = f"{where} is {_shown(node)}, and must be {description or _wanted(info)}"
            self._report.add(node, text, "Correct the value.", "schema-value")
            return FAULTY
        return node.value


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of the kind at all; its limits come later."""
    if isinstance(value, dict):
        return kind in _MAPPINGS
    if isinstance(value, list):
        return kind in _LISTS
    if isinstance(value, str):
        return kind in _WORDS
    if isinstance(value, bool):
        return kind == "BoolType"
    if value is None:
        return kind == "NoneType"
    return kind == "FloatType" or (kind == "IntType" and isinstance(value, int))


def _rebuilt(info: Any) -> Any:
    """The type that msgspec described, limits included, so that msgspec itself judges a scalar."""
    kind = type(info).__name__
    if kind == "EnumType":
        return info.cls
    if kind == "LiteralType":
        from typing import Literal

        return Literal[tuple(info.values)]
    from typing import Annotated

    base = {"StrType": str, "IntType": int, "FloatType": float, "BoolType": bool}.get(kind)
    names = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
    limits = {name: getattr(info, name, None) for name in names}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    return Annotated[base, msgspec.Meta(**limits)] if limits else base


def _wanted(info: Any) -> str:
    kind = type(info).__name__
    if kind == "UnionType":
        return " or ".join(_wanted(getattr(member, "type", member)) for member in info.types)
    if kind == "EnumType":
        return "one of " + ", ".join(str(member.value) for member in info.cls)
    if kind == "LiteralType":
        return " or ".join(str(value) for value in info.values)
    limits = [
        f"{word} {getattr(info, name)}"
        for name, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"))
        if getattr(info, name, None) is not None
    ]
    return " and ".join([_NAMES.get(kind, kind), *limits]).replace(" and ", ", ", 1)


def _name_of(node: Node) -> str:
    value = node.value
    if isinstance(value, bool):
        return "true or false"
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "a text", int: "a number"}
    return names.get(type(value), "a number" if isinstance(value, float) else "empty")


def _shown(node: Node) -> str:
    return f"`{visible(shorten(str(node.value), 60))}`" if node.value != "" else "an empty text"
