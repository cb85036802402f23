"""Paged account history read to its end: trades, ledger entries, closed orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from trader.domain.money import plain
from trader.domain.orders import Fill, RemoteOrder
from trader.errors import RejectedError, RetryableError
from trader.kraken import translate
from trader.kraken.rest import Rest
from trader.kraken.tariff import Kind

T = TypeVar("T")
IDS_PER_CALL = 20
MOST_PAGES = 400  # 20,000 rows: more means the paging does not end


async def pages(
    rest: Rest, path: str, part: str, since_us: int, read: Callable[[str, Any], T], *,
    kind: Kind = Kind.READ, reserve: bool = True, fields: Mapping[str, str] | None = None,
) -> list[T]:  # fmt: skip
    """All rows after `since_us` that existed when the call began, each once.

    Pages come newest first: a row that appears while we page pushes others to the next page, never off it. Page sizes are
    the venue's business: the next page starts behind the rows that came.
    """
    rows: dict[str, T] = {}
    query, offset = {"start": plain(Decimal(max(0, since_us)).scaleb(-6)), **(fields or {})}, 0
    for _ in range(MOST_PAGES):
        page, count = await rest.private(
            path, query | {"ofs": str(offset)}, kind=kind, reserve=reserve, read=lambda raw: _page(raw, part, read)
        )  # fmt: skip
        rows |= page
        offset += len(page)
        if not page or offset >= count:
            return list(rows.values())
    raise RetryableError(f"{path}: still more rows after {MOST_PAGES} pages")


async def read_fills(rest: Rest, since_us: int, *, reserve: bool = True) -> list[Fill]:
    """Own trades after a time, oldest first."""
    names = await rest.named()

    def read(key: str, row: Any) -> Fill:
        return translate.fill(key, row, names.pair)

    rows = await pages(rest, "TradesHistory", "trades", since_us, read, kind=Kind.HISTORY, reserve=reserve)
    return sorted(rows, key=lambda fill: (fill.time_us, fill.trade_id))


async def read_orders(rest: Rest, txids: Sequence[str]) -> list[RemoteOrder]:
    """Orders by id; ids Kraken does not know are absent from the answer."""
    found: list[RemoteOrder] = []
    for start in range(0, len(txids), IDS_PER_CALL):
        found += await _query(rest, txids[start : start + IDS_PER_CALL])
    return found


async def _query(rest: Rest, txids: Sequence[str]) -> list[RemoteOrder]:
    names = await rest.named()
    try:
        return await rest.private("QueryOrders", {"txid": ",".join(txids)}, read=lambda result: orders_of(result, names.pair))
    except RejectedError:
        if len(txids) == 1:
            return []
    # One unknown id refuses the whole call: ask one by one.
    return [order for txid in txids for order in await _query(rest, [txid])]


def orders_of(raw: Any, name: translate.PairName) -> list[RemoteOrder]:
    """The order objects of an answer, oldest first."""
    rows = [translate.order(txid, row, name) for txid, row in translate.mapping(raw, "orders").items()]
    return sorted(rows, key=lambda order: (order.opened_us, order.txid))


def _page(raw: Any, part: str, read: Callable[[str, Any], T]) -> tuple[dict[str, T], int]:
    """Rows of one page by id, and how many there are in all."""
    return {key: read(key, row) for key, row in translate.mapping(raw[part], part).items()}, int(raw["count"])
