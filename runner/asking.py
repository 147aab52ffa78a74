"""A question to people with named answers: by the same cards, votes and expiry as a containment's.

An answer is a value that a playbook may branch on, and allows nothing by itself: whatever cuts a
device off asks again, through the effect door.
"""

from __future__ import annotations

from typing import Any

from connectors.base import Effect
from runner.config import Mode
from runner.context import ANSWER, Call, Decision, Question, StepFailed
from runner.frame import Frame, evaluate
from runner.playbook_steps import Ask

MOST_VOIDS = 3
ACTION = "ask"


async def ask(frame: Frame, step: Ask, path: str) -> None:
    """Ask, and wait as a row until people have answered or time is up.

    The value: {answer, state}; `state` is answered, expired, observed or denied, and all but the
    first have the answer that the playbook names for silence. Errors: `StepFailed` when the
    question was void three times: nobody could be asked.
    """
    text = evaluate(step.question, frame.names)
    if not isinstance(text, str):
        raise StepFailed("playbook", "the question is no text")
    for n in range(MOST_VOIDS):
        mode = await _mode(frame, f"{path}#mode.{n}")
        if mode == Mode.OBSERVE:
            # Nobody is asked in this mode; what silence counts as holds.
            frame.keep(step.id, _value(step.on_expiry, "observed"), "skipped")
            return
        if mode not in tuple(Mode):
            frame.keep(step.id, _value(step.on_expiry, "denied"), "denied")
            return
        decision = await frame.ctx.ask(f"{path}#ask.{n}", _question(frame, step, path, n, text))
        if not decision.void:
            break
    else:
        raise StepFailed("rejected", f"asked three times, void each time: {decision.void[ANSWER]}")
    _keep(frame, step, decision)


async def _mode(frame: Frame, key: str) -> str:
    """The mode when the question was due, or why the configuration lets none be put; journalled: a
    replay must go the same way."""
    ctx = frame.ctx

    def stands(_elapsed_s: float) -> str:
        return ctx.refusal(Effect.NOTIFY) or ctx.mode

    return str(await ctx.call(key, Call(name="mode", send=stands)))


def _question(frame: Frame, step: Ask, path: str, n: int, text: str) -> Question:
    return Question(
        path=path,
        n=n,
        action=ACTION,
        effect=Effect.NOTIFY,
        targets=(),
        pick=False,
        quorum=step.quorum,
        reason=text,
        rank=0,
        mode=frame.ctx.mode,
        answers=step.answers,
        on_expiry=step.on_expiry,
        expires_s=step.expires_s,
    )


def _keep(frame: Frame, step: Ask, decision: Decision) -> None:
    if decision.approved:
        frame.keep(step.id, _value(decision.approved[0], "answered"))
    else:
        frame.keep(step.id, _value(step.on_expiry, "expired"), "denied")


def _value(answer: str, state: str) -> dict[str, Any]:
    return {"answer": answer, "state": state}
