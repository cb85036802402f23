"""`trader ai`: what the AI's verdicts have been worth, giving it back the veto it lost, and its answers as a cassette."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from trader.cli.words import JsonFlag, SettingsFile, StateDir, say, settings_from, table

app = typer.Typer(name="ai", help="What the AI's verdicts are worth, and who may say so.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def report(state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Show what its verdicts have been worth. Standing, outcomes, calibration, what vetoes saved; from stored rows."""
    from trader.bootstrap.ai_night import report as told
    from trader.reporting.ai import screen

    found = told(settings_from(config, state_dir=str(state) if state else None))
    say(json.dumps(found, indent=2) if as_json else screen(found))


@app.command()
def promote(
    reason: Annotated[str, typer.Option(help="why it may veto again; kept in the ledger")],
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Give a demoted AI its veto back, from the next session on. Refused where its figures do not carry that."""
    from trader.bootstrap.ai_night import promote as given

    made = given(settings_from(config, state_dir=str(state) if state else None), who=f"{getpass.getuser()} (command line)", reason=reason)
    say(json.dumps(made, indent=2) if as_json else f"the AI may veto again from the next session on ({made['group']})")


@app.command()
def cassette(
    out: Annotated[Path, typer.Argument(help="file to write; an existing one is replaced")],
    state: StateDir = None,
    start: Annotated[str | None, typer.Option("--from", help="first moment of a call, e.g. 2026-01-05 (default: all)")] = None,
    end: Annotated[str | None, typer.Option("--to", help="moment before which it ended")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write every answer of the AI to a file. Each is addressed by its question; `trader backtest --ai cassette` replays it."""
    from trader.bootstrap.cassettes import from_store, summary
    from trader.bootstrap.paths import Paths
    from trader.bootstrap.world import moment

    span = (0 if start is None else moment(start, "--from"), None if end is None else moment(end, "--to"))
    made, dropped = from_store(Paths(state or Path("state")).ai, since_us=span[0], until_us=span[1])
    made.save(out)
    result = summary(made, out, dropped)
    say(json.dumps(result, indent=2) if as_json else table(result))
