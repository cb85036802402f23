"""Pre-trade risk control: step B of the validation, over all survivors of one bar, reserving as it approves (SPEC section 5).

Pure. Which modules are not built (surveillance, order flow) is neutral: those checks pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trader.domain.account import ExitPlan
from trader.domain.costs import Costs
from trader.domain.futures import MarginRules
from trader.domain.market import Instrument, Timeframe
from trader.domain.messages import Action, Decision, Refusal
from trader.domain.money import ZERO, add, from_float, mul, sub
from trader.domain.orders import Side
from trader.domain.verdicts import Ruling, RulingResult
from trader.execution import sizing
from trader.execution.exit_plan import conditional_stop, plan_for
from trader.execution.sizing import Room, TradeStats, regime
from trader.strategy import sectors
from trader.strategy.modes import Parameters, entry_band

NO_LEVERAGE = MarginRules()
CLONE, ALIKE, ALIKE_FACTOR = 0.95, 0.85, 0.618  # |correlation| with a holding: refused above, shrunk above or where unknown
DEPTH_STAKES = 13  # ask depth within 0.5 % of mid, in stakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Something held: its base, its value at this close in quote, and whether it takes a slot (dust does not)."""

    pair: str
    base: str
    value: Decimal
    slot: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LastExit:
    """The bar (open time, us) in which a pair was last left, and whether by STOP_LOSS."""

    bar_us: int
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The account as review sees it. Money in quote, at this bar's closes.

    `reserved`: cash value of entries under way, `live_bases`: their bases (and those of other live orders), each taking a
    slot; `live_pairs`: the pairs of those entries. `halts`: causes that refuse entries. `btc_change`: BTC's 24 h change, None
    where unknown or stale. `approved_in_bar`: entries already approved for this bar (at an earlier beat). `locked`: pair -> why.
    """

    equity: Decimal
    free_cash: Decimal
    holdings: tuple[Holding, ...] = ()
    reserved: Decimal = ZERO
    live_bases: tuple[str, ...] = ()
    live_pairs: tuple[str, ...] = ()
    halts: tuple[str, ...] = ()
    btc_change: float | None = None
    last_exits: Mapping[str, LastExit] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)
    approved_in_bar: int = 0
    stats: TradeStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A survivor of step A with what the ranking and the size need: `rank` by quote volume, 1 = largest."""

    decision: Decision
    rank: int
    median_quote_volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketGate:
    """Live readings of a pair; None = not known, which refuses where it is asked for. `spread` = (ask - bid) / mid."""

    spread: float | None = None
    ask_depth: Decimal | None = None
    status: str = "online"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """An entry that may be sent: IOC limit order of `quantity` at `cap_price`, the worst price it may fill at, with a stop at
    `stop_trigger` riding on it where the venue has that.

    `stake`: planned cost at close x (1 + s); `reserved`: cash it may take, fee included; `size_factor`: product of the
    multipliers.
    """

    decision: Decision
    quantity: Decimal
    stake: Decimal
    cap_price: Decimal
    stop_trigger: Decimal
    reserved: Decimal
    plan: ExitPlan
    regime: str
    size_factor: float
    ruling: RulingResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An entry that may not be sent, with the first code that applied."""

    decision: Decision
    code: Refusal
    detail: str = ""
    ruling: RulingResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An entry the AI has not judged yet: decided anew at each of the next two beats."""

    decision: Decision
    ruling: RulingResult
    code: Refusal = Refusal.AI_NONE


Reviewed = Approved | Refused | Deferred
Rule = Callable[[Decision], RulingResult]
Alike = Callable[[str, str], float | None]


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best score first, then the larger market, then the pair's name."""
    return sorted(candidates, key=lambda c: (-c.decision.score, c.rank, c.decision.pair))


@dataclass(slots=True, kw_only=True)
class _Taken:
    """What approvals of this review have taken so far."""

    bases: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)  # those that take a slot
    slots: int = 0
    approvals: int = 0
    cash: Decimal = ZERO
    exposure: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class _Likeness:
    """Largest |correlation| of an entry with what is held, and whether one of them is not known."""

    most: float
    unknown: bool


class Review:
    """One review of one bar; `review` below is the way to run it."""

    def __init__(
        self, *, account: AccountView, instruments: Mapping[str, Instrument], parameters: Parameters, costs: Costs,
        market: Mapping[str, MarketGate] | None, rule: Rule | None, exit_kind: str, margin: MarginRules, alike: Alike | None,
    ) -> None:  # fmt: skip
        self.account, self.instruments, self.parameters, self.costs = account, instruments, parameters, costs
        self.market, self.rule, self.exit_kind, self.margin, self.alike = market, rule, exit_kind, margin, alike
        self.taken = _Taken(
            bases=[h.base for h in account.holdings] + list(account.live_bases),
            pairs=[h.pair for h in account.holdings if h.slot] + list(account.live_pairs),
            slots=sum(h.slot for h in account.holdings) + len(account.live_bases), approvals=account.approved_in_bar,
            cash=ZERO, exposure=add(account.reserved, *(h.value for h in account.holdings)),
        )  # fmt: skip

    def judge(self, candidate: Candidate) -> Reviewed:
        """The verdict on one candidate, given everything approved before it."""
        decision = candidate.decision
        if refused := self._account_checks(decision):
            return refused
        likeness = self._likeness(decision.pair)
        if crowd := self._company_checks(decision, likeness):
            return Refused(decision=decision, code=crowd[0], detail=crowd[1])
        ruling = self.rule(decision) if self.rule is not None else None
        change = self.account.btc_change or 0.0  # never None here: that was refused
        name, m = regime(change)
        factors = [m, sizing.HEDGE_FACTOR] if change <= sizing.HEDGE_AT else [m]
        if likeness.unknown or likeness.most > ALIKE:
            factors.append(ALIKE_FACTOR)
        if ruling is not None and ruling.ruling is Ruling.SHRINK:
            factors.append(ruling.factor)
        instrument, band = self.instruments[decision.pair], entry_band(decision.atr_fraction)
        close = from_float(decision.close)
        limit = sizing.exposure_limit(self.account.equity, m)
        sized = sizing.size(
            parameters=self.parameters, instrument=instrument, close=close, stop=decision.stop, band=band,
            median_quote_volume=candidate.median_quote_volume, factors=factors, costs=self.costs, stats=self.account.stats,
            room=Room(
                equity=self.account.equity, free_cash=sub(self.account.free_cash, self.taken.cash),
                headroom=sub(limit, self.taken.exposure),
            ),
            leverage=float(self.margin.leverage) if instrument.futures else 1.0,
        )  # fmt: skip
        if sized.refusal is not None:
            return Refused(decision=decision, code=sized.refusal, detail=sized.detail, ruling=ruling)
        if instrument.futures and self.margin.too_near(decision.stop, decision.side):
            detail = f"{self.margin.distance(decision.side):.1%} away at leverage {self.margin.leverage}, the stop {decision.stop:.1%}"
            return Refused(decision=decision, code=Refusal.LIQUIDATION_NEAR, detail=detail, ruling=ruling)
        if gate := self._live_gates(decision.pair, sized.stake):
            return Refused(decision=decision, code=gate[0], detail=gate[1], ruling=ruling)
        if ruling is not None and ruling.ruling is Ruling.VETO:
            return Refused(decision=decision, code=Refusal.AI_VETO, detail=f"p_loss {ruling.p_loss}", ruling=ruling)
        if ruling is not None and ruling.ruling is Ruling.DEFER:
            return Deferred(decision=decision, ruling=ruling)
        return self._approve(decision, instrument, sized, band, name, factors, ruling)

    # --- checks in their order -----------------------------------------------------------------------------------------
    def _likeness(self, pair: str) -> _Likeness:
        """How like a pair is to anything held or just approved."""
        found = [self.alike(pair, other) for other in self.taken.pairs] if self.alike is not None else []
        return _Likeness(most=max((abs(one) for one in found if one is not None), default=0.0), unknown=None in found)

    def _crowded(self, base: str) -> str:
        """The sector that is full where this coin is of it, else empty."""
        sector = sectors.sector_of(base)
        held = sum(sectors.sector_of(pair.split("/")[0]) == sector for pair in self.taken.pairs)
        return sector if sector and self.alike is not None and held >= sectors.MOST else ""

    def _account_checks(self, decision: Decision) -> Refused | None:
        """HALTED to LOCKED."""
        a, pair = self.account, decision.pair

        def refuse(code: Refusal, detail: str = "") -> Refused:
            return Refused(decision=decision, code=code, detail=detail)

        if a.halts:
            return refuse(Refusal.HALTED, ", ".join(a.halts))
        if a.btc_change is None or not -1.0 < a.btc_change < 1e9:
            return refuse(Refusal.NO_REGIME, "BTC's 24 h change is not known")
        if a.btc_change <= sizing.CRASH_AT:
            return refuse(Refusal.BTC_CRASH, f"BTC {a.btc_change:.2%} in 24 h")
        instrument = self.instruments.get(pair)
        if instrument is None:
            return refuse(Refusal.VENUE, "the venue does not list this pair")
        if decision.side is Side.SELL and not instrument.futures:
            return refuse(Refusal.VENUE, "shorts need a futures market")
        if instrument.base in self.taken.bases:
            return refuse(Refusal.PAIR_HELD, instrument.base)
        if wait := self._cooldown(decision):
            return refuse(Refusal.COOLDOWN, f"{wait} more bars")
        if pair in a.locked:
            return refuse(Refusal.LOCKED, a.locked[pair])
        return None

    def _company_checks(self, decision: Decision, likeness: _Likeness) -> tuple[Refusal, str] | None:
        """DEEP_CHECK to MAX_NEW_PER_BAR: how the entry goes with what is held."""
        if self.parameters.sniper and decision.evidence.get("h4_bearish") is True:
            return Refusal.DEEP_CHECK, "4h is bearish"
        if self.parameters.sniper and (likeness.unknown or likeness.most > ALIKE):
            return Refusal.DEEP_CHECK, "correlation with what is held: " + ("unknown" if likeness.unknown else f"{likeness.most:.2f}")
        if likeness.most > CLONE:
            return Refusal.CORRELATED, f"{likeness.most:.2f} with what is held"
        if sector := self._crowded(self.instruments[decision.pair].base):
            return Refusal.CORRELATED, f"{sectors.MOST} of {sector} held"
        if self.taken.slots >= self.parameters.max_positions:
            return Refusal.MAX_POSITIONS, f"{self.taken.slots} held"
        if self.taken.approvals >= self.parameters.max_new_per_bar:
            return Refusal.MAX_NEW_PER_BAR, f"{self.taken.approvals} approved"
        return None

    def _cooldown(self, decision: Decision) -> int:
        """Bars still to wait: refused while i - (bar of the exit fill) < cooldown."""
        last = self.account.last_exits.get(decision.pair)
        if last is None:
            return 0
        need = self.parameters.cooldown_stop_bars if last.stopped else self.parameters.cooldown_bars
        bar_us = decision.close_us - Timeframe.M15.us
        return max(0, need - (bar_us - last.bar_us) // Timeframe.M15.us)

    def _live_gates(self, pair: str, stake: Decimal) -> tuple[Refusal, str] | None:
        """SPREAD, DEPTH (sniper), VENUE; none where there is no live market (backtest)."""
        if self.market is None:
            return None
        gate = self.market.get(pair, MarketGate())
        if gate.spread is None or not 0 <= gate.spread <= self.parameters.max_spread:
            shown = "unknown" if gate.spread is None else f"{gate.spread:.4f}"
            return Refusal.SPREAD, f"spread {shown}, limit {self.parameters.max_spread:.4f}"
        if self.parameters.sniper and (gate.ask_depth is None or gate.ask_depth < DEPTH_STAKES * stake):
            return Refusal.DEPTH, f"ask depth {gate.ask_depth} for a stake of {stake:.2f}"
        return (Refusal.VENUE, f"status {gate.status}") if gate.status != "online" else None

    def _approve(  # noqa: PLR0917 - all of it was worked out one step before
        self, decision: Decision, instrument: Instrument, sized: sizing.Size, band: float, name: str, factors: Sequence[float],
        ruling: RulingResult | None,
    ) -> Reviewed:  # fmt: skip
        close, long = from_float(decision.close), decision.side is Side.BUY
        highest = instrument.price_down(mul(close, 1 + from_float(band)))
        cap = highest if long else instrument.price_up(mul(close, 1 - from_float(band)))
        plan = plan_for(self.parameters, decision, self.costs, self.exit_kind)
        worth = mul(sized.quantity, highest)  # a short may fill at any price above its cap: counted as far as the band reaches
        reserved = add(self.margin.needed(worth) if instrument.futures else worth, mul(worth, from_float(self.costs.taker)))
        self.taken.bases.append(instrument.base)
        self.taken.pairs.append(decision.pair)
        self.taken.slots += 1
        self.taken.approvals += 1
        self.taken.cash = add(self.taken.cash, reserved)
        self.taken.exposure = add(self.taken.exposure, worth)
        product = 1.0
        for factor in factors:
            product *= factor
        return Approved(
            decision=decision, quantity=sized.quantity, stake=sized.stake, cap_price=cap,
            stop_trigger=conditional_stop(plan, cap, instrument, decision.side), reserved=reserved, plan=plan, regime=name,
            size_factor=product, ruling=ruling,
        )  # fmt: skip


def review(
    candidates: Iterable[Candidate], account: AccountView, *, instruments: Mapping[str, Instrument], parameters: Parameters,
    costs: Costs, market: Mapping[str, MarketGate] | None = None, rule: Rule | None = None, exit_kind: str = "",
    margin: MarginRules = NO_LEVERAGE, alike: Alike | None = None,
) -> tuple[Reviewed, ...]:  # fmt: skip
    """Step B over the ENTER decisions of one bar, best first; one answer each, in that order.

    `market` None: no live gates; `rule` None: AI off; else it is asked once per candidate that reaches its size, and
    returns what the entry must obey; `margin` binds futures contracts; `alike`: correlation of two pairs at this close, None: not
    asked about. Raises ValueError for a decision that is not ENTER.
    """
    run = Review(
        account=account, instruments=instruments, parameters=parameters, costs=costs, market=market, rule=rule, exit_kind=exit_kind,
        margin=margin, alike=alike,
    )  # fmt: skip
    answers: list[Reviewed] = []
    for candidate in ranked(candidates):
        if candidate.decision.action is not Action.ENTER:
            raise ValueError(f"{candidate.decision.pair}: review takes ENTER decisions, not {candidate.decision.action}")
        answers.append(run.judge(candidate))
    return tuple(answers)


def within_band(approved: Approved, fill_price: Decimal) -> bool:
    """Whether an entry may fill at this price (slippage included): no worse than the cap; checked again at send."""
    return fill_price <= approved.cap_price if approved.decision.side is Side.BUY else fill_price >= approved.cap_price
