"""What is told on the standard error: one event a line, as text or as JSON, for machines to read.

Evidence and passwords reach it: whatever an event holds, it forges no line and moves no cursor.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from connectors.document import visible

FORMATS = ("text", "json")


class SafeFormatter(logging.Formatter):
    """One event a line: what evidence brings along is shown as escapes, and no password."""

    def format(self, record: logging.LogRecord) -> str:
        text = _masked(super().format(record))
        # A traceback has lines of its own; a mark before each tells them from events, also when
        # the fault's text holds what looks like one.
        lines = text.split("\n") if record.exc_info else [text]
        return "\n  | ".join(map(visible, lines))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with `at`, `level`, `logger`, `message`, and `trace` (a list of
    lines) where there is one. Texts as `SafeFormatter` writes them, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _safe(record.getMessage()),
        }
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            event["trace"] = [_safe(line) for line in trace.split("\n")]
        return json.dumps(event)


def _safe(text: str) -> str:
    return visible(_masked(text))


def _masked(text: str) -> str:
    # Imported here: a quiet poll says nothing.
    from runner.masking import mask_secrets

    return mask_secrets(text)


def set_up_log(form: str, *, is_verbose: bool) -> None:
    """Log to the standard error from now on. `form`: one of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    text = SafeFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    level = logging.INFO if is_verbose else logging.ERROR
    logging.basicConfig(level=level, handlers=[handler])


def complain(text: str, form: str) -> None:
    """Say on the standard error what needs attention: lines of text, or an event for each."""
    safe = visible(_masked(text), keep_newlines=True)
    if form != "json":
        print(safe, file=sys.stderr, flush=True)
        return
    for line in safe.split("\n"):
        logging.getLogger("stockade").error("%s", line)
