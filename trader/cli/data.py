"""`trader data`: what history holds, whether it is sound, a copy of it, and ending a block by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.words import JsonFlag, StateDir, grid, hint, say, table

app = typer.Typer(name="data", help="Look at, check and export the stored candles.", no_args_is_help=True, rich_markup_mode=None)
HOLES_SHOWN = 5
Pairs = Annotated[list[str] | None, typer.Option("--pair", help="a pair, e.g. BTC/EUR; may be repeated (default: all)")]
Timeframes = Annotated[list[str] | None, typer.Option("--timeframe", help="1m 5m 15m 1h 4h 1d; may be repeated (default: all)")]


@app.command()
def coverage(pair: Pairs = None, timeframe: Timeframes = None, state: StateDir = None, as_json: JsonFlag = False) -> None:
    """Show what is stored. Per pair and timeframe: first and last candle, candles, missing ones and where, refused ones."""
    from trader.bootstrap.data_desk import coverage as covered

    rows = covered(state or Path("state"), pair, timeframe)
    say(json.dumps(rows, indent=2) if as_json else _coverage(rows))


def _coverage(rows: list[dict[str, Any]]) -> str:
    heads = ("pair", "tf", "first", "last", "bars", "missing", "refused", "sources")
    lines = [
        (
            r["pair"],
            r["timeframe"],
            _minute(r["first"]),
            _minute(r["last"]),
            r["bars"],
            r["missing"],
            r["quarantined"],
            ",".join(r["sources"]),
        )
        for r in rows
    ]
    out = [grid(heads, lines)]
    for row in rows:
        for hole in row["holes"][:HOLES_SHOWN]:
            out.append(f"missing  {row['pair']} {row['timeframe']}: {hole['bars']} from {_minute(hole['from'])} to {_minute(hole['to'])}")
        if len(row["holes"]) > HOLES_SHOWN:
            out.append(f"missing  {row['pair']} {row['timeframe']}: {len(row['holes']) - HOLES_SHOWN} more ranges, all with --json")
    return "\n".join(out)


def _minute(text: str | None) -> str:
    return "-" if text is None else text[:16].replace("T", " ")


@app.command()
def check(
    full: Annotated[bool, typer.Option("--full", help="everything, every file's bytes, and Great Expectations on top")] = False,
    state: StateDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge the stored candles by the gate's rules. The last 7 days, or all with --full; exit code 1 on a critical failure."""
    from trader.bootstrap.data_desk import check as checked

    result = checked(state or Path("state"), full=full)
    if as_json:
        say(json.dumps(result, indent=2))
    else:
        for found in result["damaged"]:
            say(f"damaged   {found}")
        for found in result["failures"]:
            say(f"{found['severity']:<9} {found['pair']} {found['timeframe']}: {found['expectation']}")
            say(f"          {found['detail']}")
        say(f"{result['series']} series, {result['rows']} rows judged by {result['engine']}: "
            f"{result['critical']} critical, {result['warnings']} warnings, {len(result['damaged'])} damaged files")  # fmt: skip
    if not result["ok"]:
        raise typer.Exit(1)


@app.command()
def export(  # noqa: PLR0917 - the options of a command line
    pair: Annotated[str, typer.Argument(help="pair, e.g. BTC/EUR")],
    timeframe: Annotated[str, typer.Argument(help="1m 5m 15m 1h 4h 1d")],
    target: Annotated[Path, typer.Argument(help="new file; .csv or .parquet")],
    since: Annotated[str | None, typer.Option(help="first moment, UTC, e.g. 2024-07-15")] = None,
    until: Annotated[str | None, typer.Option(help="moment after the last, UTC")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
    state: StateDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Write one pair's candles to a file. Times are UTC and open the candle."""
    from trader.bootstrap.data_desk import export as exported

    result = exported(state or Path("state"), pair, timeframe, target, since=since, until=until, force=force)
    say(json.dumps(result, indent=2) if as_json else table(result))


@app.command()
def clear(
    pair: Annotated[str, typer.Argument(help="the blocked pair")],
    reason: Annotated[str, typer.Option(help="why its data is right; kept in the catalog")],
    by: Annotated[str | None, typer.Option(help="your name (default: the user of this shell)")] = None,
    state: StateDir = None,
    as_json: JsonFlag = False,
) -> None:
    """End the gate's block of a pair. An unlikely candle counts as accepted from then on, an impossible one stays refused."""
    from trader.bootstrap.data_desk import clear as cleared

    result = cleared(state or Path("state"), pair, reason, by=by)
    say(json.dumps(result, indent=2) if as_json else table(result))
    hint("a running session takes the pair back at its next beat, once its newest candles are whole")
