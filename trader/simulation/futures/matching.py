"""Matching of the futures twin: what price ticks and fills do to orders and positions. Fills follow the spot twin's rules.

Market and stop fills at last x (1 +- slippage), limits when touched, at their price (SIMULATION.md section 5); prices never move for
our orders.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

from trader.domain.money import ZERO, down, from_float, mul, up
from trader.simulation.fills import Tick, carried
from trader.simulation.futures.account import FuturesAccount
from trader.simulation.futures.contracts import Contract
from trader.simulation.futures.margin import Pool
from trader.simulation.futures.orders import (
    BUY,
    BY_SWITCH,
    CANCELLED,
    FILLED,
    FOK,
    IOC,
    LIQUIDATION,
    MKT,
    NO_MARGIN,
    NOT_REDUCING,
    SELL,
    TRAILING,
    TRIGGERED_TYPES,
    UNFILLED,
    FuturesOrder,
    FuturesRequest,
    content_uuid,
)
from trader.simulation.futures.prices import HOUR, premium
from trader.simulation.futures.walk import Way

PROTECTION = Decimal("0.01")  # a market order is an IOC this far from the last price


class FuturesMatching(FuturesAccount):
    """Prices against orders and positions; the requests of clients are `engine.FuturesExchange`'s."""

    # --- prices ----------------------------------------------------------------------------------------------------
    def advance(self, tick: Tick) -> None:
        """Take over the prices of a tick: funding that fell due, orders they reach, positions they ruin. Idle without either."""
        if tick.time_us <= self.state.tick_us:
            return
        self._before = before = self._last
        hour = tick.time_us - tick.time_us % HOUR
        self._last = carried(before, tick.prices)
        if 0 < self.state.switch_us <= tick.time_us:
            self._fire(self.state.switch_us)
        passed, self.state.tick_us = self.state.tick_us, tick.time_us
        if not self._resting and not self.state.positions:
            return
        if self.state.positions:
            for ended in range(passed - passed % HOUR + HOUR, hour + 1, HOUR):
                self._pay_funding(ended)
        symbols = sorted((*self._resting, *(symbol for symbol in self.state.positions if symbol not in self._resting)))
        way = Way(gap=tick.gap)
        for symbol in symbols:
            contract = self.contracts[symbol]
            start, end = float(before[contract.index]), float(self._last[contract.index])
            way.starts[symbol] = from_float(end if math.isnan(start) else start)
            way.ends[symbol] = from_float(end)
            way.premiums[symbol] = premium(self._seed, contract, tick.time_us)
        self._walk(way, tick.time_us)
        for symbol in sorted(self._resting):
            for order in list(self._resting[symbol].values()):
                if order.waiting and order.order_type == TRAILING:
                    self._trail(order, self._signal(order, self.contracts[symbol]))
        if self._dirty or self._logs:
            self._commit(tick.time_us)

    def _walk(self, way: Way, now_us: int) -> None:
        """Do in the order of the way what the prices reach: triggers, fills, liquidations (these last at one place)."""
        done: dict[tuple[str, bool], None] = {}
        while True:
            due: list[tuple[Decimal, int, FuturesOrder | Pool]] = []
            for order in self.open_orders():
                if (order.order_id, order.triggered) not in done:
                    place = way.reached(order, self.contracts[order.symbol])
                    if place is not None:
                        due.append((place, order.number, order))
            due += [(place, 1 << 62, pool) for pool in self.pools() if (place := way.dry(pool)) is not None]
            if not due:
                return
            place, _, first = min(due, key=lambda item: item[:2])
            way.at = place
            if isinstance(first, Pool):
                self._liquidate(first, way, now_us)
                continue
            done[first.order_id, first.triggered] = None
            at = way.index(self.contracts[first.symbol])
            if first.waiting:
                self._trigger(first, now_us, at)
            elif first.limit_price is not None:
                self._fill(first, first.limit_price, now_us, fill_type="maker")

    def _liquidate(self, pool: Pool, way: Way, now_us: int) -> None:
        """Close the whole position that needs most margin, at the mark; its stops and reduce-only orders go with it."""
        holding = max(pool.holdings, key=lambda item: (item.maintenance(way.mark(item.contract)), item.contract.symbol))
        contract, position = holding.contract, holding.position
        side = SELL if position.size > ZERO else BUY
        mark = way.mark(contract)
        price = max(down(mark, contract.tick), contract.tick) if side == SELL else up(mark, contract.tick)
        request = FuturesRequest(symbol=contract.symbol, side=side, order_type=IOC, size=abs(position.size), limit_price=price)
        order = self._order(replace(request, reduce_only=True), contract, now_us)
        self.state.orders[order.order_id] = order
        self._index(order)
        self._note("placed", order, now_us, reason=LIQUIDATION)
        self._trade(order, price, order.size, now_us, fill_type="liquidation")
        for other in list(self._resting.get(contract.symbol, {}).values()):
            if other.reduce_only or other.waiting:
                self._end(other, CANCELLED, now_us, LIQUIDATION)

    def _signal(self, order: FuturesOrder, contract: Contract) -> Decimal:
        """The price an order's trigger watches."""
        if order.trigger_signal == "mark":
            return self.mark_price(contract)
        return self.index_price(contract)

    def _passed(self, order: FuturesOrder, contract: Contract) -> bool:
        """Whether a trigger lies behind the price already."""
        way = Way(gap=True)
        way.starts[order.symbol] = way.ends[order.symbol] = self.index_price(contract)
        way.premiums[order.symbol] = self.premium(contract)
        return way.reached(order, contract) is not None

    def _trail(self, order: FuturesOrder, price: Decimal) -> None:
        """Let the trigger of a trailing stop follow a price that moved its way."""
        assert order.deviation is not None
        contract, best = self.contracts[order.symbol], order.peak
        if best is not None and (price <= best if order.side == SELL else price >= best):
            return
        distance = mul(price, order.deviation) / 100 if order.unit == "PERCENT" else order.deviation
        order.peak = price
        order.stop_price = down(price - distance, contract.tick) if order.side == SELL else up(price + distance, contract.tick)
        if order.order_id in self.state.orders:
            self._dirty[order.order_id] = order

    # --- the life of one order -------------------------------------------------------------------------------------
    def _order(self, request: FuturesRequest, contract: Contract, now_us: int) -> FuturesOrder:
        number = self._count("order")
        order = FuturesOrder(
            order_id=content_uuid(self._seed, "order", number, contract.symbol, request.side, str(request.size), now_us),
            number=number,
            symbol=contract.symbol,
            side=request.side,
            order_type=request.order_type,
            size=request.size,
            received_us=now_us,
            updated_us=now_us,
            limit_price=None if request.order_type in (MKT, TRAILING) else request.limit_price,
            stop_price=request.stop_price if request.order_type in TRIGGERED_TYPES else None,
            trigger_signal=request.trigger_signal,
            reduce_only=request.reduce_only,
            cli_ord_id=request.cli_ord_id,
            deviation=request.deviation,
            unit=request.unit,
        )
        if order.order_type == TRAILING:
            self._trail(order, self._signal(order, contract))
        return order

    def _price_now(self, order: FuturesOrder, contract: Contract, last: Decimal) -> Decimal | None:
        """Price at which the order trades at once, None where it does not."""
        if order.limit_price is not None:
            once = order.order_type in (IOC, FOK)
            return self.fills.marketable(order.side, order.limit_price, last, contract, before=self.before(contract), once=once)
        taken = self.fills.taken(order.side, last, contract)
        edge = mul(last, 1 + order.sign * PROTECTION)
        return taken if (taken <= edge if order.side == BUY else taken >= edge) else None

    def _trigger(self, order: FuturesOrder, now_us: int, at: Decimal) -> None:
        """Turn a trigger into the order it stands for while the market is at `at`, and fill what that can at once."""
        contract = self.contracts[order.symbol]
        order.triggered, order.updated_us = True, now_us
        self._note("triggered", order, now_us, reason="stop_order_triggered")
        if order.reduce_only and self._reducible(order) <= ZERO:
            self._end(order, CANCELLED, now_us, NOT_REDUCING)
        elif not order.reduce_only and not self._affordable(order):
            self._end(order, CANCELLED, now_us, NO_MARGIN)
        else:
            price = self._price_now(order, contract, at)
            if price is not None:
                self._fill(order, price, now_us, fill_type="taker")
            if order.live and order.limit_price is None:
                self._end(order, CANCELLED, now_us, UNFILLED)

    def _portion(self, order: FuturesOrder) -> Decimal:
        """How much of the rest one touch fills: market orders everything, others the share of their size that fills allow."""
        if self.fills.share >= 1 or order.limit_price is None:
            return order.remaining
        part = down(mul(order.size, self.fills.share), self.contracts[order.symbol].lot)
        return order.remaining if part <= ZERO else min(part, order.remaining)

    def _reducible(self, order: FuturesOrder) -> Decimal:
        """Size of the position that the order would close."""
        position = self.state.positions.get(order.symbol)
        return -position.size * order.sign if position is not None else ZERO

    def _exposure(self, order: FuturesOrder) -> Decimal:
        position = self.state.positions.get(order.symbol)
        return (position.size if position is not None else ZERO) + order.sign * order.remaining

    def _affordable(self, order: FuturesOrder) -> bool:
        """Whether the account can carry what the order may lead to, fee included; what only reduces always may."""
        contract = self.contracts[order.symbol]
        with_it = self.standing(contract.account, order)
        if with_it.with_orders <= self.standing(contract.account, replace(order, size=order.filled)).with_orders:
            return True  # together with all orders that rest it leads to nothing larger
        fee = mul(abs(contract.value(order.remaining, self.mark_price(contract))), self.costs.taker)
        return with_it.available >= fee

    def _fill(self, order: FuturesOrder, price: Decimal, now_us: int, *, fill_type: str) -> None:
        """Trade what one touch fills; a reduce-only order never more than the position, and not beyond it."""
        size = self._portion(order)
        if order.reduce_only:
            size = min(size, self._reducible(order))
        if size > ZERO:
            self._trade(order, price, size, now_us, fill_type=fill_type)
        if order.live and order.reduce_only and self._reducible(order) <= ZERO:
            self._end(order, CANCELLED, now_us, NOT_REDUCING)

    def _trade(self, order: FuturesOrder, price: Decimal, size: Decimal, now_us: int, *, fill_type: str) -> None:
        fill = self._book(order, price, size, now_us, fill_type=fill_type)
        done = order.remaining == ZERO
        if done:
            order.status = FILLED
            self._index(order)
        reason = LIQUIDATION if fill_type == "liquidation" else "full_fill" if done else "partial_fill"
        self._note("fill", order, now_us, reason=reason, fill=fill)

    def _end(self, order: FuturesOrder, status: str, now_us: int, reason: str) -> None:
        order.status, order.reason, order.updated_us = status, reason, now_us
        self._index(order)
        self._note("cancelled", order, now_us, reason=reason)

    def _end_all(self, now_us: int, symbol: str | None, reason: str) -> None:
        for order in self.open_orders():
            if symbol is None or order.symbol == symbol:
                self._end(order, CANCELLED, now_us, reason)

    def _fire(self, now_us: int) -> None:
        """The dead-man's switch: cancel everything; it stays off until it is armed again."""
        self.state.switch_us = 0
        self._end_all(now_us, None, BY_SWITCH)
        self._commit(now_us)
