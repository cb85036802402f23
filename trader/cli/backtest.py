"""`trader backtest`: a strategy over the candles of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trader.cli.words import JsonFlag, hint, say, table

HIDDEN = ("lines", "per_pair")  # long ones: with --json


def backtest(  # noqa: PLR0917 - the options of a command line
    strategy: Annotated[str, typer.Argument(help="S1, or MODE/VARIATION such as mitraillette/AGGRESSIVE")],
    data: Annotated[Path, typer.Option(help="Parquet file of candles: pair, timeframe, time, open, high, low, close, volume")],
    pairs: Annotated[list[str] | None, typer.Option(help="a pair of the file; may be repeated (default: all)")] = None,
    start: Annotated[str | None, typer.Option("--from", help="first moment an entry may be decided after, e.g. 2024-08-25")] = None,
    end: Annotated[str | None, typer.Option("--to", help="last such moment (default: the end of the file)")] = None,
    profile: Annotated[str, typer.Option(help="viable or seed")] = "viable",
    warmup: Annotated[str, typer.Option(help="exact, or short: three periods, for files that begin too late")] = "exact",
    as_json: JsonFlag = False,
) -> None:
    """Run a strategy over recorded candles. The six share one account of 10,000; S1 runs pair by pair. AI is off."""
    from trader.bootstrap.backtest import Asked, run_backtest

    asked = Asked(strategy=strategy, data=data, pairs=pairs or (), start=start, end=end, profile=profile, warmup=warmup)
    result = run_backtest(asked, hint)
    say(json.dumps(result, indent=2) if as_json else table({name: value for name, value in result.items() if name not in HIDDEN}))
