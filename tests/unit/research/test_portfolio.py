"""The compiled account against the account pass, which the session's own review decides: the same trades, leg by leg."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.market_kit import bars_of, instruments_of, market
from trader.domain.costs import Costs
from trader.errors import ConfigError
from trader.execution.exits import text_reason
from trader.research import backtester, portfolio
from trader.research.account import Rules, account_pass
from trader.research.backtester import S1, of_table, run_all, run_through, six
from trader.research.board import M15, board_of, rank_at
from trader.strategy import modes
from trader.strategy.columns import Bars

AGGRESSIVE = of_table(modes.parameters("viable", "mitraillette", "AGGRESSIVE"))


@pytest.fixture(scope="module")
def bars() -> dict[str, Bars]:
    return bars_of(market(2, 10, 60))


def legs_of(books: portfolio.Books, time: np.ndarray) -> list[tuple[object, ...]]:
    return [(books.pairs[p], int(time[entered]), int(time[left]), text_reason(int(why))) for p, entered, left, why in books.legs.tolist()]


def exact(strategy, bars: dict[str, Bars]):
    return account_pass(strategy, bars, instruments_of(list(bars)), rules=Rules(company=False))


@pytest.mark.parametrize("profile", ["viable", "seed"])
def test_every_leg_and_its_money_is_the_account_passes(profile: str, bars: dict[str, Bars]):
    board, compared = board_of(bars), 0
    for strategy in six(profile):
        found, wanted = portfolio.run(strategy, bars, board=board), exact(strategy, bars)
        theirs = [(leg.pair, leg.entry_us, leg.exit_us, leg.reason) for leg in wanted.legs]
        assert legs_of(found, board[1].time) == theirs, strategy.name
        assert found.money[:, portfolio.NET] == pytest.approx([float(leg.net) for leg in wanted.legs], abs=2e-4)
        assert found.held == len(wanted.open)
        if wanted.equity:
            assert found.equity[-1] == pytest.approx(float(wanted.equity[-1].equity), rel=1e-6)
        compared += len(theirs)
    assert compared >= (200 if profile == "viable" else 80)


@pytest.fixture(scope="module")
def wanted(bars: dict[str, Bars]):
    return exact(AGGRESSIVE, bars)


def test_equity_at_every_close_is_the_account_passes(bars: dict[str, Bars], wanted):
    pairs, board = board_of(bars)
    found = portfolio.run(AGGRESSIVE, bars, board=(pairs, board))
    places = [(row.time_us - board.first_us) // M15 for row in wanted.equity]
    assert len(places) >= 1_000
    assert found.equity[places] == pytest.approx([float(row.equity) for row in wanted.equity], rel=1e-6)


def test_one_rule_less_gives_other_trades(bars: dict[str, Bars], wanted):
    """The comparison above can fail: without the cooldown after a stop the compiled account trades otherwise."""
    eager = replace(AGGRESSIVE, exits=replace(AGGRESSIVE.exits, cooldown_stop_bars=0))
    board = board_of(bars)
    theirs = [(leg.pair, leg.entry_us, leg.exit_us, leg.reason) for leg in wanted.legs]
    assert legs_of(portfolio.run(eager, bars, board=board), board[1].time) != theirs


def test_a_pair_with_a_hole_trades_as_in_the_account_pass():
    columns = market(3, 6, 60)
    holed = columns["P02/EUR"]
    kept = np.r_[0:3_000, 3_100 : len(holed)]
    columns["P02/EUR"] = type(holed)(**{name: getattr(holed, name)[kept] for name in holed.__slots__})
    columns["P03/EUR"] = type(holed)(**{name: getattr(columns["P03/EUR"], name)[500:] for name in holed.__slots__})
    holes = bars_of(columns)
    board = board_of(holes)
    found = legs_of(portfolio.run(AGGRESSIVE, holes, board=board), board[1].time)
    assert found == [(leg.pair, leg.entry_us, leg.exit_us, leg.reason) for leg in exact(AGGRESSIVE, holes).legs]
    assert len(found) >= 60


def test_costs_spent_are_those_of_the_legs(bars: dict[str, Bars]):
    found = portfolio.run(AGGRESSIVE, bars)
    if not found.held:
        assert found.spent.sum() == pytest.approx(found.money[:, portfolio.COST].sum())
    assert found.spent.sum() >= found.money[:, portfolio.COST].sum() - 1e-9
    free = portfolio.run(of_table(AGGRESSIVE.parameters, Costs(taker=0.0, maker=0.0, slippage=0.0)), bars)
    assert free.spent.sum() == 0.0


def test_without_the_reference_nothing_is_entered(bars: dict[str, Bars]):
    assert len(portfolio.run(AGGRESSIVE, bars, reference="XBT/EUR").legs) == 0


@pytest.mark.parametrize(
    ("strategy", "bars", "named"),
    [(S1, {"BTC/EUR": bars_of(market(1, 1, 2))["BTC/EUR"]}, "S1"), (AGGRESSIVE, {}, "no pair")],
    ids=["S1", "nothing"],
)
def test_what_cannot_run_is_refused_with_its_name(strategy, bars: dict[str, Bars], named: str):
    with pytest.raises(ConfigError, match=named):
        portfolio.run(strategy, bars)


def test_a_board_knows_each_pairs_newest_candle_turnover_and_rank(bars: dict[str, Bars]):
    """Against numpy, with pairs that begin late, end early and lack candles."""
    kept = dict(zip(sorted(bars), (np.r_[0:900], np.r_[200:1000], np.r_[0:300, 340:1000], *[np.r_[0:1000]] * 10), strict=False))
    some = {
        pair: Bars(type(bars[pair].columns)(**{name: getattr(bars[pair].columns, name)[rows] for name in bars[pair].columns.__slots__}))
        for pair, rows in kept.items()
    }
    pairs, board = board_of(some)
    opens = board.first_us - M15 + M15 * np.arange(board.newest.shape[1])
    turnovers, ranks = np.empty(len(pairs)), np.zeros(len(pairs), np.int64)
    for at in (0, 199, 250, 330, 345, 899, 900, 999):
        there = [some[pair].time <= opens[at] for pair in pairs]
        newest = [int(row.sum()) - 1 + int(begin) if row.any() else -1 for row, begin in zip(there, board.begin, strict=False)]
        assert board.newest[:, at].tolist() == newest
        day = [
            (some[pair].time[row][-96:], (some[pair].volume * some[pair].close)[row][-96:]) for pair, row in zip(pairs, there, strict=True)
        ]
        wanted = [float(sums.sum()) if len(time) and time[-1] == opens[at] else 0.0 for time, sums in day]
        rank_at(board, at, np.arange(len(pairs)), turnovers, ranks)
        assert turnovers == pytest.approx(wanted)
        assert [pairs[k] for k in np.argsort(ranks)] == [pairs[k] for k in sorted(range(len(pairs)), key=lambda k: (-turnovers[k], k))]


def test_pairs_that_come_one_after_the_other_trade_as_all_at_once(bars: dict[str, Bars]):
    data = {pair: {name: getattr(one, name) for name in ("time", "open", "high", "low", "close", "volume")} for pair, one in bars.items()}
    wanted = run_all(six(), data, warmup="short")
    found = run_through(six(), ((pair, backtester.bars_of(pair, data[pair], warmup="short")) for pair in data))
    assert sum(map(len, found.values())) > 200
    assert all(frame.equals(wanted[name]) for name, frame in found.items())
