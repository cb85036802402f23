"""Strangers' clients, unmodified, against `trader twin kraken` in paced real time; and the control that their table can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.clients import renamed
from tests.clients.operations import FUTURES, SPOT
from tests.clients.run import NAMES, table_of
from tests.clients.table import FAILED, NOT_APPLICABLE, OK, SKIPPED, Cell, Table, make_cell
from tests.clients.twin_process import running

OPERATIONS = SPOT + FUTURES
LEAST_OK = {"ccxt": 62, "ccxt JavaScript": 62, "python-kraken-sdk": 62, "krakenex": 31}
"""A table that shrinks is no better than one that fails."""
RENAMED = tuple(operation for operation in renamed.RENAMED if not operation.startswith("ws ") or operation == "ws ticker")
"""What waits for the market to move is left to `python -m tests.clients --renamed`."""

pytestmark = [pytest.mark.slow]


@dataclass(slots=True, kw_only=True)
class Made:
    """The table of this run, the rows of its control, and what failed before anything was renamed."""

    table: Table
    rows: list[renamed.Row]
    broken: list[str]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """Both at the same time, each with a twin of its own: they mostly wait."""
    rows = renamed.rows(RENAMED)

    async def both() -> tuple[Table, list[str]]:
        return await asyncio.gather(table_of(twin), renamed.control(other, rows))

    with running(NAMES, tls=True) as twin, running(renamed.NAMES) as other:
        table, broken = asyncio.run(both())
    print(table.text(OPERATIONS, NAMES), renamed.text(rows), sep="\n\n")
    yield Made(table=table, rows=rows, broken=broken)


def test_every_cell_is_ok_or_says_why_not(made: Made) -> None:
    assert [f"{cell.client}: {cell.operation}: {cell.reason}" for cell in made.table.bad()] == []
    assert {cell.operation for cell in made.table.cells} == set(OPERATIONS)
    for client, least in LEAST_OK.items():
        skipped = made.table.count(client, SKIPPED)
        assert skipped in (0, len(OPERATIONS)), client
        assert skipped == 0 or client == "ccxt JavaScript", "only node may be absent"
        assert made.table.count(client, OK) >= (0 if skipped else least), client
        assert made.table.count(client, NOT_APPLICABLE) == (8 + len(FUTURES) if client == "krakenex" else 0), client


def test_a_renamed_field_is_noticed_or_listed_as_unobserved(made: Made) -> None:
    assert made.broken == []
    observed = [row for row in made.rows if row.refused]
    assert len(made.rows) >= 85
    assert len(observed) >= 80
    assert {"AssetPairs", "Ticker", "AddOrder", "OpenOrders", "TradesHistory", "Ledgers", "ticker"} <= {row.where for row in observed}
    unobserved = [f"{row.where}.{row.name}" for row in made.rows if row.verdict == "unobserved"]
    assert "AssetPairs.margin_call" in unobserved, "nobody reads it: a control that finds everything refused finds nothing"


# --- the table itself ---------------------------------------------------------------------------------------------------
def test_a_table_tells_failures_from_absence() -> None:
    async def fails() -> None:
        raise KeyError("descr")

    async def hangs() -> None:
        await asyncio.sleep(60)

    table = Table()
    table.cells.append(asyncio.run(make_cell("ccxt", "ticker", fails)))
    table.cells.append(asyncio.run(make_cell("ccxt", "balance", hangs, patience_s=0.01)))
    table.cells.append(Cell(client="krakenex", operation="ticker", outcome=NOT_APPLICABLE, reason="REST only"))
    table.cells.append(Cell(client="krakenex", operation="balance", outcome=SKIPPED))
    assert [cell.outcome for cell in table.cells] == [FAILED, FAILED, NOT_APPLICABLE, SKIPPED]
    assert [cell.reason for cell in table.bad()] == ["KeyError: 'descr'", "no end within 0.01 s", ""]
    assert "FAILED [1]" in table.text(["ticker", "balance"], ["ccxt", "krakenex"])
