"""What a session is made of: ports, rules and timing, put together by `bootstrap` and by nobody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from trader.domain.costs import Costs
from trader.domain.futures import MarginRules, MarketKind
from trader.domain.market import SECOND, Instrument, Timeframe
from trader.domain.orders import Side
from trader.execution.confirmation import Desk
from trader.execution.halts import HaltLimits
from trader.execution.verdict_book import VerdictBook
from trader.ports import Clock, Exchange, HistoryLink, KillPoints, Ledger, MarketData, Stage, VerdictLink
from trader.strategy.modes import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Intervals. Beats and the prescan are in exchange time; lease and controls in the machine's own.

    `beats_from_us`: the moment the schedule of beats counts from; None: the session's start.
    """

    beat_base_s: float = 60.0
    prescan_s: float = 30.0
    prescan_window_s: float = 300.0
    lease_ttl_s: float = 45.0
    lease_renew_s: float = 10.0
    control_poll_s: float = 0.5
    speed: float = 1.0
    beats_from_us: int | None = None

    @property
    def lease_ttl_us(self) -> int:
        """Lifetime of the lease on the exchange clock it is judged by."""
        return int(self.lease_ttl_s * self.speed * SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything a session asks of the world."""

    environment: str
    account: str
    holder: str
    tag: str
    quote: str
    strategy: str
    parameters: Parameters
    exit_plan: str
    costs: Costs
    limits: HaltLimits
    universe: int
    base: Timeframe
    ai_mode: str
    clock: Clock
    exchange: Exchange
    market: MarketData
    instruments: dict[str, Instrument]  # kept as the venue tells them by `venue_rules`
    ledger: Ledger
    history: HistoryLink
    verdicts: VerdictLink
    desk: Desk
    book: VerdictBook
    stage: Stage
    kill: KillPoints
    timing: Timing = field(default_factory=Timing)
    deny: tuple[str, ...] = ()
    near_zone: float = 6.0
    tau: float | None = None  # P(loss) that vetoes, earned by this strategy's outcomes; None: each plan's own break-even
    short_warmup: bool = False  # judge a pair after three periods; replays only
    kind: MarketKind = MarketKind.SPOT
    sides: tuple[Side, ...] = (Side.BUY,)
    margin: MarginRules = field(default_factory=MarginRules)
    rules: str = ""  # digest of the settings that decide, kept with each start

    @property
    def speed(self) -> float:
        return self.timing.speed


class NoKill:
    """KillPoints that never kill."""

    def reach(self, name: str) -> None:
        """Go on."""


async def run_directly(_name: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """A stage outside Prefect: just await it."""
    return await work()
