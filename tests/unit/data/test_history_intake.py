"""What the session appends: bad rows block their pair only, repeats are no news."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import candle_kit as kit
import pytest

from trader.data import parts
from trader.data.catalog import Block, Catalog
from trader.data.history import HistoryStore
from trader.data.link import DirectHistoryLink
from trader.domain.market import MINUTE, Timeframe

M1 = Timeframe.M1
BAD = {
    "expect_column_values_to_not_be_null(open)": {"open": math.nan},
    "expect_column_values_to_be_between(low)": {"low": -5.0},
    "expect_column_values_to_be_between(volume)": {"volume": -5.0},
    "expect_column_values_to_be_in_set(finite)": {"volume": math.inf},
    "expect_column_values_to_be_in_set(grid_s)": {"time_us": kit.EPOCH + 9 * MINUTE + 5},
    "expect_column_values_to_be_between(step_s)": {"time_us": kit.EPOCH + 3 * MINUTE},
    "expect_column_values_to_be_between(closed_s)": {"time_us": kit.EPOCH + 11 * MINUTE},
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_minute_blocks_its_pair_and_is_quarantined(tmp_path: Path, reason: str) -> None:
    async def scene() -> None:
        clock = kit.HandClock(kit.EPOCH)
        store = HistoryStore(tmp_path / "history")
        link = DirectHistoryLink(store, clock)
        for candles in kit.minutes(kit.pairs(3), 10)[:9]:
            clock.time_us = candles[0].close_us
            assert await link.append(candles) == []
        last = kit.minutes(kit.pairs(3), 10)[9]
        clock.time_us = last[0].close_us
        blocked = await link.append([last[0], replace(last[1], **BAD[reason]), last[2]])
        assert [(b.pair, b.reason) for b in blocked] == [("P001/EUR", reason)] and blocked[0].detail.startswith("1m ")
        gates = await link.gates()
        assert gates["P001/EUR"].reason == reason and list(gates) == ["P001/EUR"], "the others have no tail verdict yet"
        warm = await link.warm(kit.pairs(3), M1, 500)
        assert {p: len(c) for p, c in warm.items()} == {"P000/EUR": 10, "P001/EUR": 9, "P002/EUR": 10}
        await link.close()
        assert store.waiting == 0 and len(list((tmp_path / "history/quarantine").iterdir())) == 1

    asyncio.run(scene())


def test_repeats_of_a_reconnected_feed_are_no_news(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = kit.HandClock(kit.EPOCH + 60 * MINUTE)
        store = HistoryStore(tmp_path / "history", commit_every_us=0)
        link = DirectHistoryLink(store, clock)
        rows = kit.minutes(kit.pairs(2), 20)
        for candles in [*rows[:10], *rows[5:], rows[19]]:
            assert await link.append(candles) == []
        assert await link.append([*rows[3], *rows[3]]) == []
        assert len((await link.warm(kit.pairs(2), M1, 500))["P001/EUR"]) == 20
        assert store.snapshot(tf=M1, provisional=True).scan().collect().height == 40

    asyncio.run(scene())


def test_blocked_pair_goes_on_being_stored_and_a_hole_is_only_a_hole(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = kit.HandClock(kit.EPOCH + 60 * MINUTE)
        link = DirectHistoryLink(HistoryStore(tmp_path / "history"), clock)
        rows = kit.series("A/EUR", 20)
        await link.append([replace(rows[0], low=0.0)])
        for candle in [*rows[1:8], *rows[10:]]:
            assert await link.append([candle]) == []
        assert len((await link.warm(["A/EUR"], M1, 500))["A/EUR"]) == 10
        assert (await link.gates())["A/EUR"].reason == "expect_column_values_to_be_between(low)"

    asyncio.run(scene())


def test_a_pair_that_fails_is_judged_again_soon_and_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        rows, needs = kit.minutes(kit.pairs(3), 90), {M1: 60}
        clock = kit.HandClock(rows[69][0].close_us)
        store = HistoryStore(tmp_path / "history", commit_every_us=0)
        link = DirectHistoryLink(store, clock, timeframes=[M1], needs=needs)
        for candles in rows[:70]:
            await link.append(candles[:2] if candles in rows[50:52] else candles)
        gates = await link.gates()
        assert [gates[pair].reason == "" for pair in kit.pairs(3)] == [True, True, False]
        first_us = clock.time_us
        for candles in rows[70:76]:
            clock.time_us = candles[0].close_us
            await link.append(candles)
        kit.put(store, parts.frame_of([rows[50][2], rows[51][2]], parts.Source.REST), M1, name="what was missing", now_us=clock.time_us)
        assert (await link.gates())["P002/EUR"].reason == ""
        assert {pair: checked_us for _, pair, _, checked_us in store.catalog.tails("spot")} == {
            "P000/EUR": first_us, "P001/EUR": first_us, "P002/EUR": clock.time_us,
        }  # fmt: skip

    asyncio.run(scene())


def test_gates_repeat_their_words_until_another_process_writes_or_a_verdict_is_due(tmp_path: Path) -> None:
    async def scene() -> None:
        rows = kit.minutes(kit.pairs(2), 70)
        clock = kit.HandClock(rows[-1][0].close_us)
        link = DirectHistoryLink(HistoryStore(tmp_path / "history", commit_every_us=0), clock, timeframes=[M1], needs={M1: 60})
        await link.append([candle for candles in rows for candle in candles])
        words = await link.gates()
        assert {word.reason for word in words.values()} == {""} and len(words) == 2
        words = await link.gates()
        clock.time_us += MINUTE
        assert await link.gates() is words, "nothing was written, nothing is due"
        other = Catalog(tmp_path / "history" / "catalog.sqlite")
        with other.write():
            other.block("spot", [Block(tf=M1, pair="P001/EUR", since_us=clock.time_us, expectation="planted", detail="by another process")])
        assert (await link.gates())["P001/EUR"].reason == "planted"
        with other.write():
            other.clear("spot", M1, ["P001/EUR"], clock.time_us)
        assert await link.gates() == words
        clock.time_us += 60 * MINUTE
        assert {word.reason for word in (await link.gates()).values()} == {"expect_column_values_to_be_between(age_bars)"}

    asyncio.run(scene())
