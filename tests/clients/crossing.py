"""Operations between clients: an order handed round, and one fill seen through every window."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.clients.table import Client, check, same


async def handed_round(clients: Sequence[Client]) -> None:
    """The first places, the second sees, the third amends, the fourth cancels (few clients take turns); absent for all at the end."""
    placer, seer, amender, canceller = (clients[number % len(clients)] for number in range(4))
    check(len(clients) >= 3, f"only {len(clients)} clients run")
    txid = await placer.call("x_place")
    price = await seer.call("x_price_of", txid)
    check(price is not None and price > 0, f"{seer.name} does not see the order of {placer.name}")
    wanted = float(f"{price * 0.9:.4g}")  # four digits lie on the tick of every pair
    await amender.call("x_amend", txid, wanted)
    for client in clients:
        same(f"price {client.name} sees after {amender.name} amended", await client.call("x_price_of", txid), wanted)
    await canceller.call("x_cancel", txid)
    for client in clients:
        same(f"price {client.name} sees after {canceller.name} cancelled", await client.call("x_price_of", txid), None)


async def same_trade(trader: Client, listeners: Sequence[Client], clients: Sequence[Client]) -> None:
    """One client buys at the market; the ids its executions tell every listener are those of everybody's TradesHistory."""
    check(listeners, "nobody listens to executions")
    for listener in listeners:
        await listener.call("x_listen")
    txid = await trader.call("x_buy")
    told = await asyncio.gather(*(listener.call("x_executed", txid) for listener in listeners))
    check(told[0], "no trade was told")
    for listener, ids in zip(listeners, told, strict=True):
        same(f"trades told to {listener.name}", ids, told[0])
    for client in clients:
        same(f"trades in the history of {client.name}", await client.call("x_trades_of", txid), told[0])
