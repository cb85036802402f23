"""The joiner: brings pairs into the session as they become READY, by quote volume, and repairs those that missed a candle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trader.domain.market import Candle, Timeframe
from trader.errors import RejectedError, RetryableError
from trader.execution.bars import ascending
from trader.execution.engine import Engine
from trader.execution.wiring import Wiring
from trader.indicators.likeness import WINDOW
from trader.ports import Columns, SessionSummary
from trader.strategy.modes import Parameters, lookback_4h, lookback_15m

BATCH = 16
MORE_15M, MORE_4H = 160, 8  # candles a pair begins with beyond those it must have
IDLE_S = 15.0  # how often to look for pairs that missed a candle


def begins(parameters: Parameters, *, short: bool) -> dict[Timeframe, int]:
    """How many candles a pair's streams begin with: recursive indicators differ in their last digits with where they began, so every
    engine that is compared with a session begins there too."""
    return {
        Timeframe.M15: max(lookback_15m(parameters, short=short) + MORE_15M, WINDOW + 1),
        Timeframe.H4: lookback_4h(parameters, short=short) + MORE_4H,
    }


class Joiner:
    """Keeps `engine.pairs` equal to what the data gate lets through, a batch at a time; never blocks trading."""

    def __init__(self, wiring: Wiring, engine: Engine, summary: SessionSummary, blocked: dict[str, str]) -> None:
        self.w, self.engine, self.summary = wiring, engine, summary
        self.ranked: list[str] = []
        self.blocked = blocked  # shared with the close stage, which refuses what is in it
        self.pause_s = 1.0
        self._waiting: list[str] = []
        self._tries: dict[str, int] = {}
        self._ranked_us = 0

    async def refresh(self) -> None:
        """Ask the gate again and rank by quote volume; on the beat, so that a repaired or new pair joins within one."""
        if not self.ranked or self.w.clock.now_us() - self._ranked_us >= Timeframe.H1.us:
            await self._rank()
        try:
            gates = await self.w.history.gates()
        except RetryableError as error:  # what was ready stays ready; asked again at the next beat
            self._unknown(error)
            return
        for pair, gate in gates.items():
            if gate.reason and self.blocked.get(pair) != gate.reason:
                self.block(pair, gate.reason, gate.detail)
            elif not gate.reason and pair in self.blocked:
                del self.blocked[pair]
                self.w.ledger.note("data.repaired", {"pair": pair}, self.w.clock.now_us())
        self._waiting = [p for p in self._order() if p in gates and not gates[p].reason and p not in self.engine.pairs]

    async def _rank(self) -> None:
        """Order the universe by 24 h quote volume; a failing call keeps the last list."""
        try:
            tickers = await self.w.market.tickers()
        except (RetryableError, RejectedError) as error:
            self.w.ledger.note("scanner.stale", {"error": str(error)}, self.w.clock.now_us())
            return
        if tickers:
            self._ranked_us = self.w.clock.now_us()
            names = [p for p in tickers if p in self.w.instruments and self.w.instruments[p].quote == self.w.quote and p not in self.w.deny]
            self.ranked = sorted(names, key=lambda p: (-tickers[p].quote_volume, p))[: self.w.universe]

    def _order(self) -> list[str]:
        reference = [self.engine.reference] if self.engine.reference in self.w.instruments else []
        return reference + [p for p in self.ranked if p not in reference]

    def block(self, pair: str, reason: str, detail: str = "") -> None:
        """Refuse entries in a pair until its data is repaired; what is held stays guarded."""
        self.blocked[pair] = reason
        self.summary.blocked_pairs[pair] = reason
        self.w.ledger.note("data.blocked", {"pair": pair, "expectation": reason, "detail": detail}, self.w.clock.now_us())
        self.engine.leave(pair)

    async def step(self) -> bool:
        """Join the next batch; True once any pair is ready."""
        if not self.ranked:
            await self.refresh()
        now = self.w.clock.now_us()
        for pair in self.engine.stale(Timeframe.M15.floor(now)):
            if now % Timeframe.M15.us > 30_000_000:  # give the feed its time before asking REST
                self.engine.leave(pair)
                self._waiting.append(pair)
        waiting = [pair for pair in dict.fromkeys(self._waiting) if pair not in self.engine.pairs]  # joined meanwhile: never twice
        batch, self._waiting = waiting[:BATCH], waiting[BATCH:]
        if batch:
            try:
                await self._join(batch)
            except RetryableError as error:
                self._unknown(error)
                self._waiting = [*batch, *self._waiting]
                self.pause_s = IDLE_S
                return bool(self.engine.pairs)
        self.pause_s = 0.05 if self._waiting else IDLE_S
        self.summary.ready_pairs = len(self.engine.pairs)
        return bool(self.engine.pairs)

    def _unknown(self, error: RetryableError) -> None:
        """History cannot be read now: nobody joins, everything else goes on."""
        self.w.ledger.note("history.unknown", {"error": str(error)}, self.w.clock.now_us())

    async def _join(self, pairs: Sequence[str]) -> None:
        wanted = begins(self.engine.parameters, short=self.engine.short)
        await self.w.market.add_pairs(pairs)
        fifteen, four = [await self.w.history.warm(pairs, timeframe, wanted[timeframe]) for timeframe in (Timeframe.M15, Timeframe.H4)]
        for pair in pairs:
            if pair not in fifteen or pair not in four or not len(fifteen[pair]) or not len(four[pair]):
                continue
            try:
                await self._join_one(pair, fifteen[pair], four[pair])
            except (RetryableError, RejectedError, ValueError) as error:
                self._tries[pair] = self._tries.get(pair, 0) + 1
                self.w.ledger.note("pair.not_joined", {"pair": pair, "error": str(error)}, self.w.clock.now_us())
                if self._tries[pair] < 5:
                    self._waiting.append(pair)

    async def _join_one(self, pair: str, fifteen: Columns, four: Columns) -> None:
        """Bring stored candles up to now by REST where they end earlier, then hand them to the engine."""
        bar = Timeframe.M15.floor(self.w.clock.now_us())
        fifteen = await self._extended(pair, fifteen, Timeframe.M15)
        four = await self._extended(pair, four, Timeframe.H4)
        running: Sequence[Candle] = ()
        if self.w.clock.now_us() - bar > self.w.base.us:
            running = ascending(await self.w.market.history(pair, self.w.base, bar), bar)
        self.engine.join(pair, fifteen, four, running)

    async def _extended(self, pair: str, columns: Columns, timeframe: Timeframe) -> Columns:
        end = int(columns.time[-1]) + timeframe.us
        if end >= timeframe.floor(self.w.clock.now_us()):
            return columns
        rows = ascending(await self.w.market.history(pair, timeframe, end), end)
        if not rows or rows[0].time_us != end:
            raise RetryableError(f"{pair} {timeframe}: stored candles end at {end}, the exchange's begin later")
        await self.w.history.append(rows)
        return _joined(columns, rows)


def _joined(columns: Columns, rows: Sequence[Candle]) -> Columns:
    """`columns` with `rows` behind them."""
    return Columns(
        time=np.concatenate([columns.time, np.array([c.time_us for c in rows], dtype=np.int64)]),
        open=np.concatenate([columns.open, [c.open for c in rows]]), high=np.concatenate([columns.high, [c.high for c in rows]]),
        low=np.concatenate([columns.low, [c.low for c in rows]]), close=np.concatenate([columns.close, [c.close for c in rows]]),
        volume=np.concatenate([columns.volume, [c.volume for c in rows]]),
        filled=np.concatenate([columns.filled, np.array([c.filled for c in rows], dtype=np.bool_)]),
    )  # fmt: skip
