"""Shorts: admitted on futures only, bounded from below, with margin for their cash and liquidation far beyond their stop."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from trader.domain.account import ExitPlan, Position, PositionState
from trader.domain.costs import Costs
from trader.domain.futures import MarginRules, MarketKind, accrued
from trader.domain.market import MINUTE, Instrument
from trader.domain.messages import Action, Decision, Refusal
from trader.domain.orders import Fill, Side
from trader.execution.risk import AccountView, Approved, Candidate, Refused, Reviewed, review, within_band
from trader.indicators.series import Row
from trader.strategy.brain import decide_sides
from trader.strategy.modes import parameters

MODE = parameters("viable", "mitraillette", "DEFAULT")
COSTS = Costs(taker=0.0005, maker=0.0002)
ACCOUNT = AccountView(equity=D(10_000), free_cash=D(10_000), btc_change=0.0)
PAIRS = ("A/EUR", "A/USD:USD")


def instrument(pair: str) -> Instrument:
    return Instrument(pair=pair, base="A", quote="USD", tick=D("0.01"), lot=D("0.001"), order_min=D("0.001"), cost_min=D(0))


def judged(pair: str, side: Side, *, account: AccountView = ACCOUNT, leverage: int = 1, stop: float = 0.0309) -> Reviewed:
    decision = Decision(
        pair=pair, close_us=1_000 * 15 * MINUTE, side=side, action=Action.ENTER, score=70.0, close=100.0, atr_fraction=0.01, unit=0.01,
        stop=stop, tp1=max(0.05, stop * 1.6), tp2=max(0.09, stop * 3), strategy=MODE.strategy,
    )  # fmt: skip
    (answer,) = review(
        [Candidate(decision=decision, rank=1, median_quote_volume=1e6)], account, instruments={p: instrument(p) for p in PAIRS},
        parameters=MODE, costs=COSTS, margin=MarginRules(leverage=D(leverage)),
    )  # fmt: skip
    return answer


def approved(*args: object, **options: object) -> Approved:
    answer = judged(*args, **options)  # type: ignore[arg-type]
    assert isinstance(answer, Approved), answer
    return answer


def test_on_spot_a_short_is_refused_by_name() -> None:
    answer = judged("A/EUR", Side.SELL)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.detail) == (Refusal.VENUE, "shorts need a futures market")
    approved("A/EUR", Side.BUY)


def test_a_shorts_cap_lies_below_the_close_and_its_stop_above() -> None:
    short = approved("A/USD:USD", Side.SELL)
    assert short.cap_price == D("99.62")  # 100 x (1 - 0.382 x 0.01) = 99.618, up to the tick
    assert short.stop_trigger == D("102.69")  # 99.62 x 1.0309 = 102.698, down to the tick: toward the entry
    assert within_band(short, D("99.62")) and within_band(short, D(120))
    assert not within_band(short, D("99.61"))
    long = approved("A/USD:USD", Side.BUY)
    assert long.stop_trigger < long.cap_price and not within_band(long, long.cap_price + D("0.01"))


@pytest.mark.parametrize("side", list(Side))
def test_leverage_shrinks_the_cash_a_position_takes_and_not_the_position(side: Side) -> None:
    whole, third = (approved("A/USD:USD", side, leverage=leverage, stop=0.1) for leverage in (1, 3))
    worth = whole.quantity * D("100.38")
    assert third.quantity == whole.quantity
    assert whole.reserved == MarginRules().needed(worth) + worth * D("0.0005")
    assert third.reserved < whole.reserved / D("2.9")
    poor = replace(ACCOUNT, free_cash=D(50))
    assert approved("A/USD:USD", side, account=poor, leverage=3).stake > approved("A/USD:USD", side, account=poor).stake * D("2.9")


@pytest.mark.parametrize(
    ("leverage", "side", "stop", "near"),
    [
        (1, Side.SELL, 0.49, False),  # liquidation at 2 / 1.01 = +98 %
        (1, Side.SELL, 0.4951, True),
        (3, Side.SELL, 0.16, False),  # at (4 / 3) / 1.01 = +32 %
        (3, Side.SELL, 0.161, True),
        (3, Side.BUY, 0.163, False),  # at (2 / 3) / 0.99 = -32.7 %
        (3, Side.BUY, 0.164, True),
        (1, Side.BUY, 0.499, False),  # never: the whole price is paid
    ],
)
def test_a_stop_too_near_to_liquidation_is_refused(leverage: int, side: Side, stop: float, near: bool) -> None:
    answer = judged("A/USD:USD", side, leverage=leverage, stop=stop)
    assert (isinstance(answer, Refused) and answer.code is Refusal.LIQUIDATION_NEAR) is near, answer
    assert isinstance(judged("A/EUR", Side.BUY, leverage=leverage, stop=stop), Approved)  # spot has no margin


@pytest.mark.parametrize("leverage", ["0.5", "4"])
def test_leverage_has_its_bounds(leverage: str) -> None:
    with pytest.raises(ValueError, match="must be from 1 to 3"):
        MarginRules(leverage=D(leverage))


# --- money -----------------------------------------------------------------------------------------------------------------
PLAN = ExitPlan(
    kind="ratchet", stop=0.02, tp1=0.02, tp2=0.04, legs=(0.0, 0.0), ratchet_base=0.01, breakeven=0.009, stagnation_bars=5,
    stagnation_low=-0.01, stagnation_high=0.01, max_hold_bars=0, cooldown_bars=3, cooldown_stop_bars=6,
)  # fmt: skip


def position(pair: str, side: Side) -> Position:
    return Position(position_id="p", pair=pair, side=side, strategy="s", entry_key="k", plan=PLAN, opened_us=0, state=PositionState.OPENING)


def fill(pair: str, side: Side, quantity: str, price: str) -> Fill:
    cost = D(quantity) * D(price)
    return Fill(trade_id="t", txid="x", pair=pair, side=side, price=D(price), quantity=D(quantity), cost=cost, fee=D("0.1"), time_us=1)


@pytest.mark.parametrize(
    ("pair", "side", "entered", "worth", "exited"),
    [
        ("A/EUR", Side.BUY, "-200.1", "220", "109.9"),
        ("A/USD:USD", Side.BUY, "-0.1", "20", "9.9"),
        ("A/USD:USD", Side.SELL, "-0.1", "-20", "-10.1"),
    ],
)
def test_cash_and_value_of_two_at_100_left_one_by_one_at_110(pair: str, side: Side, entered: str, worth: str, exited: str) -> None:
    """Coins are paid for; a contract costs its fee and settles its profit. At every step cash and value make the same equity."""
    flat, enter = position(pair, side), fill(pair, side, "2", "100")
    held = flat.apply(enter)
    assert (flat.cash_of(enter), held.marked(D(110)), held.value(D(110))) == (D(entered), D(worth), D(220))
    out = fill(pair, side.opposite, "1", "110")
    left = held.apply(out)
    assert held.cash_of(out) == left.cash_of(out) == D(exited) and left.apply(out).state is PositionState.CLOSED
    for before, change, after in ((flat, enter, held), (held, out, left)):
        moved = before.cash_of(change) + change.fee + after.marked(change.price) - before.marked(change.price)
        assert moved == 0, "a fill at the market's price changes equity by its fee alone"


def test_longs_pay_a_positive_funding_rate_and_shorts_receive_it() -> None:
    hour = 3_600_000_000
    assert accrued(D(2), D("0.5"), hour) == D(-1)
    assert accrued(D(-2), D("0.5"), hour // 4) == D("0.25")
    assert accrued(D(-2), D("-0.5"), hour) == D(-1)


def test_a_perpetual_is_named_with_what_it_settles_in() -> None:
    assert (MarketKind.SPOT.pair("BTC", "EUR"), MarketKind.FUTURES.pair("BTC", "USD")) == ("BTC/EUR", "BTC/USD:USD")


# --- deciding --------------------------------------------------------------------------------------------------------------
def row(rsi: float) -> Row:
    """A ready bar with this RSI, turning back to the middle, in a market that is neither bullish nor bearish on 4h."""
    rising = rsi < 50
    values = dict.fromkeys(Row._fields, 0.0) | {
        "reason": "", "time_us": 0, "close": 100.0, "rsi": rsi, "rsi_previous": rsi - 1 if rising else rsi + 1,
        "bb_lower": 101.0 if rising else 98.0, "bb_upper": 102.0 if rising else 99.0, "bb_position": 0.5, "atr": 1.0, "atr_fraction": 0.01,
        "volume_ratio": 3.0, "h4_close": 100.0, "h4_ema": 99.0 if rising else 101.0,
    }  # fmt: skip
    return Row(**values)


@pytest.mark.parametrize(
    ("rsi", "sides", "side", "action"),
    [
        (30.0, (Side.BUY, Side.SELL), Side.BUY, Action.ENTER),
        (70.0, (Side.BUY, Side.SELL), Side.SELL, Action.ENTER),
        (70.0, (Side.BUY,), Side.BUY, Action.HOLD),
        (30.0, (Side.SELL,), Side.SELL, Action.HOLD),
        (50.0, (Side.BUY, Side.SELL), Side.BUY, Action.HOLD),
    ],
)
def test_the_side_with_a_signal_decides(rsi: float, sides: tuple[Side, ...], side: Side, action: Action) -> None:
    decision = decide_sides("A/USD:USD", row(rsi), MODE, COSTS, sides)
    assert (decision.side, decision.action) == (side, action), decision
    assert decision.action is Action.HOLD or decision.close == 100.0
