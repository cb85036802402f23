"""Run every client against one twin and fill the table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tests.clients.crossing import handed_round, same_trade
from tests.clients.operations import ALONE, ONE_BY_ONE, PASSED_ON, SAME_TRADE
from tests.clients.spot_ccxt_ws import Ccxt
from tests.clients.spot_js import CcxtJs
from tests.clients.spot_krakenex import Krakenex
from tests.clients.spot_sdk import Sdk
from tests.clients.table import AbsentError, Client, Table, make_cell
from tests.clients.twin_process import Twin

SPOT: tuple[Callable[[Twin], Client], ...] = (Ccxt, CcxtJs, Sdk, Krakenex)
NAMES = ("ccxt", "ccxt JavaScript", "python-kraken-sdk", "krakenex")


async def spot_table(twin: Twin, names: Sequence[str] = NAMES, operations: Sequence[str] | None = None) -> Table:
    """All clients at the same time for what each does alone, then what they do together."""
    table, present = Table(), []
    for client in [make(twin) for name, make in zip(NAMES, SPOT, strict=True) if name in names]:
        try:
            await client.open()
            present.append(client)
        except AbsentError as absent:
            await _skip(table, client.name, str(absent))
    try:
        await asyncio.gather(
            *(_alone(table, client, [one for one in ALONE if operations is None or one in operations]) for client in present)
        )
        if operations is None:
            await _together(table, present)
    finally:
        await asyncio.gather(*(client.close() for client in present))
    return table


async def _skip(table: Table, client: str, reason: str) -> None:
    async def absent() -> None:
        raise AbsentError(reason)

    for operation in (*ALONE, PASSED_ON, SAME_TRADE, *ONE_BY_ONE):
        table.cells.append(await make_cell(client, operation, absent))


async def _alone(table: Table, client: Client, operations: Sequence[str]) -> None:
    for operation in operations:
        table.cells.append(await make_cell(client.name, operation, lambda operation=operation: client.run(operation)))  # type: ignore[misc]


async def _together(table: Table, clients: list[Client]) -> None:
    listeners = [client for client in clients if hasattr(client, "x_executed")]
    for number, client in enumerate(clients):
        others = clients[number:] + clients[:number]
        table.cells.append(await make_cell(client.name, PASSED_ON, lambda others=others: handed_round(others)))  # type: ignore[misc]
        work = lambda client=client: same_trade(client, listeners, clients)  # noqa: E731
        table.cells.append(await make_cell(client.name, SAME_TRADE, work))
    for operation in ONE_BY_ONE:
        for client in clients:
            await _alone(table, client, [operation])
