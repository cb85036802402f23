"""The feed against an unkind stream: `python -m tests.campaigns.feed [--seeds 5] [--minutes 120] [--pairs 150]`.

A stepped twin serves candles of all pairs while frames are swallowed, doubled and swapped, connections stall and break, also
several times in a row and while subscribing. Public REST calls are limited to one a second, as on the real exchange. Every
candle that is delivered is compared with the market itself: same open, high, low, close, volume and emptiness; each pair's
candles ascend without a hole; none is delivered twice. The last minutes are quiet, so that debts can be paid.

`breach="accumulate"` and `breach="arrival"` are builds with a fault planted: one adds up the volumes of repeated frames, one
takes frames in the order they come. Both must differ, or the comparison sees nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from tests.amounts import whole
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.domain.messages import BarsClosed
from trader.kraken import board as board_module
from trader.kraken import feed as feed_module
from trader.kraken.client import make_client
from trader.kraken.feed import KrakenMarketData
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS
from trader.simulation.clock import LoopClock
from trader.simulation.faults import Fault, FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.switches import Switches
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket

QUIET_MINUTES = 6  # at the end, without faults
FEWEST = 18_000  # candles a full seed must compare
GROWTH_MB = 3.0  # what the heap may grow by between minute 30 and the end


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One seed: candles compared, candles that differ, came twice or out of order, never came; what faults and repairs did."""

    seed: int
    compared: int = 0
    different: int = 0
    disorder: int = 0
    missing: int = 0
    late: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    growth_mb: float | None = None

    @property
    def equal(self) -> bool:
        return self.compared > 0 and self.different == self.disorder == self.missing == 0


class AccumulatingBoard(board_module.CandleBoard):
    """A planted breach: takes each frame for what was added since the last one."""

    def _take(self, item: Mapping[str, Any], now_us: int, *, snapshot: bool) -> None:
        held = self._frames.get(self._begins.get(item["interval_begin"], -1), {}).get(item["symbol"])
        super()._take({**item, "volume": item["volume"] + held["volume"]} if held is not None else item, now_us, snapshot=snapshot)


class ArrivalBoard(board_module.CandleBoard):
    """A planted breach: the frame that comes last wins."""

    def _take(self, item: Mapping[str, Any], now_us: int, *, snapshot: bool) -> None:
        self._frames.get(self._begins.get(item["interval_begin"], -1), {}).pop(item["symbol"], None)
        super()._take(item, now_us, snapshot=snapshot)


BREACHES = {"accumulate": AccumulatingBoard, "arrival": ArrivalBoard}


def faults(seed: int, minutes: int, pairs: int) -> list[Fault]:
    """The plan of a seed: every kind at least once, at other frames for every seed."""
    rng = np.random.default_rng([seed, 77])
    frames = minutes * pairs
    at = sorted(int(n) for n in rng.integers(pairs, frames // 2, size=8))
    storm = [first + step for first in at[:2] for step in range(6)]  # six connections in a row die at their first candle
    return [
        Fault(where="ohlc", action="gap", p=0.002, match={"type": "update"}),
        Fault(where="ohlc", action="ws_duplicate", p=0.02),
        Fault(where="ohlc", action="ws_reorder", p=0.01),
        Fault(where="ohlc", action="nan", p=0.001),
        Fault(where="ohlc", action="ws_drop", nth=tuple(storm + at[2:4])),
        Fault(where="ohlc", action="ws_stall", nth=tuple(at[4:6]), arg=20.0),
        Fault(where="ohlc", action="ws_stall", nth=(at[6],), arg=200.0),
        Fault(where="subscribe", action="ws_drop", nth=(3,)),
        Fault(where="subscribe", action="lost_response", nth=(6,)),
    ]


@dataclass(slots=True)
class Judge:
    """Compares candles with the market as they come and keeps no candle."""

    market: SyntheticMarket
    outcome: Outcome
    next_us: dict[str, int]

    def take(self, event: BarsClosed) -> None:
        for candle in event.candles:
            wanted = self.next_us[candle.pair]
            self.outcome.disorder += candle.time_us != wanted
            self.next_us[candle.pair] = max(wanted, candle.close_us)
            self.outcome.late += candle.close_us < event.close_us
            self.outcome.compared += 1
            self.outcome.different += not self._equal(candle)

    def _equal(self, candle: Candle) -> bool:
        row, place = self.market.minute(candle.time_us), self.market.pairs.index(candle.pair)
        true = tuple(float(column[place]) for column in row)
        return (candle.open, candle.high, candle.low, candle.close, candle.volume) == true and candle.filled == (true[4] == 0.0)


async def _campaign(
    seed: int, plan: FaultPlan, *, minutes: int, pairs: int, per_minute: int, measure: bool, public_per_s: float | None
) -> Outcome:
    outcome, clock, market = Outcome(seed=seed), LoopClock(EPOCH_US), SyntheticMarket(seed, count=pairs)
    twin = KrakenTwin(
        market, clock, state_dir=None, plan=plan, api_key="k", api_secret="c2VjcmV0", seed=seed, tag="abc", starting_cash=Decimal(10_000),
        switches=Switches(frames_per_minute=per_minute),
    )  # fmt: skip
    port = await twin.start("127.0.0.1", 8701)
    client = make_client(url=f"http://127.0.0.1:{port}", ws_url=f"ws://127.0.0.1:{port}", api_key=None, api_secret=None, clock=clock)
    limiter = Limiter(clock, tier=TIERS["pro"], public_per_s=public_per_s)
    data = KrakenMarketData(client, clock, rng=np.random.default_rng(seed), limiter=limiter)
    judge = Judge(market, outcome, dict.fromkeys(market.pairs, EPOCH_US))

    async def listen() -> None:
        async for event in data.stream(market.pairs, Timeframe.M1):
            if isinstance(event, BarsClosed):
                judge.take(event)

    tasks = [asyncio.create_task(twin.run_market()), asyncio.create_task(listen())]
    try:
        await clock.sleep_until(EPOCH_US + min(30, minutes // 2) * MINUTE)
        before = _heap_mb() if measure else 0.0
        await clock.sleep_until(EPOCH_US + (minutes - QUIET_MINUTES) * MINUTE)
        plan.clear()
        await clock.sleep_until(EPOCH_US + minutes * MINUTE + 30_000_000)
        outcome.growth_mb = round(_heap_mb() - before, 2) if measure else None
        end = EPOCH_US + minutes * MINUTE
        outcome.missing = sum((end - next_us) // MINUTE for next_us in judge.next_us.values() if next_us < end)
        outcome.faults, outcome.counts = dict(plan.fired), dict(Counter(data.counts))
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        await twin.close()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return outcome


def _heap_mb() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6


def run(
    seed: int, *, minutes: int = 120, pairs: int = 150, breach: str | None = None, measure: bool = False,
    plan: list[Fault] | None = None, per_minute: int = 1, public_per_s: float | None = 1.0,
) -> Outcome:  # fmt: skip
    """One seed. `measure`: trace the heap (several times slower); `plan` None: the seed's own faults."""
    given = FaultPlan(faults(seed, minutes, pairs) if plan is None else plan, seed=seed)
    whole = feed_module.CandleBoard
    feed_module.CandleBoard = BREACHES[breach] if breach else whole  # type: ignore[misc]
    if measure:
        tracemalloc.start()
    try:
        return run_stepped(
            lambda: _campaign(seed, given, minutes=minutes, pairs=pairs, per_minute=per_minute, measure=measure, public_per_s=public_per_s)
        )
    finally:
        feed_module.CandleBoard = whole  # type: ignore[misc]
        tracemalloc.stop()


def table(rows: list[Outcome]) -> str:
    """The outcomes as text."""
    names = ("seed", "compared", "different", "disorder", "missing", "late", "growth_mb")
    lines = ["  ".join(f"{name:>9}" for name in names) + "  faults"]
    lines += ["  ".join(f"{getattr(row, name)!s:>9}" for name in names) + f"  {sum(row.faults.values())}" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Run all seeds and both breaches; a table, one JSON line, exit code 1 where anything is not as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns.feed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=whole(), default=5)
    parser.add_argument("--minutes", type=whole(), default=120)
    parser.add_argument("--pairs", type=whole(), default=150)
    words = parser.parse_args()
    if words.seeds < 1 or words.minutes < 20 or words.pairs < 2:
        parser.error("--seeds is 1 or more, --minutes 20 or more, --pairs 2 or more")
    size = {"minutes": words.minutes, "pairs": words.pairs}
    rows = [run(seed, **size) for seed in range(1, words.seeds + 1)]
    breached = run(1, breach="accumulate", **size)
    memory = run(1, measure=True, minutes=max(60, words.minutes), pairs=words.pairs)
    print(table([*rows, breached, memory]))
    enough = min(FEWEST, words.minutes * words.pairs)
    ok = all(row.equal and row.compared >= enough for row in rows) and breached.different > 0 and (memory.growth_mb or 0.0) <= GROWTH_MB
    print(
        json.dumps({"ok": ok, "seeds": [asdict(row) for row in rows], "breach_differs": breached.different, "growth_mb": memory.growth_mb})
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
