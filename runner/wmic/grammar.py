"""What does a wmic command line say: whom it asks, as whom, about what, and what it does there?

It reads wmic's own grammar and judges nothing. What it cannot place stands in `unread`, so that
nobody takes half a reading for the whole. Linear in the length of the line. Source: Microsoft's
wmic reference, read 2026-11-25.
"""

from __future__ import annotations

import re

from runner.wmic.command import QUERIES, Command, Subject, Verb, is_wmic
from runner.wmic.parser import FormatSwitch, read_format_switches
from runner.wmic.words import Word, Words, words_of

GLOBAL_SWITCHES = frozenset(
    {"aggregate", "append", "authlevel", "authority", "failfast", "implevel", "interactive"}
    | {"locale", "namespace", "node", "output", "password", "privileges", "record", "role"}
    | {"trace", "user", "?"}
)
VERB_SWITCHES = frozenset(
    {"all", "assocclass", "every", "interactive", "nointeractive", "repeat", "resultclass"}
    | {"resultrole", "translate", "value", "?"}
)
_WORD = re.compile(r"[a-z_][\w-]*", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"\bwmic\b", re.IGNORECASE)
_CLASS = re.compile(r"(?P<name>[a-z_]\w*)(?P<key>[.=].*)?", re.IGNORECASE | re.ASCII | re.DOTALL)
_WHERE = re.compile(r"where(?P<rest>$|[(\s\"'].*)", re.IGNORECASE | re.DOTALL)
_IN_QUOTES = re.compile(r"\"[^\"]*\"|'[^']*'")
_OPERATORS = frozenset({"and", "or", "not", "like", "is", "isa", "null"})
_PROPERTY = re.compile(r"\s*(?:[\w.]+|\*)?\s*")
_LIST_FORMATS = re.compile(r"[a-z]+", re.IGNORECASE | re.ASCII)


def parse(cmdline: str) -> Command:
    """Read one command line. Repeat: the same line gives the same command. Errors: none."""
    formats = read_format_switches(cmdline)
    read = words_of(cmdline, formats)
    return _Reader(read, formats).command()


class _Reader:
    """Goes through the words once, from left to right."""

    def __init__(self, read: Words, formats: tuple[FormatSwitch, ...]) -> None:
        self._words = read.words
        self._is_closed = read.is_closed
        self._at = 0
        self._is_inside_shell = False
        self._formats = formats
        self._switches: dict[str, str] = {}
        self._unread = [read.rest] if read.rest else []

    def command(self) -> Command:
        program = self._program()
        self._global_switches()
        subject, name, key = self._subject()
        where = self._where(key) if subject in (Subject.ALIAS, Subject.PATH, Subject.CLASS) else key
        verb, method = self._verb()
        rest = self._until_switch()
        self._verb_switches()
        nodes = _listed(self._switches.get("node", ""))
        file = next((node[1:] for node in nodes if node.startswith("@")), None)
        if verb is Verb.CALL and rest:
            method, rest = rest[0].lower, rest[1:]
        self._check_rest(verb, method, rest)
        return Command(
            program=program,
            is_inside_shell=self._is_inside_shell,
            nodes=tuple(node for node in nodes if not node.startswith("@")),
            node_file=file,
            user=self._switches.get("user"),
            has_password="password" in self._switches,
            namespace=self._switches.get("namespace"),
            output=self._switches.get("output", self._switches.get("append")),
            switches=tuple(self._switches),
            subject=subject,
            name=name,
            where=where,
            verb=verb,
            method=method,
            arguments=_arguments(rest) if verb in (Verb.CALL, Verb.OTHER) else (),
            properties=() if verb in (Verb.CALL, Verb.OTHER) else _properties(rest),
            formats=self._formats,
            unread=tuple(self._unread),
            is_closed=self._is_closed,
        )

    def _peek(self) -> Word | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def _take(self) -> Word:
        self._at += 1
        return self._words[self._at - 1]

    def _program(self) -> str:
        """The program as written; where a shell's line starts wmic, what stands before is
        unread."""
        if self._peek() is None:
            return ""
        program = self._take().text
        if is_wmic(program):
            return program
        named = [at for at, word in enumerate(self._words) if _NAME.search(word.text)]
        self._unread.append(program)
        self._is_inside_shell = bool(named)
        self._at = next((at + 1 for at in named if is_wmic(self._words[at].text)), self._at)
        return program

    def _global_switches(self) -> None:
        while (word := self._peek()) and (switch := word.switch()):
            self._keep(self._take(), switch, GLOBAL_SWITCHES)

    def _keep(self, word: Word, switch: tuple[str, str | None], known: frozenset[str]) -> None:
        name, value = switch
        if name not in known:
            self._unread.append(word.text)
        # Several lists of machines are one; of other switches the last one holds.
        before = f"{self._switches.get(name, '')}," if name == "node" else ""
        self._switches[name] = before + (value or "")

    def _subject(self) -> tuple[Subject, str, str | None]:
        """What the line is about: kind, name, and a key or condition glued to it."""
        if self._peek() is None:
            return Subject.NONE, "", None
        word = self._take()
        kind = Subject.ALIAS
        if word.lower in (Subject.PATH, Subject.CLASS) and self._peek():
            kind, word = Subject(word.lower), self._take()
        elif word.lower in (Subject.CONTEXT, "quit", "exit"):
            return Subject.CONTEXT, word.lower, None
        found = _CLASS.fullmatch(word.text)
        if found is None or (kind is Subject.ALIAS and (word.is_quoted or found["key"])):
            self._unread.append(word.text)
            return kind, word.lower, None
        return kind, found["name"].casefold(), found["key"]

    def _where(self, key: str | None) -> str | None:
        """A condition: up to the verb, with its brackets closed."""
        word = self._peek()
        found = _WHERE.fullmatch(word.text) if word else None
        if word is not None and found is None and self._is_key(word):
            return self._take().text
        if word is None or found is None:
            return key
        self._take()
        parts = [found["rest"].strip()] if found["rest"].strip() else []
        depth = _depth(word.raw)
        while (word := self._peek()) and not word.switch():
            if parts and depth <= 0 and self._ends(word, parts[-1]):
                break
            parts.append(self._take().text)
            depth += _depth(word.raw)
        if depth:
            self._unread.append("where")
        return " ".join(parts)

    def _is_key(self, word: Word) -> bool:
        """`service "Mesh Agent" call …`, `process 4604 get …`: an object by its key."""
        is_key = word.is_quoted or word.text.isdigit() or "=" in word.text
        return is_key and not _is_verb_first(word)

    def _ends(self, word: Word, last: str) -> bool:
        """A plain word after an operand is the verb; after an operator it is an operand."""
        is_operand = last[-1:] in "=<>" or last.casefold() in _OPERATORS
        is_word = not word.is_quoted and bool(_WORD.fullmatch(word.text))
        is_word = is_word and word.lower not in _OPERATORS
        return not is_operand and (is_word or _is_verb_first(word))

    def _verb(self) -> tuple[Verb, str]:
        word = self._peek()
        if word is None or word.switch():
            return Verb.NONE, ""
        self._take()
        if word.lower in tuple(Verb) and word.lower not in (Verb.OTHER, Verb.NONE):
            return Verb(word.lower), ""
        if not _WORD.fullmatch(word.text):
            self._unread.append(word.text)
        return Verb.OTHER, word.lower

    def _until_switch(self) -> list[Word]:
        found: list[Word] = []
        while (word := self._peek()) and not (word.switch() and not word.is_quoted):
            found.append(self._take())
        return found

    def _verb_switches(self) -> None:
        while word := self._peek():
            self._take()
            switch = word.switch()
            if switch:
                self._keep(word, switch, VERB_SWITCHES | GLOBAL_SWITCHES)
            else:
                self._unread.append(word.text)

    def _check_rest(self, verb: Verb, method: str, rest: list[Word]) -> None:
        if "nointeractive" in self._switches and verb in QUERIES:
            # Only what changes something asks back: the verb is missing.
            self._unread.append("/nointeractive")
        if verb is Verb.LIST:
            self._unread += [word.text for word in rest if not _LIST_FORMATS.fullmatch(word.text)]
        elif verb is Verb.GET:
            parts = " ".join(word.text for word in rest).split(",")
            if not all(_PROPERTY.fullmatch(part) for part in parts):
                self._unread += [word.text for word in rest]
        elif (verb in (Verb.DELETE, Verb.ASSOC, Verb.NONE) and rest) or (
            verb is Verb.CALL and not method
        ):
            self._unread += [word.text for word in rest] or [verb.value]


def _is_verb_first(word: Word) -> bool:
    """Quotes keep no word from being a verb: `"where a=1"` is a condition all the same."""
    first = word.lower.split(maxsplit=1)[:1]
    return bool(first) and first[0] in tuple(Verb)


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in re.split("[,;]", value)) if part)


def _depth(raw: str) -> int:
    """How many brackets a word opens, outside quotes."""
    bare = _IN_QUOTES.sub("", raw)
    return bare.count("(") - bare.count(")")


def _properties(words: list[Word]) -> tuple[str, ...]:
    return _listed(" ".join(word.text for word in words))


def _arguments(words: list[Word]) -> tuple[str, ...]:
    r"""Split at commas outside quotes: `"C:\a.exe -x","C:\Tools"` are two."""
    parts: list[list[str]] = [[]]
    for word in words:
        for number, part in enumerate(_split(word)):
            if number:
                parts.append([])
            if part:
                parts[-1].append(part)
    return tuple(" ".join(part) for part in parts if part)


def _split(word: Word) -> list[str]:
    pieces = re.split(r"(?<=[\"'\u201d]),|,(?=[\"'\u201c])", word.raw)
    if len(pieces) == 1 and not word.is_quoted:
        pieces = word.raw.split(",")
    return [piece.strip("\"'\u201c\u201d") for piece in pieces]
