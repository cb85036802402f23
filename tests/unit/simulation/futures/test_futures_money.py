"""Money of the futures twin: profit, netting, fees, funding, margin, liquidation, and that nothing is made or lost on the way."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.futures_kit import BTC, CONTRACTS, ETH, INVERSE, T0, Bench
from trader.domain.money import ZERO
from trader.simulation.exchange_orders import Refused
from trader.simulation.futures.account import FuturesCosts
from trader.simulation.futures.contracts import contracts_of
from trader.simulation.futures.engine import FuturesExchange
from trader.simulation.futures.orders import Unplaced
from trader.simulation.futures.prices import HOUR, funding_rate
from trader.simulation.listings import synthetic_bases, synthetic_listing
from trader.simulation.market import SyntheticMarket

FREE = FuturesCosts(taker=ZERO, maker=ZERO, liquidation=ZERO)


# --- profit ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("symbol", "side", "size", "exit_price", "pnl"),
    [
        (BTC, "buy", "2", 110.0, "20"),
        (BTC, "buy", "2", 90.0, "-20"),
        (BTC, "sell", "2", 110.0, "-20"),
        (BTC, "sell", "2", 90.0, "20"),
        (INVERSE, "buy", "50", 125.0, "0.1"),  # 50 / 100 - 50 / 125
        (INVERSE, "buy", "50", 80.0, "-0.125"),
        (INVERSE, "sell", "50", 125.0, "-0.1"),
        (INVERSE, "sell", "50", 80.0, "0.125"),
    ],
)
def test_profit_has_the_right_sign_and_size(symbol: str, side: str, size: str, exit_price: float, pnl: str) -> None:
    bench = Bench(costs=FREE)
    account = CONTRACTS[symbol].account
    before = bench.cash(account)
    bench.send(side, size, symbol=symbol)
    bench.move(exit_price)
    bench.send("sell" if side == "buy" else "buy", size, symbol=symbol)
    last = list(bench.engine.state.fills.values())[-1]
    assert (last.realized_pnl, bench.cash(account) - before - _funding(bench.engine)) == (Decimal(pnl), Decimal(pnl))
    assert bench.size(symbol) == ZERO


def _funding(engine: FuturesExchange) -> Decimal:
    return sum((line.realized_funding or ZERO for line in engine.state.logs), ZERO)


def test_entries_average_parts_close_at_the_average_and_a_reversal_begins_anew() -> None:
    bench = Bench(costs=FREE)
    bench.send("buy", "1")
    bench.move(120.0)
    bench.send("buy", "3")
    position = bench.engine.state.positions[BTC]
    assert CONTRACTS[BTC].entry_price(position.size, position.basis) == Decimal(115)
    bench.send("sell", "1")
    assert list(bench.engine.state.fills.values())[-1].realized_pnl == Decimal(5)
    bench.send("sell", "5")
    last = list(bench.engine.state.fills.values())[-1]
    assert (last.realized_pnl, last.old_entry, last.new_size, last.new_entry) == (Decimal(15), Decimal(115), Decimal(-2), Decimal(120))


STEPS = st.lists(
    st.tuples(
        st.sampled_from([BTC, ETH]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 30),
        st.sampled_from(["mkt", "lmt", "stp"]),
        st.integers(90, 111),
        st.integers(45, 56),
        st.booleans(),
        st.sampled_from([1_000_000, 600_000_000, HOUR]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_equity_is_what_went_in_and_out_at_every_step(steps: list[tuple[str, str, int, str, int, int, bool, int]]) -> None:
    """Equity from cash and unrealised profit equals opening cash + every trade's cash flow + positions at the mark - fees + funding."""
    bench = Bench(slippage=Decimal("0.001"))
    for symbol, side, size, kind, btc, eth, gap, wait in steps:
        fields = {"lmt": {"limit_price": str(btc if symbol == BTC else eth)}, "stp": {"stop_price": str(btc if symbol == BTC else eth)}}
        with contextlib.suppress(Unplaced):
            bench.send(side, str(size), kind, symbol=symbol, **fields.get(kind, {}))
        bench.move(float(btc), float(eth), gap=gap, after_us=wait)
        engine = bench.engine
        fills = engine.state.fills.values()
        flow = sum(((-fill.size if fill.side == "buy" else fill.size) * fill.price - fill.fee for fill in fills), ZERO)
        held = sum((p.size * engine.mark_price(CONTRACTS[p.symbol]) + p.unrealized_funding for p in engine.positions()), ZERO)
        standing = engine.standing("flex")
        assert standing.equity == Decimal(1_000) + flow + held + _funding(engine)
        sizes = {name: sum((f.size if f.side == "buy" else -f.size for f in fills if f.symbol == name), ZERO) for name in (BTC, ETH)}
        assert sizes == {name: bench.size(name) for name in (BTC, ETH)}


# --- funding -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("symbol", "size"), [(BTC, "2"), (ETH, "3"), (INVERSE, "50")])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_longs_pay_and_shorts_receive_a_positive_rate_every_hour(symbol: str, size: str, side: str) -> None:
    bench = Bench(costs=FREE)
    rate = bench.engine.funding_rate(CONTRACTS[symbol], bench.now).absolute
    before = bench.cash(CONTRACTS[symbol].account)
    bench.send(side, size, symbol=symbol)
    bench.move(after_us=HOUR // 2)
    assert bench.cash(CONTRACTS[symbol].account) == before
    bench.move(after_us=HOUR // 2)
    (line,) = [line for line in bench.engine.state.logs if line.info == "funding rate change"]
    signed = Decimal(size) if side == "buy" else -Decimal(size)
    assert rate != 0
    assert line.realized_funding == line.new_balance - line.old_balance
    assert abs(line.realized_funding + signed * rate) < Decimal("1e-9")


def test_half_an_hour_costs_half() -> None:
    bench = Bench(costs=FREE)
    rate = bench.engine.funding_rate(CONTRACTS[BTC], bench.now).absolute
    bench.send("buy", "2")
    bench.move(after_us=HOUR // 2)
    bench.send("sell", "2")
    fill = list(bench.engine.state.fills.values())[-1]
    assert abs(fill.realized_funding + rate) < Decimal("1e-9")


@pytest.mark.parametrize(("symbol", "size"), [(BTC, "2"), (INVERSE, "50")])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_leap_over_hours_pays_every_hour_at_its_own_rate(symbol: str, size: str, side: str) -> None:
    leap, steps = Bench(costs=FREE), Bench(costs=FREE)
    lines = {}
    for bench in (leap, steps):
        bench.move(after_us=HOUR // 4)
        bench.send(side, size, symbol=symbol)
    leap.move(after_us=5 * HOUR)
    for _ in range(20):
        steps.move(after_us=HOUR // 4)
    for bench in (leap, steps):
        logs = [line for line in bench.engine.state.logs if line.info == "funding rate change"]
        lines[bench] = [(line.time_us, line.realized_funding, line.funding_rate) for line in logs]
    assert [time_us for time_us, _, _ in lines[leap]] == [T0 + hour * HOUR for hour in range(1, 6)]
    assert len(dict.fromkeys(rate for _, _, rate in lines[leap])) > 1
    signed = Decimal(size) if side == "buy" else -Decimal(size)
    for (time_us, paid, rate), part in zip(lines[leap], ("0.75", "1", "1", "1", "1"), strict=True):
        assert rate == leap.engine.funding_rate(CONTRACTS[symbol], time_us - HOUR).absolute
        assert paid is not None
        assert abs(paid + signed * rate * Decimal(part)) < Decimal("1e-9")
    assert [row[::2] for row in lines[steps]] == [row[::2] for row in lines[leap]]


def test_a_trade_between_the_hour_and_its_tick_settles_both_hours_once() -> None:
    bench = Bench(costs=FREE)
    first, second = (bench.engine.funding_rate(CONTRACTS[BTC], T0 + hour * HOUR).absolute for hour in range(2))
    bench.send("buy", "2")
    bench.now += HOUR + HOUR // 2
    bench.send("sell", "1")
    fill = list(bench.engine.state.fills.values())[-1]
    assert abs(fill.realized_funding + 2 * first + second) < Decimal("1e-9")
    bench.move()
    assert [line for line in bench.engine.state.logs if line.info == "funding rate change"] == []


def test_the_rate_is_the_premium_spread_over_a_day_and_capped() -> None:
    rate = funding_rate(Decimal("0.00048"), CONTRACTS[BTC], 100.0, 0)
    assert (rate.relative, rate.absolute) == (Decimal("0.00002"), Decimal("0.002"))
    assert funding_rate(Decimal("0.00048"), CONTRACTS[INVERSE], 100.0, 0).absolute == Decimal("0.0000002")
    assert funding_rate(Decimal(1), CONTRACTS[BTC], 100.0, 0).relative == Decimal("0.0025")


# --- margin ------------------------------------------------------------------------------------------------------------
def test_an_order_needs_initial_margin_and_its_fee() -> None:
    bench = Bench()
    with pytest.raises(Unplaced, match="insufficientAvailableFunds"):
        bench.send("buy", "600")  # 60,000 at 2 %: 1,200
    bench.send("buy", "480")  # 960 and a fee of 24
    with pytest.raises(Unplaced, match="insufficientAvailableFunds"):
        bench.send("sell", "480", "lmt", limit_price="52", symbol=ETH)
    assert bench.send("sell", "480").status == "filled"  # closing never lacks margin


def test_resting_orders_reserve_margin_reducing_ones_do_not() -> None:
    bench = Bench()
    free = bench.engine.standing("flex").available
    bench.send("buy", "100", "lmt", limit_price="90")
    mark = bench.engine.mark_price(CONTRACTS[BTC])
    assert free - bench.engine.standing("flex").available == round(100 * mark * Decimal("0.02"), 8)
    bench.move(89.0)
    held = bench.engine.standing("flex").with_orders
    bench.send("sell", "100", "lmt", limit_price="95")
    assert bench.engine.standing("flex").with_orders == held


def test_orders_that_would_each_only_turn_the_position_need_margin_together() -> None:
    bench = Bench()
    bench.send("buy", "100")  # the first sell turns 100 long into 100 short at most: no more margin than now
    bench.send("sell", "200", "lmt", limit_price="110")
    with pytest.raises(Unplaced, match="insufficientAvailableFunds"):
        for _ in range(6):  # each 200 more need 400; 1,000 are there
            bench.send("sell", "200", "lmt", limit_price="110")
    assert bench.engine.standing("flex").available >= 0


def test_a_leverage_preference_isolates_and_raises_the_margin() -> None:
    bench = Bench()
    bench.engine.prefer_leverage(BTC, Decimal(5), bench.now)
    bench.send("buy", "40")
    assert bench.engine.standing("flex").set_aside == Decimal(800)
    with pytest.raises(Unplaced, match="insufficientAvailableFunds"):
        bench.send("buy", "20")
    with pytest.raises(Refused, match="insufficientFunds"):
        bench.engine.prefer_leverage(BTC, Decimal(2), bench.now)
    assert bench.engine.state.leverage == {BTC: Decimal(5)}
    with pytest.raises(Refused, match="maxLeverage"):
        bench.engine.prefer_leverage(BTC, Decimal(51), bench.now)


# --- liquidation -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_position_is_liquidated_whole_at_its_maintenance_price(side: str) -> None:
    """100 x 100 entered with 1,000: gone where 1,000 + profit - fee = 1 % of the value."""
    bench = Bench()
    bench.send(side, "100")
    stop = bench.send("sell" if side == "buy" else "buy", "100", "stp", stop_price="50" if side == "buy" else "150", reduce_only=True)
    position = bench.engine.positions()[0]
    expected = bench.engine.liquidation_price(position)
    cash = bench.cash()
    entry = CONTRACTS[BTC].entry_price(position.size, position.basis)
    by_hand = (100 * entry - cash) / Decimal(99) if side == "buy" else (100 * entry + cash) / Decimal(101)
    assert expected is not None and abs(expected - by_hand) < Decimal("0.000001")
    edge = float(expected)
    bench.move(edge * (1.002 if side == "buy" else 0.998))
    assert abs(bench.size()) == 100
    bench.move(70.0 if side == "buy" else 130.0)
    fill = list(bench.engine.state.fills.values())[-1]
    assert (bench.size(), fill.fill_type, fill.size) == (ZERO, "liquidation", Decimal(100))
    assert abs(fill.price - expected) <= Decimal("0.1")
    assert fill.price <= expected if side == "buy" else fill.price >= expected
    assert (stop.live, stop.reason) == (False, "liquidation")
    assert fill.fee == fill.size * fill.price * Decimal("0.003")
    line = bench.engine.state.logs[-1]
    assert (line.info, line.liquidation_fee) == ("futures liquidation", fill.size * fill.price * Decimal("0.0025"))


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_an_inverse_position_is_liquidated_on_its_own_account(side: str) -> None:
    bench = Bench(costs=FREE)
    bench.send(side, "800", symbol=INVERSE)
    position = bench.engine.positions()[0]
    expected = bench.engine.liquidation_price(position)
    assert expected is not None
    by_hand = 808 / Decimal(9) if side == "buy" else 792 / Decimal(7)  # 1 XBT +- 800/100 -+ 800/p = 1 % of 800/p
    assert abs(expected - by_hand) < Decimal("0.000001")
    flex = bench.cash()
    bench.move(60.0 if side == "buy" else 140.0)
    fill = list(bench.engine.state.fills.values())[-1]
    assert (bench.size(INVERSE), fill.fill_type, bench.cash()) == (ZERO, "liquidation", flex)
    assert abs(fill.price - expected) <= Decimal("0.5")


def test_an_isolated_position_takes_only_its_own_margin_down() -> None:
    bench = Bench(costs=FREE)
    bench.engine.prefer_leverage(BTC, Decimal(10), bench.now)
    bench.send("buy", "10")
    bench.send("buy", "4", symbol=ETH)
    bench.move(80.0)
    assert (bench.size(), bench.size(ETH)) == (ZERO, Decimal(4))
    assert bench.cash() > Decimal(895)


def test_cross_positions_fall_together_the_one_that_needs_most_first() -> None:
    bench = Bench(costs=FREE)
    bench.send("buy", "100")
    bench.send("sell", "20", symbol=ETH)
    bench.move(93.0, 48.0)
    assert (bench.size(), bench.size(ETH)) == (Decimal(100), Decimal(-20))
    bench.move(80.0, 48.0)
    assert (bench.size(), bench.size(ETH)) == (ZERO, Decimal(-20))


def test_a_gap_liquidates_where_the_price_lands() -> None:
    bench = Bench(costs=FREE)
    bench.send("buy", "100")
    bench.move(85.0, gap=True)
    fill = list(bench.engine.state.fills.values())[-1]
    assert fill.fill_type == "liquidation"
    assert abs(fill.price - bench.engine.mark_price(CONTRACTS[BTC])) < Decimal("0.1")


# --- accounts and books ------------------------------------------------------------------------------------------------
def test_transfers_move_money_and_refuse_what_is_not_there() -> None:
    bench = Bench()
    bench.engine.move_cash("cash", "fi_xbtusd", "xbt", Decimal("0.4"), now_us=bench.now)
    assert (bench.cash("cash"), bench.cash("fi_xbtusd")) == (Decimal("0.6"), Decimal("1.4"))
    cases = [("cash", "flex", "xbt", "0.1", "invalidUnit"), ("cash", "nowhere", "xbt", "0.1", "invalidAccount"),
             ("cash", "fi_xbtusd", "xbt", "0.7", "insufficientFunds"), ("cash", "fi_xbtusd", "xbt", "-1", "invalidAmount")]  # fmt: skip
    for source, target, asset, amount, error in cases:
        with pytest.raises(Refused, match=error):
            bench.engine.move_cash(source, target, asset, Decimal(amount), now_us=bench.now)


def test_a_restarted_engine_knows_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.engine.prefer_leverage(ETH, Decimal(3), bench.now)
    bench.send("buy", "1", cli_ord_id="entry")
    bench.send("sell", "1", "trailing_stop", deviation="5", unit="PERCENT", reduce_only=True)
    bench.move(110.0, after_us=HOUR)
    bench.engine.arm(bench.now + HOUR, bench.now)
    assert bench.engine.use_nonce("key", 7) is None
    again = Bench(tmp_path)
    assert again.engine.state.dump() == bench.engine.state.dump()
    assert (again.engine.use_nonce("key", 7), again.engine.use_nonce("key", 6)) == ("nonceDuplicate", "nonceBelowThreshold")
    again.now = bench.now
    again.move(100.0)
    assert again.size() == ZERO
    with pytest.raises(Unplaced, match="clientOrderIdAlreadyExist"):
        again.send("buy", "1", cli_ord_id="entry")


def test_an_idle_engine_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    before = (tmp_path / "futures.jsonl").read_bytes()
    for _ in range(50):
        bench.move(101.0, after_us=HOUR)
    assert (tmp_path / "futures.jsonl").read_bytes() == before


# --- contracts ---------------------------------------------------------------------------------------------------------
def test_the_listed_contracts_look_like_krakens() -> None:
    found = contracts_of([synthetic_listing(base, "EUR", price) for base, price in synthetic_bases(150)])
    assert len(found) == 52
    seen = {name: (found[name].tick, found[name].precision) for name in ("PF_XBTUSD", "PF_ETHUSD", "PF_PEPEUSD", "PF_DOGEUSD", "PI_XBTUSD")}
    assert seen == {
        "PF_XBTUSD": (Decimal(1), 4),
        "PF_ETHUSD": (Decimal("0.1"), 3),
        "PF_PEPEUSD": (Decimal("1e-9"), -3),
        "PF_DOGEUSD": (Decimal("0.00001"), 0),
        "PI_XBTUSD": (Decimal("0.5"), 0),
    }
    assert found["PF_PEPEUSD"].lot == 1_000
    assert contracts_of([SyntheticMarket(3, count=4).listing("BTC/EUR")])["PI_XBTUSD"].account == "fi_xbtusd"
