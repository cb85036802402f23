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
from trader.domain.market import Candle, Instrument
from trader.execution import exit_plan, exits
from trader.execution.exits import ExitState

LEG_OF = {exits.text_reason(exits.TP1): 1, exits.text_reason(exits.TP2): 2}  # bits of ExitState.legs


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
    """Exit state of one position."""

    def __init__(self, instrument: Instrument, state: ExitState) -> None:
        self.instrument = instrument
        self.state = state

    @classmethod
    def begin(cls, position: Position, instrument: Instrument, slippage: float = 0.0) -> Guard:
        """Start from the average fill; raises ValueError for a position that holds nothing."""
        average = exit_plan.average_fill(position.entry_cost, position.entry_quantity)
        state = exit_plan.begin(
            position.plan, entry=average, quantity=position.quantity, instrument=instrument, slippage=slippage, side=position.side
        )
        return cls(instrument, state)

    @classmethod
    def restore(cls, position: Position, instrument: Instrument, stored: Mapping[str, Any] | None) -> Guard | None:
        """From the ledger; None where nothing was stored yet. The lots held always come from the fills."""
        if stored is None:
            return None
        guard = cls(instrument, exits.from_json(stored))
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
        """A closed 15m bar: touches the ticks did not show, then ratchet and time rules; a due exit is at market now."""
        to_ticks = self.instrument.to_ticks
        return self._run(to_ticks(bar.open), to_ticks(bar.high), to_ticks(bar.low), to_ticks(bar.close), closed=True)

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
