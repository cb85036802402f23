"""`trader db`: the ledger as a database: its schema, a checked copy of it, and putting one back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.words import JsonFlag, SettingsFile, StateDir, hint, say, settings_from, table

app = typer.Typer(name="db", help="Upgrade, back up and restore the ledger.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def upgrade(state: StateDir = None, as_json: JsonFlag = False, config: SettingsFile = None) -> None:
    """Bring the ledger to this program's schema. Makes it where there is none; a session does the same when it starts."""
    from trader.bootstrap.database import upgrade_ledger

    _show(upgrade_ledger(settings_from(config, state_dir=str(state) if state else None)), as_json)


@app.command()
def backup(
    file: Annotated[Path | None, typer.Argument(help="new file (default: backups/ledger-TIME.sqlite in the state directory)")] = None,
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Copy the ledger into one file and check the copy. The session may go on; exit code 1 where a row is off."""
    from trader.bootstrap.database import back_up_ledger

    _show(back_up_ledger(settings_from(config, state_dir=str(state) if state else None), file), as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="a file that `trader db backup` wrote", exists=True, dir_okay=False)],
    yes: Annotated[bool, typer.Option("--yes", help="really restore")] = False,
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Put a backup back. Refused while a session runs (5), and over a ledger that is newer or another one (3)."""
    from trader.bootstrap.database import restore_ledger

    if not yes:
        hint("this replaces the ledger by the backup; add --yes")
        raise typer.Exit(3)
    _show(restore_ledger(settings_from(config, state_dir=str(state) if state else None), file), as_json)


def _show(result: dict[str, Any], as_json: bool) -> None:
    say(json.dumps(result, indent=2) if as_json else table(result))
