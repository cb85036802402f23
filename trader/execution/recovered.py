"""Entries of ours that the ledger has forgotten, as after an older backup came back (RELIABILITY.md section 4).

An order's id is a hash of what led to it, so an entry is known again by trying what can have led to it: the close before it was
opened, and every strategy. Its plan follows from the strategy and the stop that rides on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from trader.domain.account import ExitPlan, Position, PositionState
from trader.domain.costs import Costs
from trader.domain.market import Timeframe
from trader.domain.messages import Action, Decision
from trader.domain.money import PHI, ZERO, divide
from trader.domain.orders import Intent, Leg, OrderType, RemoteOrder, client_order_id, entry_key
from trader.execution.exit_plan import plan_for
from trader.execution.reconcile import RECOVERED, LocalView, RemoteView
from trader.strategy.modes import TABLE, Parameters
from trader.strategy.scoring import levels_of

FARTHEST = 0.5  # a riding stop farther from the cap than this tells nothing about the plan
_FINE = Decimal("1e-9")


def forgotten_entries(local: LocalView, remote: RemoteView, *, costs: Costs, exit_kind: str = "") -> list[tuple[Intent, Position]]:
    """What `begin` would have written for each entry with our tag that holds something, or still may, and is not in the ledger."""
    known = {intent.cl_ord_id for intent in local.intents}
    orders = {order.txid: order for order in (*remote.open, *remote.closed)}
    found = []
    for order in sorted(orders.values(), key=lambda order: (order.opened_us, order.txid)):
        name = order.cl_ord_id or ""
        if not name.startswith("t" + local.tag) or name in known or not (order.status.live or order.filled > ZERO):
            continue
        for parameters, close_us in _origins(order):
            key = entry_key(order.pair, parameters.strategy, close_us, order.side)
            if client_order_id(local.tag, local.account, key, Leg.ENTRY, 0) == name:
                found.append(_begun(order, key, parameters, _plan(order, orders, parameters, costs, exit_kind)))
                break
    return found


def _origins(order: RemoteOrder) -> Iterator[tuple[Parameters, int]]:
    """Every strategy, at the newest close before the order and the one before that (clocks may differ by a second)."""
    newest = Timeframe.M15.floor(order.opened_us)
    for close_us in (newest, newest - Timeframe.M15.us, newest + Timeframe.M15.us):
        for parameters in TABLE.values():
            yield parameters, close_us


def _plan(order: RemoteOrder, orders: Mapping[str, RemoteOrder], parameters: Parameters, costs: Costs, exit_kind: str) -> ExitPlan:
    """Levels as the strategy makes them; where its unit is of the market, the one that the riding stop shows."""
    rides = [o.trigger_price for o in orders.values() if o.refid == order.txid and o.trigger_price is not None]
    away = 0.0
    if rides and order.limit_price:
        away = abs(1 - float(divide(rides[0], order.limit_price, _FINE)))
    unit = away * PHI / parameters.k1 if not parameters.seed and 0 < away < FARTHEST else 0.0
    levels = levels_of(parameters, unit, costs)
    decision = Decision(
        pair=order.pair, close_us=0, side=order.side, action=Action.ENTER, score=0.0, stop=levels.stop, tp1=levels.tp1, tp2=levels.tp2,
        strategy=parameters.strategy,
    )  # fmt: skip
    return plan_for(parameters, decision, costs, exit_kind)


def _begun(order: RemoteOrder, key: str, parameters: Parameters, plan: ExitPlan) -> tuple[Intent, Position]:
    name = order.cl_ord_id or ""
    intent = Intent(
        cl_ord_id=name, key=key, leg=Leg.ENTRY, attempt=0, position_id=name, pair=order.pair, side=order.side,
        order_type=OrderType(order.order_type), quantity=order.quantity, limit_price=order.limit_price, immediate=True,
        created_us=order.opened_us, deadline_us=order.opened_us, reason=RECOVERED,
    )  # fmt: skip
    position = Position(
        position_id=name, pair=order.pair, side=order.side, strategy=parameters.strategy, entry_key=key, plan=plan,
        opened_us=order.opened_us, state=PositionState.OPENING,
    )  # fmt: skip
    return intent, position
