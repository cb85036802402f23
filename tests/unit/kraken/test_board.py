"""Candles are closed by time; nothing is filled in that may have been missed."""

from __future__ import annotations

from typing import Any

import pytest

from trader.domain.market import MINUTE, Candle, Timeframe
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


def closed(b: CandleBoard, begin: int, *, alive: bool = True) -> tuple[list[Candle], list[str]]:
    closing = b.close(begin, alive=alive)
    return closing.candles, closing.missing


def test_the_newest_frame_of_the_interval_is_the_candle() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.1)], START + 1)
    b.take([item("A/EUR", START, 1.2)], START + 2)
    b.take([item("A/EUR", START + MINUTE, 2.9)], START + MINUTE + 1)
    candles, missing = closed(b, START)
    assert ([candle.close for candle in candles], missing) == ([1.2], [])
    forming = b.forming("A/EUR")
    assert forming is not None
    assert forming.close == 2.9


def test_a_quiet_pair_is_filled_with_its_last_close() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.25)], START + 1)
    b.close(START, alive=True)
    (candle,), missing = closed(b, START + MINUTE)
    assert missing == []
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.filled) == (1.25, 1.25, 1.25, 1.25, 0.0, True)


def test_a_quiet_pair_of_a_dead_connection_must_be_asked_for() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START)], START + 1)
    b.close(START, alive=True)
    assert closed(b, START + MINUTE, alive=False) == ([], ["A/EUR"])


def test_after_an_interruption_nothing_is_filled_before_frames_came_again() -> None:
    b = board("A/EUR", "B/EUR")
    b.take([item("A/EUR", START), item("B/EUR", START)], START + 1)
    b.close(START, alive=True)
    b.take([item("A/EUR", START + MINUTE, 5.0)], START + MINUTE + 1)
    b.interrupted(START + MINUTE + 2)
    b.take([item("B/EUR", START, 2.0)], START + MINUTE + 9)  # snapshot: B did not trade in the running minute
    candles, missing = closed(b, START + MINUTE)
    assert [(candle.pair, candle.filled) for candle in candles] == [("B/EUR", True)]
    assert missing == ["A/EUR"]  # its frame may be stale


def test_candles_that_ended_before_the_interruption_are_kept() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.5)], START + 1)
    b.interrupted(START + MINUTE + 1)
    candles, missing = closed(b, START, alive=False)
    assert ([candle.close for candle in candles], missing) == ([1.5], [])


def test_late_frames_of_a_closed_candle_are_ignored() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.5)], START + 1)
    b.close(START, alive=True)
    b.take([item("A/EUR", START, 7.7)], START + MINUTE + 3)
    (candle,), _ = closed(b, START + MINUTE)
    assert candle.close == 1.5


def test_a_malformed_frame_leaves_its_pair_to_rest_and_others_alone() -> None:
    b = board("A/EUR", "B/EUR")
    b.take([item("A/EUR", START, low=None), item("B/EUR", START)], START + 1)
    candles, missing = closed(b, START)
    assert ([candle.pair for candle in candles], missing) == (["B/EUR"], ["A/EUR"])


SPOILT = [{"low": -0.5}, {"low": 0.0}, {"high": 1.5}, {"low": 1.2}, {"close": float("inf")}, {"volume": float("nan")}]


@pytest.mark.parametrize("spoilt", SPOILT, ids=str)
def test_a_candle_of_no_prices_is_asked_for_and_shown_to_nobody(spoilt: dict[str, float]) -> None:
    b = board("A/EUR", "B/EUR")
    b.take([item("A/EUR", START, **spoilt), item("B/EUR", START)], START + 1)
    assert b.forming("A/EUR") is None and b.forming("B/EUR") is not None
    candles, missing = closed(b, START)
    assert ([candle.pair for candle in candles], missing) == (["B/EUR"], ["A/EUR"])


def test_a_pair_added_later_starts_with_the_running_candle() -> None:
    b = board("A/EUR")
    assert b.want(["A/EUR", "B/EUR"], START + MINUTE + 5) == ["B/EUR"]
    assert closed(b, START)[1] == ["A/EUR"]
    assert closed(b, START + MINUTE)[1] == ["A/EUR", "B/EUR"]


def test_an_acknowledged_pair_without_a_snapshot_is_certain_from_the_next_candle() -> None:
    b = board("A/EUR")
    b.acknowledged("A/EUR", START + 5)
    assert closed(b, START)[1] == ["A/EUR"]
    b._last["A/EUR"] = 3.0
    (candle,), missing = closed(b, START + MINUTE)
    assert (candle.filled, missing) == (True, [])


def test_frames_are_ordered_by_their_volume_not_by_their_arrival() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.2, volume=5.0)], START + 1)
    b.take([item("A/EUR", START, 1.1, volume=4.0)], START + 2)  # sent before, came after
    b.take([item("A/EUR", START, 1.2, volume=5.0)], START + 3)  # a repeat
    (candle,), _ = closed(b, START)
    assert (candle.close, candle.volume) == (1.2, 5.0)


def test_no_quiet_candle_repeats_a_close_that_is_too_old() -> None:
    b = board("A/EUR")
    b.take([item("A/EUR", START, 1.5)], START + 1)
    b.close(START, alive=True)
    b.interrupted(START + MINUTE + 1)
    b.acknowledged("A/EUR", START + MINUTE + 2)
    assert closed(b, START + MINUTE)[1] == ["A/EUR"]
    assert closed(b, START + 2 * MINUTE)[1] == ["A/EUR"]  # certain again, but of which close?


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"symbol": "NIX/EUR"}, "ohlc of unknown symbol"), ({"symbol": None}, "ohlc of unknown symbol"), ({"symbol": []}, "malformed ohlc"),
        ({"interval_begin": None}, "malformed ohlc"), ({"interval_begin": "yesterday"}, "malformed ohlc"),
        ({"interval_begin": rfc3339(START + 1)}, "malformed ohlc"), ({"interval_begin": rfc3339(START + 10 * MINUTE)}, "malformed ohlc"),
    ],
)  # fmt: skip
def test_a_bad_item_is_refused_alone(bad: dict[str, Any], reason: str) -> None:
    b = board("A/EUR", "B/EUR")
    refused = b.take([item("A/EUR", START) | bad, item("B/EUR", START, 1.5)], START + 1)
    assert [row[0] for row in refused] == [reason]
    candles, missing = closed(b, START)
    assert ([candle.pair for candle in candles], missing) == (["B/EUR"], ["A/EUR"])


def test_items_that_are_no_objects_are_refused_alone() -> None:
    b = board("B/EUR")
    refused = b.take([7, None, "x", [], {}, item("B/EUR", START)], START + 1)  # type: ignore[list-item]
    assert len(refused) == 5
    assert closed(b, START)[1] == []


def test_intervals_that_passed_unseen_are_owed_from_the_first_one() -> None:
    b = board("A/EUR")
    b.want(["B/EUR"], START + 3 * MINUTE)
    assert b.skip(START + 5 * MINUTE) == {"A/EUR": START, "B/EUR": START + 3 * MINUTE}
    assert closed(b, START + 6 * MINUTE)[1] == ["A/EUR", "B/EUR"]
