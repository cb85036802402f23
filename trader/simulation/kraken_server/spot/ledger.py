"""Ledger and trade history of the spot account: every movement of a balance, derived from the opening deposit and the trades.

There is no second record: the trades in the books are the truth, and a ledger entry is a view of one side of a trade. What they
sum to, less fees, is the balance (tests/unit/simulation/test_spot_ledger.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import TwinTrade, content_id, invalid
from trader.simulation.exchange_terms import BUY
from trader.simulation.kraken_server.spot import order_form
from trader.simulation.kraken_server.spot.assets import Assets
from trader.simulation.kraken_server.spot.paging import asked_ids, window
from trader.simulation.kraken_server.spot.render import seconds, trade_row
from trader.simulation.kraken_server.wire.middleware import Call

KINDS = ("all", "trade", "deposit", "withdrawal", "transfer", "margin", "adjustment", "rollover", "credit", "settled", "staking",
         "dividend", "sale", "nft_rebate")  # fmt: skip
TRADE_KINDS = ("all", "any position", "closed position", "closing position", "no position")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One movement: `amount` before the fee, `balance` after both. `asset` by its unified name."""

    ledger_id: str
    ref_id: str
    time_us: int
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal


def ledger_id(ref_id: str, asset: str) -> str:
    """Id of the movement that a trade or deposit makes on an asset."""
    return content_id("L", ref_id, asset)


def movements(trade: TwinTrade, base: str, quote: str) -> tuple[tuple[str, Decimal, Decimal], tuple[str, Decimal, Decimal]]:
    """(asset, amount, fee) of both sides of a trade; the fee is taken once, in the asset it was booked in."""
    sign = 1 if trade.side == BUY else -1
    fee_quote = ZERO if trade.fee_base else trade.fee
    return (base, sign * trade.quantity, trade.fee_base), (quote, -sign * trade.cost, fee_quote)


class Ledger:
    """All movements of one account in the order they happened, kept up with the trades."""

    def __init__(self, exchange: TwinExchange) -> None:
        self._exchange = exchange
        self._entries: list[Entry] = []
        self._by_id: dict[str, Entry] = {}
        self._balances: dict[str, Decimal] = {}
        self._trades = 0
        for asset, amount in exchange.state.opening.items():
            self._add(content_id("Q", "opening", asset), exchange.state.opened_us, "deposit", (asset, amount, ZERO))

    def entries(self) -> list[Entry]:
        """Oldest first."""
        trades = self._exchange.state.trades
        for trade in islice(trades.values(), self._trades, None):
            rules = self._exchange.rule(trade.pair)
            for movement in movements(trade, rules.base, rules.quote):
                self._add(trade.trade_id, trade.time_us, "trade", movement)
        self._trades = len(trades)
        return self._entries

    def find(self, entry_id: str) -> Entry | None:
        """An entry by its id."""
        self.entries()
        return self._by_id.get(entry_id)

    def _add(self, ref_id: str, time_us: int, kind: str, movement: tuple[str, Decimal, Decimal]) -> None:
        asset, amount, fee = movement
        balance = self._balances[asset] = self._balances.get(asset, ZERO) + amount - fee
        entry = Entry(
            ledger_id=ledger_id(ref_id, asset),
            ref_id=ref_id,
            time_us=time_us,
            kind=kind,
            asset=asset,
            amount=amount,
            fee=fee,
            balance=balance,
        )
        self._entries.append(entry)
        self._by_id[entry.ledger_id] = entry


class SpotLedger:
    """Ledgers, QueryLedgers, TradesHistory and QueryTrades. Every handler raises Refused with Kraken's string."""

    def __init__(self, exchange: TwinExchange, assets: Assets) -> None:
        self._exchange, self._assets = exchange, assets
        self.ledger = Ledger(exchange)
        self.handlers: Mapping[str, Callable[[Call], Any]] = {
            "Ledgers": self._ledgers,
            "QueryLedgers": self._query_ledgers,
            "TradesHistory": self._trades_history,
            "QueryTrades": self._query_trades,
        }

    # --- ledger ----------------------------------------------------------------------------------------------------
    def _ledgers(self, call: Call) -> dict[str, Any]:
        found = list(self._wanted(call))
        page = window(call, self._moment_of).page(found)
        answer: dict[str, Any] = {"ledger": {entry.ledger_id: self._row(entry) for entry in page}}
        return answer if order_form.flag(call.fields, "without_count") else answer | {"count": len(found)}

    def _wanted(self, call: Call) -> Iterator[Entry]:
        """Entries that fit the filters, newest first."""
        fields, times = call.fields, window(call, self._moment_of)
        kind = fields.get("type") or "all"
        if kind not in KINDS:
            raise invalid("type")
        names = [name for name in fields.get("asset", "").split(",") if name and name != "all"]
        wanted = [self._assets.known(name) for name in names]
        if fields.get("aclass", "currency") not in ("currency", ""):
            raise invalid("aclass")
        for entry in reversed(self.ledger.entries()):
            if times.holds(entry.time_us) and kind in ("all", entry.kind) and (not wanted or entry.asset in wanted):
                yield entry

    def _query_ledgers(self, call: Call) -> dict[str, Any]:
        found = [self.ledger.find(entry_id) for entry_id in asked_ids(call, "id")]
        if any(entry is None for entry in found):
            raise invalid("id")
        return {entry.ledger_id: self._row(entry) for entry in found if entry is not None}

    def _row(self, entry: Entry) -> dict[str, Any]:
        asset = self._assets.of(entry.asset)
        return {
            "refid": entry.ref_id,
            "time": seconds(entry.time_us),
            "type": entry.kind,
            "subtype": "",
            "aclass": "currency",
            "asset": asset.asset_id,
            "amount": asset.text(entry.amount),
            "fee": asset.text(entry.fee),
            "balance": asset.text(entry.balance),
        }

    # --- trades ----------------------------------------------------------------------------------------------------
    def _trades_history(self, call: Call) -> dict[str, Any]:
        if (call.fields.get("type") or "all") not in TRADE_KINDS:
            raise invalid("type")
        times = window(call, self._moment_of)
        trades = [trade for trade in self._exchange.state.trades.values() if times.holds(trade.time_us)]
        trades.sort(key=lambda trade: trade.number, reverse=True)
        answer: dict[str, Any] = {"trades": {trade.trade_id: self._trade(trade) for trade in times.page(trades)}}
        return answer if order_form.flag(call.fields, "without_count") else answer | {"count": len(trades)}

    def _query_trades(self, call: Call) -> dict[str, Any]:
        found = [self._exchange.state.trades.get(trade_id) for trade_id in asked_ids(call, "txid")]
        if any(trade is None for trade in found):
            raise invalid("txid")
        return {trade.trade_id: self._trade(trade) for trade in found if trade is not None}

    def _trade(self, trade: TwinTrade) -> dict[str, Any]:
        rules = self._exchange.rule(trade.pair)
        return trade_row(trade, rules, [ledger_id(trade.trade_id, asset) for asset in (rules.base, rules.quote)])

    def _moment_of(self, text: str) -> int | None:
        """The moment of the trade, order or ledger entry with this id."""
        state = self._exchange.state
        if (order := state.orders.get(text)) is not None:
            return order.opened_us
        if (trade := state.trades.get(text)) is not None:
            return trade.time_us
        entry = self.ledger.find(text)
        return None if entry is None else entry.time_us
