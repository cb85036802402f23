"""How far the venue's clock is from ours, from what it says: what is believed, and which refusals ask again."""

from __future__ import annotations

import asyncio

import pytest

from trader.domain.market import SECOND
from trader.domain.orders import Acked, Ambiguous, Answer, Rejected
from trader.errors import RetryableError
from trader.kraken.venue_clock import VenueClock, untimely
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped

START = 1_700_000_000_000_000


def told(ahead_s: float, *, took_s: float = 0.0, known_s: float = 0.0) -> float:
    """The offset in seconds after one answer in whole seconds, by a venue so far ahead, that arrived so late."""

    async def main() -> float:
        clock = LoopClock(START)
        venue = VenueClock(clock)
        venue.offset_us = int(known_s * SECOND)

        async def ask() -> int:
            there = clock.now_us() + int(ahead_s * SECOND)
            await asyncio.sleep(took_s)
            return there // SECOND * SECOND + SECOND // 2

        await venue.told(ask(), exact_us=SECOND // 2)
        return venue.offset_us / SECOND

    return run_stepped(main)


@pytest.mark.parametrize("took_s", [0.0, 0.3, 8.0])
def test_clocks_that_agree_are_not_corrected_by_a_rough_or_slow_answer(took_s: float) -> None:
    assert told(0.0, took_s=took_s) == 0.0


@pytest.mark.parametrize("ahead_s", [4.0, -4.0, 2.7, -1.6])
@pytest.mark.parametrize("took_s", [0.0, 0.2])
def test_a_difference_is_known_to_half_a_second_and_half_the_answers_way(ahead_s: float, took_s: float) -> None:
    assert abs(told(ahead_s, took_s=took_s) - ahead_s) <= 0.5 + took_s / 2


def test_a_slow_answer_does_not_spoil_what_was_known_and_a_clock_set_right_is_noticed() -> None:
    assert told(4.0, took_s=9.0, known_s=3.9) == 3.9
    assert abs(told(0.0, known_s=3.9)) <= 0.5


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (Ambiguous(message="EService:Deadline elapsed", late=True), True),
        (Rejected(kind="bug", message="EGeneral:Invalid arguments:deadline"), True),
        (Rejected(kind="bug", message="invalidArgument: processBefore"), True),
        (Rejected(kind="later", message="not sent: the deadline has passed"), False),
        (Ambiguous(message="HTTP 502"), False),
        (Acked(txid="O1"), False),
    ],
)
def test_the_time_is_asked_after_a_refusal_for_its_deadline_and_no_other(answer: Answer, asks: bool) -> None:
    asked: list[int] = []

    async def ask() -> int:
        asked.append(1)
        raise RetryableError("nobody answers")

    async def main() -> Answer:
        return await VenueClock(LoopClock(START)).heed(answer, ask)

    assert run_stepped(main) is answer
    assert (bool(asked), untimely(answer)) == (asks, asks)
