"""Each of the twenty invariants holds on a run without faults and fails on a breach planted into its evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.catalogue import chosen
from tests.chaos.evidence import Evidence, JournalLine
from tests.chaos.exits import exits
from tests.chaos.invariants import INVARIANTS, judge
from tests.chaos.ordeal import Ground, play
from tests.chaos.plan import ChaosPlan, draw
from tests.chaos.watching import Skew, Trouble
from trader.bootstrap.paths import API_SECRET
from trader.domain.market import MINUTE, SECOND

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    ground = Ground.of(1, tmp_path_factory.mktemp("ground"), pairs=5)
    plan = ChaosPlan(seed=1, fault_us=70 * MINUTE, injections=(), exit_us=25 * MINUTE)
    return play(plan, ground).evidence


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A run under every fault of its seed, with exits among them."""
    ground = Ground.of(1, tmp_path_factory.mktemp("faulty"), pairs=5)
    drawn = draw(1, chosen(["all"]), 150 * MINUTE)
    return play(replace(drawn, exit_us=25 * MINUTE), ground, transport="direct").evidence


def first(e: Evidence, **wanted: Any) -> int:
    """Place of the first intent with these values."""
    return next(n for n, row in enumerate(e.intents) if all(row[name] == value for name, value in wanted.items()))


def intent(e: Evidence, place: int, **changes: Any) -> Evidence:
    rows = [dict(row) for row in e.intents]
    rows[place] |= changes
    return replace(e, intents=rows)


def twice(e: Evidence) -> Evidence:
    """The first buy stands a second time on the exchange, under another id."""
    order = next(order for order in e.orders.values() if order.side == "buy")
    again = replace(order, txid="OAGAIN-AGAIN-AGAINA", cl_ord_id=(order.cl_ord_id or "")[:-1] + "a")
    return replace(e, orders={**e.orders, again.txid: again})


def seen(e: Evidence, **changes: Any) -> Evidence:
    return replace(e, seen=replace(e.seen, **changes))


def journal(e: Evidence, *lines: tuple[str, dict[str, Any]], after: str = "") -> Evidence:
    """Journal lines put in behind the first one of a type, or at the end."""
    rows = list(e.journal)
    place = next((n + 1 for n, line in enumerate(rows) if line.type == after), len(rows))
    time_us = rows[place - 1].time_us
    rows[place:place] = [JournalLine(seq=0, time_us=time_us, type=type_, payload=payload) for type_, payload in lines]
    return replace(e, journal=rows)


def entry(e: Evidence) -> dict[str, Any]:
    return dict(next(line.payload for line in e.journal if line.type == "intent" and line.payload["leg"] == "entry"))


def without_trade(e: Evidence) -> Evidence:
    return replace(e, fills=e.fills[1:])


def guessed(e: Evidence) -> Evidence:
    return intent(e, 0, outcome="ABSENT", txid=None, proof_json=json.dumps({"passes_us": [1]}))


def slow_exit(e: Evidence, late_us: int = MINUTE) -> Evidence:
    rows = [dict(row) | {"closed_us": row["closed_us"] and row["closed_us"] + late_us} for row in e.positions]
    return replace(e, positions=rows)


def late_entry(e: Evidence) -> Evidence:
    place = first(e, leg="entry")
    return intent(e, place, created_us=e.intents[place]["created_us"] + 60 * MINUTE)


def off_tick(e: Evidence) -> Evidence:
    order = next(order for order in e.orders.values() if order.side == "buy" and order.price is not None)
    return replace(e, orders={**e.orders, order.txid: replace(order, price=(order.price or Decimal(0)) + Decimal("1e-9"))})


def oversold(e: Evidence) -> Evidence:
    stop = next(order for order in e.orders.values() if order.side == "sell")
    return replace(e, orders={**e.orders, stop.txid: replace(stop, status="open", volume=Decimal(10**9))})


def too_dear(e: Evidence) -> Evidence:
    place = first(e, leg="entry")
    return intent(e, place, quantity=str(Decimal(e.intents[place]["quantity"]) * 2))


def fewer_pairs(e: Evidence) -> Evidence:
    last = [line for line in e.journal if line.type == "decisions"][-1]
    return journal(e, ("decisions", dict(last.payload) | {"rows": 1, "close_us": last.payload["close_us"] + 1}))


BREACHES: dict[str, Callable[[Evidence], Evidence]] = {
    "INV-1": without_trade,
    "INV-2": lambda e: intent(e, 0, created_us=e.intents[0]["created_us"] + MINUTE),
    "INV-3": guessed,
    "INV-4": lambda e: replace(e, balances={**e.balances, "EUR": e.balances["EUR"] + Decimal("0.0001")}),
    "INV-5": twice,
    "INV-6": lambda e: seen(e, bare=[("BTC/EUR", 0, 13 * SECOND)]),
    "INV-7": oversold,
    "INV-8": slow_exit,
    "INV-9": lambda e: journal(e, ("lease.acquired", {"token": 7})),
    "INV-10": late_entry,
    "INV-11": lambda e: journal(e, ("reconcile", {"differences": 3})),
    "INV-12": lambda e: seen(e, limiter=[(0, 1.0, 2.0)]),
    "INV-13": off_tick,
    "INV-14": lambda e: journal(e, ("system.started", {}), ("intent", entry(e)), after="lease.acquired"),
    "INV-15": lambda e: seen(e, tasks=[500]),
    "INV-16": fewer_pairs,
    "INV-17": too_dear,
    "INV-18": lambda e: journal(e, ("halt.set", {"cause": "operator"}), ("intent", entry(e))),
    "INV-19": lambda e: replace(e, again=("another", e.books_hash)),
    "INV-20": lambda e: replace(e, logs=[f"sent with {API_SECRET}"]),
}


def test_a_run_without_faults_breaks_nothing_and_has_something_to_look_at(clean: Evidence) -> None:
    assert judge(clean) == {}
    assert list(INVARIANTS) == list(BREACHES)
    assert len(clean.fills) >= 3
    assert clean.seen.looks >= clean.count("beat") - 1
    assert sum(row["leg"] == "exit" for row in clean.intents) >= 1
    assert any(line.type == "control.answered" for line in clean.journal)


@pytest.mark.parametrize("name", INVARIANTS)
def test_an_invariant_fails_on_its_breach(name: str, clean: Evidence) -> None:
    assert INVARIANTS[name](clean) == []
    assert INVARIANTS[name](BREACHES[name](clean))


def test_late_exits_are_named_on_a_run_with_faults_too(faulty: Evidence) -> None:
    assert INVARIANTS["INV-8"](faulty) == []
    asked = exits(faulty)
    assert len({one.row for one in faulty.seen.deliveries}) >= 10
    assert sum(not one.excused for one in asked) >= 2
    assert len(INVARIANTS["INV-8"](slow_exit(faulty, 30 * MINUTE))) == len(asked)


@pytest.mark.parametrize(("lasts_s", "pair", "named"), [(0, "", True), (20, "", True), (50, "", False), (50, "another", True)])
def test_an_excuse_of_an_exit_ends_with_its_trouble(lasts_s: int, pair: str, named: bool, clean: Evidence) -> None:
    late, asked = slow_exit(clean), exits(clean)[0]
    trouble = Trouble(since_us=asked.asked_us, until_us=asked.asked_us + lasts_s * SECOND, pair=pair)
    assert len(INVARIANTS["INV-8"](seen(late, troubles=[trouble]))) == len(exits(clean)) - (not named)


def exits_of(e: Evidence) -> list[str]:
    """Positions a person told to leave."""
    return [line.payload["argument"] for line in e.journal if line.type == "control.submitted" and line.payload["verb"] == "exit"]


def test_a_sleep_of_the_machine_makes_what_lasts_last_longer_and_nothing_else(clean: Evidence) -> None:
    told = replace(
        clean.seen, troubles=[Trouble(since_us=0, until_us=9), Trouble(since_us=0, until_us=10), Trouble(since_us=4, until_us=30)]
    )
    told.asleep(10, 100)
    assert [one.until_us for one in told.troubles] == [9, 10, 130]


@pytest.mark.parametrize(
    ("state", "share", "judged"), [("OPEN", "0.9", False), ("DUST", "0.9", False), ("OPEN", "1", True), ("CLOSED", "0", True)]
)
def test_an_exit_of_less_than_the_exchange_takes_is_not_expected(state: str, share: str, judged: bool, clean: Evidence) -> None:
    name = exits_of(clean)[0]
    rows = [dict(row) for row in clean.positions]
    (row,) = (row for row in rows if row["position_id"] == name)
    row |= {"state": state, "quantity": str(clean.rules[row["pair"]].ordermin * Decimal(share)), "closed_us": None}
    late = replace(clean, positions=rows, ended_us=clean.ended_us + 30 * MINUTE)
    assert len(exits(late)) == len(exits(clean)) - (not judged)
    assert bool(INVARIANTS["INV-8"](late)) == judged


def test_the_time_of_a_dead_trader_is_not_an_exits_own_and_the_next_lifes_is(clean: Evidence) -> None:
    late, asked = slow_exit(clean), exits(clean)[0]
    died_us = asked.asked_us + SECOND
    for back_s, named in ((20, True), (50, False)):
        lines = [line for line in clean.journal if line.time_us <= died_us]
        lines += [
            JournalLine(seq=0, time_us=asked.asked_us + back_s * SECOND, type=type_, payload={})
            for type_ in ("lease.acquired", "reconcile")
        ]
        dead = replace(seen(late, deaths=[("after_cancel_ack", died_us)]), journal=lines)
        assert bool(INVARIANTS["INV-8"](dead)) == named


@pytest.mark.parametrize(
    ("sale", "proof_s", "bare_s", "named"),
    [
        (("exit", "BTC/EUR"), 11.0, 15.0, []), (("exit", "BTC/EUR"), 11.0, 17.0, ["6.0"]), (("exit", "BTC/EUR"), 13.0, 15.0, ["13.0"]),
        (("entry", "BTC/EUR"), 4.0, 8.0, ["8.0"]), (("exit", "ETH/EUR"), 4.0, 8.0, ["8.0"]),
    ],
)  # fmt: skip
def test_the_clock_of_what_is_bare_restarts_where_a_lost_sale_is_proved_absent(
    clean: Evidence, sale: tuple[str, str], proof_s: float, bare_s: float, named: list[str]
) -> None:
    begun = clean.journal[-1].time_us
    proof = {"outcome": "ABSENT", "leg": sale[0], "pair": sale[1]}
    line = JournalLine(seq=0, time_us=begun + int(proof_s * SECOND), type="resolved", payload=proof)
    told = seen(replace(clean, journal=[*clean.journal, line]), bare=[("BTC/EUR", begun, begun + int(bare_s * SECOND))], troubles=[])
    assert INVARIANTS["INV-6"](told) == [f"BTC/EUR was bare for {seconds} s" for seconds in named]


@pytest.mark.parametrize(("bare_s", "at_s", "named"), [(4.9, None, False), (5.1, None, True), (5.1, 2, False), (12.1, 2, True)])
def test_a_holding_may_be_bare_for_longer_only_where_a_fault_can_delay_its_stop(
    bare_s: float, at_s: int | None, named: bool, clean: Evidence
) -> None:
    begun = clean.ended_us
    troubles = [] if at_s is None else [Trouble(since_us=begun + at_s * SECOND, until_us=begun + at_s * SECOND)]
    told = seen(clean, bare=[("BTC/EUR", begun, begun + int(bare_s * SECOND))], troubles=troubles)
    assert bool(INVARIANTS["INV-6"](told)) == named


def test_only_rows_that_can_delay_an_order_begin_a_trouble(tmp_path: Path) -> None:
    ground = Ground.of(1, tmp_path, pairs=4)
    plan = draw(1, chosen(["W1", "W2", "W3", "M4", "H25"]), 40 * MINUTE)
    told = play(plan, ground, transport="direct").evidence
    starts_and_heal = 1
    assert len(told.seen.deliveries) >= 5
    assert len(told.seen.troubles) == starts_and_heal


@pytest.mark.parametrize("error", ["AuthError: Kraken refused: EGeneral:Permission denied", "KeyError: 'SUI/EUR'"])
def test_a_task_may_fail_by_a_refused_key_only_where_the_key_was_refused(error: str, clean: Evidence) -> None:
    failed = journal(clean, ("task.failed", {"task": "resolve SUI/EUR", "error": error}))
    refused = replace(failed, injected=frozenset({"H17"}))
    assert INVARIANTS["INV-16"](failed) == [f"task resolve SUI/EUR: {error}"]
    assert bool(INVARIANTS["INV-16"](refused)) == ("AuthError" not in error)


def test_what_an_act_found_on_the_spot_counts_under_its_invariant(clean: Evidence, tmp_path: Path) -> None:
    assert judge(seen(clean, breaches={"INV-9": ["a second trader ran beside the first"]})) == {
        "INV-9": ["a second trader ran beside the first"]
    }


@pytest.mark.parametrize(("first", "after", "named"), [(0, 1, False), (0, None, False), (-9, 0, True), (1, 2, True)])
def test_only_an_order_stamped_by_a_clock_apart_on_purpose_is_of_no_bar(
    first: int, after: int | None, named: bool, clean: Evidence
) -> None:
    """`first`, `after`: numbers of the span, counted from that of the order that stands twice in its bar."""
    number = next(order.number for order in clean.orders.values() if order.side == "buy")
    span = Skew(since_us=0, until_us=0, first=number + first, after=None if after is None else number + after)
    assert bool(INVARIANTS["INV-5"](replace(twice(clean), skewed=[span]))) == named
