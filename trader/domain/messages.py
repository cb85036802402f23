"""Events that come in, commands that go out, and the decision between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from trader.domain.market import Candle
from trader.domain.money import plain
from trader.domain.orders import Fill, RemoteOrder, Side


# --- events -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class BarsClosed:
    """Base candles (the finest timeframe the source serves) that ended at `close_us`, one at most per pair.

    Before them, oldest first, those of earlier closes that could only be had late: each pair's candles come in order, once.
    """

    close_us: int
    candles: tuple[Candle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleForming:
    """The running base candle of a pair as of now; feeds the AI near-zone scan and displays only."""

    candle: Candle


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A public trade."""

    pair: str
    price: Decimal
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One of our trades, from the stream or from REST."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """The stream reports a new state of one of our orders."""

    order: RemoteOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReset:
    """The stream was interrupted; whoever keeps state from it must reconcile."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """The venue says what a pair lets through from now on: online, or the name of a restricted mode."""

    pair: str
    status: str


FeedEvent = BarsClosed | CandleForming | Tick | Filled | OrderChanged | FeedReset | PairStatus


# --- decisions --------------------------------------------------------------------------------------------------------
class Action(StrEnum):
    ENTER = "ENTER"
    HOLD = "HOLD"
    DEFER = "DEFER"


class Refusal(StrEnum):
    """Why a pair is not entered; the first that applies is reported (SPEC section 5)."""

    NOT_READY = "NOT_READY"
    NO_SIGNAL = "NO_SIGNAL"
    H4_BEARISH = "H4_BEARISH"
    SCORE_LOW = "SCORE_LOW"
    FALLING_KNIFE = "FALLING_KNIFE"
    QUIET_MARKET = "QUIET_MARKET"
    TARGET_BELOW_COST = "TARGET_BELOW_COST"
    UNIVERSE = "UNIVERSE"
    HALTED = "HALTED"
    NO_REGIME = "NO_REGIME"
    BTC_CRASH = "BTC_CRASH"
    PAIR_HELD = "PAIR_HELD"
    COOLDOWN = "COOLDOWN"
    LOCKED = "LOCKED"
    SURVEILLANCE = "SURVEILLANCE"
    DEEP_CHECK = "DEEP_CHECK"
    CORRELATED = "CORRELATED"
    MAX_POSITIONS = "MAX_POSITIONS"
    MAX_NEW_PER_BAR = "MAX_NEW_PER_BAR"
    EXPOSURE = "EXPOSURE"
    CASH = "CASH"
    LIQUIDITY = "LIQUIDITY"
    MIN_NOTIONAL = "MIN_NOTIONAL"
    LIQUIDATION_NEAR = "LIQUIDATION_NEAR"
    SPREAD = "SPREAD"
    DEPTH = "DEPTH"
    VENUE = "VENUE"
    AI_VETO = "AI_VETO"
    AI_NONE = "AI_NONE"
    ENTRY_BAND = "ENTRY_BAND"
    DATA_GATE = "DATA_GATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One reason for a score and what it added."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What `brain.decide` concluded about one pair at one candle close; frozen, with its evidence.

    `score` 0-100, not a probability; `unit` is u of SPEC section 2 (a fraction of price); `stop`, `tp1`, `tp2` are
    fractions of the entry price; `evidence` holds every value that was computed for the decision (of a short: on the mirrored
    market, whose prices are negative).
    """

    pair: str
    close_us: int
    side: Side
    action: Action
    score: float
    points: tuple[Point, ...] = ()
    refusal: Refusal | None = None
    detail: str = ""
    close: float = 0.0
    atr_fraction: float = 0.0
    unit: float = 0.0
    stop: float = 0.0
    tp1: float = 0.0
    tp2: float = 0.0
    strategy: str = ""  # profile/mode/VARIATION
    evidence: dict[str, float | bool | str] = field(default_factory=dict)


# --- the text line every parity test compares --------------------------------------------------------------------------
def stamp(time_us: int) -> str:
    """RFC 3339 in UTC to the second: `2026-01-05T00:15:00Z`."""
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLeg:
    """One exit leg of a position. Times are the opens of the 15m bars in which entry and exit fell; `fee` covers this
    leg's share of the entry fee and its own exit fee, in quote; `net` is after both."""

    position_id: str
    pair: str
    side: Side
    entry_us: int
    exit_us: int
    entry_price: Decimal
    exit_price: Decimal
    quantity: Decimal
    fee: Decimal
    net: Decimal
    reason: str

    def line(self) -> str:
        """`pair side entry_time exit_time entry_price exit_price quantity fee reason`."""
        return " ".join(
            (
                self.pair,
                "long" if self.side is Side.BUY else "short",
                stamp(self.entry_us),
                stamp(self.exit_us),
                plain(self.entry_price),
                plain(self.exit_price),
                plain(self.quantity),
                plain(self.fee),
                self.reason,
            )
        )
