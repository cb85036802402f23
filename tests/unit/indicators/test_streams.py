"""Live rows: order of candles, readiness, peeking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from series_kit import H4, M15, candle, cut, four_hours, walk

from trader.domain.market import Timeframe
from trader.indicators.streams import PairStreams
from trader.strategy.modes import parameters

PARAMETERS = parameters("viable", "mitraillette", "DEFAULT")
COLUMNS = walk(5, 12_032)
HOURS = four_hours(COLUMNS)


def made(n: int = 12_000, first: int = 0) -> PairStreams:
    return PairStreams(cut(COLUMNS, first, n), cut(HOURS, 0, n // 16), PARAMETERS)


def test_a_warm_pair_is_ready() -> None:
    streams = made()
    assert streams.ready and streams.not_ready_reason == ""
    assert streams.row.time_us == COLUMNS.time[11_999] and streams.row.close == COLUMNS.close[11_999]


@pytest.mark.parametrize("change", [{"time_us": 0}, {"close": math.nan}, {"high": math.inf}, {"timeframe": Timeframe.H4}])
def test_a_candle_that_does_not_follow_or_is_not_finite_changes_nothing(change: dict[str, float]) -> None:
    streams = made()
    before = streams.row
    with pytest.raises(ValueError, match="A/EUR"):
        streams.update(replace(candle(COLUMNS, 12_000), **change))
    assert streams.row is before
    streams.update(candle(COLUMNS, 12_000))
    assert streams.row.time_us == COLUMNS.time[12_000]


def test_peek_shows_the_row_to_come_and_changes_nothing() -> None:
    streams = made()
    before = repr(streams.row)
    ahead = streams.peek(candle(COLUMNS, 12_000))
    assert repr(streams.row) == before and streams.peek_rsi(ahead.close) == ahead.rsi and math.isnan(streams.peek_rsi(math.nan))
    streams.update(candle(COLUMNS, 12_000))
    assert repr(streams.row) == repr(ahead)


def test_before_a_4h_close_peek_sees_the_4h_candle_before_and_the_closed_bar_waits_for_the_new_one() -> None:
    streams, last = made(), 12_015
    for i in range(12_000, last):
        streams.update(candle(COLUMNS, i))
    assert (int(COLUMNS.time[last]) + M15) % H4 == 0
    ahead = streams.peek(candle(COLUMNS, last))
    assert (ahead.reason, ahead.h4_close) == ("", streams.row.h4_close)
    streams.update(candle(COLUMNS, last))
    assert streams.not_ready_reason == "the 4h candle of this close is missing"


def test_too_few_candles_say_how_many_are_missing() -> None:
    assert made(first=11_900).not_ready_reason == "100 of 549 unbroken 15m candles"


def test_a_gap_forgets_what_lies_before_it() -> None:
    whole = cut(COLUMNS, 0, 12_000)
    keep = np.r_[0:11_800, 11_801:12_000]
    broken = replace(whole, **{name: getattr(whole, name)[keep] for name in ("time", "open", "high", "low", "close", "volume", "filled")})
    assert PairStreams(broken, cut(HOURS, 0, 750), PARAMETERS).not_ready_reason == "199 of 549 unbroken 15m candles"


def test_a_missing_4h_candle_at_a_common_close_is_not_ready_until_it_comes() -> None:
    streams = made()
    for i in range(12_000, 12_016):
        streams.update(candle(COLUMNS, i))
    assert streams.not_ready_reason == "the 4h candle of this close is missing"
    streams.update_h4(candle(HOURS, 750, Timeframe.H4))
    assert streams.ready


def test_a_4h_candle_that_skips_one_is_refused() -> None:
    with pytest.raises(ValueError, match="4h at"):
        made().update_h4(candle(HOURS, 751, Timeframe.H4))


def test_more_than_a_fifth_of_filled_bars_is_not_ready() -> None:
    c = cut(COLUMNS, 0, 12_000)
    filled = c.filled.copy()
    filled[-96:] = np.arange(96) < 20
    assert (
        PairStreams(replace(c, filled=filled), cut(HOURS, 0, 750), PARAMETERS).not_ready_reason == "21% of the last 96 bars have no trade"
    )
    filled[-96:] = np.arange(96) < 19
    assert PairStreams(replace(c, filled=filled), cut(HOURS, 0, 750), PARAMETERS).ready


def test_a_market_that_never_moves_has_no_atr() -> None:
    flat = np.full(12_000, 10.0)
    c = replace(cut(COLUMNS, 0, 12_000), open=flat, high=flat, low=flat, close=flat, filled=np.zeros(12_000, np.bool_))
    assert PairStreams(c, four_hours(c), PARAMETERS).not_ready_reason == "ATR is zero"


def test_history_that_is_not_finite_is_refused_by_name() -> None:
    c = cut(COLUMNS, 0, 12_000)
    c.close[11_000] = math.nan
    with pytest.raises(ValueError, match="column close"):
        PairStreams(c, cut(HOURS, 0, 750), PARAMETERS)


def test_no_history_is_refused() -> None:
    with pytest.raises(ValueError, match="0 unbroken 15m candles"):
        PairStreams(cut(COLUMNS, 0, 0), cut(HOURS, 0, 0), PARAMETERS)


def test_without_any_4h_candle_the_pair_only_waits() -> None:
    assert "of 690 unbroken 4h" in PairStreams(cut(COLUMNS, 0, 12_000), cut(HOURS, 0, 0), PARAMETERS).not_ready_reason


def test_turnover_and_change_read_the_last_day() -> None:
    streams, part = made(), slice(12_000 - 96, 12_000)
    assert streams.median_quote_volume == np.median(COLUMNS.close[part] * COLUMNS.volume[part])
    assert streams.quote_volume == pytest.approx(np.sum(COLUMNS.close[part] * COLUMNS.volume[part]))
    assert streams.change_24h == pytest.approx(COLUMNS.close[11_999] / COLUMNS.close[11_903] - 1)
    assert set(streams.extras()) == {"adx", "engulfing", "hammer", "morning_star"}


def test_steps_are_the_timeframes() -> None:
    assert (M15, H4) == (900_000_000, 14_400_000_000)
