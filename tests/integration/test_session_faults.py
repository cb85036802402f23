"""Demos with a fault plan: what the result object and `trader verify` say when the exchange, the data or the AI misbehave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from session_kit import PAIRS, Stage
from typer.testing import CliRunner

from trader.bootstrap.demo import DemoOptions, run_demo
from trader.bootstrap.ingestion import Judge
from trader.bootstrap.paths import Paths
from trader.cli import app
from trader.config import load
from trader.data.ingest import judge_staged
from trader.data.reader import LedgerReader
from trader.domain.orders import Leg, Outcome

pytestmark = pytest.mark.slow

SEED = 1  # enters twenty minutes after its liveliest hour begins
FOREIGN = """
[[fault]]
where = "account"
action = "foreign_fill"
arg = { pair = "XRP/EUR", side = "buy", quantity = "10", after_s = 1500 }
"""
SWALLOWED = """
[[fault]]
where = "AddOrder"
action = "swallow_stops"
"""
DISORDERED = """
[[fault]]
where = "OHLC"
match = { pair = "SOL/EUR" }
action = "non_monotonic"
"""
REFUSED = """
[[fault]]
where = "AddOrder"
match = { type = "buy" }
nth = 1
action = "error"
arg = "EOrder:Insufficient funds"

[[fault]]
where = "AddOrder"
match = { type = "buy" }
nth = 2
action = "error"
arg = "EOrder:Order minimum not met"
"""
AI_DOWN = """
[[fault]]
where = "decisions"
action = "500"
"""


def demo(
    root: Path, plan: str = "", *, seed: int = SEED, minutes: int = 60, ai: str = "off", judge: Judge | None = judge_staged
) -> dict[str, Any]:  # fmt: skip
    """`trader demo --plan` on a few pairs, beginning where this seed is lively; the gate's equal in Polars spares a process each."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / "plan.toml"
    file.write_text(plan)
    settings = load({"market.pairs": PAIRS, "universe": PAIRS, "ai.mode": ai, "market.seed": seed}, environ={})
    start = datetime.fromtimestamp(Stage.of(seed).world.epoch_us / 1e6, UTC).isoformat()
    options = DemoOptions(minutes=minutes, state=root / "state", plan=file if plan else None, start=start)
    return run_demo(settings, options, judge=judge)


def reader(root: Path) -> LedgerReader:
    return LedgerReader(Paths(root / "state").ledger)


def test_a_foreign_fill_is_named_and_breaks_the_verdict(tmp_path: Path) -> None:
    result = demo(tmp_path, FOREIGN)
    assert result["invariants"]["no_foreign_activity"] is False
    assert result["invariants"]["balances_match"] is False
    assert "XRP/EUR" in result["problems"]["no_foreign_activity"][0]
    assert result["invariants"]["fills_match"], "our own trades still agree"
    assert result["compared"]["fills_match"] >= 3
    ledger = reader(tmp_path)
    halts = {halt.cause for halt in ledger.halts()}
    ledger.close()
    assert {"foreign XRP", "mismatch XRP"} <= halts
    verdict = CliRunner().invoke(app, ["verify", "--state", str(tmp_path / "state")])
    assert verdict.exit_code == 1
    assert "no_foreign_activity" in verdict.output


def test_swallowed_stops_show_as_unprotected_and_are_placed_again_and_again(tmp_path: Path) -> None:
    result = demo(tmp_path, SWALLOWED)
    assert result["invariants"]["protected"] is False
    assert result["max_unprotected_s"] > 5
    assert result["fills"] >= 3
    ledger = reader(tmp_path)
    lost = [event for event in ledger.events(limit=100_000) if event.type == "order.lost"]
    ledger.close()
    assert len(lost) >= 10, "each beat finds them gone"
    assert {name: ok for name, ok in result["invariants"].items() if not ok} == {"protected": False}


def test_candles_out_of_order_block_their_pair_by_the_expectations_name_and_no_other(tmp_path: Path) -> None:
    result = demo(tmp_path, DISORDERED, judge=None)
    assert result["blocked_pairs"] == {"SOL/EUR": "expect_column_values_to_be_between(step_s)"}
    assert result["pairs"] == PAIRS - 1
    ledger = reader(tmp_path)
    entered = {view.intent.pair for view in ledger.orders(limit=1000) if view.intent.leg is Leg.ENTRY}
    ledger.close()
    assert len(entered) >= 3
    assert "SOL/EUR" not in entered
    assert all(result["invariants"].values())


def test_refused_entries_are_counted_and_leave_no_position_behind(tmp_path: Path) -> None:
    result = demo(tmp_path, REFUSED)
    assert result["refusals"]["EXCHANGE_FUNDS"] == 1
    assert result["refusals"]["EXCHANGE_SIZE"] == 1
    ledger = reader(tmp_path)
    refused = [view for view in ledger.orders(limit=1000) if view.intent.outcome is Outcome.REJECTED]
    held = {position.position.position_id for position in ledger.positions()}
    ledger.close()
    assert sorted(view.answer for view in refused) == ["EOrder:Insufficient funds", "EOrder:Order minimum not met"]
    assert held.isdisjoint(view.intent.position_id for view in refused)
    assert len(held) == result["fills"] >= 3, "the others were bought"
    assert all(result["invariants"].values())


def test_with_the_ai_down_veto_mode_enters_nothing(tmp_path: Path) -> None:
    result = demo(tmp_path, AI_DOWN, ai="veto")
    assert result["signals"] >= 5
    assert result["orders"] == 0
    assert result["verdicts"]["defer"] >= result["refusals"]["AI_NONE"] >= 5
    assert all(result["invariants"].values())
