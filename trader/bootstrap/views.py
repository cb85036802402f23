"""What a person may see of a state directory, as frozen values: the status page, the REST API and `trader status` show these.

Money and prices are decimal strings in quote, times RFC 3339 in UTC on the exchange's clock (the simulated one in a demo),
ages and spans seconds of that clock; fractions are 0.05 for 5 %. None: not known, never a made-up value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """`state`: NEVER_STARTED, RUNNING, PAUSED (REDUCING), HALTED, STOPPED, SILENT (lease expired),
    PAST (the simulated past of a fresh demo is being played) or UNREADABLE."""

    state: str
    detail: str
    strategy: str
    holder: str
    since: str | None
    ended: str
    last_beat: str | None
    beat_number: int | None
    beat_age_s: float | None
    lag_s: float | None
    pairs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockView:
    """`speed`: simulated seconds a second; None where no paced clock runs (a finished `trader demo`)."""

    simulated: bool
    now: str | None
    speed: float | None
    origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyView:
    """`today`, `total`: change of marked equity, so after all fees; `realised`: closed legs only; `win_low`, `win_high`: Wilson 95 %."""

    quote: str
    equity: str | None
    cash: str | None
    held: str | None
    paid_for_held: str | None
    today: str | None
    total: str | None
    total_fraction: float | None
    realised: str | None
    fees: str | None
    drawdown: float | None
    max_drawdown: float | None
    trades: int | None
    wins: int | None
    open: int | None
    win_rate: float | None
    win_low: float | None
    win_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """`stop`: the trigger that rests on the exchange, None when there is none; `stop_state`: resting, unresolved or missing."""

    id: str
    pair: str
    side: str
    state: str
    quantity: str
    entry: str | None
    cost: str
    stop: str | None
    stop_state: str
    stop_reason: str
    first_stop: str | None
    tp1: str | None
    tp2: str | None
    targets_reached: int
    opened: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeView:
    """A closed position, all its exit legs together; `roi`: net over stake."""

    id: str
    pair: str
    opened: str
    closed: str
    held_s: float
    stake: str
    fees: str
    net: str
    roi: float | None
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    name: str
    words: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateView:
    """A pair with a signal and what became of it; `ruling` and the like are None where the AI was not looked up."""

    id: str
    time: str
    pair: str
    final: str
    words: str
    detail: str
    score: float | None
    points: tuple[PointView, ...]
    stake: str | None
    ai_mode: str
    lookup: str | None
    ruling: str | None
    p_loss: float | None
    age_ms: float | None
    is_twin: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountView:
    code: str
    words: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionView:
    """A suggestion of the night that waits for a person. `trial`: what walk-forward judging says of it; `twin`: a stand-in made it."""

    id: str
    words: str
    trial: str
    twin: bool
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AiView:
    """`twin`: the answers come from a scripted stand-in. `breaker` is empty where no call was made yet; `budget`: share of the day's
    that the newest call left used; `worth`: what the newest night held of it, in lines; `suggestions`: those nobody answered yet."""

    mode: str
    twin: bool
    breaker: str
    calls: int
    questions: int
    usable: int
    failed: int
    rulings: tuple[CountView, ...]
    budget: float | None = None
    worth: tuple[str, ...] = ()
    suggestions: tuple[SuggestionView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltView:
    cause: str
    level: str
    since: str
    reason: str
    who: str
    words: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedView:
    pair: str
    since: str
    expectation: str
    detail: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    pair: str
    since: str
    code: str
    words: str
    score: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message as Slack shows it. `delivery`: PENDING, SENDING, SENT, DIGESTED, DROPPED or FAILED."""

    seq: int
    time: str
    kind: str
    level: str
    alarm: bool
    thread: str
    text: str
    delivery: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    id: str
    verb: str
    argument: str
    who: str
    given: str
    state: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NightView:
    """The newest night. `sound`: nothing of it needs a person, None while it is under way; `lines`: what its steps found;
    `page`: id of its artifact in Prefect."""

    day: str
    at: str
    headline: str
    lines: tuple[str, ...]
    sound: bool | None
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalView:
    """A row of the leaderboard, as text; `fails`: conditions it does not meet."""

    strategy: str
    mean: str
    sharpe: str
    trades: str
    fails: str
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerView:
    """The newest judgement of the strategy in use. `waiting`: a switch that a person may still approve, asked about in Prefect's run
    `flow_run` (empty: made by command); `outcome`: what became of it."""

    run: str
    at: str
    decision: str
    sentence: str
    ai: str
    leaderboard: tuple[RivalView, ...]
    waiting: bool
    flow_run: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyView:
    """`state`: ok, missing (not there yet) or failed; `detail` says what was seen and what to do."""

    name: str
    state: str
    age_s: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    t: str
    equity: str
    cash: str
    drawdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Everything on one screen. `as_of`: the newest stored row; `stale_s`: machine seconds since something was stored."""

    environment: str
    as_of: str | None
    stale_s: float | None
    session: SessionView
    clock: ClockView
    money: MoneyView
    ai: AiView
    positions: tuple[PositionView, ...]
    trades: tuple[TradeView, ...]
    decisions: tuple[CandidateView, ...]
    counts: tuple[CountView, ...]
    halts: tuple[HaltView, ...]
    blocked: tuple[BlockedView, ...]
    controls: tuple[ControlView, ...]
    messages: tuple[MessageView, ...]
    alarms: tuple[MessageView, ...]
    dependencies: tuple[DependencyView, ...]
    night: NightView | None = None
    optimizer: OptimizerView | None = None
