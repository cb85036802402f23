"""The guard of one open position: runs the shared exit step on ticks and closed bars and says what has to be done.

Pure. Works in whole ticks and lots; money comes back as Decimal. What the exchange fills by itself (the resting stop) is
never assumed to have filled: the state only moves on when fills say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from trader.domain.account import Position
from trader.domain.market import SECOND, Candle, Instrument, Timeframe
from trader.execution import exit_plan, exits
from trader.execution.exits import ExitState

LEG_OF = {exits.text_reason(exits.TP1): 1, exits.text_reason(exits.TP2): 2}  # bits of ExitState.legs
BOTH = sum(LEG_OF.values())
NOWHERE = -(1 << 62)  # a stop that no price touches, times sign
AHEAD_US = 5 * SECOND  # our clock may run that far ahead: a fill so near to the end of a bar was decided on its close


class ExitKind(StrEnum):
    STOP = "stop"  # the resting stop was touched: the exchange's own fill is expected
    TARGET = "target"  # sell a leg at its level
    MARKET = "market"  # leave with all at market


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """One thing to do. `price`: the target's level; `quantity`: what the leg holds (all of it for STOP and MARKET)."""

    kind: ExitKind
    reason: str
    price: Decimal
    quantity: Decimal
    after: ExitState | None = None  # state once this exit has filled


class Guard:
    """Exit state of one position. Its bars are numbered by time from `opened_us`, the first fill, on: the entry bar is 1. The bar that
    was decided on is none of them, whoever's clock is right: its prices came before the entry."""

    def __init__(self, instrument: Instrument, state: ExitState, opened_us: int) -> None:
        self.instrument = instrument
        self.state = state
        self._first_us = Timeframe.M15.floor(opened_us + AHEAD_US)
        self._hole_us: int | None = None  # open of the first bar that was not there when a later one was given

    @classmethod
    def begin(cls, position: Position, instrument: Instrument, slippage: float = 0.0) -> Guard:
        """Start from the average fill; raises ValueError for a position that holds nothing."""
        average = exit_plan.average_fill(position.entry_cost, position.entry_quantity)
        state = exit_plan.begin(
            position.plan, entry=average, quantity=position.quantity, instrument=instrument, slippage=slippage, side=position.side
        )
        return cls(instrument, state, position.opened_us)

    @classmethod
    def restore(cls, position: Position, instrument: Instrument, stored: Mapping[str, Any] | None) -> Guard | None:
        """From the ledger; None where nothing was stored yet. The lots held always come from the fills."""
        if stored is None:
            return None
        guard = cls(instrument, exits.from_json(stored), position.opened_us)
        guard.hold(position.quantity)
        return guard

    def to_json(self) -> dict[str, Any]:
        return exits.to_json(self.state)

    def hold(self, quantity: Decimal) -> None:
        """Fills are the truth about how much is held."""
        self.state = self.state._replace(lots=self.instrument.to_lots(quantity))

    def tighten(self, price: Decimal) -> None:
        """A stop that already rests nearer than this plan knows of stays there: levels are never lowered."""
        level = self.state.terms.sign * self.instrument.to_ticks(price)
        if level > self.state.stop:
            self.state = self.state._replace(stop=level)

    def go_on(self, before: Guard) -> None:
        """Continue an exit state that has moved since the first fill: bars, targets and the ratchet count on, its stop stays."""
        old = before.state
        if old.held or old.level or old.legs:
            stop = max(old.stop, self.state.stop) if old.level else self.state.stop
            self.state = self.state._replace(stop=stop, best=old.best, level=old.level, legs=old.legs, held=old.held, due=old.due)
            self._hole_us = before._hole_us

    @property
    def was_tradable(self) -> bool:
        """Whether what is held could be sold, at its stop, by the minimums of its entry."""
        terms, lots = self.state.terms, self.state.lots
        return lots >= terms.order_min and lots * abs(self.state.stop) >= terms.cost_min

    def took(self, done: Exit) -> None:
        """A target leg filled in full: its flag is set, the stop and the rest stay as they are now."""
        if done.after is not None:
            self.state = self.state._replace(legs=self.state.legs | LEG_OF[done.reason])

    def has_taken(self, wanted: Exit) -> bool:
        """Whether that leg was sold already, as by an exit that was asked for twice."""
        return bool(self.state.legs & LEG_OF.get(wanted.reason, 0))

    def sold(self, reasons: Sequence[str]) -> None:
        """Target legs that are known to have filled are not sold again."""
        for reason in reasons:
            self.state = self.state._replace(legs=self.state.legs | LEG_OF.get(reason, 0))

    @property
    def stop_price(self) -> Decimal:
        """Level the resting stop belongs at, on the tick."""
        return self.instrument.price(int(exits.stop_level(self.state)))

    @property
    def stop_reason(self) -> str:
        """What a fill of the resting stop would be called now."""
        return exits.stop_reason(self.state)

    def touched(self, price: Decimal) -> list[Exit]:
        """A trade at `price`: the stop or targets it touches; ratchet and age do not move."""
        ticks = self.instrument.to_ticks(price)
        if exits.untouched(self.state, ticks):
            return []
        return self._run(ticks, ticks, ticks, ticks, closed=False)

    def closed(self, bar: Candle) -> list[Exit]:
        """A closed 15m bar: touches the ticks did not show, then ratchet and time rules; a due exit is at market now.

        One that was given, or closed before the entry, changes nothing. Those that are not there before it count all the same.
        """
        number = self._number(bar)
        if number <= self.state.held:
            return []
        if number > self.state.held + 1 and self._hole_us is None:
            self._hole_us = self._next_us
        self.state = self.state._replace(held=number - 1)
        return self._run(*self._ticks(bar), closed=True)

    def owed(self, until_us: int) -> int | None:
        """Open of the first bar that was not given, of those closed by `until_us`; None where all were, or the way out is decided."""
        if self.state.due != exits.NONE:
            return None
        if self._hole_us is not None:
            return self._hole_us
        return self._next_us if self._next_us + Timeframe.M15.us <= until_us else None

    def missed(self, bars: Sequence[Candle]) -> list[Exit]:
        """Bars that closed while nobody followed the position, ascending: the state afterwards is as if it had been followed.

        Of a bar older than one given before, only the best price still counts: the next close moves the ratchet by it.
        """
        for bar in bars:
            if 0 < self._number(bar) <= self.state.held:
                own = max(self.state.terms.sign * self.instrument.to_ticks(price) for price in (bar.high, bar.low))
                self.state = self.state._replace(best=max(self.state.best, own))
        if bars and self._number(bars[-1]) >= self.state.held:
            self._hole_us = None
        self._catch_up([bar for bar in bars if self._number(bar) > self.state.held])
        return [self._market(exits.text_reason(self.state.due))] if self.state.due != exits.NONE and self.state.lots > 0 else []

    def _catch_up(self, bars: Sequence[Candle]) -> None:
        """What touched a level that the ratchet reached in these bars is due now. The level before them rested on the exchange: its
        fills tell of it. A target that was passed is no price to sell at any more: the next touch sells."""
        before, state = self.state, self.state._replace(stop=NOWHERE, legs=BOTH)
        for bar in bars:
            if state.due != exits.NONE or state.lots <= 0:
                break
            number = self._number(bar)
            reason, _, after = exits.step(state._replace(held=number - 1), *self._ticks(bar), True)
            state = after if reason == exits.NONE else state._replace(held=number, due=reason)
        self.state = state._replace(stop=max(before.stop, state.stop), legs=before.legs)

    def _number(self, bar: Candle) -> int:
        """Which of its bars this is; 0 and less: closed before the entry."""
        return (bar.close_us - self._first_us) // Timeframe.M15.us

    @property
    def _next_us(self) -> int:
        """Open of the bar behind the last that counts."""
        return self._first_us + self.state.held * Timeframe.M15.us

    def _ticks(self, bar: Candle) -> tuple[int, int, int, int]:
        to_ticks = self.instrument.to_ticks
        return to_ticks(bar.open), to_ticks(bar.high), to_ticks(bar.low), to_ticks(bar.close)

    def _run(self, open_: int, high: int, low: int, close: int, *, closed: bool) -> list[Exit]:
        wanted: list[Exit] = []
        state = self.state
        if state.lots <= 0:
            return wanted
        if state.due != exits.NONE:  # decided at an earlier close and still held
            return [self._market(exits.text_reason(state.due))]
        while True:
            reason, price, after = exits.step(state, open_, high, low, close, closed)
            if reason == exits.NONE:
                self.state = after._replace(lots=self.state.lots, legs=self.state.legs)
                if after.due != exits.NONE and not wanted:
                    wanted.append(self._market(exits.text_reason(after.due)))
                return wanted
            if reason not in (exits.TP1, exits.TP2):
                return [
                    *wanted,
                    Exit(kind=ExitKind.STOP, reason=exits.text_reason(reason), price=self.stop_price, quantity=self._quantity(state.lots)),
                ]
            level = self.instrument.price(int(price))
            quantity = self._quantity(state.lots - after.lots)
            wanted.append(Exit(kind=ExitKind.TARGET, reason=exits.text_reason(reason), price=level, quantity=quantity, after=after))
            if after.lots <= 0:
                return wanted
            state = after

    def _quantity(self, lots: int) -> Decimal:
        return self.instrument.quantity(int(lots))

    def _market(self, reason: str) -> Exit:
        return Exit(kind=ExitKind.MARKET, reason=reason, price=self.stop_price, quantity=self._quantity(self.state.lots))
