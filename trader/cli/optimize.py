"""`trader optimize`: whether another strategy has earned the place of the one in use, and what becomes of the answer."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.words import JsonFlag, SettingsFile, StateDir, hint, say
from trader.config import load
from trader.errors import ConfigError


def optimize(  # noqa: PLR0917 - the options of a command line
    data: Annotated[Path | None, typer.Option(help="Parquet file of candles; reported only (default: the history store)")] = None,
    current: Annotated[str | None, typer.Option(help="MODE/VARIATION to judge against (default: the strategy in use)")] = None,
    profile: Annotated[str | None, typer.Option(help="viable or seed")] = None,
    warmup: Annotated[str | None, typer.Option(help="exact, or short: three periods")] = None,
    candidates: Annotated[Path | None, typer.Option(help="TOML table of further candidates")] = None,
    approve: Annotated[str | None, typer.Option(metavar="RUN", help="let this judgement's switch come true at the next session")] = None,
    revert: Annotated[bool, typer.Option("--revert", help="take the newest change back")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="list every change of strategy")] = False,
    reason: Annotated[str, typer.Option(help="kept in the ledger with --approve or --revert")] = "",
    force: Annotated[bool, typer.Option("--force", help="judge although the newest judgement is under 55 minutes old")] = False,
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Judge the strategy in use. Ends with KEEP or SWITCH and why in one sentence; nothing changes before somebody approves."""
    flags = {
        "profile": profile, "optimizer.warmup": warmup, "optimizer.candidates": str(candidates) if candidates else None,
        "state_dir": str(state) if state else None,
    }  # fmt: skip
    settings = load({name: value for name, value in flags.items() if value is not None}, file=config)
    if sum((approve is not None, revert, changes)) > 1:
        raise ConfigError("--approve, --revert and --changes are three different things; give one")
    if approve is not None or revert or changes:
        _changed(settings, approve, revert, reason, as_json)
        return
    from trader.bootstrap.optimize_command import run_optimize
    from trader.bootstrap.progress import Bar
    from trader.reporting.leaderboard import screen

    bar = Bar(hint)
    with bar.shown():
        told = run_optimize(settings, data=data, current=current, force=force, tell=bar.of("optimize"))
    say(json.dumps(told, indent=2) if as_json else screen(told))
    if told["decision"] == "SWITCH" and data is None:
        hint(f"nothing has changed; `trader optimize --approve {told['run']}` lets it come true at the next session")


def _changed(settings: Any, approve: str | None, revert: bool, reason: str, as_json: bool) -> None:
    from dataclasses import asdict

    from trader.bootstrap import promotion

    if not revert and approve is None:
        found = promotion.history(settings)
        lines = [f"{one['at']}  {one['before']} -> {one['after']}  by {one['who']}: {one['reason']}" for one in found]
        say(json.dumps(found, indent=2) if as_json else "\n".join(lines) or "no change of strategy")
        return
    who = f"{getpass.getuser()} (command line)"
    made = promotion.promote(settings, approve, who=who, reason=reason) if approve else promotion.revert(settings, who=who, reason=reason)
    say(json.dumps(asdict(made), indent=2) if as_json else f"{made.before} -> {made.after} from the next session on")
