"""The history server in a process of its own: it answers, is killed, comes back, and loses nothing it was given."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import candle_kit as kit
import numpy as np
import pytest

from trader.data import ingest, tails
from trader.data.history import HistoryStore
from trader.data.link import DirectHistoryLink, ProcessHistoryLink
from trader.data.resample import NAMES
from trader.domain.market import MINUTE, Timeframe
from trader.errors import CorruptError, RetryableError

M1, M15 = Timeframe.M1, Timeframe.M15
NAMES_OF_PAIRS = kit.pairs(5)


def seeded(directory: Path) -> int:
    """A store with 100 native 15m candles and a tail verdict for each pair; returns the time after the last."""
    store = HistoryStore(directory)
    now = kit.EPOCH + 100 * M15.us
    kit.put(store, kit.frame(NAMES_OF_PAIRS, 100, tf=M15), M15, name="seed", now_us=now)
    store.put_tails(tails.check_tails(ingest.tails_of(store, NAMES_OF_PAIRS, {M15: 90}, now)), now)
    store.close()
    return now


def link_to(directory: Path, clock: kit.HandClock, deadline_s: float = 30.0) -> ProcessHistoryLink:
    return ProcessHistoryLink(directory, clock, timeframes=(M15,), deadline_s=deadline_s, commit_every_us=15 * MINUTE)


def test_process_and_direct_link_answer_alike(tmp_path: Path) -> None:
    async def scene() -> None:
        now = seeded(tmp_path)
        clock = kit.HandClock(now)
        link = link_to(tmp_path, clock)
        for candles in kit.minutes(NAMES_OF_PAIRS, 40, start=now):
            clock.time_us = candles[0].close_us
            assert await link.append(candles) == []
        bad = await link.append([replace(kit.series("P004/EUR", 41, start=now)[40], high=0.5)])
        assert [b.pair for b in bad] == ["P004/EUR"]
        gates, warm = dict(await link.gates()), await link.warm(NAMES_OF_PAIRS, M15, 60)
        await link.close()
        direct = DirectHistoryLink(HistoryStore(tmp_path), clock, timeframes=(M15,))
        assert gates == await direct.gates() and [g.reason for g in gates.values()].count("") == 4
        expected = await direct.warm(NAMES_OF_PAIRS, M15, 60)
        assert list(warm) == list(expected) and len(warm) == 5
        for pair, columns in warm.items():
            assert len(columns) == 60 and all(np.array_equal(getattr(columns, n), getattr(expected[pair], n)) for n in NAMES)
        assert link.restarts == 0

    asyncio.run(scene())


@pytest.mark.kill
def test_killed_server_comes_back_with_every_candle(tmp_path: Path) -> None:
    async def scene() -> int:
        clock = kit.HandClock(kit.EPOCH)
        link = link_to(tmp_path, clock)
        for minute, candles in enumerate(kit.minutes(NAMES_OF_PAIRS, 60)):
            clock.time_us = candles[0].close_us
            assert await link.append(candles) == []
            if minute in (7, 22, 31, 50):
                assert link._child is not None
                link._child.send_signal(signal.SIGKILL)
                if minute == 31:
                    await link._child.wait()
        found = await link.warm(NAMES_OF_PAIRS, M1, 500)
        assert {p: len(c) for p, c in found.items()} == dict.fromkeys(NAMES_OF_PAIRS, 60)
        await link.close()
        return link.restarts

    assert asyncio.run(scene()) == 4
    rows = HistoryStore(tmp_path).snapshot(tf=M1, provisional=True).scan().collect()
    assert rows.height == 300 and rows.select("pair", "time").is_duplicated().sum() == 0


@pytest.mark.kill
def test_hanging_server_costs_one_deadline_and_never_the_loop(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = kit.HandClock(kit.EPOCH + MINUTE)
        link = link_to(tmp_path, clock, deadline_s=3.0)
        await link.gates()
        assert link._child is not None
        link._child.send_signal(signal.SIGSTOP)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.05)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(RetryableError, match="no answer to append"):
            await link.append(kit.minutes(["A/EUR"], 1)[0])
        assert ticks >= 20, "the loop went on while the server hung"
        assert await link.append([]) == []
        assert len((await link.warm(["A/EUR"], M1, 5))["A/EUR"]) == 1, "the unanswered candle went out again"
        ticking.cancel()
        await link.close()

    asyncio.run(scene())


def test_damaged_store_is_named_over_the_link(tmp_path: Path) -> None:
    async def scene() -> None:
        now = seeded(tmp_path)
        path = next((tmp_path / "parts").iterdir())
        path.write_bytes(path.read_bytes()[:-30])
        link = link_to(tmp_path, kit.HandClock(now))
        with pytest.raises(CorruptError, match=path.name):
            await link.warm(NAMES_OF_PAIRS, M15, 60)
        assert link.restarts == 0
        await link.close()

    asyncio.run(scene())
