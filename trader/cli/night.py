"""`trader night`: looking back on a day, and what becomes of the night's suggestions."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from typing import Annotated, Any

import typer

from trader.cli.words import JsonFlag, SettingsFile, StateDir, hint, say, settings_from
from trader.config import Settings
from trader.domain.suggestions import Act

app = typer.Typer(name="night", rich_markup_mode=None, help="Look back on a day; answer what the night suggested.")
Which = Annotated[str, typer.Argument(help="id of a suggestion, as `trader night list` shows it")]
Why = Annotated[str, typer.Option("--reason", help="kept with your name")]


@app.callback(invoke_without_command=True)
def night(
    context: typer.Context,
    day: Annotated[str | None, typer.Option(help="a UTC day that is over, e.g. 2026-01-06 (default: yesterday)")] = None,
    again: Annotated[bool, typer.Option("--again", help="run every step anew; else those that are done are left out")] = False,
) -> None:
    """Look back on a day: books, data, replay, figures, the AI. The flow `nightly_analysis`, in the foreground."""
    if context.invoked_subcommand is not None:
        return
    if day is not None:
        from trader.bootstrap.night import check_day

        check_day(settings_from(None), day)  # refused here in one sentence, before anything of Prefect starts
    words = [*(("--day", day) if day else ()), *(("--again",) if again else ())]
    command = [sys.executable, "-m", "flows.nightly_analysis", *words]
    raise typer.Exit(subprocess.run(command, check=False, env=os.environ.copy()).returncode)  # noqa: S603 - our own module


@app.command("list")
def listed(state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Show what was suggested, newest first. With the walk-forward result of each, and what people decided."""
    from trader.bootstrap.suggesting import listed as found

    rows = found(settings_from(config, state_dir=str(state) if state else None))
    say(json.dumps(rows, indent=2) if as_json else "\n".join(_line(row) for row in rows) or "nothing was suggested yet")


def _line(row: dict[str, Any]) -> str:
    who = f" ({row['label']})" if row["label"] else ""
    done = "".join(f"\n    {one['act']} by {one['who']} at {one['at']}: {one['reason']}" for one in row["acts"])
    return f"{row['id']}  {row['state']}{who}  {row['words']}, because of {row['reason']}\n    {row['trial'].get('sentence', '')}{done}"


def _act(what: Act, which: str, reason: str, settings: Settings, *, as_json: bool) -> None:
    from trader.bootstrap.suggesting import answer_suggestion

    made = answer_suggestion(settings, which, what, who=f"{getpass.getuser()} (command line)", reason=reason)
    say(json.dumps(made, indent=2) if as_json else f"{made['id']}: {made['state'].lower()}")
    if what is not Act.REJECT and made["kind"] == "PARAM_CHANGE":
        hint("it counts from the next session on; open positions keep the plan they were opened with")


@app.command()
def approve(which: Which, reason: Why, state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Let a suggested change come true at the next session."""
    _act(Act.APPROVE, which, reason, settings_from(config, state_dir=str(state) if state else None), as_json=as_json)


@app.command()
def reject(which: Which, reason: Why, state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Turn a suggestion down."""
    _act(Act.REJECT, which, reason, settings_from(config, state_dir=str(state) if state else None), as_json=as_json)


@app.command()
def revert(which: Which, reason: Why, state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Take an approved change back, from the next session on."""
    _act(Act.REVERT, which, reason, settings_from(config, state_dir=str(state) if state else None), as_json=as_json)
