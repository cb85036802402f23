"""Faults by chance on everything at once, then none: the books agree, nothing was bought twice, every position has its stop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from session_kit import HOUR, Stage, live, state_dir, trader

from trader.bootstrap.verification import verify_state
from trader.data.reader import LedgerReader
from trader.domain.market import MINUTE
from trader.simulation.faults import Fault
from trader.simulation.loops import run_stepped

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

FAULTS = (
    Fault(where="AddOrder", p=0.25, action="lost_response"),
    Fault(where="AddOrder", p=0.15, action="lost_request"),
    Fault(where="AddOrder", p=0.10, action="http", arg=502, after=True),
    Fault(where="AddOrder", p=0.10, action="http", arg=503),
    Fault(where="AddOrder", p=0.05, action="error", arg="EService:Busy"),
    Fault(where="AddOrder", p=0.05, action="error", arg="EOrder:Insufficient funds"),
    Fault(where="AddOrder", match={"type": "buy"}, p=0.2, action="swallow_stops"),
    Fault(where="AmendOrder", p=0.3, action="lost_response"),
    Fault(where="AmendOrder", p=0.2, action="lost_request"),
    Fault(where="CancelOrder", p=0.3, action="lost_response"),
    Fault(where="CancelOrder", p=0.2, action="lost_request"),
    Fault(where="TradesHistory", p=0.1, action="http", arg=503),
    Fault(where="OpenOrders", p=0.1, action="cut_json"),
    Fault(where="QueryOrders", p=0.15, action="html"),
    Fault(where="BalanceEx", p=0.1, action="lost_response"),
    Fault(where="executions", p=0.15, action="ws_drop"),
    Fault(where="executions", p=0.1, action="ws_duplicate"),
    Fault(where="ohlc", p=0.002, action="ws_drop"),
)
FAULT_US, HEAL_US = int(1.2 * HOUR), 10 * MINUTE  # six beats to converge, three are allowed for


@dataclass(frozen=True)
class Ended:
    journal: str
    fired: int
    buys: list[str]
    bare: dict[str, int]
    halts: list[str]
    open_positions: int
    verdict: dict[str, Any]
    failed: int


def storm(stage: Stage, history: Path, root: Path, seed: int) -> Ended:
    paths = state_dir(stage, root, history)

    async def main() -> tuple[str, int, list[str], dict[str, int], list[str]]:
        async with trader(stage, paths, *FAULTS, plan_seed=seed) as world:
            calm_us = stage.world.epoch_us + FAULT_US

            async def calm() -> int:
                await world.clock.sleep_until(calm_us)
                fired = sum(world.twin.plan.fired.values())
                world.twin.plan.clear()
                return fired

            healing = asyncio.create_task(calm(), name="heal")
            await live(world.session, world.clock, calm_us + HEAL_US)
            ledger, state = world.session.w.ledger, world.twin.exchange.state
            buys = [o.cl_ord_id or o.txid for o in state.orders.values() if o.side == "buy"]
            bare = dict(world.twin.protection_report().unprotected)
            return ledger.journal_hash(), await healing, buys, bare, [halt.cause for halt in ledger.halts()]

    journal, fired, buys, bare, halts = run_stepped(main)
    reader = LedgerReader(paths.ledger)
    failed = sum(event.type == "task.failed" for event in reader.events(limit=1_000_000))
    held = len(reader.positions())
    reader.close()
    return Ended(
        journal=journal,
        fired=fired,
        buys=buys,
        bare=bare,
        halts=halts,
        open_positions=held,
        verdict=verify_state(paths.root),
        failed=failed,
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_after_a_storm_of_faults_ledger_and_exchange_agree(stage: Stage, history: Path, tmp_path: Path, seed: int) -> None:
    ended = storm(stage, history, tmp_path / "state", seed)
    assert ended.fired >= 10
    assert len(ended.buys) >= 2
    assert len(set(ended.buys)) == len(ended.buys)
    assert ended.bare == {}
    assert ended.halts == [], "no false alarm stops trading"
    assert ended.open_positions >= 1
    assert ended.failed == 0
    assert ended.verdict["ok"], {name: check["problems"] for name, check in ended.verdict["checks"].items() if check["problems"]}
    assert ended.verdict["checks"]["fills_match"]["compared"] >= 1


def test_the_same_storm_leaves_the_same_journal(stage: Stage, history: Path, tmp_path: Path) -> None:
    journals = {storm(stage, history, tmp_path / name, 5).journal for name in ("a", "b")}
    others = {storm(stage, history, tmp_path / "c", 6).journal}
    assert len(journals) == 1
    assert journals.isdisjoint(others)
