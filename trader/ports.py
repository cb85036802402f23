"""The narrow waists: what the core needs of the world, as protocols. Every port has one contract suite (tests/contract).

Times are UTC microseconds passed in; money is Decimal. Adapters raise only `trader.errors`; order calls return values.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from trader.domain.account import Position
from trader.domain.futures import FundingPayment
from trader.domain.market import Book, Candle, Instrument, Ticker, Timeframe, TradePage
from trader.domain.messages import Decision, FeedEvent, TradeLeg
from trader.domain.orders import Answer, Balance, ExchangeStatus, Fill, Intent, Leg, Outcome, RemoteOrder
from trader.domain.verdicts import AskedQuestion, CallRecord, Question, RulingResult, Verdict


# --- time, chance, kills -----------------------------------------------------------------------------------------------
class Clock(Protocol):
    """Exchange time (`now_us`) may run faster than the machine's; I/O time-outs use asyncio's own clock instead."""

    def now_us(self) -> int: ...
    async def sleep_until(self, time_us: int) -> None: ...
    async def sleep(self, seconds: float) -> None:
        """Pause for this many seconds of exchange time."""


class Rng(Protocol):
    def random(self) -> float: ...


class KillPoints(Protocol):
    """Places a test may kill the process at (RELIABILITY.md section 10); does nothing by default."""

    def reach(self, name: str) -> None: ...


# --- the exchange ------------------------------------------------------------------------------------------------------
class Exchange(Protocol):
    """A venue's order side. Reads raise RetryableError, RejectedError or FatalError; order calls never raise."""

    async def instruments(self) -> Mapping[str, Instrument]: ...
    async def server_time(self) -> int:
        """Microseconds. An adapter keeps how far its clock is from ours: a deadline passed in is in our time, and sent in the venue's."""

    async def system_status(self) -> str: ...
    async def fee_rates(self) -> tuple[Decimal, Decimal]:
        """(taker, maker) of the account's tier, as fractions."""

    async def submit(self, intent: Intent) -> Answer:
        """Send once; `deadline_us` makes the venue refuse it when late. Anything not proved is Ambiguous."""

    async def amend(self, txid: str, *, pair: str, quantity: Decimal | None, trigger_price: Decimal | None, deadline_us: int) -> Answer: ...
    async def cancel(self, txid: str) -> Answer: ...
    async def open_orders(self) -> Sequence[RemoteOrder]: ...
    async def closed_orders(self, since_us: int) -> Sequence[RemoteOrder]: ...
    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]: ...
    async def fills(self, since_us: int) -> Sequence[Fill]:
        """All pages, oldest first."""

    async def balances(self) -> Mapping[str, Balance]: ...
    async def funding(self, since_us: int) -> Sequence[FundingPayment]:
        """What futures positions paid or received after `since_us`, oldest first; nothing on spot."""

    async def close(self) -> None: ...


class MarketData(Protocol):
    """Public market data, and the account's own stream where a key is set."""

    async def history(self, pair: str, timeframe: Timeframe, since_us: int | None = None) -> Sequence[Candle]:
        """Closed candles only, in the order served (ascending, or the data gate refuses them); may start later than asked."""

    async def tickers(self) -> Mapping[str, Ticker]: ...
    async def book(self, pair: str, depth: int = 10) -> Book: ...
    def stream(self, pairs: Sequence[str], timeframe: Timeframe) -> AsyncIterator[FeedEvent]:
        """Candles of all pairs (closed by the clock), own fills and orders, and ticks of the watched pairs, for ever."""

    def forming(self, pair: str) -> Candle | None:
        """The running base candle as last heard of; None before its first update."""

    async def watch_ticks(self, pairs: Iterable[str]) -> None:
        """Exactly these pairs deliver `Tick` from now on."""

    async def add_pairs(self, pairs: Iterable[str]) -> None:
        """These pairs deliver candles from now on, too."""


class TradeHistory(Protocol):
    """A venue's public trades, page by page, as far back as it keeps them."""

    async def trades(self, pair: str, cursor: str) -> TradePage:
        """The first trades after `cursor` (nanoseconds of a moment, or the cursor of a page); none: there are no newer ones yet.

        Lets every other public call go first. Raises RetryableError, or RejectedError for a pair that is not listed.
        """


# --- history -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Closed candles of one pair as aligned columns, ascending: `time` int64 us, others float64, all shape (n,)."""

    time: np.ndarray[Any, np.dtype[np.int64]]
    open: np.ndarray[Any, np.dtype[np.float64]]
    high: np.ndarray[Any, np.dtype[np.float64]]
    low: np.ndarray[Any, np.dtype[np.float64]]
    close: np.ndarray[Any, np.dtype[np.float64]]
    volume: np.ndarray[Any, np.dtype[np.float64]]
    filled: np.ndarray[Any, np.dtype[np.bool_]]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGate:
    """The data gate's word on a pair: `reason` empty = may trade, else the failed expectation and what was seen."""

    pair: str
    reason: str = ""
    detail: str = ""


class HistoryLink(Protocol):
    """The history store as the session sees it; all calls run beside the session's loop, none blocks it."""

    async def gates(self) -> Mapping[str, PairGate]:
        """Every pair the gate has judged. A pair that is absent is not ready."""

    async def warm(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> Mapping[str, Columns]:
        """The newest closed unbroken candles of each pair, provisional ones included."""

    async def append(self, candles: Sequence[Candle]) -> Sequence[PairGate]:
        """Store closed candles (source stream, provisional); rows that break a critical rule are quarantined and
        their pairs come back blocked."""


# --- the ledger --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to trade this account: `token` grows with each acquisition."""

    account: str
    holder: str
    token: int
    expires_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """`level` REDUCING or HALTED; both refuse entries. `cause` is its key."""

    cause: str
    level: str
    since_us: int
    reason: str
    who: str = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A person's order to the session: pause, resume, stop, flatten, exit."""

    control_id: str
    verb: str
    argument: str
    who: str
    created_us: int
    state: str = "PENDING"
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityRow:
    time_us: int
    cash: Decimal
    marked: Decimal
    equity: Decimal
    realised: Decimal
    fees: Decimal
    drawdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A decision as it is written down, with the AI ruling and the final refusal after review."""

    decision: Decision
    final: str  # ENTER, HOLD, DEFER or a refusal code
    detail: str = ""  # what review saw when it refused
    stake: Decimal | None = None
    ruling: RulingResult | None = None
    ai_mode: str = "off"


class Ledger(Protocol):
    """Everything about the account that must survive a crash. Synchronous: a call returns when it is on disk.

    Every change and its journal row are one transaction. One writer: the session that holds the lease.
    """

    # lease
    def acquire_lease(self, account: str, holder: str, now_us: int, ttl_us: int) -> Lease: ...
    def renew_lease(self, lease: Lease, now_us: int, ttl_us: int) -> Lease:
        """Raises LeaseLostError where the token is no longer the newest."""

    def check_lease(self, lease: Lease, now_us: int) -> None:
        """Raises LeaseLostError where `begin` would: the token is no longer the newest, or it has expired."""

    def release_lease(self, lease: Lease, now_us: int) -> None: ...
    # orders
    def begin(self, intent: Intent, lease: Lease, now_us: int, *, position: Position | None = None) -> None:
        """Commit an intent as SENT (and the OPENING position of an entry) before any byte leaves.

        Raises BeginRefused: HALTED (entries only), DUPLICATE_KEY, OVERSELL (live + unresolved sells of the position
        + this > held); LeaseLostError.
        """

    def recall(self, intent: Intent, lease: Lease, now_us: int, *, position: Position | None = None) -> None:
        """Take in an order of ours, found on the exchange, that an older backup has forgotten: as SENT, with the OPENING position
        of an entry; one that is known changes nothing."""

    def adopt(self, intent: Intent, now_us: int) -> None:
        """Record an order found on the exchange that is ours (a conditional close); idempotent by txid."""

    def resolve(
        self,
        cl_ord_id: str,
        outcome: Outcome,
        now_us: int,
        *,
        txid: str | None = None,
        reason: str = "",
        proof: Mapping[str, Any] | None = None,
    ) -> None: ...
    def set_status(self, txid: str, status: ExchangeStatus, now_us: int) -> None:
        """Idempotent; a final status never changes, but for LOST, which is ours."""

    def set_terms(
        self, txid: str, now_us: int, *, quantity: Decimal | None = None, trigger_price: Decimal | None = None, reason: str | None = None
    ) -> None:
        """What an acknowledged amend made of an order."""

    def apply_fills(self, fills: Sequence[Fill], now_us: int, *, source: str) -> Sequence[tuple[Fill, Intent | None]]:
        """Insert-or-ignore by trade id, in one transaction with position and cash; returns the new ones with their
        intent (None: EXTERNAL, recorded and otherwise left alone)."""

    def next_attempt(self, key: str, leg: Leg) -> int: ...
    def intents(self, *, live_only: bool = False, position_id: str | None = None) -> Sequence[Intent]: ...
    def intent_by_txid(self, txid: str) -> Intent | None: ...
    # positions
    def positions(self, *, open_only: bool = True) -> Sequence[Position]:
        """OPENING, OPEN and DUST ones, or all; oldest first."""

    def position(self, position_id: str) -> Position | None:
        """One position, whatever its state; None where there is none of this id."""

    def drop_opening(self, position_id: str, now_us: int) -> None:
        """Close an OPENING position whose entry filled nothing."""

    def mark_dust(self, position_id: str, now_us: int) -> None: ...
    def save_exit_state(self, position_id: str, state: Mapping[str, Any], now_us: int) -> None: ...
    def exit_states(self) -> Mapping[str, Mapping[str, Any]]: ...
    def trade_legs(self, since_us: int = 0) -> Sequence[TradeLeg]:
        """One row per filled exit order of a position, oldest first."""

    # cash
    def cash(self) -> Mapping[str, Decimal]: ...
    def set_opening_cash(self, cash: Mapping[str, Decimal], now_us: int) -> None:
        """First start only: what the exchange said we had."""

    def external_move(self, asset: str, amount: Decimal, kind: str, now_us: int) -> None: ...
    # decisions, equity, halts, controls
    def record_decisions(self, rows: Sequence[DecisionRow], now_us: int) -> None: ...
    def equity(self, since_us: int = 0) -> Sequence[EquityRow]: ...
    def halts(self) -> Sequence[Halt]: ...
    def set_halt(self, halt: Halt) -> None: ...
    def clear_halt(self, cause: str, who: str, reason: str, now_us: int) -> None: ...
    def pending_controls(self) -> Sequence[Control]: ...
    def leaving(self) -> Mapping[str, str]:
        """Positions that a person told to leave (exit, flatten) and that are still there: id -> verb."""

    def told(self) -> tuple[Sequence[Control], Mapping[str, str]]:
        """`pending_controls` and `leaving` of one moment."""

    def answer_control(self, control_id: str, state: str, answer: str, now_us: int) -> None: ...
    def note(self, kind: str, payload: Mapping[str, Any], now_us: int, *, equity: EquityRow | None = None) -> None:
        """A journal row of its own: session started, beat, reconcile result, block of a pair. `equity`: recorded before it, with it."""

    def last_exits(self) -> Mapping[str, tuple[int, str]]:
        """Per pair: time and reason of the newest exit fill, for cooldowns."""

    def meta(self, name: str) -> str | None: ...
    def set_meta(self, name: str, value: str) -> None: ...
    def came_back(self, now_us: int) -> bool:
        """True once a ledger that had to go on in memory, halted by LEDGER, has all of that at its place again."""

    def journal_hash(self) -> str:
        """SHA-256 over all journal lines so far."""

    def close(self) -> None: ...


# --- AI ----------------------------------------------------------------------------------------------------------------
class Advisor(Protocol):
    """A provider of verdicts. Never raises: each question comes back with an outcome of its own."""

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]: ...
    async def close(self) -> None: ...


class VerdictLink(Protocol):
    """The session's end of the AI worker: puts questions in, takes verdicts out, never waits."""

    def want(self, questions: Sequence[Question]) -> None: ...
    def take(self) -> Sequence[Verdict]:
        """Verdicts that arrived since the last call."""

    def state(self) -> str:
        """ok, NO_WORKER, BREAKER, PRIORITY (only waiting entries are asked about) or BUDGET."""

    async def close(self) -> None: ...


class VerdictStore(Protocol):
    """Every call to a provider with its answers, and the small state of breaker and budget. One writer: the worker."""

    def record(self, call: CallRecord, asked: Sequence[AskedQuestion]) -> None: ...
    def load_state(self, name: str) -> str | None: ...
    def save_state(self, name: str, value: str) -> None: ...
    def drop_bodies(self, now_us: int) -> int:
        """Retention: forget requests and replies that are past it, keep their rows; returns how many."""

    def close(self) -> None: ...


class Notifier(Protocol):
    def post(self, kind: str, payload: Mapping[str, Any], *, dedupe_key: str, now_us: int) -> None:
        """Put a typed message into the outbox; returns at once, never raises on delivery trouble."""


# --- observing the session ---------------------------------------------------------------------------------------------
Stage = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Runs one named stage of the session; the flow wraps each as a task, the demo just awaits it."""


@dataclass(slots=True, kw_only=True)
class SessionSummary:
    """What a session did, in plain numbers; the return value of the trading flow."""

    beats: int = 0
    candles: int = 0
    decisions: int = 0
    signals: int = 0
    orders: int = 0
    fills: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    differences: int = 0
    blocked_pairs: dict[str, str] = field(default_factory=dict)
    ready_pairs: int = 0
    ended: str = ""
