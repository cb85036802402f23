"""Faults that come by time: a foreign trade, a skewed clock, orders that are seen late, states of the venue and of pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import OrderRequest, Refused
from trader.simulation.exchange_terms import MARKET
from trader.simulation.fault_catalogue import BY_TIME
from trader.simulation.faults import Fault, FaultPlan

Event = tuple[str, dict[str, Any], str]
LISTS: Mapping[str, str] = {"OpenOrders": "open", "ClosedOrders": "closed", "TradesHistory": "trades"}  # endpoint -> part of its result


class SkewedClock:
    """The exchange's own clock: `offset_us` ahead of the true one. Sleeping is not skewed."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.offset_us = clock, 0

    def now_us(self) -> int:
        return self._clock.now_us() + self.offset_us

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def sleep_until(self, time_us: int) -> None:
        await self._clock.sleep_until(time_us - self.offset_us)


class LateOrders:
    """Orders that were accepted and are not shown yet (fault `ack_lag`). `wake`: called when one may be seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_us: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def hide(self, txids: Iterable[str], seconds: float, wake: Callable[[], Awaitable[None]]) -> None:
        """Hide orders from now on, with the orders they give rise to."""
        until_us = self._clock.now_us() + int(seconds * 1_000_000)
        self._until_us.update(dict.fromkeys(txids, until_us))
        self._tasks.append(asyncio.create_task(self._show(until_us, wake), name="twin late order"))

    async def _show(self, until_us: int, wake: Callable[[], Awaitable[None]]) -> None:
        await self._clock.sleep_until(until_us)
        self._until_us = {txid: end for txid, end in self._until_us.items() if end > until_us}
        await wake()

    def hides(self, txid: str, refid: str | None = None) -> bool:
        """Whether an order, or the one it comes from, is not shown yet."""
        if refid in self._until_us:
            self._until_us.setdefault(txid, self._until_us[refid])
        return txid in self._until_us

    def without(self, endpoint: str, result: Any) -> Any:
        """The result of an endpoint without the orders that are not shown yet, and without their trades."""
        part = LISTS.get(endpoint)
        if part is None or not self._until_us:
            return result
        rows = {name: row for name, row in result[part].items() if not self.hides(row.get("ordertxid", name), row.get("refid"))}
        gone = len(result[part]) - len(rows)
        return result | {part: rows} | ({"count": result["count"] - gone} if "count" in result else {})

    def split(self, events: list[Event]) -> tuple[list[Event], list[Event]]:
        """Events (channel, row, subject) that may be shown now, and those that wait."""
        if not self._until_us:
            return events, []
        waits = [self.hides(row.get("order_id", ""), row.get("order_ref_id")) for _, row, _ in events]
        return [one for one, late in zip(events, waits, strict=True) if not late], [
            one for one, late in zip(events, waits, strict=True) if late
        ]

    async def close(self) -> None:
        """Forget what waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class TimedFaults:
    """Carries out the faults of `account`, `system` and `pair`, each at its time. `settled`: tells the streams what happened."""

    def __init__(
        self, exchange: TwinExchange, clock: Clock, shown: SkewedClock, plan: FaultPlan, settled: Callable[[], Awaitable[None]]
    ) -> None:
        self._exchange, self._clock, self._shown, self._plan, self._settled = exchange, clock, shown, plan, settled
        self._tasks: list[asyncio.Task[None]] = []

    def schedule(self, fault: Fault) -> None:
        """Start the time of a fault; one that happens at calls or frames is left to them. Raises ConfigError for an unknown pair."""
        if fault.where not in BY_TIME:
            return
        pair = fault.arg.get("pair") if isinstance(fault.arg, Mapping) else None
        if pair is not None and pair not in self._exchange.by_symbol:
            raise ConfigError(f"fault at {fault.where}: pair = {pair!r} is not allowed; one of {', '.join(self._exchange.by_symbol)}")
        work = self._foreign_fill if fault.action == "foreign_fill" else self._state
        self._tasks.append(asyncio.create_task(work(fault), name=f"twin {fault.action}"))

    async def clear(self) -> None:
        """Take back what lasts; what has not begun never will."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._settled()

    async def _state(self, fault: Fault) -> None:
        """Something is different for a while: from `after_s` on, for `for_s` or until the faults are cleared."""
        arg: Mapping[str, Any] = fault.arg if isinstance(fault.arg, Mapping) else {}
        await self._clock.sleep(float(arg.get("after_s", 0)))
        undo = self._change(fault, arg)
        self._count(f"{fault.where}:{fault.action}")
        try:
            await self._settled()
            await (self._clock.sleep(float(arg["for_s"])) if "for_s" in arg else asyncio.get_running_loop().create_future())
        finally:
            undo()
        await self._settled()

    def _change(self, fault: Fault, arg: Mapping[str, Any]) -> Callable[[], object]:
        """Make a fault's change; what is returned takes it back."""
        exchange, now_us, action = self._exchange, self._shown.now_us, fault.action
        if action == "clock_skew":
            offset_us = round(fault.arg * 1_000_000)
            self._shown.offset_us += offset_us
            return lambda: setattr(self._shown, "offset_us", self._shown.offset_us - offset_us)
        if fault.where == "system":
            exchange.set_system_status(action, now_us())
            return lambda: exchange.set_system_status("online", now_us())
        pair = arg["pair"]
        before = exchange.rule(pair)
        if action == "raise_minimum":
            exchange.set_ordermin(pair, Decimal(arg["ordermin"]), now_us())
            return lambda: exchange.set_ordermin(pair, before.ordermin, now_us())
        if action == "delist":
            exchange.delist(pair, now_us())
        else:
            exchange.set_pair_status(pair, arg["status"])
        return lambda: exchange.set_pair_status(pair, before.status)

    async def _foreign_fill(self, fault: Fault) -> None:
        """Somebody else trades on the account: a market order without our tag."""
        await self._clock.sleep(float(fault.arg["after_s"]))
        request = OrderRequest(
            pair=fault.arg["pair"], side=fault.arg["side"], ordertype=MARKET, volume=Decimal(fault.arg["quantity"]), oflags=("fciq",)
        )
        try:
            self._exchange.place(request, self._shown.now_us())
            self._count("account:foreign_fill")
        except Refused as refusal:
            self._count(f"account:foreign_fill:{refusal.error}")
        await self._settled()

    def _count(self, outcome: str) -> None:
        self._plan.fired[outcome] = self._plan.fired.get(outcome, 0) + 1
