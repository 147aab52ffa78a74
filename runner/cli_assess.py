"""`stockade assess`: judge command lines without a configuration, a journal or a product.

One line is judged for a person to read; a file of JSON lines is judged line by line, as it is read,
so that its size does not matter.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from connectors.document import Block, Bullets, Code, Document, Paragraph, shorten, visible
from connectors.model import Alert, Assessment
from runner.masking import mask_all, mask_secrets
from runner.result import Result
from runner.terminal import text_of
from runner.wmic import assess, score_text

MOST_BYTES = 1_048_576
"""How long one line of the file may be: an endless one would fill the memory."""
_TEXTS = ("parent", "user", "host")


class BadLine(Exception):
    """A line of the file that cannot be judged; its text says why."""


def assess_command(arguments: Namespace) -> Result:
    """Judge `LINE`, or each object of `--jsonl FILE`."""
    if (arguments.line is None) == (arguments.jsonl is None):
        text = "give one command line, or --jsonl FILE (- is the standard input)"
        return Result(code=2, data={"error": text}, text=text)
    if arguments.line is not None:
        judged = assess(_alert({"cmdline": arguments.line}))
        return Result(code=0, data=_object(None, judged), text=_text(arguments.line, judged))
    if arguments.jsonl == "-":
        return _judge_all(sys.stdin.buffer)
    try:
        stream = Path(arguments.jsonl).open("rb")  # noqa: SIM115  closed below, apart from this error
    except OSError as fault:
        text = f"{visible(arguments.jsonl)} cannot be read: {fault.strerror}"
        return Result(code=2, data={"error": text}, text=text)
    with stream:
        return _judge_all(stream)


def _judge_all(stream: BinaryIO) -> Result:
    """One JSON object a line to the standard output, in order; a bad line to the standard error."""
    bad = 0
    for number, raw in _lines(stream):
        try:
            found = _read(raw)
        except BadLine as fault:
            bad += 1
            print(f"line {number}: {fault}", file=sys.stderr)
            continue
        print(json.dumps(_object(found.get("id"), assess(_alert(found)))))
    sys.stdout.flush()
    return Result(code=1 if bad else 0, data=None, text="")


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line with its number; of one that is too long, only the beginning."""
    number = 0
    while raw := stream.readline(MOST_BYTES + 1):
        number += 1
        rest = raw
        while len(rest) > MOST_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MOST_BYTES + 1)
        if raw.strip():
            yield number, raw


def _read(raw: bytes) -> dict[str, Any]:
    if len(raw) > MOST_BYTES:
        raise BadLine(f"it is longer than {MOST_BYTES} bytes")
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadLine("it is not UTF-8") from None
    except RecursionError:
        raise BadLine("it is nested too deeply") from None
    except ValueError as fault:
        raise BadLine(f"it is no JSON: {visible(shorten(str(fault), 200))}") from None
    if not isinstance(found, dict):
        raise BadLine("it is no JSON object")
    if not isinstance(found.get("cmdline"), str):
        raise BadLine("it has no text under the key cmdline")
    for name in _TEXTS:
        if not isinstance(found.get(name), str | None):
            raise BadLine(f"the value of {name} is no text")
    if not isinstance(found.get("id"), str | int | None):
        raise BadLine("the value of id is neither a text nor a whole number")
    return found


def _alert(found: dict[str, Any]) -> Alert:
    return Alert(
        id=str(found.get("id", "")),
        siem="",
        search="",
        raw={},
        cmdline=found["cmdline"],
        parent=found.get("parent"),
        user=found.get("user"),
        host=found.get("host"),
    )


def _object(line_id: object, judged: Assessment) -> dict[str, Any]:
    """Exactly `id`, `assessment`, `score`, `reasons` and `indicators`; without secrets."""
    return {
        "id": line_id,
        "assessment": judged.assessment.value,
        "score": judged.score,
        "reasons": [
            {"text": reason.text, "weight": reason.weight, "event": reason.event}
            for reason in judged.reasons
        ],
        "indicators": mask_all(
            [{"type": seen.type, "value": seen.value} for seen in judged.indicators]
        ),
    }


def _text(line: str, judged: Assessment) -> str:
    reasons = tuple(f"{reason.weight:+d} {reason.text}" for reason in judged.reasons)
    found = tuple(f"{seen.type} {mask_secrets(seen.value)}" for seen in judged.indicators)
    said = f"Assessment: {judged.assessment}, {score_text(judged)}."
    blocks: list[Block] = [
        Code(text=mask_secrets(line)),
        Paragraph(text=said),
        Bullets(items=reasons),
    ]
    if found:
        blocks += [Paragraph(text="To look for:"), Bullets(items=found)]
    return text_of(Document(blocks=tuple(blocks)))
