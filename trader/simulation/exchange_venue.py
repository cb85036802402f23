"""The exchange around the orders: its clock, its statuses, the first contact of an order with the market."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import NamedTuple

from trader.simulation import exchange_checks as checks
from trader.simulation.exchange_matching import Matching
from trader.simulation.exchange_orders import (
    CANCELED,
    EXPIRED,
    INSUFFICIENT_FUNDS,
    OPEN,
    PENDING,
    UNAVAILABLE,
    PairRules,
    Refused,
    TwinOrder,
    invalid,
)
from trader.simulation.exchange_pricing import resolved, terms_of
from trader.simulation.exchange_terms import MARKET
from trader.simulation.fills import Tick, carried

STATUSES = ("online", "maintenance", "cancel_only", "post_only", "limit_only", "reduce_only", "delisted", "hidden")
SYSTEM_STATUSES = ("online", "maintenance", "cancel_only", "post_only")
DEAD = "Cancel all orders after timeout"
LONGEST_S = 86_400  # the dead-man's switch takes no longer time


class Judged(NamedTuple):
    """An order nothing speaks against, its rules, and the price it fills at once (None: it rests)."""

    order: TwinOrder
    rules: PairRules
    at_once: Decimal | None


class Venue(Matching):
    """Statuses are what the fault plan sets, not part of the books: a restarted exchange is online."""

    system_status: str = "online"

    # --- statuses --------------------------------------------------------------------------------------------------
    def set_pair_status(self, pair: str, status: str) -> None:
        """Give a pair another status. Raises Refused for one that does not exist, or a pair that does not."""
        if status not in STATUSES:
            raise invalid("status")
        self._set_rule(dataclasses.replace(self.rule(pair), status=status))

    def set_ordermin(self, pair: str, ordermin: Decimal, now_us: int) -> None:
        """Change the smallest quantity of new orders; orders in the book stay. What no stop could hold before may be bare from now on."""
        if not ordermin.is_finite() or ordermin <= 0:
            raise invalid("ordermin")
        self._set_rule(dataclasses.replace(self.rule(pair), ordermin=ordermin))
        self._look_after(pair, now_us)

    def delist(self, pair: str, now_us: int) -> int:
        """Take a pair off the exchange: its live orders end, new ones are refused as of an unknown pair; returns how many ended."""
        self.set_pair_status(pair, "delisted")
        orders = [order for order in self.open_orders() if order.pair == pair]
        for order in orders:
            self._end(order, CANCELED, now_us, "Market delisted")
        self._commit(now_us)
        return len(orders)

    def set_system_status(self, status: str, now_us: int) -> None:
        """Open or close the exchange as a whole; what fell due while it was down happens now."""
        if status not in SYSTEM_STATUSES:
            raise invalid("status")
        self.system_status = status
        self.elapse(now_us)

    def _set_rule(self, rules: PairRules) -> None:
        self.by_symbol[rules.symbol] = rules
        self.rules = tuple(rules if old.index == rules.index else old for old in self.rules)

    def _serving(self) -> None:
        """Raises Refused while the exchange is down."""
        if self.system_status == "maintenance":
            raise Refused(UNAVAILABLE)

    # --- first contact ---------------------------------------------------------------------------------------------
    def _enter(self, judged: Judged, now_us: int) -> None:
        """First contact with the market: fill at once what can, and end what may not rest."""
        order, rules, at_once = judged
        if at_once is not None and order.post_only:
            self._end(order, CANCELED, now_us, "Post only order")
            return
        if at_once is not None:
            quantity = order.remaining if order.ordertype == MARKET else self.fills.portion(order, rules)
            if order.timeinforce != "FOK" or quantity == order.remaining:
                for part in self.fills.slices(quantity, rules):
                    if order.live:  # a buy may run out of cash between two trades
                        self._fill(order, at_once, part, now_us, at=self.last(order.pair))
        if order.live and order.timeinforce in checks.ONCE:
            self._end(order, CANCELED, now_us, f"{order.timeinforce} remainder" if order.executed else "No match at limit price")

    def _at_once(self, order: TwinOrder, last: Decimal, rules: PairRules) -> Decimal | None:
        """Price at which an order trades the moment it enters the market, or None where it rests."""
        if order.ordertype == MARKET:
            return self.fills.taken(order.side, last, rules)
        if order.waiting or order.price is None:
            return None
        once = order.timeinforce in checks.ONCE
        return self.fills.marketable(order.side, order.price, last, rules, before=self.before(order.pair), once=once)

    # --- time ------------------------------------------------------------------------------------------------------
    def advance(self, tick: Tick) -> None:
        """Take over the prices of a tick and match what they reach. Costs nothing for pairs without orders."""
        now_us = max(tick.time_us, self.state.mark_us)
        self._before = before = self._last
        self._last = carried(before, tick.prices)
        if self._resting or self.state.deadman_us:
            self.elapse(now_us)
        if self.system_status != "maintenance":
            ends = self._last.tolist()
            for index in sorted(self._resting):
                low, high = self._ranges.get(index) or self._calm(index)
                if not low < ends[index] < high and self.rules[index].status != "maintenance":
                    self._walk(index, float(before[index]), ends[index], gap=tick.gap, now_us=now_us)
        self.state.tick_us = tick.time_us
        if self._dirty or tick.part == 4:
            self._commit(now_us)

    def elapse(self, now_us: int) -> None:
        """Do what is due by `now_us` without a price, in order of time: expiries, scheduled starts, the dead-man's switch.

        Nothing happens while the exchange is down; what fell due meanwhile happens when it returns.
        """
        if self.system_status == "maintenance" or not (self._resting or self.state.deadman_us):
            return
        dead = 0 < self.state.deadman_us <= now_us
        timed = [order for orders in self._resting.values() for order in orders if order.expire_us or order.status == PENDING]
        if not timed and not dead:
            return
        due = [(order.expire_us, order.number, order, self._expire) for order in timed if 0 < order.expire_us <= now_us]
        due += [
            (order.start_us, order.number, order, self._start) for order in timed if order.status == PENDING and order.start_us <= now_us
        ]
        if dead:
            due += [(self.state.deadman_us, order.number, order, self._die) for order in self.open_orders()]
            self.state.deadman_us = 0
        elif not due:
            return
        for _, _, order, happen in sorted(due, key=lambda item: item[:2]):
            if order.live:
                happen(order, now_us)
        self._commit(now_us)

    def _expire(self, order: TwinOrder, now_us: int) -> None:
        self._end(order, EXPIRED, now_us, "Order expired")

    def _die(self, order: TwinOrder, now_us: int) -> None:
        self._end(order, CANCELED, now_us, DEAD)

    def _start(self, order: TwinOrder, now_us: int) -> None:
        """A scheduled order enters the market, judged by what is true now; one that is refused now is canceled."""
        rules, last = self.rule(order.pair), self.last(order.pair)
        try:
            request = resolved(terms_of(order), last, self.fills.taken(order.side, last, rules), rules)
            checks.against_market(request, last, rules)
            order.volume, order.price, order.price_by = request.volume, request.price, request.price_by
            order.trigger, order.trigger_by, order.peak = request.trigger, request.trigger_by, last if order.trailing else None
            at_once = self._at_once(order, last, rules)
            held = self._hold(order, rules, at_once)
            if held > self.available(self._held_asset(order)):
                raise Refused(INSUFFICIENT_FUNDS)
        except Refused as refusal:
            self._end(order, CANCELED, now_us, refusal.error.partition(":")[2])
            return
        order.status, order.held = OPEN, held
        self._note("new", order, now_us)
        self._enter(Judged(order, rules, at_once), now_us)

    def arm(self, timeout_s: int, now_us: int) -> int:
        """Set the dead-man's switch to fire after `timeout_s`; 0 turns it off. Returns when it fires (us), 0 for never.

        It may be armed while the exchange is down: it fires when it returns.
        """
        if not 0 <= timeout_s <= LONGEST_S:
            raise invalid("timeout")
        self.elapse(now_us)
        self.state.deadman_us = now_us + timeout_s * 1_000_000 if timeout_s else 0
        self._commit(now_us)
        if timeout_s:
            self._announce(self.state.deadman_us)
        return self.state.deadman_us

    def dues(self) -> list[int]:
        """Times (us) at which something is due without a price: what a restarted twin must set its clock for."""
        times = [time_us for order in self.open_orders() for time_us in (order.start_us, order.expire_us)]
        return sorted(time_us for time_us in (*times, self.state.deadman_us) if time_us > 0)

    def _announce(self, due_us: int) -> None:
        for listener in self.due_listeners:
            listener(due_us)
