"""Candles are closed by time; nothing is filled in that may have been missed."""

from __future__ import annotations

from typing import Any

from trader.domain.market import MINUTE, Timeframe
from trader.kraken.board import CandleBoard
from trader.kraken.translate import rfc3339

START = 1_767_571_200_000_000


def item(pair: str, begin: int, close: float = 2.0, **changes: Any) -> dict[str, Any]:
    row = {
        "symbol": pair,
        "open": 1.0,
        "high": 3.0,
        "low": 0.5,
        "close": close,
        "volume": 4.0,
        "vwap": 1.5,
        "trades": 7,
        "interval_begin": rfc3339(begin),
    }
    return row | changes


def board(*pairs: str) -> CandleBoard:
    made = CandleBoard(Timeframe.M1, START)
    assert made.want(pairs, START) == list(pairs)
    return made


def test_the_newest_frame_of_the_interval_is_the_candle() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.1)], START + 1)
    b.take([item("A/EUR", START, 1.2)], START + 2)
    b.take([item("A/EUR", START + MINUTE, 9.9)], START + MINUTE + 1)
    candles, missing = b.close(START, alive=True)
    assert ([candle.close for candle in candles], missing) == ([1.2], [])
    forming = b.forming("A/EUR")
    assert forming is not None
    assert forming.close == 9.9


def test_a_quiet_pair_is_filled_with_its_last_close() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.25)], START + 1)
    b.close(START, alive=True)
    (candle,), missing = b.close(START + MINUTE, alive=True)
    assert missing == []
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.filled) == (1.25, 1.25, 1.25, 1.25, 0.0, True)


def test_a_quiet_pair_of_a_dead_connection_must_be_asked_for() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START)], START + 1)
    b.close(START, alive=True)
    assert b.close(START + MINUTE, alive=False) == ([], ["A/EUR"])


def test_after_an_interruption_nothing_is_filled_before_frames_came_again() -> None:
    b = board("A/EUR", "B/EUR")
    b.take([item("A/EUR", START), item("B/EUR", START)], START + 1)
    b.close(START, alive=True)
    b.take([item("A/EUR", START + MINUTE, 5.0)], START + MINUTE + 1)
    b.interrupted(START + MINUTE + 2)
    b.take([item("B/EUR", START, 2.0)], START + MINUTE + 9)  # snapshot: B did not trade in the running minute
    candles, missing = b.close(START + MINUTE, alive=True)
    assert [(candle.pair, candle.filled) for candle in candles] == [("B/EUR", True)]
    assert missing == ["A/EUR"]  # its frame may be stale


def test_candles_that_ended_before_the_interruption_are_kept() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.5)], START + 1)
    b.interrupted(START + MINUTE + 1)
    candles, missing = b.close(START, alive=False)
    assert ([candle.close for candle in candles], missing) == ([1.5], [])


def test_late_frames_of_a_closed_candle_are_ignored() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.5)], START + 1)
    b.close(START, alive=True)
    b.take([item("A/EUR", START, 7.7)], START + MINUTE + 3)
    (candle,), _ = b.close(START + MINUTE, alive=True)
    assert candle.close == 1.5


def test_a_malformed_frame_leaves_its_pair_to_rest_and_others_alone() -> None:
    b = board("A/EUR", "B/EUR")
    b.take([item("A/EUR", START, low=None), item("B/EUR", START)], START + 1)
    candles, missing = b.close(START, alive=True)
    assert ([candle.pair for candle in candles], missing) == (["B/EUR"], ["A/EUR"])


def test_a_pair_added_later_starts_with_the_running_candle() -> None:
    b = board("A/EUR")
    assert b.want(["A/EUR", "B/EUR"], START + MINUTE + 5) == ["B/EUR"]
    assert b.close(START, alive=True)[1] == ["A/EUR"]
    assert b.close(START + MINUTE, alive=True)[1] == ["A/EUR", "B/EUR"]


def test_an_acknowledged_pair_without_a_snapshot_is_certain_from_the_next_candle() -> None:
    b = board("A/EUR")
    b.acknowledged("A/EUR", START + 5)
    b.known([])
    assert b.close(START, alive=True)[1] == ["A/EUR"]
    b._last["A/EUR"] = 3.0
    (candle,), missing = b.close(START + MINUTE, alive=True)
    assert (candle.filled, missing) == (True, [])
