"""Files a backtest writes beside its answer: the page, and the trades as a table. Whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trader.bootstrap.backtest import Ran
from trader.bootstrap.backtest_page import page_of
from trader.errors import ConfigError
from trader.research.trades import trades_frame

TABLES = (".csv", ".parquet")


def check_targets(html: Path | None, trades: Path | None, read: Sequence[Path | None] = ()) -> None:
    """Raises ConfigError before anything is run where a file could not be written after it, or would replace one of those `read`."""
    if trades is not None and trades.suffix not in TABLES:
        raise ConfigError(f"--trades {trades}: the name must end in {' or '.join(TABLES)}")
    for option, target in (("--html", html), ("--trades", trades)):
        if target is not None and not target.parent.is_dir():
            raise ConfigError(f"{option} {target}: {target.parent} is no directory")
        if target is not None and target.is_dir():
            raise ConfigError(f"{option} {target}: is a directory; name a file")
        if target is not None and target.resolve() in {file.resolve() for file in read if file is not None}:
            raise ConfigError(f"{option} {target}: is read by this run, which would replace it; name another file")


def write_page(ran: Ran, result: Mapping[str, Any], target: Path, command: Sequence[str]) -> None:
    """The report as one HTML file; `command`: the words that made it."""
    scratch = target.with_name(f"{target.name}.part")
    try:
        scratch.write_text(page_of(ran, result, command))
        scratch.replace(target)
    except OSError as error:
        raise ConfigError(f"--html {target}: {error.strerror}") from error


def write_trades(ran: Ran, target: Path) -> None:
    """A row per exit, as CSV or Parquet."""
    frame, scratch = trades_frame(ran.legs, ran.risk), target.with_name(f"{target.name}.part")
    try:
        if target.suffix == ".csv":
            frame.write_csv(scratch, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        else:
            frame.write_parquet(scratch)
        scratch.replace(target)
    except OSError as error:
        raise ConfigError(f"--trades {target}: {error.strerror}") from error
