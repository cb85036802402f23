"""A ledger transaction against the very same statements through bare sqlite3: DATA.md section 8, as ratios in one run.

    python -m benchmarks.ledger [--quick] [--transactions N]

Each transaction begins an entry: its intent, its position and their two journal rows, after the checks of lease, halts and
repetition, committed with synchronous=FULL. Its statements are recorded with their values and played into a second file
with the same schema and pragmas, transaction by transaction in turn, so both meet the same disk. JSON lines on stdout; exit
code 1 where the two files do not hold the same rows in the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import event

from tests.amounts import whole
from trader.data.engine import PRAGMAS
from trader.data.ledger import SqlLedger
from trader.data.reader import LedgerReader
from trader.domain.account import ExitPlan, Position
from trader.domain.market import MINUTE
from trader.domain.orders import Intent, Leg, OrderType, Side, client_order_id, entry_key

ACCOUNT, STRATEGY, T0 = "bench", "viable/mitraillette/AGGRESSIVE", 1_767_571_200_000_000
LEASE_US = 10**15
OPEN = 20  # positions of a busy account
TABLES = ("journal", "intent", "position", "cash", "lease")
PLAN = ExitPlan(
    kind="hybrid", stop=0.02, tp1=0.02, tp2=0.04, legs=(0.382, 0.382), ratchet_base=0.01, breakeven=0.009, stagnation_bars=5,
    stagnation_low=-0.01, stagnation_high=0.01, max_hold_bars=0, cooldown_bars=3, cooldown_stop_bars=6,
)  # fmt: skip
Statement = tuple[str, Any]


def entry(number: int) -> tuple[Intent, Position]:
    """The n-th entry order, with the position it opens."""
    now_us = T0 + number * MINUTE
    key = entry_key("BTC/EUR", STRATEGY, now_us, Side.BUY)
    name = client_order_id("abc", ACCOUNT, key, Leg.ENTRY, 0)
    intent = Intent(
        cl_ord_id=name, key=key, leg=Leg.ENTRY, attempt=0, position_id=name, pair="BTC/EUR", side=Side.BUY, order_type=OrderType.LIMIT,
        quantity=Decimal("0.00123456"), limit_price=Decimal("50123.4"), close_trigger=Decimal("49100.1"), immediate=True,
        created_us=now_us, deadline_us=now_us + 5_000_000, reason=key,
    )  # fmt: skip
    return intent, Position(
        position_id=name, pair="BTC/EUR", side=Side.BUY, strategy=STRATEGY, entry_key=key, plan=PLAN, opened_us=now_us
    )  # fmt: skip


class Recorder:
    """Takes down what a ledger tells its database: through SQLAlchemy, or the driver itself, in whose place it stands."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.statements: list[Statement] = []
        event.listen(ledger._connection, "before_cursor_execute", self._seen)
        pooled: Any = ledger._connection.connection
        self._driver, pooled.dbapi_connection = pooled.dbapi_connection, self

    def _seen(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        self.statements.append((statement, parameters))

    def execute(self, statement: str, parameters: Any = ()) -> Any:
        self.statements.append((statement, parameters))
        return self._driver.execute(statement, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


def bare(path: Path) -> sqlite3.Connection:
    """A connection as the ledger opens its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def played(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """The same statements, their answers read as the ledger reads them."""
    for statement, parameters in statements:
        connection.execute(statement, parameters).fetchall()


def milliseconds(begun: float) -> float:
    return 1000 * (time.perf_counter() - begun)


def measured(folder: Path, transactions: int) -> tuple[list[float], list[float], Path, Path]:
    """Milliseconds of each transaction through the ledger and through bare sqlite3, and the two files."""
    ours, theirs = folder / "ledger.sqlite", folder / "bare.sqlite"
    ledger = SqlLedger(ours, account=ACCOUNT)
    ledger.set_opening_cash({"EUR": Decimal(10_000)}, T0)
    lease = ledger.acquire_lease(ACCOUNT, "bench", T0, LEASE_US)
    ledger._connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
    shutil.copy(ours, theirs)
    other, recorder = bare(theirs), Recorder(ledger)
    through_ledger, through_sqlite = [], []
    for number in range(transactions):
        intent, position = entry(number)
        recorder.statements.clear()
        begun = time.perf_counter()
        ledger.begin(intent, lease, intent.created_us, position=position)
        through_ledger.append(milliseconds(begun))
        begun = time.perf_counter()
        played(other, recorder.statements)
        through_sqlite.append(milliseconds(begun))
    other.close()
    ledger.close()
    return through_ledger, through_sqlite, ours, theirs


def same_rows(one: Path, two: Path) -> bool:
    """Whether two ledgers hold the same rows."""
    files = [sqlite3.connect(path) for path in (one, two)]
    try:
        return all(len({repr(file.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()) for file in files}) == 1 for table in TABLES)
    finally:
        for file in files:
            file.close()


def reading(path: Path, times: int) -> list[float]:
    """Milliseconds of what a status page asks for: 20 open positions, totals and halts, through a reader's own connection."""
    spent = []
    ledger = SqlLedger(path, account=ACCOUNT)
    lease = ledger.acquire_lease(ACCOUNT, "bench", T0, LEASE_US)
    for number in range(OPEN):
        intent, position = entry(number)
        ledger.begin(intent, lease, intent.created_us, position=position)
    ledger.close()
    reader = LedgerReader(path)
    for _ in range(times):
        begun = time.perf_counter()
        reader.positions(), reader.totals(), reader.halts()
        spent.append(milliseconds(begun))
    reader.close()
    return spent


def at(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def line(name: str, value: float, against: str | None = None, reference: float | None = None) -> None:
    ratio = None if reference is None else round(value / reference, 3)
    print(json.dumps({"name": name, "value": round(value, 4), "unit": "ms", "ratio_to": against, "ratio": ratio}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 transactions instead of 3,000")
    parser.add_argument("--transactions", type=whole(0), default=0)
    arguments = parser.parse_args()
    count = arguments.transactions or (300 if arguments.quick else 3_000)
    with tempfile.TemporaryDirectory(prefix="trader-bench-") as folder:
        ours, theirs, ledger_file, bare_file = measured(Path(folder), count)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            line(f"sqlite3.commit.{name}", at(theirs, share))
            line(f"ledger.commit.{name}", at(ours, share), f"sqlite3.commit.{name}", at(theirs, share))
        line("ledger.read", at(reading(Path(folder) / "read.sqlite", 50), 0.5))
        if not same_rows(ledger_file, bare_file):
            print("the two files do not hold the same rows: the comparison is void", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
