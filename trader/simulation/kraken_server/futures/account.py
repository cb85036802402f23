"""Private endpoints of the futures API that read the account, and its preferences and transfers (KRAKEN.md section 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO, mul
from trader.ports import Clock
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.kraken_server.futures import form
from trader.simulation.kraken_server.futures.call import FuturesCall
from trader.simulation.kraken_server.futures.market import FEE_SCHEDULES
from trader.simulation.kraken_server.futures.render import accounts, fill_row, number, open_order, position_row

FILLS = 100  # rows an answer


class FuturesAccountDoor:
    """Handlers by method and endpoint; `uid` names the account where Kraken does."""

    def __init__(self, exchange: FuturesExchange, clock: Clock, uid: str) -> None:
        self._exchange, self._clock, self._uid = exchange, clock, uid
        self.handlers: Mapping[str, Callable[[FuturesCall], dict[str, Any]]] = {
            "GET accounts": lambda _: {"accounts": accounts(exchange)},
            "GET openorders": lambda _: {"openOrders": [open_order(order) for order in exchange.open_orders()]},
            "GET openpositions": lambda _: {"openPositions": [position_row(one, exchange) for one in exchange.positions()]},
            "GET fills": self._fills,
            "GET leveragepreferences": lambda call: {"leveragePreferences": self._leverages(call)},
            "PUT leveragepreferences": self._prefer_leverage,
            "GET pnlpreferences": lambda _: {"preferences": self._currencies()},
            "PUT pnlpreferences": self._prefer_currency,
            "GET feeschedules/volumes": lambda _: {"volumesByFeeSchedule": self._volumes()},
            "GET notifications": lambda _: {"notifications": []},
            "GET unwindqueue": lambda _: {"queue": [{"symbol": one.symbol, "percentile": 1} for one in exchange.positions()]},
            "GET subaccounts": lambda _: {"masterAccountUid": uid, "subaccounts": []},
            "POST transfer": self._transfer,
        }

    def _fills(self, call: FuturesCall) -> dict[str, Any]:
        """The newest 100 fills, or those before `lastFillTime`; newest first."""
        before = form.moment(call.fields, "lastFillTime")
        fills = [fill for fill in self._exchange.state.fills.values() if before is None or fill.time_us < before]
        return {"fills": [fill_row(fill) for fill in reversed(fills[-FILLS:])]}

    def _leverages(self, call: FuturesCall) -> list[dict[str, Any]]:
        """All preferences, or the one asked for: ccxt asks by symbol and reads the first."""
        chosen, wanted = sorted(self._exchange.state.leverage.items()), call.fields.get("symbol", "").upper()
        return [{"symbol": symbol, "maxLeverage": number(most)} for symbol, most in chosen if wanted in ("", symbol)]

    def _prefer_leverage(self, call: FuturesCall) -> dict[str, Any]:
        """Without `maxLeverage` the contract is cross again."""
        symbol, most = form.needed(call.fields, "symbol"), form.decimal(call.fields, "maxLeverage")
        try:
            self._exchange.prefer_leverage(symbol, most, self._clock.now_us())
        except Refused as refusal:
            raise Refused("INSUFFICIENT_MARGIN") if refusal.error == "insufficientFunds" else refusal from refusal
        return {}

    def _currencies(self) -> list[dict[str, str]]:
        return [{"symbol": symbol, "pnlCurrency": name} for symbol, name in sorted(self._exchange.state.pnl_currency.items())]

    def _prefer_currency(self, call: FuturesCall) -> dict[str, Any]:
        """Only USD: the flex account of the twin holds nothing else."""
        contract = self._exchange.contract(form.needed(call.fields, "symbol"))
        if form.needed(call.fields, "pnlPreference").upper() != "USD":
            raise form.invalid("pnlPreference")
        self._exchange.prefer_currency(contract.symbol, "USD", self._clock.now_us())
        return {}

    def _volumes(self) -> dict[str, float]:
        """USD traded under each fee schedule."""
        volumes = dict.fromkeys(FEE_SCHEDULES.values(), ZERO)
        for fill in self._exchange.state.fills.values():
            inverse = self._exchange.contracts[fill.symbol].inverse
            volumes[FEE_SCHEDULES[inverse]] += fill.size if inverse else mul(fill.size, fill.price)
        return {uid: float(volume) for uid, volume in volumes.items()}

    def _transfer(self, call: FuturesCall) -> dict[str, Any]:
        fields = call.fields
        source, target, unit = (form.needed(fields, name).lower() for name in ("fromAccount", "toAccount", "unit"))
        amount = form.decimal(fields, "amount") or Decimal(0)
        self._exchange.move_cash(source, target, {"btc": "xbt"}.get(unit, unit), amount, now_us=self._clock.now_us())
        return {}
