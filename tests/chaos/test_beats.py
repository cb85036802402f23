"""The starred invariants at a beat: each fails on a breach, and one that has passed by the end is told all the same."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import ordeal
from tests.chaos.beats import Looker, Memory, Moment, judge_moment
from tests.chaos.folds import Halted, Tokens
from tests.chaos.ordeal import Ground, play
from tests.chaos.plan import ChaosPlan, Injection
from tests.chaos.world import World
from trader.domain.market import MINUTE, SECOND
from trader.simulation.exchange_orders import TwinOrder

BEGUN, HELD = {"tabc1": 5}, {"p1": Decimal(2)}


def order(**changes: Any) -> TwinOrder:
    values = {"txid": "O1", "number": 1, "pair": "BTC/EUR", "side": "buy", "ordertype": "limit", "volume": Decimal(2), "opened_us": 9}
    return TwinOrder(**(values | {"cl_ord_id": "tabc1"} | changes))


def entry(token: int = 3) -> tuple[str, dict[str, Any]]:
    return "intent", {"cl_ord_id": "tabc1", "leg": "entry", "pair": "BTC/EUR", "token": token}


def outcome(**changes: Any) -> tuple[str, dict[str, Any]]:
    proof = {"deadline_us": 10, "passes_us": [20, 20 + SECOND], "late": False}
    return "resolved", {"cl_ord_id": "tabc1", "outcome": "ABSENT", "answer": "", "proof": proof} | changes


def memory(**changes: Any) -> Memory:
    return Memory(**({"tokens": Tokens(newest=3, free=False)} | changes))


GOOD = Moment(
    lines=[entry(), outcome(outcome="ACKED"), ("lease.acquired", {"token": 4}), entry(4)], orders=[order()], begun=BEGUN,
    live=[order(side="sell")], balances={"BTC": Decimal(2)}, reducers=[{"position_id": "p1", "quantity": "2", "filled": "0"}],
    held=HELD, bought=HELD,
)  # fmt: skip
BREACHES: dict[str, tuple[Moment, Memory, str]] = {
    "INV-2": (Moment(orders=[order()]), memory(), "limit O1 of BTC/EUR has no intent"),
    "INV-2 later": (Moment(orders=[order(opened_us=4)], begun=BEGUN), memory(), "limit O1 of BTC/EUR is older than its intent"),
    "INV-3": (Moment(lines=[outcome(outcome="REJECTED")]), memory(), "tabc1 is REJECTED without a word"),
    "INV-3 proof": (Moment(lines=[outcome(proof={"passes_us": [1]})]), memory(), "tabc1 is ABSENT on {'passes_us': [1]}"),
    "INV-3 stands": (Moment(lines=[outcome()]), memory(named={"tabc1"}), "tabc1 is ABSENT, and stands on the exchange"),
    "INV-4": (Moment(held=HELD, bought={"p1": Decimal(3)}), memory(), "position p1 holds 2, its fills come to 3"),
    "INV-5": (
        Moment(orders=[order()], begun=BEGUN), memory(bars=Counter({("BTC/EUR", 0): 1})), "BTC/EUR was bought 2 times in one bar"
    ),
    "INV-7": (Moment(live=[order(side="sell")], balances={"BTC": Decimal(1)}), memory(), "BTC: 2 on sale, 1 held"),
    "INV-7 ledger": (
        Moment(reducers=[{"position_id": "p1", "quantity": "3", "filled": "0.5"}], held=HELD), memory(), "position p1: 2.5 promised, 2 held"
    ),
    "INV-9": (Moment(lines=[entry(2)]), memory(), "intent tabc1 carries token 2, the newest is 3"),
    "INV-18": (
        Moment(lines=[entry()]), memory(halted=Halted(on={"mismatch BTC": None})), "entry tabc1 in BTC/EUR while halted by mismatch BTC"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREACHES)
def test_an_invariant_fails_at_the_beat_of_its_breach(name: str) -> None:
    moment, before, said = BREACHES[name]
    assert list(judge_moment(moment, before)) == [(name.partition(" ")[0], said)]


def test_a_beat_that_brought_nothing_wrong_breaks_nothing() -> None:
    assert list(judge_moment(GOOD, memory())) == []


@pytest.mark.chaos
@pytest.mark.slow
def test_what_was_wrong_for_three_minutes_only_is_told_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lend(world: World, _row: str) -> None:
        """Coins of the first holding are gone from the account for a while."""
        pair = next(iter(world.twin.exchange.protection_report(0).positions))
        balances, base = world.twin.exchange.state.balances, pair.partition("/")[0]
        balances[base], kept = Decimal(0), balances[base]
        await world.clock.sleep(180)
        balances[base] = kept

    monkeypatch.setattr(ordeal, "ACTS", {"lend": lend})
    ground = Ground.of(1, tmp_path, pairs=4)
    plan = ChaosPlan(seed=1, fault_us=27 * MINUTE, injections=(Injection(row="LEND", act="lend", at=0.8),))
    ended = play(plan, ground, transport="direct")
    assert ended.evidence.seen.looks >= 15
    assert [what.partition(":")[2] for what in ended.problems["INV-7"]] != []


@pytest.mark.chaos
def test_a_look_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Looker) -> bool:
        raise OSError("the ledger's file cannot be read")

    monkeypatch.setattr(Looker, "look", broken)
    with pytest.raises(OSError, match="cannot be read"):
        play(ChaosPlan(seed=1, fault_us=10 * MINUTE, injections=()), Ground.of(1, tmp_path, pairs=4), transport="direct")
