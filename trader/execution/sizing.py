"""Position sizing: fixed fraction of equity at risk, capped by exposure, cash and liquidity (SPEC section 5).

Money is Decimal; factors are floats that cross once, by their shortest decimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from trader.domain.costs import Costs
from trader.domain.market import DAY, Instrument
from trader.domain.messages import Refusal
from trader.domain.money import ZERO, divide, down, from_float, mul
from trader.execution.exit_plan import MARGIN, least_value
from trader.strategy.modes import Parameters

MIN_TRADES = 30
SEED_SHARE, SEED_SHARE_LOW, SEED_SHARE_HIGH = 0.10, 0.01, 0.20
KELLY_LEAST = 0.01
LIQUIDITY_SHARE = 0.05
HEDGE_AT, HEDGE_FACTOR, CRASH_AT = -0.0382, 0.618, -0.0618
VIABLE_DAYS, SEED_DAYS = 90, 7
BILLION = Decimal(10**9)
_CENT, _WHOLE = Decimal("1e-12"), Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStats:
    """Closed trades of this mode, net of costs, over 90 days (viable) or 7 days (seed): means are positive fractions of stake."""

    trades: int
    wins: int
    mean_win: float
    mean_loss: float


class Record:
    """Closed trades of the strategy's mode as they end, and what sizing knows of the newest: 90 days of them (viable) or 7 (seed).

    Results are kept as whole billionths of the stake, so that sums do not depend on the order in which trades came and went.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._reach_us = (SEED_DAYS if parameters.seed else VIABLE_DAYS) * DAY
        self._ends: list[tuple[int, int]] = []
        self._first = 0
        self._sums = [0, 0, 0, 0]  # trades, wins, won, lost

    def ended(self, time_us: int, net: Decimal, stake: Decimal) -> None:
        """A trade of this stake left its last coin in the bar that opened at `time_us`; ends come in time order."""
        result = int(divide(mul(net, BILLION), stake, _WHOLE)) if stake > ZERO else 0
        self._ends.append((time_us, result))
        self._count(result, 1)

    def stats(self, close_us: int) -> TradeStats:
        """What the trades amount to that ended in the days before this close."""
        while self._first < len(self._ends) and self._ends[self._first][0] < close_us - self._reach_us:
            self._count(self._ends[self._first][1], -1)
            self._first += 1
        trades, wins, won, lost = self._sums
        losses = trades - wins
        return TradeStats(
            trades=trades, wins=wins, mean_win=won / wins / 1e9 if wins else 0.0, mean_loss=lost / losses / 1e9 if losses else 0.0
        )

    def _count(self, result: int, sign: int) -> None:
        won = result > 0
        for place, value in enumerate((1, won, result if won else 0, 0 if won else -result)):
            self._sums[place] += sign * value


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the account can still carry: equity, cash free to spend, exposure still allowed; in quote."""

    equity: Decimal
    free_cash: Decimal
    headroom: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A stake and its quantity, or the refusal with its reason."""

    stake: Decimal = ZERO
    quantity: Decimal = ZERO
    refusal: Refusal | None = None
    detail: str = ""


def regime(g: float) -> tuple[str, float]:
    """Name and stake multiplier m of the market, from BTC's 24 h change as a fraction; tested in this order."""
    if g < -0.05:
        return "CRASH", 0.0618
    if g < -0.02:
        return "BEAR", 0.382
    if g > 0.03:
        return "BULL", 1.618
    return "RANGE", 1.0


def exposure_limit(equity: Decimal, m: float) -> Decimal:
    """Largest sum of positions and reservations: equity x m / (1 + m)."""
    return _times(equity, m / (1 + m))


def half_kelly(stats: TradeStats) -> float:
    """f* / 2 with f* = p - (1 - p) / b, b = mean win / mean loss; no loss: f* = p; no win: 0. May be negative."""
    if stats.trades <= 0 or stats.wins <= 0:
        return 0.0
    p = stats.wins / stats.trades
    if stats.wins == stats.trades or stats.mean_loss <= 0:
        return p / 2
    return (p - (1 - p) * stats.mean_loss / stats.mean_win) / 2


def base_stake(parameters: Parameters, stop: float, costs: Costs, room: Room, stats: TradeStats | None) -> Decimal:
    """The stake before multipliers."""
    if parameters.seed:
        share = SEED_SHARE
        if stats is not None and 0 < stats.wins < stats.trades and stats.wins / stats.trades > 0.5:
            share = min(max(half_kelly(stats), SEED_SHARE_LOW), SEED_SHARE_HIGH)
        stake = _times(room.free_cash, share)
        return min(max(stake, from_float(parameters.min_trade)), from_float(parameters.max_trade))
    share = min(parameters.risk_per_trade / (stop + costs.round_trip), parameters.max_stake)
    if stats is not None and stats.trades >= MIN_TRADES:
        share = min(share, max(KELLY_LEAST, half_kelly(stats)))
    return _times(room.equity, share)


def size(
    *, parameters: Parameters, instrument: Instrument, close: Decimal, stop: float, band: float, median_quote_volume: float,
    factors: Sequence[float], costs: Costs, room: Room, stats: TradeStats | None = None, leverage: float = 1.0,
) -> Size:  # fmt: skip
    """Stake and quantity of an entry, or EXPOSURE, CASH, LIQUIDITY or MIN_NOTIONAL, tested in that order.

    `factors` multiply in their order (regime m, hedge, ..., AI shrink). A cap refuses when it is below the floor of
    1.10 x the exchange's minimum; exposure and cash are reserved at the entry cap, so they count x (1 + s) / (1 + band).
    With `leverage` a stake takes only its margin of the cash, and its fee.
    A value that is not finite refuses MIN_NOTIONAL and is named.
    """
    inputs = {"stop": stop, "band": band, "median_quote_volume": median_quote_volume, **{f"factor {n}": f for n, f in enumerate(factors)}}
    bad = [name for name, value in inputs.items() if not -1e18 < value < 1e18]
    if bad or close <= ZERO:
        return Size(refusal=Refusal.MIN_NOTIONAL, detail=f"{bad[0] if bad else 'close'} is not a usable number")
    stake = base_stake(parameters, stop, costs, room, stats)
    for factor in factors:
        stake = _times(stake, factor)
    if not parameters.seed:
        stake = min(stake, _times(room.equity, parameters.max_stake))
    floor = mul(MARGIN, least_value(close, instrument))
    reserve = (1 + costs.slippage) / (1 + band)
    caps = (
        (Refusal.EXPOSURE, _times(room.headroom, reserve), "exposure headroom"),
        (Refusal.CASH, _times(room.free_cash, reserve / (1 / leverage + costs.taker)), "free cash"),
        (Refusal.LIQUIDITY, from_float(LIQUIDITY_SHARE * median_quote_volume), "5 % of the median bar's turnover"),
    )
    for code, cap, name in caps:
        if cap < floor:
            return Size(refusal=code, detail=f"{name} {cap:.4f} below the minimum {floor:.4f}")
        stake = min(stake, cap)
    if stake < floor:
        return Size(refusal=Refusal.MIN_NOTIONAL, detail=f"stake {stake:.4f} below the minimum {floor:.4f}")
    with localcontext() as context:
        context.prec = 40
        quantity = down(stake / (close * (1 + from_float(costs.slippage))), instrument.lot)
    if not quantity or not instrument.tradable(quantity, close):
        return Size(refusal=Refusal.MIN_NOTIONAL, detail=f"{quantity} {instrument.base} is below the exchange's minimum")
    return Size(stake=stake, quantity=quantity)


def _times(money: Decimal, factor: float) -> Decimal:
    """money x factor to 12 decimals."""
    return mul(money, from_float(factor)).quantize(_CENT)
