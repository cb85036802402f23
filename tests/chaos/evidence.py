"""What stands in the exchange's books and in the ledger's file after a run, read by code of its own; invariants judge only this."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.chaos.watching import Seen, Skew
from tests.chaos.world import World
from trader.bootstrap.paths import API_SECRET, tag_of
from trader.data.audit import Problem, audit
from trader.simulation.exchange_account import ProtectionReport
from trader.simulation.exchange_orders import PairRules, TwinOrder, TwinTrade

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    seq: int
    time_us: int
    type: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything the invariants look at. `skewed`: spans in which the two clocks differed on purpose."""

    tag: str
    orders: Mapping[str, TwinOrder]
    trades: Mapping[str, TwinTrade]
    balances: Mapping[str, Decimal]
    rules: Mapping[str, PairRules]
    protection: ProtectionReport
    intents: Sequence[Row]
    fills: Sequence[Row]
    positions: Sequence[Row]
    decisions: Sequence[Row]
    cash: Mapping[str, Decimal]
    halts: Sequence[Row]
    journal: Sequence[JournalLine]
    problems: Sequence[Problem]
    seen: Seen
    logs: Sequence[str]
    files: Mapping[str, bytes]
    secrets: Sequence[str]
    skewed: Sequence[Skew]
    healed_us: int
    ended_us: int
    injected: frozenset[str]
    ai: bool
    journal_hash: str
    books_hash: str
    again: tuple[str, str] | None = None  # journal and books of a second play

    def count(self, type_: str) -> int:
        """Journal lines of a type."""
        return sum(line.type == type_ for line in self.journal)

    def ours(self) -> dict[str, TwinOrder]:
        """The exchange's orders that carry our tag, and the conditional closes of those."""
        tagged = {txid: order for txid, order in self.orders.items() if (order.cl_ord_id or "").startswith("t" + self.tag)}
        return tagged | {txid: order for txid, order in self.orders.items() if order.refid in tagged}

    def in_skew(self, time_us: int) -> bool:
        """Whether the clocks differed on purpose then, by ours."""
        return any(one.since_us <= time_us <= one.until_us for one in self.skewed)

    def skewed_stamp(self, order: TwinOrder) -> bool:
        """Whether a clock that differed on purpose said when the order came."""
        return any(one.stamped(order) for one in self.skewed)


def gather(world: World) -> Evidence:
    """Read the books and the ledger of a run that has ended."""
    state, paths = world.twin.exchange.state, world.paths
    connection = sqlite3.connect(f"{paths.ledger.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        tables = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in TABLES}
        journal = [
            JournalLine(seq=row["seq"], time_us=row["time_us"], type=row["type"], payload=json.loads(row["payload"]))
            for row in connection.execute("SELECT seq, time_us, type, payload FROM journal ORDER BY seq")
        ]
        chain = connection.execute("SELECT hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    finally:
        connection.close()
    return Evidence(
        tag=tag_of(world.stage.world.seed), orders=dict(state.orders), trades=dict(state.trades), balances=dict(state.balances),
        rules=dict(world.twin.exchange.by_symbol), protection=world.twin.exchange.protection_report(world.clock_end_us),
        intents=tables["intent"], fills=tables["fill"], positions=tables["position"],
        decisions=tables["decision"], cash={row["asset"]: Decimal(row["quantity"]) for row in tables["cash"]}, halts=tables["halt"],
        journal=journal, problems=audit(paths.ledger).problems, seen=world.seen, logs=list(world.logs.lines), files=_texts(paths.root),
        secrets=(API_SECRET,), skewed=tuple(world.skewed), healed_us=world.healed_us, ended_us=world.clock_end_us,
        injected=frozenset(one.row for one in world.plan.injections), ai=world.plan.ai, journal_hash=chain[0] if chain else "",
        books_hash=_digest(paths.twin),
    )  # fmt: skip


TABLES = ("intent", "fill", "position", "decision", "cash", "halt")


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _texts(root: Path) -> dict[str, bytes]:
    """The files that a run wrote about itself; candles and the exchange's own books are not ours."""
    kept = [root / "ledger.sqlite", root / "ops.sqlite", root / "ai.sqlite", *sorted((root / "logs").glob("*"))]
    return {file.name: file.read_bytes() for file in kept if file.is_file()}
