"""The command `trader`: every verb prints its answer to stdout (`--json` for machines), progress and logs to stderr.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused for safety, 4 dependency unreachable, 5 already running,
130 interrupted. Heavy imports happen inside the verbs. Nothing is ever coloured, so NO_COLOR holds by construction.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import ValidationError

from trader import __version__
from trader.cli import ai, backtest, data, db, night, optimize
from trader.cli.words import JsonFlag, SettingsFile, StateDir, hint, say, settings_from, table
from trader.config import SECRETS, AiSettings, Settings
from trader.errors import ConfigError, LeaseLostError, RetryableError, TraderError, UnsafeError

if TYPE_CHECKING:
    from trader.maintenance.checks import Check

PATIENCE = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"  # of a flow by hand, for the server it brings: 20 s are few on a busy machine
app = typer.Typer(name="trader", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="AI-confirmed trading for Kraken. `trader up --env demo` runs everything on a simulated market.")  # fmt: skip

app.add_typer(ai.app)
app.add_typer(data.app)
app.add_typer(db.app)
app.add_typer(night.app)


class Env(StrEnum):
    DEMO = "demo"
    PAPER = "paper"
    LIVE = "live"


def _strategy(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    from trader.strategy.modes import STRATEGIES

    mode, _, variation = text.partition("/")
    if (mode, variation) not in STRATEGIES:
        raise ConfigError(f"--strategy {text!r}: write MODE/VARIATION, one of {', '.join('/'.join(one) for one in STRATEGIES)}")
    return {"mode": mode, "variation": variation}


@app.command()
def demo(  # noqa: PLR0917 - the options of a command line
    minutes: Annotated[int, typer.Option(min=1, help="simulated minutes, counted from the first READY pair")] = 240,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of the synthetic market (default 11); same seed, same journal")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, max=500, help="pairs of the synthetic market (default 150)")] = None,
    strategy: Annotated[str | None, typer.Option(help="MODE/VARIATION (default mitraillette/AGGRESSIVE)")] = None,
    replay: Annotated[Path | None, typer.Option(help="a Parquet file of real candles instead of the synthetic market")] = None,
    start: Annotated[str | None, typer.Option("--from", help="first simulated moment, e.g. 2024-07-15; a replay needs one")] = None,
    plan: Annotated[Path | None, typer.Option(help="fault plan (TOML)")] = None,
    state: Annotated[
        Path | None, typer.Option("--state", file_okay=False, help="keep everything in this new directory (default: a temporary one)")
    ] = None,
    speed: Annotated[str, typer.Option(help="max, or simulated seconds per second")] = "max",
    ai_mode: Annotated[str | None, typer.Option("--ai", help="off, shadow or veto; cassette: veto, answered by --cassette")] = None,
    cassette: Annotated[Path | None, typer.Option(help="answers of the AI as `trader ai cassette` wrote them")] = None,
    miss: Annotated[str, typer.Option(help="a question that is not on the cassette: fail, or abstain (no verdict)")] = "fail",
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Play one session on the simulated exchange. No key, no network, no Prefect; exit code 1 if an invariant broke."""
    from trader.bootstrap.cassettes import tape_of
    from trader.bootstrap.demo import DemoOptions, run_demo

    tape = tape_of(ai_mode or "", cassette, miss, get_args(AiSettings.model_fields["mode"].annotation))
    mode = "veto" if ai_mode == "cassette" else ai_mode
    epoch = start if replay is None else None
    settings = settings_from(config, market__seed=seed, market__pairs=pairs, market__epoch=epoch, ai__mode=mode, **_strategy(strategy))
    options = DemoOptions(minutes=minutes, replay=replay, start=start, plan=plan, state=state, speed=speed, tape=tape)
    result = run_demo(settings, options, progress=None if as_json and not sys.stderr.isatty() else hint)
    say(json.dumps(result, indent=2) if as_json else table(result))
    if broken := sorted(name for name, ok in result["invariants"].items() if not ok):
        hint(f"broken: {', '.join(broken)}")
        raise typer.Exit(1)


@app.command()
def up(
    env: Annotated[Env, typer.Option("--env", help="demo: simulated; paper: real prices, simulated orders; live: real money")] = Env.DEMO,
    speed: Annotated[float | None, typer.Option(help="simulated seconds per second after the simulated past")] = None,
    past: Annotated[int, typer.Option(min=0, help="minutes of simulated past to play first, where there is none yet")] = 2880,
    state: StateDir = None,
    config: SettingsFile = None,
) -> None:
    """Start everything and watch over it. Ctrl-C ends all in order; exit code 5 where it already runs."""
    from trader.bootstrap.up import run_up

    settings = settings_from(config, environment=env.value, market__speed=speed, state_dir=str(state) if state else None)
    raise typer.Exit(run_up(settings, past_minutes=past, say=say, hint=hint))


@app.command()
def verify(state: StateDir = None, as_json: JsonFlag = False) -> None:
    """Check the ledger against the exchange's answers. By code the session does not share; exit code 1 on a difference."""
    from trader.bootstrap.verification import verify_state

    result = verify_state(state or Path("state"))
    say(json.dumps(result, indent=2) if as_json else table(result))
    if not result["ok"]:
        raise typer.Exit(1)


@app.command()
def status(state: StateDir = None, as_json: JsonFlag = False) -> None:
    """Show the last stored state. Equity, positions, decisions, halts; works with nothing running."""
    from trader.bootstrap.reading import status_of
    from trader.reporting.screen import status_screen

    result = status_of(state or Path("state"))
    say(json.dumps(result, indent=2) if as_json else status_screen(result))


@app.command()
def doctor(
    live: Annotated[bool, typer.Option("--live", help="also ask Kraken: key, clock, money, fees, and the arm file")] = False,
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Check this installation. Exit code 1 on a failure; with --live 3 where something speaks against trading real money."""
    from trader.bootstrap.health import examine

    settings = settings_from(config, state_dir=str(state) if state else None)
    checks, before_live = examine(settings), _preflight(settings) if live else []
    checks += before_live
    if as_json:
        say(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            say(check.line())
    if any(check.level == "FAIL" for check in before_live):
        raise typer.Exit(3)
    if any(check.level == "FAIL" for check in checks):
        raise typer.Exit(1)


def _preflight(settings: Settings) -> list[Check]:
    """The checks before real money is traded."""
    import asyncio

    from trader.bootstrap.preflight import examine_live

    return asyncio.run(examine_live(settings))


@app.command()
def reset(
    state: StateDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="really delete")] = False,
) -> None:
    """Delete the state directory. Names what goes: ledger, history, the demo exchange's books, logs; refuses without --yes."""
    from trader.maintenance.reset import contents, delete

    target = state or Path("state")
    found = contents(target)
    if not found:
        say(f"{target}: nothing to delete")
        return
    for line in found:
        say(("deleting " if yes else "would delete ") + line)
    if not yes:
        hint("nothing was deleted; add --yes")
        raise typer.Exit(3)
    delete(target)


@app.command()
def twin(  # noqa: PLR0917 - the options of a command line
    which: Annotated[str, typer.Argument(help="kraken or gemini")] = "kraken",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8701,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of the synthetic market (default 11)")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, max=500, help="pairs of the synthetic market (default 150)")] = None,
    replay: Annotated[Path | None, typer.Option(help="a Parquet file of real candles instead of the synthetic market")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="first simulated moment of a replay, e.g. 2024-07-15 (default: 720 candles into it)")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="fault plan (TOML)")] = None,
    api_key: Annotated[list[str] | None, typer.Option(help="a key the twin accepts; may be repeated (default: the demo's)")] = None,
    api_secret: Annotated[list[str] | None, typer.Option(help="its secret, base64; the k-th belongs to the k-th key")] = None,
    key_rights: Annotated[
        list[str] | None, typer.Option(help="what the k-th key may do, e.g. query-funds,query-open-trades (default: all but moving money)")
    ] = None,
    tier: Annotated[str, typer.Option(help="rate limits of the account: starter, intermediate, pro, or none; of gemini: free")] = "pro",
    switch: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="what Kraken leaves open; may be repeated")] = None,
    tls_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="listen here too with TLS; a second line `tls URL cert PATH` says where")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", file_okay=False, help="keep the books in this directory (default: in memory)")
    ] = None,
) -> None:
    """Run a simulated peer alone. Prints one line `ready URL` once it answers; Ctrl-C ends it."""
    from trader.bootstrap.twins import keys_of, run_twin

    settings = settings_from(None, market__seed=seed, market__pairs=pairs, state_dir=str(state) if state else None)
    run_twin(which, settings, port=port, replay=replay, start=start, plan=plan, keep=state is not None, say=say,
             keys=keys_of(api_key or (), api_secret or (), key_rights or ()), tier=None if tier == "none" else tier,
             switches=switch or (), tls_port=tls_port)  # fmt: skip


def _control(verb: str, argument: str, state: Path | None) -> None:
    from trader.bootstrap.reading import control

    say(control(state or Path("state"), verb, argument))


@app.command()
def pause(state: StateDir = None) -> None:
    """No new entries; exits and stops go on. Survives a restart."""
    _control("pause", "", state)


@app.command()
def resume(
    cause: Annotated[str | None, typer.Option(help="a halt only a person may clear, e.g. DAILY_LOSS")] = None,
    reason: Annotated[str | None, typer.Option(help="why it is right to go on; kept in the ledger")] = None,
    state: StateDir = None,
) -> None:
    """Allow entries again. Clears the operator's halt, or with --cause and --reason one that only a person may clear."""
    if bool(cause) != bool(reason):
        raise ConfigError("--cause and --reason go together: a limit's halt is cleared with a written reason, the operator's without")
    _control("resume", f"{cause}:{reason}" if cause else "", state)


@app.command()
def stop(state: StateDir = None) -> None:
    """End the session; stops stay on the exchange. No session starts again before `trader resume`."""
    _control("stop", "", state)


@app.command("exit")
def exit_position(which: Annotated[str, typer.Argument(help="pair or position id")], state: StateDir = None) -> None:
    """Close one position at market. Entries in other pairs go on."""
    _control("exit", which, state)


@app.command()
def flatten(state: StateDir = None, yes: Annotated[bool, typer.Option("--yes", help="really sell")] = False) -> None:
    """No entries, and close every position at market."""
    if not yes:
        hint("this closes every open position at market; add --yes")
        raise typer.Exit(3)
    _control("flatten", "", state)


def _flow(module: str, *arguments: str, **environ: str) -> Callable[[], None]:
    def start() -> None:
        import subprocess

        surroundings = {PATIENCE: "120"} | os.environ | environ
        raise typer.Exit(subprocess.run([sys.executable, "-m", module, *arguments], check=False, env=surroundings).returncode)  # noqa: S603 - our own module

    return start


@app.command()
def ingest(  # noqa: PLR0917 - the options of a command line
    plan: Annotated[bool, typer.Option("--plan", help="print calls and time of every step, and do nothing")] = False,
    archive: Annotated[str | None, typer.Option(help="OHLCVT files of Kraken: a folder, zip, CSV, or the URL of a zip")] = None,
    backfill: Annotated[int, typer.Option(min=0, help="days of 1m to build from public trades, newest first")] = 0,
    pairs: Annotated[str | None, typer.Option(help="only these, e.g. BTC/EUR,ETH/EUR (default: the universe by volume)")] = None,
    timeframes: Annotated[str | None, typer.Option(help="only these, e.g. 15m,4h (default: 15m,4h,1h,1m,1d)")] = None,
    state: StateDir = None,
    as_json: JsonFlag = False,
    config: SettingsFile = None,
) -> None:
    """Fetch, judge and store missing candles. Ctrl-C ends after the page under way; the same command continues."""
    from trader.bootstrap.ingest_command import Asked, run_ingest, split

    settings = settings_from(config, state_dir=str(state) if state else None)
    asked = Asked(plan=plan, archive=archive, backfill_days=backfill, pairs=split(pairs, "--pairs"),
                  timeframes=split(timeframes, "--timeframes"), as_json=as_json)  # fmt: skip
    raise typer.Exit(run_ingest(settings, asked, say=say, hint=hint))


@app.command()
def trade(
    minutes: Annotated[float, typer.Option(min=0.1, help="of the machine's time")] = 55.0,
    env: Annotated[Env | None, typer.Option("--env", help="demo, paper or live (default: the setting `environment`)")] = None,
) -> None:
    """Run one trading session. The flow `trade_intraday`, in the foreground; exit code 3 where live trading is refused."""
    _flow("flows.trade_intraday", "--minutes", str(minutes), **({} if env is None else {"TRADER_ENVIRONMENT": env.value}))()


@app.command()
def report() -> None:
    """Publish the status report. The flow `report_status`, in the foreground."""
    _flow("flows.report_status")()


app.command()(backtest.backtest)


@app.command("config")
def config_show(config: SettingsFile = None, as_json: JsonFlag = False) -> None:
    """Show the effective settings. Secrets only as set or unset."""
    settings = settings_from(config)
    shown = settings.model_dump(mode="json") | {name: "set" if getattr(settings, name) else "unset" for name in sorted(SECRETS)}
    say(json.dumps(shown, indent=2) if as_json else table(shown, room=0))


app.command()(optimize.optimize)


@app.callback(invoke_without_command=True)
def _top(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        say(f"trader {__version__}")
    elif context.invoked_subcommand is None:
        say(context.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code; an expected error is one sentence on stderr, never a traceback."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="trader")
    except typer.TyperException as error:  # how the command line itself is refused: unknown verb or option, value out of range
        hint(f"trader: {_usage(error)}")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except TraderError as error:
        hint(f"trader: {error}")
        return _code(error)
    except OSError as error:
        if error.filename is None:
            raise
        hint(f"trader: {error.filename}: {error.strerror}")  # a folder that may not be written, a disk that is full
        return 1
    return code if isinstance(code, int) else 0  # typer hands back the code of an Exit, it does not raise it


def _usage(error: typer.TyperException) -> str:
    """Click's sentence on one line, with the value that was seen and where to look."""
    words = getattr(error, "format_message", error.__str__)()
    if isinstance(error.__cause__, ValidationError):  # a number out of range, a word for a number
        words = words.replace("value for", f"value {error.__cause__.errors()[0]['input']!r} for", 1)
    context: typer.Context | None = getattr(error, "ctx", None)
    return f"{' '.join(words.split()).rstrip('.')}; see `{context.command_path if context else 'trader'} --help`"


def _code(error: TraderError) -> int:
    """Exit code of an error, by the reaction it asks for."""
    if isinstance(error, ConfigError):
        return 2
    if isinstance(error, UnsafeError):
        return 3
    if isinstance(error, LeaseLostError):
        return 5
    return 4 if isinstance(error, RetryableError) else 1


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
