"""`trader backtest`: a strategy over recorded candles, and a report of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from trader.cli.words import JsonFlag, StateDir, hint, say, settings_from


def backtest(  # noqa: PLR0917 - the options of a command line
    strategy: Annotated[str, typer.Argument(help="S1, or MODE/VARIATION such as mitraillette/AGGRESSIVE")],
    data: Annotated[
        Path | None, typer.Option(help="Parquet file: pair, timeframe, time, open, high, low, close, volume (default: the history store)")
    ] = None,
    state: StateDir = None,
    pairs: Annotated[list[str] | None, typer.Option(help="e.g. BTC/EUR,ETH/EUR; may be repeated (default: all)")] = None,
    start: Annotated[str | None, typer.Option("--from", help="first moment an entry may be decided after, e.g. 2024-08-25")] = None,
    end: Annotated[str | None, typer.Option("--to", help="last such moment (default: the end of the candles)")] = None,
    profile: Annotated[str, typer.Option(help="viable or seed")] = "viable",
    warmup: Annotated[str, typer.Option(help="exact, or short: three periods, for files that begin too late")] = "exact",
    ai: Annotated[str, typer.Option(help="off, or cassette: a session hears the answers of --cassette")] = "off",
    cassette: Annotated[Path | None, typer.Option(help="answers of the AI as `trader ai cassette` wrote them")] = None,
    miss: Annotated[str, typer.Option(help="a question that is not on the cassette: fail, or abstain (no verdict)")] = "fail",
    volume: Annotated[str | None, typer.Option(help="30-day volume in quote, picks the fee tier (default: the lowest tier)")] = None,
    spread: Annotated[str | None, typer.Option(help="(ask - bid) / mid, half of it is slippage a side, at least 0.0005")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the random entries the result is compared with, and of the funding of futures")] = 11,
    market: Annotated[str, typer.Option(help="spot, or futures: the file's pairs as linear perpetuals, with margin and funding")] = "spot",
    side: Annotated[str, typer.Option(help="long, or short on futures")] = "long",
    leverage: Annotated[int, typer.Option(help="on futures, 1 to 3: a position takes its value / leverage of the cash")] = 1,
    html: Annotated[
        Path | None, typer.Option(help="write the report with its charts to this file, too; it needs nothing beside it")
    ] = None,
    trades: Annotated[Path | None, typer.Option(help="write the trades to this file, too; .csv or .parquet")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="replay the range through the session and compare; exit code 1 on a difference")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a strategy over recorded candles. The six share one account of 10,000; S1 runs pair by pair."""
    from trader.bootstrap.backtest import run_backtest
    from trader.bootstrap.backtest_asked import Asked
    from trader.bootstrap.backtest_files import check_targets, write_page, write_trades
    from trader.bootstrap.backtest_result import result_of
    from trader.bootstrap.cassettes import tape_of
    from trader.bootstrap.playing import Teller
    from trader.bootstrap.progress import Bar
    from trader.reporting.backtest_screen import backtest_screen

    asked = Asked(strategy=strategy, data=data, state=state or Path("state"), pairs=pairs or (), start=start, end=end, profile=profile,
                  warmup=warmup, ai=ai, volume=volume, spread=spread, seed=seed, market=market, side=side,
                  leverage=leverage, verify=verify, tape=tape_of(ai, cassette, miss),
                  cutoffs=settings_from(None).ai.training_cutoff)  # fmt: skip
    check_targets(html, trades, (data, cassette))
    bar = Bar(hint)
    with bar.shown():
        ran = run_backtest(asked, bar.of("backtest"))
        result = result_of(ran)
    if ran.session is not None:
        teller = Teller(hint)
        with teller.shown():
            result["verify"] = ran.session.replay(result["lines"], teller.heard)
    if html is not None:
        write_page(ran, result, html, ["trader", *sys.argv[1:]])
        hint(f"report: {html}")
    if trades is not None:
        write_trades(ran, trades)
    say(json.dumps(result, indent=2) if as_json else backtest_screen(result))
    if result["verify"] is not None and result["verify"]["differences"]:
        raise typer.Exit(1)
