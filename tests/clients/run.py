"""Run every client against one twin and fill the table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

from tests.clients.crossing import handed_round, same_trade
from tests.clients.futures_ccxt import FuturesCcxt
from tests.clients.futures_sdk import FuturesSdk
from tests.clients.operations import ALONE, FUTURES, ONE_BY_ONE, PASSED_ON, SAME_TRADE, WAIT_FOR_A_TICK
from tests.clients.operations import SPOT as SPOT_OPERATIONS
from tests.clients.spot_ccxt_ws import Ccxt
from tests.clients.spot_js import CcxtJs
from tests.clients.spot_krakenex import Krakenex
from tests.clients.spot_sdk import Sdk
from tests.clients.table import AbsentError, Client, Table, make_cell
from tests.clients.twin_process import Twin

SPOT: tuple[Callable[[Twin], Client], ...] = (Ccxt, CcxtJs, Sdk, Krakenex)
NAMES = ("ccxt", "ccxt JavaScript", "python-kraken-sdk", "krakenex")


async def table_of(twin: Twin, names: Sequence[str] = NAMES, operations: Sequence[str] | None = None) -> Table:
    """All clients at the same time, spot and futures, for what each does alone; then what they do together.

    `operations`: only these, without crossings.
    """
    table, present = Table(), []
    for client in [make(twin) for name, make in zip(NAMES, SPOT, strict=True) if name in names]:
        try:
            await client.open()
            present.append(client)
        except AbsentError as absent:
            for operation in (*SPOT_OPERATIONS, *FUTURES):
                table.cells.append(await make_cell(client.name, operation, partial(_raise, absent)))
    others = [make(twin) for make in (FuturesCcxt, FuturesSdk) if make.name in names]
    try:
        work = [(client, ALONE) for client in present] + [(client, FUTURES) for client in (*present, *others) if _futures(client)]
        wanted = [(client, [one for one in all_of if operations is None or one in operations]) for client, all_of in work]
        await asyncio.gather(*(_alone(table, client, some) for client, some in wanted))
        if operations is None:
            await _together(table, present)
    finally:
        await asyncio.gather(*(client.close() for client in (*present, *others)))
    return table


def _futures(client: Client) -> bool:
    """ccxt and the sdk have classes of their own for futures; node carries both, krakenex says that it has none."""
    return client.name not in (FuturesCcxt.name, FuturesSdk.name) or isinstance(client, FuturesCcxt | FuturesSdk)


async def _raise(error: Exception) -> None:
    raise error


async def _alone(table: Table, client: Client, operations: Sequence[str]) -> None:
    for waits, some in groupby(operations, WAIT_FOR_A_TICK.__contains__):
        work = [make_cell(client.name, operation, partial(client.run, operation)) for operation in some]
        table.cells += await asyncio.gather(*work) if waits else [await cell for cell in work]


async def _together(table: Table, clients: list[Client]) -> None:
    listeners = [client for client in clients if hasattr(client, "x_executed")]
    for number, client in enumerate(clients):
        others = clients[number:] + clients[:number]
        table.cells.append(await make_cell(client.name, PASSED_ON, partial(handed_round, others)))
        table.cells.append(await make_cell(client.name, SAME_TRADE, partial(same_trade, client, listeners, clients)))
    for operation in ONE_BY_ONE:
        for client in clients:
            await _alone(table, client, [operation])
