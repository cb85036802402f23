"""Reads of the account's orders and trades, each made once for all who want to know: a stop that is handed over to a sale, or a sale
without an answer, leaves its position bare until it is known what became of it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from trader.domain.orders import Fill, RemoteOrder
from trader.execution.joint import Joint
from trader.ports import Exchange


class Lookups:
    """The venue's own reads; every answer was asked of it after the call began. Raises what they raise.

    A list since a moment may hold older rows, as somebody else asked for them.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._orders = Joint(self._by_id)
        self._closes = Joint(self._open_then_closed)
        self._lists = Joint(self._listed_since)
        self._fills = Joint(self._fills_since)

    async def order(self, txid: str) -> RemoteOrder | None:
        """The order with this id; None where the venue does not know it."""
        return (await self._orders.ask(txid)).get(txid)

    async def lists(self, since_us: int) -> Sequence[RemoteOrder]:
        """Open orders and closed ones, read in that order, since an order only moves from open to closed."""
        return await self._lists.ask(since_us)

    async def closes(self, entry_txid: str, since_us: int) -> Sequence[RemoteOrder]:
        """Orders that the venue made for this one: those that are open, else those that are closed."""
        return (await self._closes.ask((entry_txid, since_us))).get(entry_txid, ())

    async def fills(self, since_us: int) -> Sequence[Fill]:
        return await self._fills.ask(since_us)

    async def _by_id(self, txids: Sequence[str]) -> dict[str, RemoteOrder]:
        return {order.txid: order for order in await self._exchange.orders(tuple(dict.fromkeys(txids)))}

    async def _listed_since(self, moments_us: Sequence[int]) -> Sequence[RemoteOrder]:
        return (*await self._exchange.open_orders(), *await self._exchange.closed_orders(min(moments_us)))

    async def _open_then_closed(self, asked: Sequence[tuple[str, int]]) -> dict[str, list[RemoteOrder]]:
        wanted = dict(asked)
        found = _by_entry(await self._exchange.open_orders(), wanted)
        if missing := {txid: since_us for txid, since_us in wanted.items() if txid not in found}:
            found |= _by_entry(await self._exchange.closed_orders(min(missing.values())), missing)
        return found

    async def _fills_since(self, moments_us: Sequence[int]) -> Sequence[Fill]:
        return await self._exchange.fills(min(moments_us))


def _by_entry(orders: Iterable[RemoteOrder], wanted: Container[str]) -> dict[str, list[RemoteOrder]]:
    found: dict[str, list[RemoteOrder]] = {}
    for order in orders:
        if order.refid is not None and order.refid in wanted:
            found.setdefault(order.refid, []).append(order)
    return found
