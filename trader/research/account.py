"""The account pass: candidates of all pairs bar by bar in time order, best score first, through `risk.review`, with shared
cash, slots, exposure, cooldowns and halts. An approved entry is followed by the kernel; a refused one is never walked.

Money is Decimal and every rule is the session's own: review, exit plan, exit step, halts. Only the market is columns.
Bar order (SPEC section 5): exits and entries due at the open, stops, targets, close, equity and halts, decisions, review.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from heapq import heappop, heappush

import numpy as np

from trader.domain.costs import fee, slip_units, slipped
from trader.domain.futures import HOUR_US, FundingPayment
from trader.domain.market import Instrument, Timeframe
from trader.domain.messages import Action, Decision, Refusal, TradeLeg
from trader.domain.money import ZERO, add, divide, from_float, mul, round_to, sub
from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.execution import exit_plan, exits, halts
from trader.execution.risk import AccountView, Approved, Candidate, Holding, LastExit, MarketGate, Refused, review, within_band
from trader.execution.sizing import Record
from trader.indicators.likeness import Likeness
from trader.indicators.series import median_quote_volume
from trader.ports import Columns, EquityRow
from trader.research import kernel
from trader.research.markets import PairMarket, market_of
from trader.research.money import Coins, Held, Money
from trader.research.universe import RankedUniverse
from trader.strategy.brain import decide
from trader.strategy.columns import Bars
from trader.strategy.context import BrainContext
from trader.strategy.modes import Parameters
from trader.strategy.strategies import Strategy, of_table

M15 = Timeframe.M15.us
SHARE_STEP = Decimal("1e-8")  # of entry cost and fee, as the ledger splits them
MISSED = "MISSED"
BOTTOMLESS = Decimal(10**12)  # ask depth: a backtest assumes a market that bears the stake


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a person may set for a session beside the strategy; the defaults are the strategy's own.

    `exit_plan`: ratchet | targets | hybrid; `clears_halts`: a person clears halts at the next 00:00 UTC (False: nobody ever).
    `company`: correlations with what is held, sectors and the record of closed trades take part, as in a session; the optimizer's
    compiled account leaves them out, so that what a rule earns does not depend on what it earned before.
    """

    exit_plan: str = ""
    limits: halts.HaltLimits | None = None
    clears_halts: bool = True
    company: bool = True


DEFAULT_RULES = Rules()
COINS = Coins()
Candidates = Mapping[int, Mapping[str, Side]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What a run over a shared account gave. `legs`: closed exit legs by exit time; `equity`: one row per bar with something held,
    left or decided; `open`: pairs still held at the end, marked at the last close, `held`: their positions; `refusals`: code ->
    count; `halted`: cause -> times set; `contested`: candles in which both the stop and a target of a position were touched, so
    that the bar rule decided; `funding`: what futures positions paid and received."""

    legs: tuple[TradeLeg, ...]
    equity: tuple[EquityRow, ...]
    open: tuple[str, ...]
    held: tuple[str, ...]
    signals: int
    refusals: Mapping[str, int]
    halted: Mapping[str, int]
    contested: int = 0
    funding: tuple[FundingPayment, ...] = ()

    def lines(self) -> list[str]:
        """The trade lines every engine prints, by exit time, then pair."""
        return [leg.line() for leg in self.legs]


@dataclass(order=True, slots=True, kw_only=True)
class _Due:
    """An exit that lies ahead, in the order of the books: by the bar it falls in, then as the entries came."""

    bar_us: int
    number: int
    pair: str = field(compare=False)
    price: Decimal = field(compare=False)
    quantity: Decimal = field(compare=False)
    reason: str = field(compare=False)


class Account:
    """One run. Give the pairs, then `run`; see `account_pass`."""

    def __init__(
        self, strategy: Strategy, markets: Mapping[str, PairMarket], *, cash: Decimal, reference: str, first_us: int, rules: Rules,
        money: Money,
    ) -> None:  # fmt: skip
        if strategy.parameters is None:
            raise ConfigError(f"strategy {strategy.name}: the account pass takes one of the six; others run pair by pair")
        self.strategy, self.markets, self.reference, self.rules, self.money = strategy, markets, reference, rules, money
        self.walks = {side: kernel.rule_of(replace(strategy, side=side)) for side in Side}
        self.instruments = {pair: market.instrument for pair, market in markets.items()}
        self.parameters: Parameters = strategy.parameters
        self.watch = halts.Watch(
            rules.limits
            or halts.HaltLimits(
                daily_loss=self.parameters.daily_loss, drawdown=self.parameters.drawdown, stops=self.parameters.halt_stops
            ),
            peak=cash, last=cash,
        )  # fmt: skip
        self.universe = RankedUniverse(markets, self.parameters.universe, first_us)
        self.cash = cash
        self.realised = self.fees = ZERO
        self.funding: list[FundingPayment] = []
        self.held: dict[str, Held] = {}
        self.waiting: list[_Due] = []
        self.last_exits: dict[str, LastExit] = {}
        self.legs: list[TradeLeg] = []
        self.equity: list[EquityRow] = []
        self.refusals: dict[str, int] = {}
        self.halted: dict[str, int] = {}
        self.halts: set[str] = set()
        self.since_stop = 0  # legs before this one no longer count for stops in a row
        self.record = Record(self.parameters)
        self.signals = self.number = self.contested = 0

    # --- time ----------------------------------------------------------------------------------------------------------
    def run(self, candidates: Candidates, first_us: int, last_us: int) -> None:
        """Walk every 15m close in (first_us, last_us]. `candidates`: close time -> pairs that step A lets enter, and their side."""
        for close_us in range(first_us + M15, last_us + 1, M15):
            booked = len(self.legs)
            while self.waiting and self.waiting[0].bar_us < close_us:
                self._fill(heappop(self.waiting))
            names = candidates.get(close_us, {})
            if not (names or self.held or len(self.legs) > booked):
                continue
            row = self._mark(close_us)
            if names:
                self._decide(names, row, close_us)

    def alone(self, approved: Approved, close_us: int) -> tuple[TradeLeg, ...]:
        """One approved entry, in at the open after `close_us`, followed as far as the bars go with nothing else in the account: its
        legs. None where that open is beyond the entry's cap."""
        self._enter(self.markets[approved.decision.pair], approved, close_us)
        while self.waiting:
            self._fill(heappop(self.waiting))
        return tuple(self.legs)

    def _mark(self, close_us: int) -> EquityRow:
        """Equity at this close, and the halts it calls for; on the hour after the funding of the one that ended."""
        marked = ZERO
        for pair, one in self.held.items():
            self._fund(one, close_us - close_us % HOUR_US)
            marked = add(marked, self.money.marked(one, from_float(self.markets[pair].mark(close_us))))
        equity = add(self.cash, marked)
        if self.halts and self.rules.clears_halts and self.watch.turns(close_us):
            self._clear(equity)
        stops = halts.stops_in_a_row([(leg.reason, leg.net) for leg in self.legs[self.since_stop :]])
        for breach in self.watch.close(equity, close_us, stops):
            if breach.cause not in self.halts:
                self.halts.add(breach.cause)
                self.halted[breach.cause] = self.halted.get(breach.cause, 0) + 1
        below = float(1 - equity / self.watch.peak) if self.watch.peak > ZERO else 0.0
        row = EquityRow(
            time_us=close_us, cash=self.cash, marked=marked, equity=equity, realised=self.realised, fees=self.fees, drawdown=below
        )
        self.equity.append(row)
        return row

    def _clear(self, equity: Decimal) -> None:
        """A new day: a backtest clears halts as a person would, so references start again."""
        self.halts.clear()
        self.watch.restart(equity)
        self.since_stop = len(self.legs)

    # --- decisions -----------------------------------------------------------------------------------------------------
    def _decide(self, names: Mapping[str, Side], row: EquityRow, close_us: int) -> None:
        """Step B over the candidates of this close; approvals become orders for the next open."""
        self.signals += len(names)
        by_volume = sorted(self.markets, key=lambda pair: (-self.markets[pair].quote_volume(close_us), pair))
        ranks = {pair: rank for rank, pair in enumerate(by_volume, 1)}
        chosen, gates = [], {}
        for pair, side in names.items():
            market = self.markets[pair]
            decision = self._decision(market, close_us, side)
            if not self.universe.holds(pair, close_us):
                self._count(Refusal.UNIVERSE.value)
                continue
            gates[pair] = MarketGate(spread=market.spread_after(close_us, self.strategy.costs), ask_depth=BOTTOMLESS)
            place = market.at(close_us)
            median = median_quote_volume(market.bars.close, market.bars.volume, place)
            chosen.append(Candidate(decision=decision, rank=ranks[pair], median_quote_volume=median))
        for one in review(
            chosen, self._view(row, close_us), instruments=self.instruments, parameters=self.parameters, costs=self.strategy.costs,
            market=gates, exit_kind=self.rules.exit_plan, margin=self.money.margin,
            alike=Likeness(lambda pair: self.markets[pair].closes(close_us)) if self.rules.company else None,
        ):  # fmt: skip
            if isinstance(one, Approved):
                self._enter(self.markets[one.decision.pair], one, close_us)
            elif isinstance(one, Refused):
                self._count(one.code.value)

    def _decision(self, market: PairMarket, close_us: int, side: Side) -> Decision:
        """The brain's own word on this bar, with evidence; the columns only said where to ask."""
        row = market.features.row(market.at(close_us))
        decision = decide(BrainContext.of_row(market.instrument.pair, row, self.parameters, side=side), self.strategy.costs)
        if decision.action is not Action.ENTER:
            raise ValueError(f"{market.instrument.pair} at {close_us}: columns say enter, decide says {decision.refusal}")
        return decision

    def _view(self, row: EquityRow, close_us: int) -> AccountView:
        holdings = [
            Holding(pair=pair, base=self.instruments[pair].base, value=mul(one.quantity, from_float(self.markets[pair].mark(close_us))))
            for pair, one in self.held.items()
        ]
        return AccountView(
            equity=row.equity, free_cash=sub(self.cash, self.money.bound(self.held.values())), holdings=tuple(holdings),
            halts=tuple(sorted(self.halts)), btc_change=self._btc(close_us), last_exits=self.last_exits,
            stats=self.record.stats(close_us) if self.rules.company else None,
        )  # fmt: skip

    def _btc(self, close_us: int) -> float | None:
        reference = self.markets.get(self.reference)
        return reference.change_24h(close_us) if reference is not None else None

    def _count(self, code: str) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1

    # --- fills ---------------------------------------------------------------------------------------------------------
    def _enter(self, market: PairMarket, approved: Approved, close_us: int) -> None:
        """In at the next open, slipped; the kernel says at once how the position ends, the queue when it is known."""
        place = market.at(close_us) + 1
        if place >= len(market.bars):
            self._count(MISSED)
            return
        instrument, costs = market.instrument, self.strategy.costs
        side = approved.decision.side
        ticks = kernel.bought_at(self.walks[side], int(market.ticks[0][place]))
        entry = instrument.price(side.sign * int(ticks))
        if not within_band(approved, entry):
            self._count(MISSED)
            return
        bought = round_to(mul(entry, approved.quantity), instrument.quote_step)
        paid = fee(bought, from_float(costs.taker), instrument.quote_step)
        bar_us = int(market.bars.time[place])
        one = self.held[instrument.pair] = Held(
            approved=approved,
            entry=entry,
            entry_us=bar_us,
            quantity=approved.quantity,
            bought=bought,
            cost_left=bought,
            fee_in=paid,
            fee_left=paid,
            basis=bought,
            funded_us=bar_us,
        )
        self.cash = add(self.cash, self.money.entered(one))
        average = exit_plan.average_fill(bought, approved.quantity)
        state = exit_plan.begin(
            approved.plan, entry=average, quantity=approved.quantity, instrument=instrument, slippage=costs.slippage, side=side
        )
        for bar, reason, sold, price in self._life(market, approved, state, place):
            self.number += 1
            heappush(
                self.waiting,
                _Due(
                    bar_us=int(market.bars.time[bar]), number=self.number, pair=instrument.pair, price=instrument.price(price),
                    quantity=instrument.quantity(sold), reason=exits.text_reason(reason),
                ),
            )  # fmt: skip

    def _life(self, market: PairMarket, approved: Approved, state: exits.ExitState, place: int) -> list[tuple[int, int, int, int]]:
        """How a position entered at the open of bar `place` ends: (bar, reason, lots, price in ticks) of each leg.

        The stop that rides on a spot entry stands at the cap's level until it is amended to the fill's; an open at or below it is
        sold at once.
        """
        instrument, open_ = market.instrument, int(market.ticks[0][place])
        if not instrument.futures and instrument.price(open_) <= approved.stop_trigger:
            return [(place, exits.STOP_LOSS, int(state.lots), int(slipped(open_, slip_units(self.strategy.costs.slippage))))]
        legs, prices = np.zeros((4, 4), np.int64), np.zeros(4, np.int64)
        _bar, k, both = kernel.follow_finely(state, market.fine, market.starts, market.ticks, place, legs, prices)
        self.contested += both
        rows = zip(legs[:k].tolist(), prices[:k].tolist(), strict=True)
        return [(row[kernel.EXIT], row[kernel.REASON], row[kernel.SOLD], price) for row, price in rows]

    def _fund(self, one: Held, until_us: int) -> None:
        """Book what the position paid since it last paid."""
        paid = self.money.funding(one, until_us)
        if paid != ZERO:
            self.cash = add(self.cash, paid)
            self.funding.append(FundingPayment(pair=one.pair, asset=self.instruments[one.pair].quote, amount=paid, time_us=until_us))

    def _fill(self, due: _Due) -> None:
        """Book an exit leg: its share of the entry's fee, its own fee, the net result."""
        one, instrument, rate = self.held[due.pair], self.instruments[due.pair], from_float(self.strategy.costs.taker)
        self._fund(one, due.bar_us)
        got = round_to(mul(due.price, due.quantity), instrument.quote_step)
        out = fee(got, rate, instrument.quote_step)
        rest = sub(one.quantity, due.quantity)
        last = rest == ZERO  # takes what is left, so that sums are exact
        share = one.fee_left if last else divide(mul(one.fee_in, due.quantity), one.approved.quantity, SHARE_STEP)
        paid = one.cost_left if last else divide(mul(one.bought, due.quantity), one.approved.quantity, SHARE_STEP)
        one.fee_left, one.cost_left = sub(one.fee_left, share), sub(one.cost_left, paid)
        cost = add(share, out)
        net = sub(mul(Decimal(one.side.sign), sub(got, paid)), cost)
        self.cash = add(self.cash, self.money.left(one, due.quantity, got, out))
        one.quantity = rest
        self.realised, self.fees = add(self.realised, net), add(self.fees, cost)
        self.legs.append(
            TradeLeg(
                position_id=f"{due.pair}@{one.entry_us}", pair=due.pair, side=one.side, entry_us=one.entry_us, exit_us=due.bar_us,
                entry_price=one.entry, exit_price=due.price, quantity=due.quantity, fee=cost, net=net, reason=due.reason,
            )
        )  # fmt: skip
        self.last_exits[due.pair] = LastExit(bar_us=due.bar_us, stopped=due.reason == exits.text_reason(exits.STOP_LOSS))
        one.net = add(one.net, net)
        if one.quantity == ZERO:
            self.record.ended(due.bar_us, one.net, one.bought)
            del self.held[due.pair]


def account_pass(
    strategy: Strategy, bars: Mapping[str, Bars], instruments: Mapping[str, Instrument], *, cash: Decimal = Decimal(10_000),
    reference: str | None = None, watched: Collection[str] = (), first_us: int | None = None, last_us: int | None = None,
    fine: Mapping[str, Columns] | None = None, rules: Rules = DEFAULT_RULES, money: Money = COINS, sides: Sequence[Side] = (),
) -> Pass:  # fmt: skip
    """Run one of the six over 15m bars of many pairs with one account. Entries are decided at closes in (first_us, last_us].

    `reference`: the pair the regime is read from (default: BTC against the first pair's quote); `watched`: pairs that are
    there to be read and ranked, not traded. Costs are the strategy's. A pair that is not a member of the universe at that close
    is refused UNIVERSE. `fine`: the candles that the bars were made of, pair by pair: positions are walked in the finest ones,
    as the session sees them. `money`: how the market settles; `sides`: what may be entered (the strategy's, where none is named).
    Raises ConfigError where nothing can run.
    """
    if not bars:
        raise ConfigError("no pair to run on")
    wanted = tuple(sides) or (strategy.side,)
    if Side.SELL in wanted and not all(instruments[pair].futures for pair in bars):
        raise ConfigError(f"strategy {strategy.name}: shorts need a futures market; there are none on spot")
    if strategy.parameters is None:
        raise ConfigError(f"strategy {strategy.name}: the account pass takes one of the six; others run pair by pair")
    shorter = fine or {}
    markets = {pair: market_of(one, instruments[pair], strategy.parameters, shorter.get(pair)) for pair, one in bars.items()}
    quote = next(iter(bars)).split("/")[1]
    begin = min(int(one.time[0]) for one in bars.values()) if first_us is None else first_us
    end = max(int(one.time[-1]) for one in bars.values()) + M15 if last_us is None else last_us
    candidates: dict[int, dict[str, Side]] = {}
    for pair, one in bars.items():
        if pair in watched:
            continue
        for side in wanted:  # the first one wins where two have a signal, as in `brain.decide_sides`
            mirrored = strategy if side is strategy.side else of_table(strategy.parameters, strategy.costs, side=side)
            for close_us in (one.time[mirrored.entries(one).rows] + M15).tolist():
                if begin < close_us <= end:
                    candidates.setdefault(close_us, {}).setdefault(pair, side)
    account = Account(
        strategy, markets, cash=cash, reference=reference or f"BTC/{quote}", first_us=begin, rules=rules, money=money
    )  # fmt: skip
    account.run(candidates, begin, end)
    return Pass(
        legs=tuple(account.legs), equity=tuple(account.equity), open=tuple(sorted(account.held)),
        held=tuple(sorted(f"{pair}@{one.entry_us}" for pair, one in account.held.items())), signals=account.signals,
        refusals=dict(sorted(account.refusals.items())), halted=dict(sorted(account.halted.items())),
        contested=account.contested, funding=tuple(account.funding),
    )  # fmt: skip
