"""Requests to the futures twin: place, edit, cancel, dead-man's switch, leverage, transfers. One account, perpetuals only, no I/O."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trader.domain.money import ZERO
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures import checks
from trader.simulation.futures.contracts import CASH, FLEX, Contract
from trader.simulation.futures.matching import FuturesMatching
from trader.simulation.futures.orders import (
    BY_USER,
    CANCELLED,
    FILLED,
    FOK,
    IOC,
    MKT,
    POST,
    POST_CROSSED,
    UNFILLED,
    FuturesOrder,
    FuturesRequest,
    Happening,
    Unplaced,
)

MOST_LEVERAGE = Decimal(50)


class FuturesExchange(FuturesMatching):
    """Every method that changes something writes one line to the books and returns what happened.

    `post_only_style`: "refuse" answers a crossing post order with postWouldExecute, "cancel" places it and cancels it at once.
    """

    post_only_style = "refuse"

    # --- orders ----------------------------------------------------------------------------------------------------
    def place(self, request: FuturesRequest, now_us: int) -> tuple[FuturesOrder, tuple[Happening, ...]]:
        """Accept an order and fill what it can at once. Raises Unplaced or Refused and changes no position then."""
        contract = self.contract(request.symbol)
        if self.suspended(contract):
            raise Unplaced("marketSuspended")
        checks.request(request, contract, self._clients)
        order = self._order(request, contract, now_us)
        last = self.last_price(contract)
        price = None if order.waiting else self._price_now(order, contract, last)
        if reason := self._unwanted(order, contract, price):
            return self._refuse(order, now_us, reason)
        self.state.orders[order.order_id] = order
        self._index(order)
        self._note("placed", order, now_us, reason="new_placed_order_by_user")
        if order.order_type == POST and price is not None:
            self._end(order, CANCELLED, now_us, POST_CROSSED)
        elif price is not None:
            self._fill(order, price, now_us, fill_type="taker")
        elif order.waiting and self._passed(order, contract):
            self._trigger(order, now_us, last)
        if order.live and order.order_type in (MKT, IOC, FOK):
            self._end(order, CANCELLED, now_us, UNFILLED)
        return order, self._commit(now_us)

    def _unwanted(self, order: FuturesOrder, contract: Contract, price: Decimal | None) -> str | None:
        """Kraken's status for an order that prices or positions forbid."""
        if order.order_type == POST and price is not None and self.post_only_style == "refuse":
            return "postWouldExecute"
        if order.order_type in (IOC, FOK, MKT) and (price is None or (order.order_type == FOK and self._portion(order) < order.size)):
            return "iocWouldNotExecute"
        if order.waiting:
            return None  # a trigger is judged when it fires
        if order.reduce_only:
            return None if self._reducible(order) > ZERO else "wouldNotReducePosition"
        if abs(self._exposure(order)) > contract.max_position:
            return "maxPositionViolation"
        return None if self._affordable(order) else "insufficientAvailableFunds"

    def _refuse(self, order: FuturesOrder, now_us: int, status: str) -> tuple[FuturesOrder, tuple[Happening, ...]]:
        """A refused order leaves an event and nothing else."""
        order.status, order.reason = CANCELLED, status
        self._note("rejected", order, now_us, reason=status)
        self._commit(now_us)
        raise Unplaced(status, order)

    def edit(
        self, order: FuturesOrder | None, now_us: int, *, size: Decimal | None, limit_price: Decimal | None, stop_price: Decimal | None
    ) -> tuple[FuturesOrder, tuple[Happening, ...]]:
        """Change a live order in place, same ids. Raises Unplaced and changes nothing then."""
        if order is None or not order.live:
            raise Unplaced("orderForEditNotFound")
        contract = self.contract(order.symbol)
        if self.suspended(contract):
            raise Unplaced("marketSuspended")
        changed = self._edited(order, contract, size=size, limit_price=limit_price, stop_price=stop_price)
        price = None if changed.waiting else self._price_now(changed, contract, self.last_price(contract))
        if changed.order_type == POST and price is not None:
            raise Unplaced("postWouldExecute")
        if not changed.waiting and not changed.reduce_only:
            if abs(self._exposure(changed)) > contract.max_position:
                raise Unplaced("maxPositionViolation")
            if not self._affordable(changed):
                raise Unplaced("insufficientAvailableFunds")
        before = replace(order)
        order.size, order.limit_price, order.stop_price = changed.size, changed.limit_price, changed.stop_price
        order.updated_us = now_us
        self._note("edited", order, now_us, reason="edited_by_user", before=before)
        if price is not None:
            self._fill(order, price, now_us, fill_type="taker")
        elif order.waiting and self._passed(order, contract):
            self._trigger(order, now_us, self.last_price(contract))
        return order, self._commit(now_us)

    @staticmethod
    def _edited(
        order: FuturesOrder, contract: Contract, *, size: Decimal | None, limit_price: Decimal | None, stop_price: Decimal | None
    ) -> FuturesOrder:
        if size is not None:
            checks.size(size, contract)
            if size <= order.filled:
                raise Unplaced("invalidSize")
        if stop_price is not None and not order.waiting:
            raise Unplaced("orderForEditNotAStop")
        for price in (limit_price, stop_price):
            if price is not None:
                checks.price(price, contract)
        return replace(
            order,
            size=order.size if size is None else size,
            limit_price=order.limit_price if limit_price is None else limit_price,
            stop_price=order.stop_price if stop_price is None else stop_price,
        )

    def cancel(self, order: FuturesOrder | None, now_us: int) -> tuple[Happening, ...]:
        """End a live order. Raises Unplaced: `filled` for one that is, `notFound` for any other."""
        if order is None or not order.live:
            raise Unplaced("filled" if order is not None and order.status == FILLED else "notFound")
        self._end(order, CANCELLED, now_us, BY_USER)
        return self._commit(now_us)

    def cancel_all(self, now_us: int, symbol: str | None = None) -> tuple[Happening, ...]:
        """End every live order, or those of one contract."""
        self._end_all(now_us, symbol, BY_USER)
        return self._commit(now_us)

    def arm(self, fires_us: int, now_us: int) -> None:
        """Set the dead-man's switch, 0 disarms it."""
        self.state.switch_us = fires_us
        self._commit(now_us)

    def fire(self, now_us: int) -> bool:
        """Cancel everything if the switch is due; it stays off until it is armed again."""
        if not 0 < self.state.switch_us <= now_us:
            return False
        self._fire(now_us)
        return True

    def prefer_leverage(self, symbol: str, most: Decimal | None, now_us: int) -> None:
        """Isolate a contract's position at this leverage, or (None) make it cross. Raises Refused where margin does not allow it."""
        contract = self.contract(symbol)
        if most is not None and not (most.is_finite() and 1 <= most <= MOST_LEVERAGE):
            raise Refused("invalidArgument: maxLeverage")
        before = self.state.leverage.pop(contract.symbol, None)
        if most is not None:
            self.state.leverage[contract.symbol] = most
        if contract.symbol in self.state.positions and self.standing(contract.account).available < ZERO:
            self.state.leverage.pop(contract.symbol, None)
            if before is not None:
                self.state.leverage[contract.symbol] = before
            raise Refused("insufficientFunds")
        self._commit(now_us)

    def prefer_currency(self, symbol: str, currency: str, now_us: int) -> None:
        """Remember the currency in which a contract's profit is wanted; all of them are in USD."""
        self.state.pnl_currency[symbol] = currency
        self._commit(now_us)

    def move_cash(self, source: str, target: str, asset: str, amount: Decimal, *, now_us: int) -> None:
        """Transfer between accounts. Raises Refused for an unknown account or asset, or more than is available."""
        if source not in self.state.balances or target not in self.state.balances or source == target:
            raise Refused("invalidAccount")
        if asset not in self.state.balances[source] or (target == FLEX and asset != "usd"):
            raise Refused("invalidUnit")
        if not amount.is_finite() or amount <= ZERO:
            raise Refused("invalidAmount")
        free = self.state.balances[source][asset] if source == CASH else self.standing(source).available
        if amount > free:
            raise Refused("insufficientFunds")
        self._transfer(source, asset, -amount, now_us, info="transfer")
        self._transfer(target, asset, amount, now_us, info="transfer")
        self._commit(now_us)
