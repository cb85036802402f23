"""What follows a judgement: a person may let a switch come true, one command takes it back.

The strategy in use is the newest change in the ledger, else what the settings name; a session reads it once, when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from trader.bootstrap.judgements import kept
from trader.bootstrap.optimizing import Question
from trader.bootstrap.paths import Paths
from trader.bootstrap.state_time import now_of
from trader.bootstrap.tuning import with_approved
from trader.config import Settings
from trader.data.engine import exists
from trader.data.ledger_ai import mode_in_force
from trader.data.ledger_strategy import StrategyChange, read_changes, submit_change
from trader.data.outcomes import Outcomes
from trader.data.reader import ALL, LedgerReader
from trader.domain.costs import LEAST_SLIPPAGE, Costs, tier_at
from trader.domain.market import DAY
from trader.domain.messages import stamp
from trader.domain.money import ZERO, mul
from trader.domain.verdicts import FILL_MODEL
from trader.errors import RejectedError
from trader.execution.thresholds import EARNED_NEWEST, tau_earned
from trader.research.optimizer.verdict import Decision
from trader.strategy.modes import STRATEGIES

COOLDOWN_US = 7 * DAY
VALID_US = 7 * DAY
"""How long after a judgement its switch may be approved, as any suggestion."""
VOLUME_DAYS = 30


def active(settings: Settings, paths: Paths | None = None) -> Settings:
    """The settings with the strategy in use, its numbers as approved, and the AI in shadow where it was demoted. A change of strategy
    made under another profile does not count: another table, other strategies."""
    paths = paths or Paths(settings.state)
    place = paths.ledger_at
    if (mode := mode_in_force(place, settings.ai.mode)) != settings.ai.mode:
        settings = settings.model_copy(update={"ai": settings.ai.model_copy(update={"mode": mode})})
    changes = read_changes(place)
    profile, mode, variation = changes[-1].after.split("/") if changes else ("", "", "")
    if profile == settings.profile:
        settings = settings.model_copy(update={"mode": mode, "variation": variation})
    return with_approved(settings, paths)


def earned(paths: Paths, strategy: str) -> float | None:
    """P(loss) from which this strategy's signals lost money on average, as far as the nights have labelled them."""
    if not paths.ops.exists():
        return None
    outcomes = Outcomes(paths.ops)
    try:
        return tau_earned([one.net_return for one in outcomes.newest(strategy, FILL_MODEL, EARNED_NEWEST)])
    finally:
        outcomes.close()


def question_of(settings: Settings) -> Question:
    """What the nightly run asks: the strategy in use against all others, at what the account pays."""
    paths = Paths(settings.state)
    table = Path(settings.optimizer.candidates) if settings.optimizer.candidates else None
    return Question(
        current=active(settings, paths).strategy, profile=settings.profile, warmup=settings.optimizer.warmup,
        costs=costs_of(settings, paths), table=table,
    )  # fmt: skip


def costs_of(settings: Settings, paths: Paths) -> Costs:
    """Fees of the tier that the ledger's last 30 days reach, and the slippage of the settings."""
    volume = ZERO
    if exists(paths.ledger_at):
        reader = LedgerReader(paths.ledger_at)
        try:
            legs = reader.trades(limit=ALL, since_us=now_of(paths) - VOLUME_DAYS * DAY)
        finally:
            reader.close()
        volume = sum((mul(leg.entry_price + leg.exit_price, leg.quantity) for leg in legs), Decimal(0))
    tier = tier_at(volume)
    slippage = max(settings.costs.slippage_fraction, LEAST_SLIPPAGE)
    return Costs(taker=float(tier.taker), maker=float(tier.maker), slippage=slippage)


# --- changes -----------------------------------------------------------------------------------------------------------
def obstacles(settings: Settings, paths: Paths, told: Mapping[str, Any], now_us: int) -> str:
    """Why this judgement may not become a change; empty where it may: no SWITCH, locked, cooling down, not one of the six, too old,
    overtaken by a newer KEEP, or about a strategy that is no longer in use."""
    if told["decision"] != Decision.SWITCH:
        return f"judgement {told['run']} says KEEP"
    if (age := now_us - int(told["at_us"])) > VALID_US:
        return f"judgement {told['run']} is {age / DAY:.1f} days old, 7 are allowed; judge again"
    if (newest := kept(paths))["run"] > told["run"] and newest["decision"] != Decision.SWITCH:
        return f"judgement {newest['run']} is newer and says KEEP"
    if (used := active(settings, paths).strategy) != told["current"]:
        return f"strategy {used} is in use now, not {told['current']}; judge again"
    if settings.optimizer.lock:
        return "optimizer.lock is on: runs report only"
    if told["candidate"].split("/", 1)[-1] not in {"/".join(one) for one in STRATEGIES}:
        return f"{told['candidate']} is a row of the candidates' table; only one of the six can trade"
    switches = [one for one in read_changes(paths.ledger_at) if not one.revert]
    if switches and (age := now_us - switches[-1].time_us) < COOLDOWN_US:
        return f"the last switch is {age / DAY:.1f} days old, 7 are needed"
    return ""


def promote(settings: Settings, run: str, *, who: str, reason: str = "") -> StrategyChange:
    """Let the switch of a judgement come true at the next session. Raises RejectedError with the obstacle where there is one."""
    paths = Paths(settings.state)
    told, now_us = kept(paths, run), now_of(paths)
    changes = read_changes(paths.ledger_at)
    done = any(one.run == told["run"] for one in changes)
    if done and changes[-1].run != told["run"]:
        raise RejectedError(
            f"not changed: judgement {told['run']} was approved before, and {changes[-1].after} is in use since; judge again"
        )
    if not done and (why := obstacles(settings, paths, told, now_us)):
        raise RejectedError(f"not changed: {why}")
    return submit_change(
        paths.ledger_at, now_us, before=told["current"], after=told["candidate"], who=who, reason=reason or told["sentence"],
        run=told["run"],
    )  # fmt: skip


def revert(settings: Settings, *, who: str, reason: str = "") -> StrategyChange:
    """Take the newest change back, at the next session. Raises RejectedError where there is none to take back."""
    paths = Paths(settings.state)
    changes = read_changes(paths.ledger_at)
    if not changes or changes[-1].revert:
        raise RejectedError("no change of strategy to take back")
    newest = changes[-1]
    return submit_change(
        paths.ledger_at, now_of(paths), before=newest.after, after=newest.before, who=who, reason=reason or f"takes back {newest.run}",
        run=f"revert {newest.run}",
    )  # fmt: skip


def history(settings: Settings) -> list[dict[str, Any]]:
    """Every change, oldest first, plain values."""
    return [asdict(one) | {"at": stamp(one.time_us)} for one in read_changes(Paths(settings.state).ledger_at)]
