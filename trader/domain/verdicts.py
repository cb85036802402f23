"""What is asked of the AI and what it may answer; it can veto or shrink an entry, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from trader.domain.money import ZERO
from trader.domain.orders import Side


class AiMode(StrEnum):
    OFF = "off"
    SHADOW = "shadow"
    VETO = "veto"


class Ruling(StrEnum):
    ALLOW = "ALLOW"
    SHRINK = "SHRINK"
    VETO = "VETO"
    DEFER = "DEFER"


class Lookup(StrEnum):
    """How a look-up in the verdict book ended."""

    HIT = "HIT"
    MISS = "MISS"
    STALE = "STALE"
    OUT_OF_BAND = "OUT_OF_BAND"
    VERSION = "VERSION"
    NO_WORKER = "NO_WORKER"
    BREAKER = "BREAKER"
    BUDGET = "BUDGET"
    BROKEN = "BROKEN"  # the look-up itself failed


class AskOutcome(StrEnum):
    """How one question to a provider ended; only OK carries a probability."""

    OK = "OK"
    INVALID = "INVALID"
    BLOCKED = "BLOCKED"
    TIMEOUT = "TIMEOUT"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    REFUSED = "REFUSED"
    BREAKER = "BREAKER"
    BUDGET = "BUDGET"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictKey:
    """One live verdict per pair, side and strategy."""

    pair: str
    side: Side
    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """ "Entered inside [band_lo, band_hi], does this plan close at a net loss?" with the numbers the prompt may hold.

    `features`: numbers and enum words only, never names, dates or absolute prices. `asked_us`: time of the snapshot.
    """

    key: VerdictKey
    asked_us: int
    asked_price: float
    band_lo: float
    band_hi: float
    features: dict[str, float | str] = field(default_factory=dict)
    priority: bool = False  # asked for a deferred entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A provider's answer to one question. `p_loss` in [0, 1] only where `outcome` is OK; `reason`: a word of a fixed list, from text
    models only; `is_twin`: scripted, not AI."""

    key: VerdictKey
    outcome: AskOutcome
    asked_us: int
    expires_us: int
    band_lo: float
    band_hi: float
    p_loss: float | None = None
    detail: str = ""
    reason: str = ""
    provider: str = ""
    model: str = ""
    is_twin: bool = False
    latency_ms: float = 0.0
    verdict_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulingResult:
    """A ruling with how it came about; `factor` multiplies the stake (1.0 or 0.5)."""

    ruling: Ruling
    lookup: Lookup
    factor: float = 1.0
    p_loss: float | None = None
    age_ms: float | None = None
    verdict_id: str = ""
    is_twin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One request to a provider as the verdict store keeps it (AI.md section 6); never holds keys or headers.

    `request`, `response`: bodies as sent and received; times in ms of the worker's own clock; `cost_usd` None: unknown.
    """

    call_id: str
    asked_us: int
    provider: str
    model_requested: str
    model_served: str
    api_version: str
    is_twin: bool
    prompt_version: str
    request_sha256: str
    request: bytes
    response: bytes
    http_status: int | None
    outcome: AskOutcome
    detail: str
    questions: int
    queue_ms: float
    network_ms: float
    parse_ms: float
    attempt: int = 1
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    breaker_state: str = ""
    budget_used_pct: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question of a call with the id it had in the prompt and the answer it got."""

    opaque_id: str
    question: Question
    verdict: Verdict


# --- what became of it -------------------------------------------------------------------------------------------------
FILL_MODEL: Final = "account-1"
"""Version of the fill simulator behind a label; another one labels anew."""


class SignalKind(StrEnum):
    """What the AI's say did to a signal that was put to it."""

    ALLOWED = "allowed"
    SHRUNK = "shrunk"
    VETOED = "vetoed"
    DEFERRED = "deferred"  # no usable verdict when it fired, nor at the beats after
    SHADOW = "shadow"  # looked up and ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a signal's plan came to in the fill simulator, whether it was entered or not; costs are in.

    `net_return`: fraction of what the entry cost; `r`: that over the plan's stop; `net`: quote currency, at the full stake of the
    account's equity then; `bars_held`: 15m bars from the entry's to the last exit's; `fill_model`: version of the simulator.
    """

    decision_id: str
    kind: SignalKind
    strategy: str
    close_us: int
    net_return: float
    r: float
    net: Decimal
    exit_reason: str
    bars_held: int
    fill_model: str
    scored_us: int

    @property
    def loss(self) -> bool:
        """The label: a net result of nothing or less, the sentence the AI is asked about."""
        return self.net <= ZERO
