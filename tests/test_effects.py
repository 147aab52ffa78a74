"""The one door to the world: intent first, sent once, and looked up before anything is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Action, Chat, Edr, Effect, Tickets, action_of
from connectors.errors import AuthFailed, OutcomeUnknown, Rejected, Unavailable
from runner.config import Mode
from runner.context import Call, StepFailed, Suspended
from runner.effects import LOOKS, MOST_ATTEMPTS, Effects, forbidden_by, wait_after
from runner.journal import Journal, runs
from runner.journal.records import StepResult, StepStatus
from tests.fake_clock import FakeClock

CREATE = action_of(Tickets.create_ticket)
SEED = action_of(Chat.seed_choices)
ISOLATE = action_of(Edr.isolate_host)
SETTLE_S = 30.0


class Shop:
    """A product with one shelf: what was put there is found again. `plan` says how each coming
    request goes; after it, all goes well."""

    def __init__(self, journal: Journal, clock: FakeClock) -> None:
        self.journal = journal
        self.clock = clock
        self.effects = Effects(journal, clock)
        self.plan: list[Callable[[], None]] = []
        self.sent = 0
        self.looked = 0
        self.shelf: list[str] = []
        self.intended_when_sent: list[bool] = []

    def send(self, _elapsed_s: float) -> dict[str, str]:
        step = self.step()
        self.intended_when_sent.append(step is not None and step.status is StepStatus.INTENDED)
        self.sent += 1
        if self.plan:
            self.plan.pop(0)()
        self.shelf.append("it")
        return {"id": "it"}

    def look(self, _at: datetime) -> dict[str, str] | None:
        self.looked += 1
        return {"id": "it"} if self.shelf else None

    def call(self, action: Action = CREATE, **changes: Any) -> Call:
        named: dict[str, Any] = {"look": self.look, "settle_s": SETTLE_S, "again_s": 600.0}
        return Call(name="create", send=self.send, action=action, **{**named, **changes})

    def perform(self, call: Call | None = None, mode: Mode = Mode.ACT) -> Any:
        call = call or self.call()
        return self.effects.perform("run-1", "/ticket#ticket", call, mode, call.unsent)

    def suspended(self, call: Call | None = None) -> Suspended:
        with pytest.raises(Suspended) as caught:
            self.perform(call)
        return caught.value

    def step(self) -> StepResult | None:
        with self.journal.read() as tx:
            return runs.step(tx, "run-1", "/ticket#ticket")

    def status(self) -> StepStatus | None:
        step = self.step()
        return None if step is None else step.status

    # How a request goes.

    def lost_after(self) -> None:
        self.shelf.append("it")
        raise OutcomeUnknown("Shop", "the answer was lost")

    @staticmethod
    def lost_before() -> None:
        raise OutcomeUnknown("Shop", "the answer was lost")

    @staticmethod
    def down() -> None:
        raise Unavailable("Shop", "down", retry_after_s=20)

    @staticmethod
    def refused() -> None:
        raise Rejected("Shop", "no such project")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    clock = FakeClock()
    journal = Journal(tmp_path / "state", clock)
    yield Shop(journal, clock)
    journal.close()


# -- once ------------------------------------------------------------------------------------------


def test_perform_when_done_then_the_intent_came_first_and_the_value_is_given_ever_after(
    shop: Shop,
) -> None:
    assert shop.perform() == {"id": "it"}
    assert shop.perform() == {"id": "it"}
    assert (shop.sent, shop.looked, shop.intended_when_sent) == (1, 0, [True])
    assert shop.status() is StepStatus.SUCCEEDED


def test_perform_when_refused_then_failed_for_ever_and_not_sent_again(shop: Shop) -> None:
    shop.plan = [shop.refused]
    for _ in range(2):
        with pytest.raises(StepFailed, match="no such project") as caught:
            shop.perform()
        assert caught.value.kind == "rejected"
    assert shop.sent == 1


def test_perform_when_a_permission_is_missing_then_failed(shop: Shop) -> None:
    def no_permission() -> None:
        raise AuthFailed("Shop", "403")

    shop.plan = [no_permission]
    with pytest.raises(StepFailed):
        shop.perform()


@pytest.mark.parametrize("status", [401, 403])
def test_perform_when_the_sign_in_is_refused_then_a_call_that_outlasts_it_is_sent_again(
    shop: Shop, status: int
) -> None:
    def expired() -> None:
        raise AuthFailed("Shop", "the token has ended", status=status)

    call = shop.call(outlasts_sign_in=True)
    shop.plan = [expired]
    with pytest.raises(AuthFailed):
        shop.perform(call)
    assert shop.status() is StepStatus.PENDING
    shop.clock.advance(10)
    assert shop.perform(call) == {"id": "it"}
    assert (shop.sent, shop.looked) == (2, 0)


def test_perform_when_done_and_not_shown_then_never_sent_again_even_where_sign_ins_are_outlasted(
    shop: Shop,
) -> None:
    def hidden() -> None:
        raise AuthFailed("Shop", "it was added, and the account may not see it")

    call = shop.call(outlasts_sign_in=True)
    shop.plan = [hidden]
    for _ in range(2):
        with pytest.raises(StepFailed, match="was added"):
            shop.perform(call)
        shop.clock.advance(3600)
    assert shop.sent == 1


def test_perform_when_it_is_a_read_then_not_taken_for_an_effect(shop: Shop) -> None:
    with pytest.raises(TypeError, match="is a read"):
        shop.perform(Call(name="look", send=shop.send))


# -- doubt -----------------------------------------------------------------------------------------


def test_perform_when_the_answer_is_lost_then_looked_up_after_the_settle_time_and_adopted(
    shop: Shop,
) -> None:
    shop.plan = [shop.lost_after]
    waits = shop.suspended()
    assert waits.wait_on == "time"
    assert waits.wake_at is not None
    assert (waits.wake_at - shop.clock.now()).total_seconds() == SETTLE_S
    shop.clock.advance(SETTLE_S - 1)
    shop.suspended()
    assert shop.looked == 0
    shop.clock.advance(1)
    assert shop.perform() == {"id": "it"}
    assert (shop.sent, shop.looked) == (1, 1)


def test_perform_when_nothing_is_found_then_sent_again_only_after_two_looks(shop: Shop) -> None:
    shop.plan = [shop.lost_before]
    shop.suspended()
    for look in range(1, LOOKS):
        shop.clock.advance(SETTLE_S)
        shop.suspended()
        assert (shop.sent, shop.looked) == (1, look)
    shop.clock.advance(SETTLE_S)
    assert shop.perform() == {"id": "it"}
    assert (shop.sent, shop.looked) == (2, LOOKS)


def test_perform_when_it_appears_late_then_the_second_look_adopts_it(shop: Shop) -> None:
    shop.plan = [shop.lost_before]
    shop.suspended()
    shop.clock.advance(SETTLE_S)
    shop.suspended()
    shop.shelf.append("it")
    shop.clock.advance(SETTLE_S)
    assert shop.perform() == {"id": "it"}
    assert shop.sent == 1


def test_perform_when_lost_again_and_again_then_a_person_must_say(shop: Shop) -> None:
    shop.plan = [shop.lost_before] * 9
    for _ in range(20):
        shop.suspended()
        shop.clock.advance(SETTLE_S)
    assert shop.sent == MOST_ATTEMPTS
    assert shop.status() is StepStatus.UNKNOWN
    assert shop.suspended().wait_on == "person"


def test_perform_when_the_process_died_after_the_intent_then_looked_up_before_anything(
    shop: Shop,
) -> None:
    def die() -> None:
        shop.shelf.append("it")
        raise KeyboardInterrupt

    shop.plan = [die]
    with pytest.raises(KeyboardInterrupt):
        shop.perform()
    assert shop.status() is StepStatus.INTENDED
    shop.suspended()
    assert shop.looked == 0
    shop.clock.advance(SETTLE_S)
    assert shop.perform() == {"id": "it"}
    assert shop.sent == 1


def test_perform_when_the_look_fails_then_nothing_is_concluded(shop: Shop) -> None:
    def down(_at: datetime) -> Any:
        raise Unavailable("Shop", "down")

    shop.plan = [shop.lost_before]
    shop.suspended()
    for _ in range(5):
        shop.clock.advance(SETTLE_S)
        shop.suspended(shop.call(look=down))
    assert shop.sent == 1
    assert shop.status() is StepStatus.INTENDED


def test_perform_when_the_look_is_refused_or_there_is_none_then_a_person_must_say(
    shop: Shop,
) -> None:
    shop.plan = [shop.lost_before]
    shop.suspended()
    shop.clock.advance(SETTLE_S)
    assert shop.suspended(shop.call(look=None)).wait_on == "person"
    assert shop.sent == 1


def test_perform_when_a_repeat_is_harmless_then_sent_again_but_not_for_ever(shop: Shop) -> None:
    call = shop.call(SEED, look=None)
    shop.plan = [shop.lost_before]
    shop.suspended(call)
    shop.clock.advance(SETTLE_S)
    assert shop.perform(call) == {"id": "it"}
    assert shop.sent == 2


def test_perform_when_even_repeats_are_always_lost_then_a_person_must_say_in_the_end(
    shop: Shop,
) -> None:
    call = shop.call(SEED, look=None, settle_s=0)
    shop.plan = [shop.lost_before] * 99
    waits = shop.suspended(call)
    while waits.wait_on == "time":
        shop.clock.advance(60)
        waits = shop.suspended(call)
    assert waits.wait_on == "person"
    # Once a minute for the ten minutes that it was told to go on.
    assert shop.sent == 11
    assert shop.status() is StepStatus.UNKNOWN


# -- outages ---------------------------------------------------------------------------------------


def test_perform_when_the_product_is_down_then_tried_again_as_told(shop: Shop) -> None:
    shop.plan = [shop.down]
    waits = shop.suspended()
    assert waits.wake_at is not None
    assert (waits.wake_at - shop.clock.now()).total_seconds() == 20
    shop.clock.advance(19)
    shop.suspended()
    assert shop.sent == 1
    shop.clock.advance(1)
    assert shop.perform() == {"id": "it"}
    assert (shop.sent, shop.looked) == (2, 0)


def test_perform_when_it_stays_down_then_failed_in_the_end(shop: Shop) -> None:
    shop.plan = [shop.down] * 100
    while shop.status() is not StepStatus.FAILED:
        with pytest.raises((Suspended, StepFailed)):
            shop.perform()
        shop.clock.advance(20)
    step = shop.step()
    assert step is not None
    assert step.error is not None
    assert step.error.kind == "unavailable"
    assert 600 / 20 <= shop.sent <= 600 / 20 + 2


def test_wait_after_when_not_told_then_grows_to_a_minute() -> None:
    waits = [wait_after(Unavailable("Shop", "down"), attempt) for attempt in range(1, 7)]
    assert waits == [5, 10, 20, 40, 60, 60]
    assert wait_after(Unavailable("Shop", "down", retry_after_s=7), 5) == 7


# -- modes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "effect", "is_forbidden"),
    [
        (Mode.OBSERVE, Effect.INVESTIGATE, False),
        (Mode.OBSERVE, Effect.NOTIFY, True),
        (Mode.OBSERVE, Effect.DOCUMENT, True),
        (Mode.OBSERVE, Effect.CONTAIN, True),
        (Mode.OBSERVE, Effect.RELEASE, True),
        (Mode.PRACTICE, Effect.NOTIFY, False),
        (Mode.PRACTICE, Effect.DOCUMENT, False),
        (Mode.PRACTICE, Effect.CONTAIN, True),
        (Mode.PRACTICE, Effect.RELEASE, True),
        (Mode.ACT, Effect.CONTAIN, False),
        (Mode.ACT, Effect.RELEASE, False),
    ],
)
def test_forbidden_by_mode_and_effect(mode: Mode, effect: Effect, is_forbidden: bool) -> None:
    assert forbidden_by(mode, effect) is is_forbidden


def test_perform_when_only_observing_then_recorded_and_never_sent_later(shop: Shop) -> None:
    call = shop.call(unsent={"id": "would be"})
    assert shop.perform(call, Mode.OBSERVE) == {"id": "would be"}
    assert shop.perform(call, Mode.ACT) == {"id": "would be"}
    assert shop.sent == 0
    assert shop.status() is StepStatus.SKIPPED


def test_perform_when_turned_down_while_it_waits_then_not_sent(shop: Shop) -> None:
    shop.plan = [shop.down]
    shop.suspended()
    shop.clock.advance(60)
    assert shop.perform(mode=Mode.OBSERVE) is None
    assert shop.sent == 1


def test_perform_when_practising_then_containment_is_never_sent(shop: Shop) -> None:
    assert shop.perform(shop.call(ISOLATE), Mode.PRACTICE) is None
    assert shop.sent == 0
