"""Bursts against Kraken's two counters: `python -m tests.campaigns.rates [--minutes 30] [--pairs 144] [--tier intermediate]`.

Each pair has one window of a minute, the windows spread over the run. At its start a burst asks for three times the tier's
limit at once: entries (which leave the reserve to others), amends and cancels (which may use all of it). What has not got
through when the window ends is dropped. Beside that, bursts of private reads, three times the REST counter each, every half
minute. The twin counts at the same tier.

Theoretical throughput, in the venue's units: capacity + decay x length of the window, for every pair, and capacity + decay x
length of the run for the reads; no reserve is subtracted, since amends, cancels and reads may use it. Used: what the twin
charged. Around every call our model is compared with the twin's counter at the same instant of the clock. With the limiter
off the same bursts are refused by the hundred.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from tests.amounts import whole
from trader.domain.market import MINUTE, SECOND, Instrument
from trader.domain.orders import Acked, Intent, Leg, OrderType, Side
from trader.errors import RetryableError
from trader.kraken.client import KrakenClient, make_client
from trader.kraken.exchange import KrakenExchange
from trader.kraken.feed import KrakenMarketData
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS
from trader.simulation.clock import LoopClock
from trader.simulation.faults import FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.spot.limits import UNIT, LimitRules
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US, SyntheticMarket

WINDOW_S = 60
BURST = 3  # times the limit
ENTRIES = 60  # a burst; open orders per pair are limited, too
CANCELS = 10
READS_EVERY_S = 30
TOLERANCE = 1e-6  # sums of decimal fractions in floats against the twin's integers


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One run. `below`: comparisons in which our model stood under the twin's counter."""

    limiter: bool
    calls: int = 0
    refused: int = 0
    compared: int = 0
    below: int = 0
    engine_used: float = 0.0
    engine_theory: float = 0.0
    rest_used: float = 0.0
    rest_theory: float = 0.0

    @property
    def engine_share(self) -> float:
        return self.engine_used / self.engine_theory

    @property
    def rest_share(self) -> float:
        return self.rest_used / self.rest_theory


class Watched:
    """The client with a look at both counters before and after every private call."""

    def __init__(self, client: KrakenClient, outcome: Outcome, compare: Callable[[], None]) -> None:
        self._client, self._outcome, self._compare = client, outcome, compare

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def private(self, path: str, build: Callable[[], Mapping[str, Any]], *, urgent: bool) -> Any:
        self._outcome.calls += 1
        self._compare()
        try:
            return await self._client.private(path, build, urgent=urgent)
        finally:
            self._compare()


class Bursts:
    """The demand."""

    def __init__(self, exchange: KrakenExchange, clock: LoopClock, rules: Mapping[str, Instrument], lasts: Mapping[str, Decimal]) -> None:
        self._exchange, self._clock, self._rules, self._lasts = exchange, clock, rules, lasts
        self._number = 0

    async def window(self, pair: str, limit: float) -> None:
        """One burst: entries worth one each, cancels worth up to eight, amends worth four up to three times the limit."""
        end_us = self._clock.now_us() + WINDOW_S * SECOND
        placed: list[str] = []
        amends = int((BURST * limit - ENTRIES - 8 * CANCELS) / 4) + 1
        tasks = [self._enter(pair, placed, end_us) for _ in range(ENTRIES)]
        tasks += [self._amend(pair, placed, n, end_us) for n in range(amends)]
        tasks += [self._cancel(placed, end_us) for _ in range(CANCELS)]
        await asyncio.gather(*tasks)

    async def reads(self, limit: float) -> None:
        """Three times the REST counter: balances (one) and trades (two)."""
        whole = [self._read(self._exchange.balances if n % 3 else self._fills) for n in range(int(BURST * limit * 3 / 4))]
        await asyncio.gather(*whole)

    async def _fills(self) -> object:
        return await self._exchange.fills(self._clock.now_us())

    async def _read(self, call: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(READS_EVERY_S):
                await call()
        except (TimeoutError, RetryableError):
            return  # not let through before the next burst

    async def _enter(self, pair: str, placed: list[str], end_us: int) -> None:
        self._number += 1
        rules, price = self._rules[pair], self._rules[pair].price_down(self._lasts[pair] / 2)
        quantity = rules.quantity_down(max(rules.order_min, Decimal(5) / price)) + rules.lot
        answer = await self._exchange.submit(
            Intent(
                cl_ord_id=f"tabc{self._number:014d}", key="k", leg=Leg.ENTRY, attempt=1, position_id="p", pair=pair, side=Side.BUY,
                order_type=OrderType.LIMIT, quantity=quantity, limit_price=price, deadline_us=end_us, created_us=self._clock.now_us(),
            )
        )  # fmt: skip
        if isinstance(answer, Acked):
            placed.append(answer.txid)

    async def _amend(self, pair: str, placed: list[str], number: int, end_us: int) -> None:
        while not placed and self._clock.now_us() < end_us:
            await self._clock.sleep(0.05)
        rules, price = self._rules[pair], self._rules[pair].price_down(self._lasts[pair] / 2)
        quantity = rules.quantity_down(max(rules.order_min, Decimal(5) / price)) + rules.lot * (2 + number)
        if placed:
            await self._exchange.amend(placed[number % len(placed)], pair=pair, quantity=quantity, trigger_price=None, deadline_us=end_us)

    async def _cancel(self, placed: list[str], end_us: int) -> None:
        while self._clock.now_us() < end_us:
            if len(placed) > ENTRIES // 2:
                txid = placed.pop()
                if isinstance(await self._exchange.cancel(txid), Acked):
                    return
                placed.append(txid)
            await self._clock.sleep(0.5)


async def _campaign(outcome: Outcome, model: type[Limiter], *, minutes: int, pairs: int, tier: str) -> None:
    clock, market = LoopClock(EPOCH_US), SyntheticMarket(3, count=pairs)
    twin = KrakenTwin(
        market, clock, state_dir=None, plan=FaultPlan(), api_key="k", api_secret="c2VjcmV0", seed=3, tag="abc",
        starting_cash=Decimal(10_000_000), limits=LimitRules(tier=tier),
    )  # fmt: skip
    _count(twin, outcome)
    port = await twin.start("127.0.0.1", 8701)
    client = make_client(url=f"http://127.0.0.1:{port}", ws_url=f"ws://127.0.0.1:{port}", api_key="k", api_secret="c2VjcmV0", clock=clock)
    limiter = model(clock, tier=TIERS[tier if outcome.limiter else "unlimited"], public_per_s=None)

    def compare() -> None:
        now = clock.now_us()
        for pair in list(limiter.engine):
            outcome.compared += 1
            outcome.below += limiter.engine_at(pair) < twin.limits.engine_value(pair, now) - TOLERANCE
        counters: Any = twin.limits.figures(now)["rest"]
        outcome.compared += len(counters)
        outcome.below += sum(limiter.rest.at(now) < value - TOLERANCE for value, _ in counters.values())

    watched: Any = Watched(client, outcome, compare)
    exchange = KrakenExchange(watched, clock, limiter=limiter)
    rules, tickers = await exchange.instruments(), await KrakenMarketData(client, clock, limiter=limiter).tickers()
    bursts = Bursts(exchange, clock, rules, {pair: ticker.last for pair, ticker in tickers.items()})
    begin = clock.now_us()
    step = (minutes * MINUTE - WINDOW_S * SECOND) // max(1, pairs - 1)
    shape = TIERS[tier]

    async def windows(number: int, pair: str) -> None:
        await clock.sleep_until(begin + number * step)
        await bursts.window(pair, shape.engine_max)

    async def reading() -> None:
        for number in range(minutes * 60 // READS_EVERY_S):
            await clock.sleep_until(begin + number * READS_EVERY_S * SECOND)
            await bursts.reads(shape.rest_max)

    running = asyncio.create_task(twin.run_market())
    await asyncio.gather(reading(), *(windows(number, pair) for number, pair in enumerate(market.pairs)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    outcome.engine_theory = pairs * (shape.engine_max + shape.engine_decay * WINDOW_S)
    outcome.rest_theory = shape.rest_max + shape.rest_decay * minutes * 60
    outcome.refused = sum(twin.limits.refusals.values())
    await exchange.close()
    await twin.close()


def _count(twin: KrakenTwin, outcome: Outcome) -> None:
    """Add up what the twin charges."""
    limits: Any = twin.limits
    engine, rest = limits._charge, limits.rest

    def charge(pair: str, cost: int, now_us: int) -> None:
        engine(pair, cost, now_us)
        outcome.engine_used += cost / UNIT

    def read(key: str, endpoint: str, now_us: int) -> None:
        before = len(limits.refusals)
        rest(key, endpoint, now_us)
        assert len(limits.refusals) == before
        outcome.rest_used += {"BalanceEx": 1, "TradesHistory": 2}.get(endpoint, 0)

    limits._charge, limits.rest = charge, read


def run(*, limiter: bool, minutes: int = 30, pairs: int = 144, tier: str = "intermediate", model: type[Limiter] = Limiter) -> Outcome:
    """One run with our limiter (or another `model`), or without."""
    outcome = Outcome(limiter=limiter)
    run_stepped(lambda: _campaign(outcome, model, minutes=minutes, pairs=pairs, tier=tier))
    return outcome


def table(rows: list[Outcome]) -> str:
    """The outcomes as text."""
    head = ("limiter", "calls", "rate errors", "engine used / theory", "reads used / theory", "compared", "below")
    lines = ["  ".join(f"{name:>22}" for name in head)]
    for row in rows:
        engine, reads = (
            f"{used:.0f} / {theory:.0f} = {used / theory:.1%}"
            for used, theory in ((row.engine_used, row.engine_theory), (row.rest_used, row.rest_theory))
        )
        cells = ("on" if row.limiter else "off", row.calls, row.refused, engine, reads, row.compared, row.below)
        lines.append("  ".join(f"{cell!s:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> int:
    """Both runs; a table, one JSON line, exit code 1 where anything is not as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns.rates", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=whole(), default=30)
    parser.add_argument("--pairs", type=whole(), default=144)
    parser.add_argument("--tier", choices=("starter", "intermediate", "pro"), default="intermediate")
    words = parser.parse_args()
    if words.minutes < 2 or words.pairs < 1:
        parser.error("--minutes is 2 or more, --pairs 1 or more")
    size = {"minutes": words.minutes, "pairs": words.pairs, "tier": words.tier}
    on, off = run(limiter=True, **size), run(limiter=False, **size)
    print(table([on, off]))
    ok = on.refused == on.below == 0 and on.compared > on.calls > 0 and min(on.engine_share, on.rest_share) >= 0.9 and off.refused > 100
    print(json.dumps({"ok": ok, "on": asdict(on), "off": asdict(off)}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
