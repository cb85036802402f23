"""Step B: the order of refusals, reservations, and what an approval carries."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from trader.domain.costs import Costs
from trader.domain.market import MINUTE, Instrument
from trader.domain.messages import Action, Decision, Refusal
from trader.domain.orders import Side
from trader.domain.verdicts import Lookup, Ruling, RulingResult
from trader.execution.risk import (
    AccountView,
    Alike,
    Approved,
    Candidate,
    Deferred,
    Holding,
    LastExit,
    MarketGate,
    Refused,
    Reviewed,
    Rule,
    review,
    within_band,
)
from trader.strategy import sectors
from trader.strategy.modes import Parameters, parameters

COSTS = Costs()
MD, SD = parameters("viable", "mitraillette", "DEFAULT"), parameters("viable", "sniper", "DEFAULT")
BAR = 15 * MINUTE
NOW = 1_000 * BAR


def instrument(pair: str) -> Instrument:
    base, quote = pair.split("/")
    return Instrument(pair=pair, base=base, quote=quote, tick=D("0.01"), lot=D("0.0001"), order_min=D("0.01"), cost_min=D("0.5"))


NAMES = [f"{letter}/EUR" for letter in "ABCDEFGH"]
INSTRUMENTS = {name: instrument(name) for name in NAMES}
ACCOUNT = AccountView(equity=D(10_000), free_cash=D(10_000), btc_change=0.0)


def candidate(pair: str = "A/EUR", score: float = 70.0, rank: int = 1, turnover: float = 1e6, **changes: object) -> Candidate:
    decision = Decision(
        pair=pair, close_us=NOW, side=Side.BUY, action=Action.ENTER, score=score, close=100.0, atr_fraction=0.01, unit=0.01, stop=0.0309,
        tp1=0.05, tp2=0.0809, strategy=MD.strategy,
    )  # fmt: skip
    return Candidate(decision=replace(decision, **changes), rank=rank, median_quote_volume=turnover)


def run(
    *candidates: Candidate,
    account: AccountView = ACCOUNT,
    strategy: Parameters = MD,
    market: dict[str, MarketGate] | None = None,
    rule: Rule | None = None,
    alike: Alike | None = None,
) -> tuple[Reviewed, ...]:
    return review(
        candidates or (candidate(),), account, instruments=INSTRUMENTS, parameters=strategy, costs=COSTS, market=market, rule=rule,
        alike=alike,
    )  # fmt: skip


def code(answer: Reviewed) -> Refusal | None:
    return None if isinstance(answer, Approved) else answer.code


def ruling(kind: Ruling, factor: float = 1.0) -> Rule:
    return lambda _decision: RulingResult(ruling=kind, lookup=Lookup.HIT, factor=factor, p_loss=0.4)


def test_an_approval_carries_the_whole_order() -> None:
    (a,) = run()
    assert isinstance(a, Approved)
    assert float(a.stake) == pytest.approx(10_000 * 0.001 / (0.0309 + 0.009))
    assert a.cap_price == D("100.38")  # 100 x (1 + 0.382 x 0.01) = 100.382, down to the tick
    assert a.stop_trigger == D("97.28")  # 100.38 x (1 - 0.0309) = 97.2783, up to the tick
    assert a.quantity == (a.stake / D("100.05")).quantize(D("0.0001"), "ROUND_DOWN")
    assert a.reserved == a.quantity * a.cap_price * D("1.004")
    assert (a.regime, a.size_factor, a.plan.kind) == ("RANGE", 1.0, "hybrid")
    assert within_band(a, D("100.38")) and not within_band(a, D("100.39"))


def holding(*bases: str, slot: bool = True) -> AccountView:
    return replace(ACCOUNT, holdings=tuple(Holding(pair=f"{base}/EUR", base=base, value=D(1), slot=slot) for base in bases))


@pytest.mark.parametrize(
    ("strategy", "found", "refused", "factor"),
    [
        (MD, {"B": 0.2, "C": -0.85}, None, 1.0),
        (MD, {"B": 0.2, "C": -0.851}, None, 0.618),
        (MD, {"B": 0.95, "C": 0.0}, None, 0.618),
        (MD, {"B": 0.951, "C": 0.0}, Refusal.CORRELATED, 0),
        (MD, {"B": -0.99, "C": None}, Refusal.CORRELATED, 0),
        (MD, {"B": 0.1, "C": None}, None, 0.618),
        (SD, {"B": 0.1, "C": 0.85}, None, 1.0),
        (SD, {"B": 0.1, "C": 0.86}, Refusal.DEEP_CHECK, 0),
        (SD, {"B": 0.1, "C": None}, Refusal.DEEP_CHECK, 0),
    ],
)
def test_likeness_to_what_is_held_refuses_or_shrinks(
    strategy: Parameters, found: dict[str, float | None], refused: Refusal | None, factor: float
) -> None:
    (answer,) = run(account=holding("B", "C"), strategy=strategy, alike=lambda _pair, other: found[other[0]])
    assert code(answer) is refused
    assert refused or (isinstance(answer, Approved) and answer.size_factor == factor)


def test_what_the_same_bar_approved_counts_as_held_and_dust_does_not() -> None:
    answers = run(candidate("A/EUR", 71), candidate("B/EUR", 70), alike=lambda _pair, _other: 0.99)
    assert [code(a) for a in answers] == [None, Refusal.CORRELATED]
    (beside_dust,) = run(account=holding("B", slot=False), alike=lambda _pair, _other: 0.99)
    assert code(beside_dust) is None


def test_three_of_a_sector_refuse_a_fourth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sectors, "sector_of", lambda base: "memes" if base in "ABCD" else "")

    def answer(*held: str) -> Refusal | None:
        return code(run(account=holding(*held), alike=lambda _pair, _other: 0.0)[0])

    assert answer("B", "C") is None and answer("B", "C", "E", "F") is None
    assert answer("B", "C", "D") is Refusal.CORRELATED
    assert code(run(account=holding("B", "C", "D"))[0]) is None, "neutral where nobody asks"


FAILURES: list[tuple[Refusal, dict[str, object]]] = [
    (Refusal.HALTED, {"halts": ("DRAWDOWN",)}),
    (Refusal.NO_REGIME, {"btc_change": None}),
    (Refusal.PAIR_HELD, {"holdings": (Holding(pair="A/USD", base="A", value=D(1)),)}),
    (Refusal.COOLDOWN, {"last_exits": {"A/EUR": LastExit(bar_us=NOW - 2 * BAR, stopped=False)}}),
    (Refusal.LOCKED, {"locked": {"A/EUR": "denied"}}),
    (Refusal.MAX_POSITIONS, {"live_bases": tuple(f"Z{n}" for n in range(34))}),
    (Refusal.MAX_NEW_PER_BAR, {"approved_in_bar": 5}),
    (Refusal.EXPOSURE, {"reserved": D(4_999)}),
    (Refusal.CASH, {"free_cash": D(1)}),
]


def test_refusals_come_in_the_order_of_the_specification() -> None:
    """With everything wrong the first is reported; mending them one by one uncovers each next one, then the live gates."""
    wrong: dict[str, object] = {}
    for _, change in reversed(FAILURES):
        wrong |= change
    market = {"A/EUR": MarketGate(spread=0.01, status="cancel_only")}
    thin, vetoed = candidate(turnover=1.0), ruling(Ruling.VETO)
    seen = []
    for _, change in FAILURES:
        seen.append(code(run(thin, account=replace(ACCOUNT, **wrong), market=market, rule=vetoed)[0]))
        name = next(iter(change))
        wrong[name] = getattr(ACCOUNT, name)
    assert seen == [c for c, _ in FAILURES]
    assert code(run(thin, market=market, rule=vetoed)[0]) is Refusal.LIQUIDITY
    small = replace(ACCOUNT, equity=D(40))
    assert code(run(account=small, market=market, rule=vetoed)[0]) is Refusal.MIN_NOTIONAL
    assert code(run(market=market, rule=vetoed)[0]) is Refusal.SPREAD
    market["A/EUR"] = MarketGate(spread=0.001, status="cancel_only")
    assert code(run(market=market, rule=vetoed)[0]) is Refusal.VENUE
    market["A/EUR"] = MarketGate(spread=0.001)
    assert code(run(market=market, rule=vetoed)[0]) is Refusal.AI_VETO
    assert code(run(market=market)[0]) is None


@pytest.mark.parametrize(
    ("change", "expected"), [(-0.0618, Refusal.BTC_CRASH), (-0.0617, None), (float("nan"), Refusal.NO_REGIME), (None, Refusal.NO_REGIME)]
)
def test_btc_decides_whether_entries_exist(change: float | None, expected: Refusal | None) -> None:
    assert code(run(account=replace(ACCOUNT, btc_change=change, equity=D(1_000_000), free_cash=D(1_000_000)))[0]) is expected


@pytest.mark.parametrize(("bars", "stopped", "refused"), [(3, False, True), (4, False, False), (12, True, True), (13, True, False)])
def test_cooldown_counts_bars_from_the_bar_of_the_exit(bars: int, stopped: bool, refused: bool) -> None:
    """The decision's bar i is the one that just closed: its label is its close less one bar."""
    left = {"A/EUR": LastExit(bar_us=NOW - BAR - bars * BAR, stopped=stopped)}
    assert (code(run(account=replace(ACCOUNT, last_exits=left))[0]) is Refusal.COOLDOWN) is refused


def test_ranking_is_score_then_turnover_then_name() -> None:
    answers = run(
        candidate("D/EUR", 70, 1),
        candidate("C/EUR", 70, 1),
        candidate("B/EUR", 70, 9),
        candidate("A/EUR", 69, 1),
        candidate("E/EUR", 71, 50),
    )
    assert [a.decision.pair for a in answers] == ["E/EUR", "C/EUR", "D/EUR", "B/EUR", "A/EUR"]


def test_approvals_take_slots_cash_and_exposure_from_those_behind() -> None:
    answers = run(*(candidate(name, 80 - n) for n, name in enumerate(NAMES)))
    assert [code(a) for a in answers] == [None] * 5 + [Refusal.MAX_NEW_PER_BAR] * 3
    poor = replace(ACCOUNT, free_cash=D(400))
    first, second, third = run(*(candidate(name, 80 - n) for n, name in enumerate(NAMES[:3])), account=poor)
    assert isinstance(first, Approved) and isinstance(second, Approved) and code(third) is Refusal.CASH
    assert second.stake < first.stake and first.reserved + second.reserved <= D(400)


def test_refused_and_deferred_candidates_reserve_nothing() -> None:
    def defer_first(decision: Decision) -> RulingResult:
        return RulingResult(ruling=Ruling.DEFER if decision.pair in ("A/EUR", "B/EUR", "C/EUR") else Ruling.ALLOW, lookup=Lookup.MISS)

    answers = run(*(candidate(name, 80 - n) for n, name in enumerate(NAMES)), rule=defer_first)
    assert [type(a) for a in answers] == [Deferred] * 3 + [Approved] * 5
    assert [code(a) for a in answers[:3]] == [Refusal.AI_NONE] * 3


def test_same_base_is_held_once_even_within_a_bar() -> None:
    both = INSTRUMENTS | {"A/USD": replace(instrument("A/USD"), base="A")}
    answers = review([candidate("A/EUR", 71), candidate("A/USD", 70)], ACCOUNT, instruments=both, parameters=MD, costs=COSTS)
    assert [code(a) for a in answers] == [None, Refusal.PAIR_HELD]


def test_dust_takes_no_slot_but_holds_its_base() -> None:
    dust = tuple(Holding(pair=f"Z{n}/EUR", base=f"Z{n}", value=D("0.1"), slot=False) for n in range(40))
    assert code(run(account=replace(ACCOUNT, holdings=dust))[0]) is None


def test_the_ai_only_shrinks() -> None:
    (full,), (half,) = run(), run(rule=ruling(Ruling.SHRINK, 0.5))
    assert isinstance(full, Approved) and isinstance(half, Approved)
    assert half.stake == full.stake / 2 and half.size_factor == 0.5 and half.ruling is not None
    (allowed,) = run(rule=ruling(Ruling.ALLOW, 2.0))
    assert isinstance(allowed, Approved) and allowed.stake == full.stake


def test_the_ai_is_asked_once_and_only_for_candidates_that_reach_their_size() -> None:
    asked: list[str] = []

    def count(decision: Decision) -> RulingResult:
        asked.append(decision.pair)
        return RulingResult(ruling=Ruling.ALLOW, lookup=Lookup.HIT)

    run(candidate("A/EUR", 80), candidate("B/EUR", 70), account=replace(ACCOUNT, locked={"A/EUR": "denied"}), rule=count)
    assert asked == ["B/EUR"]


def test_sniper_gates() -> None:
    gates = {
        "unknown": (MarketGate(), Refusal.SPREAD),
        "negative": (MarketGate(spread=-0.1), Refusal.SPREAD),
        "nan": (MarketGate(spread=float("nan")), Refusal.SPREAD),
        "wide": (MarketGate(spread=0.0016), Refusal.SPREAD),
        "no depth": (MarketGate(spread=0.001), Refusal.DEPTH),
        "thin": (MarketGate(spread=0.001, ask_depth=D(100)), Refusal.DEPTH),
        "fine": (MarketGate(spread=0.001, ask_depth=D(1_000_000)), None),
    }
    for gate, expected in gates.values():
        assert code(run(market={"A/EUR": gate}, strategy=SD)[0]) is expected
    assert code(run(market={}, strategy=SD)[0]) is Refusal.SPREAD
    assert code(run(candidate(evidence={"h4_bearish": True}), strategy=SD)[0]) is Refusal.DEEP_CHECK


def test_an_unlisted_pair_and_a_short_without_futures_are_refused_by_venue() -> None:
    assert code(run(candidate("Q/EUR"))[0]) is Refusal.VENUE
    assert code(run(candidate(side=Side.SELL))[0]) is Refusal.VENUE


def test_only_enter_decisions_are_reviewed() -> None:
    with pytest.raises(ValueError, match="takes ENTER decisions"):
        run(candidate(action=Action.HOLD))
    assert run(*[]) != () and review([], ACCOUNT, instruments=INSTRUMENTS, parameters=MD, costs=COSTS) == ()


def test_refusals_keep_their_detail() -> None:
    (answer,) = run(account=replace(ACCOUNT, locked={"A/EUR": "operator lock"}))
    assert isinstance(answer, Refused) and answer.detail == "operator lock"
