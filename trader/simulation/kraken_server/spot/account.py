"""Money of the spot account: balances, trade balance, volume and fees, positions (KRAKEN.md section 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO, divide, mul, quantum, round_to
from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import UNKNOWN_PAIR, Refused, invalid
from trader.simulation.kraken_server.spot import order_form
from trader.simulation.kraken_server.spot.assets import Asset, Assets
from trader.simulation.kraken_server.spot.fee_tiers import FeeTiers
from trader.simulation.kraken_server.spot.market_view import MarketView
from trader.simulation.kraken_server.wire.middleware import Call

VALUE_STEP = quantum(4)


class SpotAccount:
    """Read-only views of the account. Every handler raises Refused with Kraken's string."""

    def __init__(self, exchange: TwinExchange, view: MarketView, clock: Clock, *, assets: Assets, fees: FeeTiers) -> None:
        self._exchange, self._view, self._clock = exchange, view, clock
        self._assets, self._fees = assets, fees
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "TradeBalance": self._trade_balance,
            "TradeVolume": self._trade_volume,
            "OpenPositions": self._open_positions,
        }

    def _rows(self) -> list[tuple[Asset, Decimal]]:
        """(asset, total) of every asset the account ever held, by name."""
        return [(self._assets.of(name), total) for name, total in sorted(self._exchange.state.balances.items())]

    def _balance(self, _: Call) -> dict[str, str]:
        return {asset.asset_id: asset.text(total) for asset, total in self._rows()}

    def _balance_ex(self, _: Call) -> dict[str, Any]:
        holds = self._exchange.holds()
        return {
            asset.asset_id: {"balance": asset.text(total), "hold_trade": asset.text(holds.get(asset.name, ZERO))}
            for asset, total in self._rows()
        }

    def _trade_balance(self, call: Call) -> dict[str, str]:
        """Everything held, valued at last prices in `asset` (default ZUSD: the market's quote where it has none); no margin."""
        quote, asked = self._exchange.rules[0].quote, call.fields.get("asset") or "ZUSD"
        wanted = quote if asked == "ZUSD" and not self._assets.listed(asked) else self._assets.known(asked)
        total = sum((mul(amount, self._price(asset.name)) for asset, amount in self._rows()), ZERO)
        if wanted != quote:
            total = divide(total, self._price(wanted), VALUE_STEP)
        worth, nothing = f"{round_to(total, VALUE_STEP):.4f}", "0.0000"
        return {"eb": worth, "tb": worth, "m": nothing, "uv": nothing, "n": nothing, "c": nothing, "v": nothing, "e": worth, "mf": worth}

    def _price(self, asset: str) -> Decimal:
        """Last price in quote; 0 for what no priced pair trades."""
        quote = self._exchange.rules[0].quote
        symbol = f"{asset}/{quote}"
        if asset == quote:
            return Decimal(1)
        return self._exchange.last(symbol) if symbol in self._exchange.by_symbol else ZERO

    def _trade_volume(self, call: Call) -> dict[str, Any]:
        order_form.flag(call.fields, "fee-info")
        found = [self._view.find(name) for name in call.fields.get("pair", "").split(",") if name]
        if any(rules is None for rules in found):
            raise Refused(UNKNOWN_PAIR)
        return self._fees.answer([rules.pair_id for rules in found if rules is not None], self._clock.now_us())

    def _open_positions(self, call: Call) -> dict[str, Any] | list[Any]:
        """None without margin: an empty object, or an empty list where positions of a market are to be joined."""
        order_form.flag(call.fields, "docalcs")
        consolidation = call.fields.get("consolidation", "")
        if consolidation not in ("", "market"):
            raise invalid("consolidation")
        return [] if consolidation else {}
