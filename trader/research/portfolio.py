"""One account over many pairs as compiled columns: what the account pass decides, thousands of times a night.

Plain prices (no tick, no lot) and float64 money, so it is for judging strategies, not for a ledger: the exit step is the kernel's
own, the rules of step B are `execution/risk.review`'s and `execution/halts`' in their order, and a test holds every trade of it
against `research/account.py`, which the session's code decides. Left out are the rules that size an entry by what is held and by
what earlier trades came to (`Rules.company`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trader.domain.market import DAY
from trader.errors import ConfigError
from trader.execution.exits import STOP_LOSS, TP1, TP2
from trader.execution.sizing import CRASH_AT, HEDGE_AT, HEDGE_FACTOR, LIQUIDITY_SHARE, SEED_SHARE, regime
from trader.indicators.compiled import compiled
from trader.research.board import M15, Board, board_of, changes, median_turnover, rank_at
from trader.research.kernel import (
    EXIT,
    LOTS,
    NO_FLAGS,
    REASON,
    SOLD,
    Floats,
    Ints,
    Rule,
    bought_at,
    follow,
    opened,
    rule_of,
)
from trader.strategy.columns import Bars, Entries
from trader.strategy.strategies import Strategy

LEAST_ORDER = 1.10 * 0.5  # quote: no stake below it; the exchange's minimum with the margin of `exit_plan.MARGIN`
PAIR, ENTERED, LEFT, WHY = 0, 1, 2, 3  # columns of the integer table of legs; rows are those of the flat columns
SCORE, UNIT, CAP = 0, 1, 2  # columns of a signal's numbers
NET, COST, PAID = 0, 1, 2  # columns of its money: net result, fees and slippage, what the leg's share of the entry cost


class Limits(NamedTuple):
    """The numbers of a strategy that bind the account, each of one type so that nothing compiles twice."""

    seed: int
    universe: int
    max_positions: int
    max_new_per_bar: int
    risk_per_trade: float
    max_stake: float
    min_trade: float
    max_trade: float
    taker: float
    slippage: float
    daily_loss: float
    drawdown: float
    halt_stops: int


def limits_of(strategy: Strategy) -> Limits:
    """Raises ConfigError for a strategy that is none of the table's."""
    p, costs = strategy.parameters, strategy.costs
    if p is None:
        raise ConfigError(f"strategy {strategy.name}: a shared account takes one of the six; others run pair by pair")
    return Limits(
        int(p.seed), p.universe, p.max_positions, p.max_new_per_bar, float(p.risk_per_trade), float(p.max_stake), float(p.min_trade),
        float(p.max_trade), float(costs.taker), float(costs.slippage), float(p.daily_loss), float(p.drawdown), p.halt_stops,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a run gave. `legs`: (k, 4) integers, `money`: (k, 3) quote, in the order of the exits; `equity` and `spent` (fees and
    slippage) at each close of the grid; `signals` judged; `held`: positions still open at the end, marked, not in `legs`."""

    pairs: tuple[str, ...]
    legs: Ints
    money: Floats
    equity: Floats
    spent: Floats
    signals: int
    held: int


def run(
    strategy: Strategy, bars: Mapping[str, Bars], *, board: tuple[tuple[str, ...], Board] | None = None,
    said: Mapping[str, Entries] | None = None, cash: float = 10_000.0, reference: str | None = None,
) -> Books:  # fmt: skip
    """One of the six over all candles of `bars` with one account; `board`: of the same bars, to share it between strategies; `said`:
    what the strategy says of each pair, where that is known."""
    pairs, shared = board_of(bars) if board is None else board
    limits, count = limits_of(strategy), shared.newest.shape[1]
    said = said if said is not None else {pair: strategy.entries(bars[pair]) for pair in pairs}
    table, numbers = _signals(said, bars, pairs, shared)
    change = changes(bars.get(reference or f"BTC/{pairs[0].split('/')[1]}"), shared.first_us, count)
    room = 4 * len(table) + 4
    out = _Out(np.zeros((room, 4), np.int64), np.zeros((room, 3)), np.empty(count), np.zeros(count))
    k, held = _account(
        rule_of(strategy), limits, cash, shared, _sizes(change, table[:, 0]), table, numbers, _nothing_held(len(pairs)), out
    )  # fmt: skip
    return Books(
        pairs=pairs, legs=out.legs[:k].copy(), money=out.money[:k].copy(), equity=out.equity, spent=out.spent, signals=len(table), held=held
    )  # fmt: skip


def _signals(said: Mapping[str, Entries], bars: Mapping[str, Bars], pairs: Sequence[str], board: Board) -> tuple[Ints, Floats]:
    """Close, pair and row of every signal, by close, then pair, shape (m, 3); and its score, unit and cap, shape (m, 3)."""
    rows, values = [], []
    for k, pair in enumerate(pairs):
        one = said[pair]
        closes = (bars[pair].time[one.rows] + M15 - board.first_us) // M15
        rows.append(np.stack([closes, np.full(len(closes), k), one.rows + board.begin[k]], axis=1))
        values.append(np.stack([one.score, one.unit, one.cap], axis=1))
    table, numbers = np.concatenate(rows).astype(np.int64), np.concatenate(values)
    order = np.lexsort((table[:, 1], table[:, 0]))
    return table[order], numbers[order]


def _sizes(change: Floats, closes: Ints) -> Floats:
    """Stake multiplier and exposure limit by the reference's change, at the closes asked for: shape (bars, 2); 0 = no entry."""
    found = np.zeros((len(change), 2))
    for place in np.unique(closes).tolist():
        moved = float(change[place])
        if not -1.0 < moved < 1e9 or moved <= CRASH_AT:
            continue
        m = regime(moved)[1]
        found[place] = m * HEDGE_FACTOR if moved <= HEDGE_AT else m, m / (1 + m)
    return found


@compiled
def _stake(  # noqa: PLR0917 - compiled functions take positions
    limits: Limits, stop: float, band: float, factor: float, equity: float, free: float, headroom: float, median: float
) -> float:
    """The stake of `sizing.size` in plain numbers; 0 where it refuses."""
    if limits.seed != 0:
        stake = min(max(free * SEED_SHARE, limits.min_trade), limits.max_trade) * factor
    else:
        share = min(limits.risk_per_trade / (stop + 2 * (limits.taker + limits.slippage)), limits.max_stake)
        stake = min(equity * share * factor, equity * limits.max_stake)
    reserve = (1 + limits.slippage) / (1 + band)
    stake = min(stake, headroom * reserve, free * reserve / (1 + limits.taker), LIQUIDITY_SHARE * median)
    return stake if stake >= LEAST_ORDER else 0.0


class _Open(NamedTuple):
    """What is held, by pair: shape (pairs, ...). `legs` (columns of the kernel; rows of the flat columns) and `prices` lie ahead,
    `known` of them, `done` sold; `lots` left (0: not held); `entry`: quantity, cost and fee; `left_us`, `stopped`: the last exit.
    `order`: pairs held, as they were entered."""

    legs: Ints
    prices: Floats
    known: Ints
    done: Ints
    lots: Ints
    entry: Floats
    entered: Ints
    left_us: Ints
    stopped: Ints
    order: Ints


def _nothing_held(pairs: int) -> _Open:
    def numbers() -> Ints:
        return np.zeros(pairs, np.int64)

    return _Open(
        np.zeros((pairs, 4, 4), np.int64), np.zeros((pairs, 4)), numbers(), numbers(), numbers(), np.zeros((pairs, 3)), numbers(),
        np.full(pairs, -(1 << 62), np.int64), numbers(), numbers(),
    )  # fmt: skip


class _Out(NamedTuple):
    """The tables a run writes: see Books."""

    legs: Ints
    money: Floats
    equity: Floats
    spent: Floats


@compiled
def _sell(limits: Limits, board: Board, has: _Open, p: int, out: _Out, k: int, at: int) -> float:  # noqa: PLR0917 - compiled
    """Book the next leg of a pair as row k; the cash it brings."""
    leg = has.done[p]
    reason, row, share = has.legs[p, leg, REASON], has.legs[p, leg, EXIT], has.legs[p, leg, SOLD] / LOTS
    got = has.prices[p, leg] * has.entry[p, 0] * share
    fee = got * limits.taker
    slip = 0.0 if reason in (TP1, TP2) else got * limits.slippage
    paid, fee_in = has.entry[p, 1] * share, has.entry[p, 2] * share
    out.legs[k, PAIR], out.legs[k, ENTERED], out.legs[k, LEFT], out.legs[k, WHY] = p, has.entered[p], row, reason
    out.money[k, NET] = got - paid - fee_in - fee
    out.money[k, COST] = fee_in + paid * limits.slippage / (1 + limits.slippage) + fee + slip
    out.money[k, PAID] = paid
    out.spent[at] += fee + slip
    has.lots[p] -= has.legs[p, leg, SOLD]
    has.left_us[p], has.stopped[p] = board.time[row], reason == STOP_LOSS
    has.done[p] = leg + 1
    brought: float = got - fee
    return brought


@compiled
def _buy(rule: Rule, limits: Limits, board: Board, has: _Open, p: int, row: int, unit: float, cap: float, quantity: float) -> float:  # noqa: PLR0917
    """Enter a pair at the open after `row`; what it costs with its fee, 0 where it is missed. The kernel says at once how it ends."""
    a, b = board.begin[p], board.begin[p + 1]
    if row + 1 >= b:
        return 0.0
    price = bought_at(rule, board.open[row + 1])
    if price > cap:
        return 0.0
    _, has.known[p], _ = follow(
        opened(rule, price, unit), board.open[a:b], board.high[a:b], board.low[a:b], board.close[a:b], NO_FLAGS, row + 1 - a, has.legs[p],
        has.prices[p], 0,
    )  # fmt: skip
    for leg in range(has.known[p]):
        has.legs[p, leg, EXIT] += a
    has.done[p], has.entered[p], has.lots[p] = 0, row + 1, LOTS
    has.entry[p, 0], has.entry[p, 1], has.entry[p, 2] = quantity, price * quantity, price * quantity * limits.taker
    paid: float = has.entry[p, 1] + has.entry[p, 2]
    return paid


@compiled
def _best_first(table: Ints, numbers: Floats, ranks: Ints, begin: int, end: int) -> Ints:
    """Signals begin to end of one close: best score, then the larger market."""
    order = np.arange(begin, end)
    for i in range(1, len(order)):
        one, j = order[i], i
        score, rank = numbers[one, SCORE], ranks[table[one, 1]]
        while j > 0 and (
            numbers[order[j - 1], SCORE] < score or (numbers[order[j - 1], SCORE] == score and ranks[table[order[j - 1], 1]] > rank)
        ):
            order[j] = order[j - 1]
            j -= 1
        order[j] = one
    return order


@compiled
def _decide(  # noqa: PLR0917 - compiled functions take positions
    rule: Rule, limits: Limits, board: Board, has: _Open, table: Ints, numbers: Floats, ranks: Ints, order: Ints, size: Floats,
    worth: float, cash: float, number: int,
) -> tuple[float, int]:  # fmt: skip
    """Step B over the signals of one close, reserving as it approves: (cash, positions) after the entries."""
    free, room, slots, taken = cash, worth * size[1] - (worth - cash), number, 0
    for one in order:
        p, row, unit, cap = table[one, 1], table[one, 2], numbers[one, UNIT], numbers[one, CAP]
        wait = rule.cooldown_stop_bars if has.stopped[p] != 0 else rule.cooldown_bars
        if ranks[p] > limits.universe or has.lots[p] > 0 or (board.time[row] - has.left_us[p]) // M15 < wait:
            continue
        if slots >= limits.max_positions or taken >= limits.max_new_per_bar:
            continue
        price, median = board.close[row], median_turnover(board, p, row)
        stake = _stake(limits, rule.stop * unit, cap / price - 1, size[0], worth, free, room, median)
        if stake == 0.0:
            continue
        quantity = stake / (price * (1 + limits.slippage))
        free, room = free - quantity * cap * (1 + limits.taker), room - quantity * cap
        slots, taken = slots + 1, taken + 1
        paid = _buy(rule, limits, board, has, p, row, unit, cap, quantity)
        if paid > 0.0:
            cash -= paid
            has.order[number] = p
            number += 1
    return cash, number


@compiled
def _account(  # noqa: PLR0917 - compiled functions take positions
    rule: Rule, limits: Limits, cash: float, board: Board, sizes: Floats, table: Ints, numbers: Floats, has: _Open, out: _Out
) -> tuple[int, int]:
    """Walk every close of the grid in the bar order of SPEC section 5; (legs written, positions still open).

    `table`: close, pair and row of each signal, by close, then pair; `numbers`: its score, unit and cap; `sizes`: see `_sizes`.
    """
    pairs = len(board.begin) - 1
    turnovers, ranks = np.zeros(pairs), np.zeros(pairs, np.int64)
    number = k = stops = s = 0
    day, halted, peak, day_open, last = -1, False, cash, cash, cash
    for at in range(board.newest.shape[1]):
        close_us = board.first_us + at * M15
        kept, marked = 0, 0.0
        for h in range(number):
            p = has.order[h]
            while has.done[p] < has.known[p] and board.time[has.legs[p, has.done[p], EXIT]] < close_us:
                cash += _sell(limits, board, has, p, out, k, at)
                if out.legs[k, WHY] == STOP_LOSS:
                    stops += 1
                elif out.money[k, NET] > 0:
                    stops = 0
                k += 1
            if has.lots[p] > 0:
                marked += has.entry[p, 0] * has.lots[p] / LOTS * board.close[board.newest[p, at]]
                has.order[kept] = p
                kept += 1
        number, worth = kept, cash + marked
        out.equity[at] = worth
        if close_us // DAY != day:
            if halted:
                halted, peak, last, stops = False, worth, worth, 0
            day, day_open = close_us // DAY, last
        peak, last = max(peak, worth), worth
        if worth <= day_open * (1 - limits.daily_loss) or worth <= peak * (1 - limits.drawdown) or stops >= limits.halt_stops:
            halted = True
        begin = s
        while s < len(table) and table[s, 0] == at:
            s += 1
        if s == begin or halted or sizes[at, 0] == 0.0:
            continue
        rank_at(board, at, table[begin:s, 1], turnovers, ranks)
        order = _best_first(table, numbers, ranks, begin, s)
        had = number
        cash, number = _decide(rule, limits, board, has, table, numbers, ranks, order, sizes[at], worth, cash, number)
        for h in range(had, number):
            entry = has.entry[has.order[h]]
            out.spent[at] += entry[2] + entry[1] * limits.slippage / (1 + limits.slippage)
    return k, number
