"""Fee schedule of the account: Kraken's volume tiers over the base tier of the engine's FillRules (KRAKEN.md section 9).

The twin has no exchange rates: the 30-day volume is counted in the market's quote currency, though the wire calls it ZUSD.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from typing import Any

from trader.domain.costs import SPOT_TIERS, FeeTier
from trader.domain.market import DAY
from trader.domain.money import ZERO
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import Event

WINDOW_US = 30 * DAY


def schedule(taker: Decimal, maker: Decimal, *, tiers: bool) -> tuple[FeeTier, ...]:
    """The base tier alone, or with the recorded tiers above it; no tier costs more than the base."""
    return tuple(
        FeeTier(
            volume=one.volume, taker=min(taker, one.taker) if one.volume else taker, maker=min(maker, one.maker) if one.volume else maker
        )
        for one in SPOT_TIERS[: None if tiers else 1]
    )


class FeeTiers:
    """What the account pays. With `tiers` the engine's rates follow the volume; without, the base tier holds at any volume."""

    def __init__(self, exchange: TwinExchange, *, tiers: bool = False) -> None:
        self._exchange = exchange
        self.schedule = schedule(exchange.fills.taker, exchange.fills.maker, tiers=tiers)
        self._recent: list[tuple[int, Decimal]] = []
        self._trades = 0
        if tiers:
            exchange.listeners.append(self._on_event)

    def _on_event(self, event: Event) -> None:
        if event.kind == "trade":
            self.refresh(event.time_us)

    def volume(self, now_us: int) -> Decimal:
        """Cost of the account's trades of the last 30 days."""
        trades = self._exchange.state.trades
        self._recent += [(trade.time_us, trade.cost) for trade in islice(trades.values(), self._trades, None)]
        self._trades = len(trades)
        self._recent = [(time_us, cost) for time_us, cost in self._recent if time_us > now_us - WINDOW_US]
        return sum((cost for _, cost in self._recent), ZERO)

    def place(self, volume: Decimal) -> int:
        """Index of the tier that holds at a volume."""
        return max(index for index, tier in enumerate(self.schedule) if tier.volume <= volume)

    def refresh(self, now_us: int) -> None:
        """Let the engine charge the tier that holds now."""
        if len(self.schedule) == 1:
            return
        tier, fills = self.schedule[self.place(self.volume(now_us))], self._exchange.fills
        if (tier.taker, tier.maker) != (fills.taker, fills.maker):
            self._exchange.fills = dataclasses.replace(fills, taker=tier.taker, maker=tier.maker)

    def rows(self, field: str) -> list[list[float]]:
        """The schedule as AssetPairs lists it: `[volume, percent]`."""
        return [[int(tier.volume), float(getattr(tier, field) * 100)] for tier in self.schedule]

    def answer(self, pair_ids: Iterable[str], now_us: int) -> dict[str, Any]:
        """TradeVolume: volume, and for the pairs named their fee, its bounds and the next tier."""
        volume = self.volume(now_us)
        result: dict[str, Any] = {"currency": "ZUSD", "volume": f"{volume:.4f}"}
        ids = list(pair_ids)
        for name, field in (("fees", "taker"), ("fees_maker", "maker")) if ids else ():
            result[name] = {pair_id: self._fee(field, self.place(volume)) for pair_id in ids}
        return result

    def _fee(self, field: str, place: int) -> dict[str, str | None]:
        rates = [getattr(tier, field) for tier in self.schedule]
        higher = self.schedule[place + 1] if place + 1 < len(self.schedule) else None
        return {
            "fee": _percent(rates[place]),
            "minfee": _percent(min(rates)),
            "maxfee": _percent(max(rates)),
            "nextfee": None if higher is None else _percent(getattr(higher, field)),
            "nextvolume": None if higher is None else f"{higher.volume:.4f}",
            "tiervolume": f"{self.schedule[place].volume:.4f}",
        }


def _percent(rate: Decimal) -> str:
    return f"{rate * 100:.4f}"
