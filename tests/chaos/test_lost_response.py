"""The cases in which freqtrade doubled or lost orders (RELIABILITY section 1), played on the whole trader in one process.

Orders and stops are counted in the exchange's books, trades in the ledger.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres_kit import needs_postgres, postgres_ledger
from session_kit import HOUR, Stage, Trader, live, opened, state_dir, trader

from trader.bootstrap.paths import Paths
from trader.data.audit import LedgerFacts, audit
from trader.data.ledger import SqlLedger
from trader.data.ledger_copy import as_file
from trader.domain.orders import Intent, Leg, Outcome
from trader.simulation.faults import Fault
from trader.simulation.loops import run_stepped

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

RUN_US = int(0.9 * HOUR)  # twenty minutes to the first signals, half an hour for what follows
BUY = {"type": "buy"}


@dataclass(frozen=True)
class Seen:
    """What stands where after a run. `buys`: entry id -> orders on the exchange that carry it; `known`: positions with fills."""

    entries: dict[str, Intent]
    buys: dict[str, int]
    filled_buys: int
    known: int
    stops: int
    bare: bool
    fired: int


def read(world: Trader) -> Seen:
    state, report = world.twin.exchange.state, world.twin.protection_report()
    buys: dict[str, int] = {}
    for order in state.orders.values():
        if order.side == "buy":
            buys[order.cl_ord_id or order.txid] = buys.get(order.cl_ord_id or order.txid, 0) + 1
    ledger = SqlLedger(world.paths.ledger, account="kraken")
    try:
        entries = {i.cl_ord_id: i for i in ledger.intents() if i.leg is Leg.ENTRY}
        known = [p for p in ledger.positions(open_only=False) if p.entry_quantity > 0]
    finally:
        ledger.close()
    live_stops = [o for o in state.orders.values() if o.live and o.ordertype == "stop-loss" and o.ours]
    bare = bool(report.unprotected) or report.max_unprotected_us > 5_000_000
    filled = sum(o.side == "buy" and o.executed > 0 for o in state.orders.values())
    return Seen(
        entries=entries, buys=buys, filled_buys=filled, known=len(known), stops=len(live_stops), bare=bare,
        fired=sum(world.twin.plan.fired.values()),
    )  # fmt: skip


def play(stage: Stage, history: Path, root: Path, *faults: Fault, run_us: int = RUN_US) -> Seen:
    async def main() -> Seen:
        async with trader(stage, state_dir(stage, root, history), *faults) as world:
            await live(world.session, world.clock, stage.world.epoch_us + run_us)
            return read(world)

    return run_stepped(main)


def assert_one_to_one(seen: Seen) -> None:
    """Each entry has one buy order, each filled one is a known trade with a stop resting for it."""
    assert len(seen.buys) >= 2
    assert set(seen.buys.values()) == {1}
    assert set(seen.buys) <= set(seen.entries)
    assert seen.filled_buys == seen.known == seen.stops >= 2
    assert not seen.bare


def test_without_a_fault_each_entry_is_one_order_and_one_trade(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen = play(stage, history, tmp_path / "state")
    assert_one_to_one(seen)
    assert seen.fired == 0


def test_responses_lost_on_every_entry_leave_one_order_each(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen = play(stage, history, tmp_path / "state", Fault(where="AddOrder", match=BUY, action="lost_response"))
    assert_one_to_one(seen)
    assert seen.fired == len(seen.buys)
    assert {i.outcome for i in seen.entries.values()} == {Outcome.ACKED}


def test_one_lost_response_leaves_one_order_each(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen = play(stage, history, tmp_path / "state", Fault(where="AddOrder", match=BUY, nth=(1,), action="lost_response"))
    assert_one_to_one(seen)
    assert seen.fired == 1


def test_a_lost_request_is_proved_absent_and_never_sent_again(stage: Stage, history: Path, tmp_path: Path) -> None:
    seen = play(stage, history, tmp_path / "state", Fault(where="AddOrder", match=BUY, nth=(1,), action="lost_request"))
    absent = [i for i in seen.entries.values() if i.outcome is Outcome.ABSENT]
    assert seen.fired == len(absent) == 1
    assert absent[0].cl_ord_id not in seen.buys
    assert set(seen.buys.values()) == {1}
    assert seen.filled_buys == seen.known == seen.stops >= 1
    assert not seen.bare


class Killed(BaseException):
    """The process is gone."""


class Crash:
    """Keeps the ledger file as a kill right after the first acknowledgement would leave it, then ends the session."""

    def __init__(self, paths: Paths) -> None:
        self.paths, self.copy = paths, paths.root / "crashed"

    def reach(self, name: str) -> None:
        if name == "after_ack" and not self.copy.exists():
            self.copy.mkdir()
            for file in self.paths.root.glob("ledger.sqlite*"):
                shutil.copy(file, self.copy / file.name)
            raise Killed

    def restore(self) -> None:
        for file in self.paths.root.glob("ledger.sqlite*"):
            file.unlink()
        for file in self.copy.iterdir():
            shutil.copy(file, self.paths.root / file.name)


def test_killed_after_the_ack_and_before_its_commit_there_is_one_order(stage: Stage, history: Path, tmp_path: Path) -> None:
    paths = state_dir(stage, tmp_path / "state", history)
    crash = Crash(paths)

    async def main() -> tuple[list[Intent], Seen]:
        async with trader(stage, paths, kill=crash) as world:
            with pytest.raises(Killed):
                await live(world.session, world.clock, stage.world.epoch_us + RUN_US)
            world.session.w.ledger.close()
            crash.restore()
            left = SqlLedger(paths.ledger, account="kraken")
            unresolved = [i for i in left.intents() if i.outcome is Outcome.SENT]
            left.close()
            async with opened(stage, paths, world.clock) as second:
                await live(second, world.clock, stage.world.epoch_us + RUN_US)
            return unresolved, read(world)

    unresolved, seen = run_stepped(main)
    assert len(unresolved) == 1
    assert seen.entries[unresolved[0].cl_ord_id].outcome is Outcome.ACKED
    assert seen.buys[unresolved[0].cl_ord_id] == 1
    assert_one_to_one(seen)


@needs_postgres
def test_a_ledger_on_postgres_tells_the_very_same_story(stage: Stage, history: Path, tmp_path: Path) -> None:
    """The same seed and faults leave the same journal, and a database that audits."""
    lost = Fault(where="AddOrder", match=BUY, action="lost_response")

    def told(paths: Paths) -> tuple[str, LedgerFacts]:
        async def main() -> str:
            async with trader(stage, paths, lost) as world:
                await live(world.session, world.clock, stage.world.epoch_us + RUN_US)
                return world.session.w.ledger.journal_hash()

        journal = run_stepped(main)
        with as_file(paths.ledger_at) as file:
            return journal, audit(file)

    with postgres_ledger() as url:
        paths = state_dir(stage, tmp_path / "server", history)
        paths.ledger_url.write_text(url)
        journal, facts = told(paths)
    assert not paths.ledger.exists()
    assert facts.problems == () and len(facts.fills) >= 2 and facts.counts["journal"] > 100
    assert (journal, facts) == told(state_dir(stage, tmp_path / "file", history))
