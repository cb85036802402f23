"""Back-fill from public trades against the twin: page by page, newest day first, equal to what REST serves, and kill-proof."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from kraken_kit import PAIR, World, on_twin

from trader.data import ingest
from trader.data.backfill import Backfill, BackfillReport, holes
from trader.data.history import HistoryStore
from trader.domain.market import DAY, MINUTE, Timeframe, TradePage

M1 = Timeframe.M1
SAME = ["time", "open", "high", "low", "close", "volume", "count", "filled"]


def rows(store: HistoryStore, pair: str = PAIR) -> pl.DataFrame:
    return store.snapshot(tf=M1).scan().filter(pl.col("pair") == pair).select(SAME).sort("time").collect()


async def fill(world: World, store: HistoryStore, days: int, *, pages: int | None = None) -> BackfillReport:
    run = Backfill(store, world.market, world.clock, stopping=lambda: pages is not None and run.report.calls >= pages)
    return await run.run([PAIR], days)


def test_candles_from_trades_are_those_of_rest_and_none_is_asked_for_twice(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        store = HistoryStore(tmp_path / "trades")
        done = await fill(world, store, 2)
        assert (done.errors, done.quarantined, done.left, done.revisions) == ({}, {}, 0, 0)
        assert done.trades > 4_000 and done.calls >= done.trades // 1000
        found = rows(store)
        end = M1.floor(world.clock.now_us())
        first = store.catalog.coverage("spot", M1)[PAIR][-1]
        assert len(found) == (end - int(found["time"].to_physical()[0])) // MINUTE, "a regular grid to now"
        assert first.state == "fetched" and first.end_us == end

        other = HistoryStore(tmp_path / "rest")
        batch = await ingest.fetch(ingest.plan(other, [PAIR], (M1,), world.clock.now_us()), world.market, clock=world.clock)
        ingest.commit(other, batch, ingest.judge_staged(batch), world.clock.now_us())
        rest = rows(other)
        assert len(rest) == 719
        assert rest.equals(found.tail(719)), "REST and trades give identical candles"
        assert (await fill(world, store, 2)).calls == 0

    on_twin(body)


def test_a_run_cut_after_any_page_neither_repeats_nor_skips(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        whole, cut = HistoryStore(tmp_path / "whole"), HistoryStore(tmp_path / "cut")
        straight = await fill(world, whole, 2)
        calls = trades = 0
        for _ in range(40):
            done = await fill(world, cut, 2, pages=1)
            calls, trades = calls + done.calls, trades + done.trades
            assert done.revisions == 0
            cursor = cut.catalog.cursor("spot", M1, PAIR, "trades")
            assert cursor is not None and (int(cursor) + 1) % (MINUTE * 1000) == 0, "the cursor never points inside a candle"
            cut.close()
            cut = HistoryStore(tmp_path / "cut")
            if not done.stopped:
                break
        assert rows(cut).equals(rows(whole))
        assert straight.calls <= calls <= straight.calls + 8, "a cut costs the rest of a page at most"
        assert holes(cut, PAIR, world.clock.now_us() - DAY, M1.floor(world.clock.now_us())) == []

    on_twin(body)


def test_trades_out_of_order_end_the_pair_by_name_and_nothing_of_the_page_is_stored(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        class Shuffled:
            async def trades(self, pair: str, cursor: str) -> TradePage:
                page = await world.market.trades(pair, cursor)
                return TradePage(trades=page.trades[::-1], cursor=page.cursor)

        store = HistoryStore(tmp_path / "h")
        done = await Backfill(store, Shuffled(), world.clock).run([PAIR], 1)
        assert "came out of order" in done.errors[PAIR]
        assert rows(store).is_empty() and done.left == 1440

    on_twin(body)
