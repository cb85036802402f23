"""`trader ai`: what the AI's verdicts have been worth, and giving it back the veto it lost."""

from __future__ import annotations

import getpass
import json
from typing import Annotated

import typer

from trader.cli.words import JsonFlag, SettingsFile, StateDir, say, settings_from

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
