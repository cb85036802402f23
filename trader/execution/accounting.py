"""The account as the session sees it: equity at given marks, what review needs to know, and halts that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from trader.domain.account import PositionState
from trader.domain.halts import asset_of
from trader.domain.market import DAY, SECOND, Instrument, Timeframe
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, add, from_float, mul, sub
from trader.domain.orders import Leg
from trader.execution import halts
from trader.execution.risk import AccountView, Holding, LastExit
from trader.execution.sizing import Record
from trader.execution.venue_rules import VenueRules
from trader.execution.wiring import Wiring
from trader.ports import EquityRow, Halt

REBASE = "rebased_us."
MOVED = "moved"  # time:equity before:equity after; of each deposit and withdrawal
DECIDED_US = 5 * SECOND  # a close is judged within this time, so an equity row that soon after 00:00 is the day's open


class Accounting:
    """Reads the ledger; peak and day-open are in memory, begun from the stored equity curve."""

    def __init__(self, wiring: Wiring) -> None:
        self.w = wiring
        self.watch = self._known_watch(wiring.ledger.equity(), wiring.clock.now_us())
        self._known: tuple[Decimal, Decimal] | None = None
        self._stops = 0
        self._record = Record(wiring.parameters)

    def _known_watch(self, rows: Sequence[EquityRow], now_us: int) -> halts.Watch:
        """As the stored curve tells: a restart changes neither peak nor day-open."""
        if not rows:
            return halts.Watch(self.w.limits)
        rows = [replace(row, equity=self._since_moved(row)) for row in rows]
        day = (now_us - 1) // DAY
        before = [row.equity for row in rows if row.time_us <= day * DAY + DECIDED_US]
        today = [row.equity for row in rows if row.time_us > max(day * DAY + DECIDED_US, self._since(halts.DAILY_LOSS))]
        rebased = self._since(halts.DAILY_LOSS) > day * DAY
        opened = today[:1] if rebased else [*before[-1:], *today][:1]
        peak = max((row.equity for row in rows if row.time_us >= self._since(halts.DRAWDOWN)), default=ZERO)
        return halts.Watch(self.w.limits, peak=peak, day_open=opened[0] if opened else rows[-1].equity, last=rows[-1].equity, day=day)

    def equity_row(self, marks: Mapping[str, float], now_us: int) -> EquityRow | None:
        """Cash plus everything held at `marks`; None where a price or the balance is not known, so entries stop."""
        ledger = self.w.ledger
        cash = ledger.cash().get(self.w.quote)
        if cash is None:
            return None
        marked = ZERO
        for position in ledger.positions():
            if position.state is PositionState.OPENING:
                continue
            if position.pair not in marks:
                return None
            marked = add(marked, position.marked(from_float(marks[position.pair])))
        realised, fees = self._results()
        equity = add(cash, marked)
        peak = max(self.watch.peak, equity)
        drawdown = float(1 - equity / peak) if peak > ZERO else 0.0
        return EquityRow(time_us=now_us, cash=cash, marked=marked, equity=equity, realised=realised, fees=fees, drawdown=drawdown)

    def changed(self) -> None:
        """Fills were booked: results must be read again."""
        self._known = None

    def _results(self) -> tuple[Decimal, Decimal]:
        """Net result and fees of all closed legs."""
        if self._known is None:
            legs = self.w.ledger.trade_legs()
            since = self._since("CONSECUTIVE_STOPS")
            self._stops = halts.stops_in_a_row([(leg.reason, leg.net) for leg in legs if leg.exit_us >= since])
            self._record = self._recorded(legs)
            self._known = (add(ZERO, *(leg.net for leg in legs)), add(ZERO, *(leg.fee for leg in legs)))  # last: the ledger may fail
        return self._known

    def _recorded(self, legs: Sequence[TradeLeg]) -> Record:
        """The closed trades of the mode that is traded now, by the bar their last leg left in."""
        net: dict[str, Decimal] = {}
        ended: dict[str, int] = {}
        for leg in legs:
            net[leg.position_id] = add(net.get(leg.position_id, ZERO), leg.net)
            ended[leg.position_id] = max(ended.get(leg.position_id, 0), leg.exit_us)
        mode = _mode(self.w.strategy)
        closed = {p.position_id: p for p in self.w.ledger.positions(open_only=False) if p.state is PositionState.CLOSED}
        record = Record(self.w.parameters)
        for name in sorted(ended, key=lambda name: (ended[name], name)):
            if name in closed and _mode(closed[name].strategy) == mode:
                record.ended(ended[name], net[name], closed[name].entry_cost)
        return record

    def _since(self, cause: str) -> int:
        """When a person last cleared this halt; what lay before it no longer counts, or the halt would return at once."""
        return int(self.w.ledger.meta(REBASE + cause) or 0)

    def moved(self, amount: Decimal, now_us: int) -> None:
        """Quote money came (or went) from outside: peak and day-open move in proportion, now and after a restart."""
        before = self.watch.last
        after = add(before, amount)
        self.watch.moved(before, after)
        self.w.ledger.set_meta(MOVED, (self.w.ledger.meta(MOVED) or "") + f"{now_us}:{before}:{after};")

    def _since_moved(self, row: EquityRow) -> Decimal:
        """The equity of a stored row on the scale of today: as all moves after it changed it."""
        level = row.equity
        for move in (self.w.ledger.meta(MOVED) or "").split(";")[:-1]:
            time_us, before, after = move.split(":")
            if row.time_us <= int(time_us):
                level = halts.rebased(level, Decimal(before), Decimal(after))
        return level

    def rebase(self, cause: str, now_us: int) -> None:
        """A halt was cleared: peak or day-open start again from the equity now, the count of stops from zero."""
        self.w.ledger.set_meta(REBASE + cause, str(now_us))
        self._known = None
        self.watch.rebase(cause)

    def judge(self, row: EquityRow, close_us: int) -> None:
        """Set the halts that the equity of this close calls for; they stay until a person clears them."""
        w = self.w
        held = {halt.cause for halt in w.ledger.halts()}
        for breach in self.watch.close(row.equity, close_us, self._stops):
            if breach.cause not in held:
                w.ledger.set_halt(Halt(cause=breach.cause, level="REDUCING", since_us=row.time_us, reason=breach.text))

    def view(
        self, row: EquityRow | None, marks: Mapping[str, float], btc_change: float | None, *, approved_in_bar: int, rules: VenueRules
    ) -> AccountView:
        """What `risk.review` asks about the account. Unknown equity is a halt of its own, as are rules of the venue that are too old."""
        w = self.w
        causes = tuple(sorted(halt.cause for halt in w.ledger.halts() if asset_of(halt.cause) in ("", w.quote)))
        causes += ("RULES_TOO_OLD",) if rules.too_old else ()
        locked = self._locks() | rules.suspended
        if row is None:
            return AccountView(equity=ZERO, free_cash=ZERO, halts=(*causes, "EQUITY_UNKNOWN"), btc_change=btc_change, locked=locked)
        holdings, live, live_pairs, reserved, bound = [], [], [], ZERO, ZERO
        for position in w.ledger.positions():
            base = position.pair.split("/")[0]
            if position.state is PositionState.OPENING:
                live.append(base)
                live_pairs.append(position.pair)
                continue
            value = position.value(from_float(marks[position.pair]))
            bound = add(bound, w.margin.needed(position.basis) if position.margined else ZERO)
            holdings.append(Holding(pair=position.pair, base=base, value=value, slot=position.state is PositionState.OPEN))
        for intent in w.ledger.intents(live_only=True):
            if intent.leg is Leg.ENTRY and intent.limit_price is not None:
                worth = mul(intent.remaining, intent.limit_price)
                fee = mul(worth, from_float(w.costs.taker))
                reserved = add(reserved, worth, fee)
                margined = intent.pair in w.instruments and w.instruments[intent.pair].futures
                bound = add(bound, w.margin.needed(worth) if margined else worth, fee)
        exits = {
            pair: LastExit(bar_us=Timeframe.M15.floor(time_us), stopped=reason == "STOP_LOSS")
            for pair, (time_us, reason) in w.ledger.last_exits().items()
        }
        return AccountView(
            equity=row.equity, free_cash=sub(row.cash, bound), holdings=tuple(holdings), reserved=reserved, live_bases=tuple(live),
            live_pairs=tuple(live_pairs), halts=causes, btc_change=btc_change, last_exits=exits, locked=locked,
            approved_in_bar=approved_in_bar, stats=self._record.stats(Timeframe.M15.floor(row.time_us)),
        )  # fmt: skip

    def _locks(self) -> dict[str, str]:
        """Assets with foreign coins or a mismatch take no entries until a person has looked; denied pairs never do, the reference
        among them, which is read all the same."""
        causes = {asset_of(halt.cause): halt.cause for halt in self.w.ledger.halts() if asset_of(halt.cause)}
        instruments: Mapping[str, Instrument] = self.w.instruments
        denied = dict.fromkeys(self.w.deny, "denied by the settings")
        return denied | {pair: causes[i.base] for pair, i in instruments.items() if i.base in causes}


def _mode(strategy: str) -> str:
    """mitraillette or sniper, of `profile/mode/VARIATION`."""
    return strategy.split("/")[1] if strategy.count("/") > 1 else strategy
