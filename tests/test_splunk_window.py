"""`connectors/siem/splunk/window.py`: windows meet, overlap, halve, and never lose a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Window
from connectors.siem.splunk.window import (
    DEFAULT_FIRST_LOOKBACK_S,
    EVENT_FUTURE_S,
    EVENT_PAST_S,
    can_halve,
    halve,
    next_window,
    rest_of,
    watermark_after,
)

NOW = 1_795_608_000


def window(start: int, end: int) -> Window:
    return Window(
        start=start, end=end, event_start=start - EVENT_PAST_S, event_end=end + EVENT_FUTURE_S
    )


def test_next_window_when_polled_before_then_it_reaches_back_over_the_watermark() -> None:
    found = next_window(NOW - 120, NOW, overlap_s=300, settle_s=60)
    assert found == window(NOW - 420, NOW - 60)
    assert watermark_after(found) == NOW - 60


def test_next_window_when_never_polled_then_it_looks_back_as_told() -> None:
    assert next_window(None, NOW, settle_s=60, first_lookback_s=600) == window(NOW - 660, NOW - 60)
    found = next_window(None, NOW)
    assert found is not None
    assert found.end - found.start == DEFAULT_FIRST_LOOKBACK_S


@pytest.mark.parametrize("watermark", [NOW - 60, NOW - 30, NOW])
def test_next_window_when_nothing_has_settled_since_then_there_is_none(watermark: int) -> None:
    assert next_window(watermark, NOW, settle_s=60) is None


def test_next_window_when_the_clock_was_set_back_then_polling_goes_on_from_there() -> None:
    found = next_window(NOW + 7200, NOW, overlap_s=300, settle_s=60)
    assert found == window(NOW - 360, NOW - 60)
    assert watermark_after(found) < NOW


def test_next_window_when_the_runner_was_down_for_days_then_event_time_reaches_as_far() -> None:
    found = next_window(NOW - 10 * 86400, NOW)
    assert found is not None
    assert found.event_start <= found.start - EVENT_PAST_S


@pytest.mark.parametrize("wrong", [{"overlap_s": -1}, {"settle_s": -1}, {"first_lookback_s": 0}])
def test_next_window_when_a_length_is_impossible_then_it_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        next_window(None, NOW, **wrong)


@given(
    steps=st.lists(st.integers(0, 5000), min_size=1, max_size=30),
    overlap_s=st.integers(0, 600),
    settle_s=st.integers(0, 300),
)
def test_next_window_when_ticks_come_at_any_time_then_no_second_is_left_out(
    steps: list[int], overlap_s: int, settle_s: int
) -> None:
    watermark: int | None = None
    now = NOW
    for step in steps:
        now += step
        found = next_window(watermark, now, overlap_s=overlap_s, settle_s=settle_s)
        if found is None:
            continue
        assert found.start < found.end == now - settle_s
        if watermark is not None:
            assert found.start == watermark - overlap_s
            assert watermark_after(found) > watermark
        watermark = watermark_after(found)


@given(st.integers(0, NOW), st.integers(2, 10**6))
def test_halve_when_a_window_is_cut_then_its_parts_meet_and_keep_the_event_range(
    start: int, width: int
) -> None:
    whole = window(start, start + width)
    half = halve(whole)
    rest = rest_of(whole, half)
    assert rest is not None
    assert half.start == whole.start
    assert half.start < half.end == rest.start < rest.end == whole.end
    assert {(part.event_start, part.event_end) for part in (half, rest)} == {
        (whole.event_start, whole.event_end)
    }


def test_halve_when_a_window_is_one_second_then_it_is_refused() -> None:
    second = window(NOW, NOW + 1)
    assert not can_halve(second)
    with pytest.raises(ValueError, match="one second"):
        halve(second)


def test_rest_of_when_nothing_is_left_then_there_is_none() -> None:
    whole = window(NOW, NOW + 60)
    assert rest_of(whole, whole) is None


def test_halving_when_each_part_is_too_full_then_every_second_is_asked_once() -> None:
    asked: list[tuple[int, int]] = []
    todo = [window(NOW, NOW + 37)]
    while todo:
        part = todo.pop()
        if can_halve(part) and part.end - part.start > 5:
            half = halve(part)
            rest = rest_of(part, half)
            assert rest is not None
            todo += [rest, half]
        else:
            asked.append((part.start, part.end))
    assert [second for start, end in asked for second in range(start, end)] == list(
        range(NOW, NOW + 37)
    )
