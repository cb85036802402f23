"""Control of the table: one field of one answer gets another name, and the clients must notice.

An operation that only looked for the absence of an exception would go on as before; a field nobody notices is listed as unobserved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.clients.operations import WAIT_FOR_A_TICK
from tests.clients.spot_ccxt_ws import Ccxt
from tests.clients.spot_krakenex import Krakenex
from tests.clients.spot_sdk import Sdk
from tests.clients.table import FAILED, OK, Client, make_cell
from tests.clients.twin_process import Twin

CLIENTS: tuple[Callable[[Twin], Client], ...] = (Ccxt, Sdk, Krakenex)
NAMES = tuple(client.name for client in (Ccxt, Sdk, Krakenex))
PATIENCE_S = 6.0
TICK_PATIENCE_S = 18.0
"""For `WAIT_FOR_A_TICK`."""

RENAMED = {
    "load markets": {
        "Assets": ("altname", "decimals", "status", "display_decimals"),
        "AssetPairs": (
            "altname", "wsname", "base", "quote", "pair_decimals", "lot_decimals", "cost_decimals", "ordermin", "costmin", "tick_size",
            "fees", "fees_maker", "leverage_buy", "status", "margin_call", "lot_multiplier",
        ),
    },
    "time and status": {"Time": ("unixtime", "rfc1123"), "SystemStatus": ("status", "timestamp")},
    "candles with running bar": {"OHLC": ("last",)},
    "ticker": {"Ticker": ("a", "b", "c", "v", "p", "t", "l", "h", "o")},
    "order book": {"Depth": ("asks", "bids")},
    "public trades": {"Trades": ("last",)},
    "balance": {"BalanceEx": ("balance", "hold_trade")},
    "trade balance": {"TradeBalance": ("eb", "mf")},
    "fees": {"TradeVolume": ("fees", "fees_maker", "volume")},
    "key info and token": {"GetApiKeyInfo": ("permissions",), "GetWebSocketsToken": ("token", "expires")},
    "market order": {"QueryOrders": ("status", "cost", "fee", "trades", "vol_exec")},
    "limit order": {
        "AddOrder": ("txid", "descr", "order"), "OpenOrders": ("open", "descr", "vol", "vol_exec", "opentm", "ordertype", "price2"),
        "CancelOrder": ("count",),
    },
    "open orders": {"OpenOrders": ("cl_ord_id", "expiretm")},
    "closed orders": {"ClosedOrders": ("closed", "closetm", "count")},
    "fills": {"TradesHistory": ("trades", "ordertxid", "price", "cost", "fee", "vol", "maker", "trade_id", "postxid", "count")},
    "ledger": {"Ledgers": ("ledger", "refid", "type", "asset", "amount", "balance", "aclass")},
    "conditional close": {"OpenOrders": ("refid",)},
    "amend": {"AmendOrder": ("amend_id",)},
    "edit": {"EditOrder": ("originaltxid", "txid")},
    "batch": {"AddOrderBatch": ("orders",), "CancelOrderBatch": ("count",)},
    "dead-man's switch": {"CancelAllOrdersAfter": ("currentTime", "triggerTime")},
    "ws ticker": {"ticker": ("bid", "last", "change_pct")},
    "ws candles": {"ohlc": ("interval_begin", "close", "trades")},
    "ws trades": {"trade": ("price", "trade_id")},
    "ws executions": {"executions": ("exec_type", "order_id", "sequence", "order_status")},
    "ws balances": {"balances": ("balance", "ledger_id")},
    "ws order entry": {"add_order": ("order_id",), "amend_order": ("amend_id",)},
    "ws book with CRC": {"book": ("checksum",)},
}  # fmt: skip
"""Operation -> endpoint, channel or method -> fields of its answers that are renamed, one at a time."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One renamed field: which clients went on and which did not, with their reasons."""

    where: str
    name: str
    operation: str
    refused: dict[str, str] = field(default_factory=dict)
    unmoved: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return f"refused by {', '.join(self.refused)}" if self.refused else "unobserved"


def rows(operations: Sequence[str] | None = None) -> list[Row]:
    """Every field to rename, or those of some operations."""
    return [
        Row(where=where, name=name, operation=operation)
        for operation, places in RENAMED.items()
        if operations is None or operation in operations
        for where, names in places.items()
        for name in names
    ]


async def control(twin: Twin, wanted: Sequence[Row]) -> list[str]:
    """Fill the rows, one field after the other; the operations that failed before anything was renamed, which judge nothing."""
    broken = []
    closing: list[asyncio.Task[None]] = []  # ccxt takes a quarter of a second to close, so nobody waits for it in between
    for operation in dict.fromkeys(row.operation for row in wanted):
        plain = Row(where="", name="", operation=operation)
        await _try(twin, plain, None, CLIENTS, closing)
        judges = [client for client in CLIENTS if client.name not in plain.refused]  # type: ignore[attr-defined]
        broken += [f"{operation}: {client}: {reason}" for client, reason in plain.refused.items()]
        for row in wanted:
            if row.operation == operation:
                await _try(twin, row, {"from": row.name, "to": row.name + "_renamed"}, judges, closing)
    await asyncio.gather(*closing)
    return broken


async def _try(
    twin: Twin, row: Row, arg: dict[str, str] | None, judges: Sequence[Callable[[Twin], Client]], closing: list[asyncio.Task[None]]
) -> None:
    """Fresh clients, what they need first, then the field renamed under the operation."""
    clients = [make(twin) for make in judges]
    try:
        await asyncio.gather(*(_prepare(client, row.operation) for client in clients))
        if arg is not None:
            await asyncio.to_thread(lambda: twin.inject(where=row.where, action="rename", arg=arg))
        patience_s = TICK_PATIENCE_S if row.operation in WAIT_FOR_A_TICK else PATIENCE_S
        work = (make_cell(one.name, row.operation, partial(one.run, row.operation), patience_s=patience_s) for one in clients)
        for cell in await asyncio.gather(*work):
            if cell.outcome == FAILED:
                row.refused[cell.client] = cell.reason
            elif cell.outcome == OK:
                row.unmoved.append(cell.client)
    finally:
        if arg is not None:
            await asyncio.to_thread(twin.clear)
        closing += [asyncio.create_task(client.close()) for client in clients]


async def _prepare(client: Client, operation: str) -> None:
    if operation in client.missing or operation == "load markets":
        return
    await client.run("load markets")
    if operation in ("fills", "ledger", "closed orders"):
        await client.run("market order")


def text(found: Sequence[Row]) -> str:
    """The second table: one line a field."""
    lines = ["renamed field".ljust(40) + "operation".ljust(28) + "verdict"]
    lines += [f"{row.where}.{row.name}".ljust(40) + row.operation.ljust(28) + row.verdict for row in found]
    observed = sum(bool(row.refused) for row in found)
    return "\n".join([*lines, f"{len(found)} fields renamed, {observed} refused by a client, {len(found) - observed} unobserved"])
