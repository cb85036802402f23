"""Reconciliation: what must change in the ledger, and on the exchange, so that both tell the same story.

`reconcile(local, remote)` is pure; every fix is keyed by ids of the exchange, so applying the list twice changes nothing.
Starting, recovering after a crash and the periodic check are this one function (RELIABILITY.md section 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trader.domain.account import Position, PositionState
from trader.domain.money import ZERO, add
from trader.domain.orders import Balance, ExchangeStatus, Fill, Intent, Leg, OrderType, Outcome, RemoteOrder, client_order_id

OUR_ID_LENGTH = 18
RECOVERED = "RECOVERED"  # the reason of an order that an older backup had forgotten
ATTEMPTS = 1000  # of one leg at one position, beyond those the ledger knows, whose ids are tried for an order that it does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    """The ledger's side: intents (all that may matter, live or not), open positions, cash per asset."""

    intents: Sequence[Intent]
    positions: Sequence[Position]
    cash: Mapping[str, Decimal]
    tag: str
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteView:
    """The exchange's side, read in the order open, closed, fills, balances, so that no order slips between."""

    open: Sequence[RemoteOrder]
    closed: Sequence[RemoteOrder]
    fills: Sequence[Fill]
    balances: Mapping[str, Balance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The exchange holds this intent's order."""

    cl_ord_id: str
    txid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """The exchange's newest word; a final one counts only once `filled` is booked, since trades win over status."""

    txid: str
    status: ExchangeStatus
    filled: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An order that we hold for live is in neither list: asked for by id before anything is concluded."""

    txid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTerms:
    """An amend took effect that we did not record."""

    txid: str
    quantity: Decimal
    trigger_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptStop:
    """A conditional close of one of our entries."""

    order: RemoteOrder
    entry: Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """A reducing order of ours that the ledger has forgotten, as after an older backup came back: its id names what it was."""

    order: RemoteOrder
    entry: Intent
    leg: Leg
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyFills:
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """Still unknown on the exchange: the resolver must prove presence or absence. `reducing`: no entry."""

    cl_ord_id: str
    reducing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrphan:
    """A live reducing order of ours whose position is flat."""

    txid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropOpening:
    """An entry that ended without a fill."""

    position_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An order that is not ours: shown, never managed."""

    txid: str
    pair: str
    detail: str
    second: bool = False  # carries the tag of another installation of this program


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Ledger and exchange disagree about coins of an asset after all fills are applied."""

    asset: str
    ledger: Decimal
    exchange: Decimal


Fix = (
    Acknowledge
    | SetStatus
    | SetTerms
    | AdoptStop
    | Recover
    | ApplyFills
    | Resolve
    | CancelOrphan
    | DropOpening
    | Foreign
    | Mismatch
    | Missing
)


def reconcile_orders(local: LocalView, remote: RemoteView) -> list[Fix]:
    """Fixes for orders and fills, in the order they must be applied: acknowledge, adopt, fills, status, missing, resolve."""
    by_txid = {intent.txid: intent for intent in local.intents if intent.txid}
    by_id = {intent.cl_ord_id: intent for intent in local.intents}
    acknowledged: list[Fix] = []
    adopted: list[Fix] = []
    statuses: list[Fix] = []
    foreign: list[Fix] = []
    known = dict(by_txid)
    for order in _unique(remote):
        intent = by_txid.get(order.txid) or (by_id.get(order.cl_ord_id) if order.cl_ord_id else None)
        if intent is not None:
            if intent.txid is None:
                acknowledged.append(Acknowledge(cl_ord_id=intent.cl_ord_id, txid=order.txid))
                known[order.txid] = intent
            statuses.extend(_order_fixes(intent, order))
            continue
        entry = known.get(order.refid) if order.refid else None
        if entry is not None and entry.leg is Leg.ENTRY:
            adopted.append(AdoptStop(order=order, entry=entry))
        elif (forgotten := _forgotten(order, local)) is not None:
            adopted.append(forgotten)
            if not order.status.live:
                statuses.append(SetStatus(txid=order.txid, status=order.status, filled=order.filled))
        elif order.status.live:
            foreign.append(_foreign(order, local.tag))
    fills: list[Fix] = [ApplyFills(fills=tuple(remote.fills))] if remote.fills else []
    seen = {order.cl_ord_id for order in _unique(remote)}
    listed = {order.txid for order in _unique(remote)}
    unresolved: list[Fix] = [
        Resolve(cl_ord_id=i.cl_ord_id, reducing=i.leg.reducing)
        for i in local.intents
        if i.outcome is Outcome.SENT and i.cl_ord_id not in seen
    ]
    missing: list[Fix] = [
        Missing(txid=i.txid) for i in local.intents if i.outcome is Outcome.ACKED and i.live and i.txid and i.txid not in listed
    ]
    return acknowledged + adopted + fills + statuses + missing + unresolved + foreign


def _forgotten(order: RemoteOrder, local: LocalView) -> Recover | None:
    """Whose reducing order this is, by trying the ids of all attempts at all positions the ledger knows; None: nobody's.

    Where a venue refuses for long, attempts come by the hundred, and a backup may be as old.
    """
    name = order.cl_ord_id or ""
    if not name.startswith("t" + local.tag):
        return None
    begun: Counter[tuple[str, Leg]] = Counter()
    for intent in local.intents:
        begun[intent.key, intent.leg] = max(begun[intent.key, intent.leg], intent.attempt + 1)
    for entry in local.intents:
        if entry.leg is not Leg.ENTRY or entry.pair != order.pair:
            continue
        for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT):
            for attempt in range(begun[entry.key, leg] + ATTEMPTS):
                if client_order_id(local.tag, local.account, entry.key, leg, attempt) == name:
                    return Recover(order=order, entry=entry, leg=leg, attempt=attempt)
    return None


def conditional_close(order: RemoteOrder, entry: Intent, cl_ord_id: str, attempt: int, now_us: int) -> Intent:
    """The stop that the venue made for an entry, as an order of ours."""
    return Intent(
        cl_ord_id=cl_ord_id, key=entry.key, leg=Leg.STOP, attempt=attempt, position_id=entry.position_id, pair=order.pair, side=order.side,
        order_type=OrderType.STOP_LOSS, quantity=order.quantity, trigger_price=order.trigger_price, created_us=now_us, reason="STOP_LOSS",
        outcome=Outcome.ACKED, txid=order.txid, status=order.status,
    )  # fmt: skip


def forgotten(fix: Recover, now_us: int) -> Intent:
    """The order of a `Recover` as it was sent, under its own id; its fills and its end come after it."""
    order = fix.order
    return Intent(
        cl_ord_id=order.cl_ord_id or "", key=fix.entry.key, leg=fix.leg, attempt=fix.attempt, position_id=fix.entry.position_id,
        pair=order.pair, side=order.side, order_type=OrderType(order.order_type), quantity=order.quantity, limit_price=order.limit_price,
        trigger_price=order.trigger_price, created_us=now_us, reason=RECOVERED, outcome=Outcome.ACKED, txid=order.txid,
        status=ExchangeStatus.OPEN,
    )  # fmt: skip


def _foreign(order: RemoteOrder, tag: str) -> Foreign:
    name = order.cl_ord_id or ""
    if name.startswith("t" + tag):
        return Foreign(txid=order.txid, pair=order.pair, detail="our tag without an intent")
    if len(name) == OUR_ID_LENGTH and name.startswith("t"):
        return Foreign(txid=order.txid, pair=order.pair, detail=f"placed by another installation ({name[1:4]})", second=True)
    return Foreign(txid=order.txid, pair=order.pair, detail="not placed by us")


def _unique(remote: RemoteView) -> list[RemoteOrder]:
    """Each order once; the closed reading is the newer one, entries before the stops that refer to them."""
    latest = {order.txid: order for order in remote.open} | {order.txid: order for order in remote.closed}
    return sorted(latest.values(), key=lambda order: (order.refid is not None, order.opened_us, order.txid))


def _order_fixes(intent: Intent, order: RemoteOrder) -> list[Fix]:
    fixes: list[Fix] = []
    if order.status.live and intent.leg is Leg.STOP and intent.txid is not None:
        same = order.quantity == intent.quantity and order.trigger_price == intent.trigger_price
        if not same:
            fixes.append(SetTerms(txid=order.txid, quantity=order.quantity, trigger_price=order.trigger_price))
    if order.status is not intent.status:
        fixes.append(SetStatus(txid=order.txid, status=order.status, filled=order.filled))
    return fixes


def reconcile_positions(local: LocalView) -> list[Fix]:
    """After orders and fills agree: entries that came to nothing, and reducing orders whose position is flat."""
    fixes: list[Fix] = []
    open_ids = {position.position_id: position for position in local.positions}
    for position in local.positions:
        entry = next((i for i in local.intents if i.cl_ord_id == position.position_id), None)
        if position.state is PositionState.OPENING and entry is not None and not entry.live:
            fixes.append(DropOpening(position_id=position.position_id))
    for intent in local.intents:
        flat = intent.position_id not in open_ids or open_ids[intent.position_id].quantity == ZERO
        opening = intent.position_id in open_ids and open_ids[intent.position_id].state is PositionState.OPENING
        if intent.leg.reducing and intent.txid and intent.live and flat and not opening:
            fixes.append(CancelOrphan(txid=intent.txid))
    return fixes


def reconcile_balances(local: LocalView, remote: RemoteView, *, quote: str) -> list[Fix]:
    """Assets whose total differs between ledger (cash plus held positions) and exchange."""
    held: dict[str, Decimal] = {}
    for position in local.positions:
        if position.margined:
            continue  # a futures position is no coin of a balance
        base = position.pair.split("/")[0]
        held[base] = add(held.get(base, ZERO), position.quantity)
    fixes: list[Fix] = []
    for asset in sorted(set(held) | set(local.cash) | set(remote.balances)):
        ledger = add(local.cash.get(asset, ZERO), ZERO if asset == quote else held.get(asset, ZERO))
        exchange = remote.balances[asset].total if asset in remote.balances else ZERO
        if ledger != exchange:
            fixes.append(Mismatch(asset=asset, ledger=ledger, exchange=exchange))
    return fixes
