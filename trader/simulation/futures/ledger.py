"""The books of the futures account: what happened to orders, every movement of money, one line an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.simulation.exchange_books import Books
from trader.simulation.exchange_codec import to_row
from trader.simulation.futures.books import FuturesState
from trader.simulation.futures.orders import Fill, FuturesOrder, Happening, LogLine, content_uuid


class FuturesLedger:
    """State of one account and its files. `listeners` hear what happened to orders, `account_listeners` that money or positions moved."""

    def __init__(self, *, cash: Mapping[str, Mapping[str, Decimal]], books: Books, seed: int, start_us: int) -> None:
        self.state = FuturesState()
        self.listeners: list[Callable[[Happening], None]] = []
        self.account_listeners: list[Callable[[int], None]] = []
        self._books, self._seed = books, seed
        self._resting: dict[str, dict[str, FuturesOrder]] = {}  # symbol -> live orders by id, in order of arrival
        self._clients: dict[str, FuturesOrder] = {}
        self._new: list[Happening] = []
        self._logs: list[LogLine] = []
        self._dirty: dict[str, FuturesOrder] = {}  # orders that changed
        if not books.load(self.state):
            self.state.mark_us = self.state.tick_us = start_us
            self.state.balances = {name: dict(held) for name, held in cash.items()}
            self._commit(start_us)
        for order in self.state.orders.values():
            self._index(order)

    def use_nonce(self, key: str, nonce: int) -> str | None:
        """Take a nonce of an API key; otherwise Kraken's word for what is wrong with it."""
        highest = self.state.nonces.get(key, -1)
        if nonce <= highest:
            return "nonceDuplicate" if nonce == highest else "nonceBelowThreshold"
        self.state.nonces[key] = nonce
        self._commit(self.state.mark_us)
        return None

    def _transfer(self, account: str, asset: str, amount: Decimal, now_us: int, *, info: str, contract: str | None = None) -> LogLine:
        """Move an amount onto (or off) an account, with its line in the log."""
        held = self.state.balances.setdefault(account, {})
        old = held.get(asset, ZERO)
        held[asset] = old + amount
        number = self._count("log")
        line = LogLine(
            number=number,
            uid=content_uuid(self._seed, "log", number, account, asset, now_us),
            info=info,
            time_us=now_us,
            account=account,
            asset=asset,
            old_balance=old,
            new_balance=held[asset],
            contract=contract,
        )
        self._logs.append(line)
        return line

    # --- books -----------------------------------------------------------------------------------------------------
    def _count(self, name: str) -> int:
        self.state.counters[name] = self.state.counters.get(name, 0) + 1
        return self.state.counters[name]

    def _index(self, order: FuturesOrder) -> None:
        if order.cli_ord_id is not None:
            self._clients[order.cli_ord_id] = order
        live = self._resting.setdefault(order.symbol, {})
        live.pop(order.order_id, None)
        if order.live:
            live[order.order_id] = order
        if not live:
            del self._resting[order.symbol]

    def _note(
        self,
        kind: str,
        order: FuturesOrder,
        now_us: int,
        *,
        reason: str | None = None,
        before: FuturesOrder | None = None,
        fill: Fill | None = None,
    ) -> None:
        self._dirty[order.order_id] = order
        number = self._count("event")
        uid = content_uuid(self._seed, "event", number, order.order_id, kind, now_us)
        self._new.append(
            Happening(number=number, uid=uid, kind=kind, time_us=now_us, order=replace(order), before=before, fill=fill, reason=reason)
        )

    def _commit(self, now_us: int) -> tuple[Happening, ...]:
        """Write the operation as one line, then tell the listeners; returns what happened."""
        state, new, logs, dirty = self.state, tuple(self._new), self._logs, self._dirty
        self._new, self._logs, self._dirty = [], [], {}
        state.line, state.mark_us = state.line + 1, max(now_us, state.mark_us)
        state.happenings += new
        state.logs += logs
        line: dict[str, Any] = state.head() | {
            "orders": [to_row(order) for order in dirty.values() if order.order_id in state.orders],
            "fills": [to_row(happening.fill) for happening in new if happening.fill is not None],
            "happenings": [to_row(happening) for happening in new],
            "logs": [to_row(log) for log in logs],
            "nonces": dict(state.nonces),
        }
        self._books.append(line, state)
        for happening in new:
            for listener in self.listeners:
                listener(happening)
        if logs or new:
            for account_listener in self.account_listeners:
                account_listener(state.mark_us)
        return new
