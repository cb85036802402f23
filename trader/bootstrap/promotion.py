"""What follows a judgement: it is kept, a person may let a switch come true, one command takes it back.

The strategy in use is the newest change in the ledger, else what the settings name; a session reads it once, when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from trader.bootstrap.optimizing import Answer, Question
from trader.bootstrap.paths import Paths
from trader.bootstrap.reading import now_of
from trader.config import Settings
from trader.data.engine import exists
from trader.data.ledger_strategy import StrategyChange, read_changes, submit_change
from trader.data.reader import LedgerReader
from trader.domain.costs import LEAST_SLIPPAGE, Costs, tier_at
from trader.domain.market import DAY, MINUTE
from trader.domain.messages import stamp
from trader.domain.money import ZERO, mul
from trader.errors import ConfigError, CorruptError, RejectedError
from trader.research.optimizer.verdict import Decision
from trader.strategy.modes import STRATEGIES

APART_US = 55 * MINUTE
COOLDOWN_US = 7 * DAY
VOLUME_DAYS = 30


def active(settings: Settings, paths: Paths | None = None) -> Settings:
    """The settings with the strategy in use. A change made under another profile does not count: another table, other strategies."""
    changes = read_changes((paths or Paths(settings.state)).ledger_at)
    profile, mode, variation = changes[-1].after.split("/") if changes else ("", "", "")
    if profile != settings.profile:
        return settings
    return settings.model_copy(update={"mode": mode, "variation": variation})


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
            now = now_of(paths)
            legs = [leg for leg in reader.trades(limit=1_000_000) if leg.exit_us >= now - VOLUME_DAYS * DAY]
        finally:
            reader.close()
        volume = sum((mul(leg.entry_price + leg.exit_price, leg.quantity) for leg in legs), Decimal(0))
    tier = tier_at(volume)
    slippage = max(settings.costs.slippage_fraction, LEAST_SLIPPAGE)
    return Costs(taker=float(tier.taker), maker=float(tier.maker), slippage=slippage)


# --- the record of runs ------------------------------------------------------------------------------------------------
def keep(paths: Paths, answer: Answer, now_us: int) -> str:
    """Write a judgement down, whole; its name. The same inputs at the same moment are the same file."""
    run = f"{stamp(now_us)[:16].replace(':', '').replace('-', '')}Z-{answer.digest[:8]}"
    body = {"run": run, "at": stamp(now_us), "at_us": now_us} | answer.as_dict()
    _write(paths.optimizer / f"{run}.json", json.dumps(body, indent=1))
    return run


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    fresh.write_text(text + "\n", encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(file)


def kept(paths: Paths, run: str = "") -> dict[str, Any]:
    """A judgement by its name, the newest for none. Raises ConfigError where there is none, CorruptError for a file that is none."""
    names = sorted(file.stem for file in paths.optimizer.glob("*.json")) if paths.optimizer.is_dir() else []
    if not names or (run and run not in names):
        raise ConfigError(f"no judgement {run or 'yet'} in {paths.optimizer}; `trader optimize` makes one")
    file = paths.optimizer / f"{run or names[-1]}.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if {"run", "decision", "at_us"} - found.keys():
            raise ValueError("fields are missing")
    except ValueError as error:
        raise CorruptError(f"{file}: not a judgement ({error}); delete it") from error
    return found


def too_soon(paths: Paths, now_us: int) -> str:
    """Why another run should wait: the newest one is less than 55 minutes old; empty where it need not."""
    try:
        newest = kept(paths)
    except ConfigError:
        return ""
    age = now_us - int(newest["at_us"])
    return f"the newest judgement, {newest['run']}, is {age / MINUTE:.0f} minutes old; runs are 55 apart" if 0 <= age < APART_US else ""


# --- changes -----------------------------------------------------------------------------------------------------------
def obstacles(settings: Settings, paths: Paths, told: Mapping[str, Any], now_us: int) -> str:
    """Why this judgement may not become a change; empty where it may: no SWITCH, locked, cooling down, not one of the six."""
    if told["decision"] != Decision.SWITCH:
        return f"judgement {told['run']} says KEEP"
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
    done = [one for one in read_changes(paths.ledger_at) if one.run == told["run"]]
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
