"""What every verb shares: where answers and explanations go, and the options that mean the same everywhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from trader.config import Settings, load
from trader.errors import UnwritableError

JsonFlag = Annotated[bool, typer.Option("--json", help="print one JSON value and nothing else")]
StateDir = Annotated[Path | None, typer.Option("--state", file_okay=False, help="state directory (default: state)")]
SettingsFile = Annotated[Path | None, typer.Option("--config", dir_okay=False, help="settings file (default: trader.toml if present)")]
WIDTH = 100


def settings_from(file: Path | None, **flags: Any) -> Settings:
    """Settings with these flags on top; dotted keys are written with `__`."""
    return load({name.replace("__", "."): value for name, value in flags.items() if value is not None}, file=file)


def say(text: str) -> None:
    """The answer, on stdout. Raises UnwritableError where it cannot be taken, as on a full disk."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read has heard enough
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer would fail again at the end
        raise UnwritableError(f"standard output: {error.strerror}") from error


def hint(text: str) -> None:
    """Progress and explanations, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(result: dict[str, Any], *, room: int = 72) -> str:
    """Key and value per line; an object wider than `room` has a line for each member, under a dotted key."""
    rows = [row for key, value in result.items() for row in _rows(key, value, room)]
    width = max((len(key) for key, _ in rows), default=0) + 2
    return "\n".join(f"{key:<{width}}{shown}" for key, shown in rows)


def _rows(key: str, value: Any, room: int) -> list[tuple[str, str]]:
    shown = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, dict) and value and len(shown) > room:
        return [row for name, member in value.items() for row in _rows(f"{key}.{name}", member, room)]
    return [(key, shown)]


def grid(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with its heads, columns as wide as needed, cut at 100 columns; numbers to the right."""
    cells = [[str(value) for value in row] for row in rows]
    widths = [max(len(head), *(len(line[i]) for line in cells)) if cells else len(head) for i, head in enumerate(heads)]
    right = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(heads))]

    def line(values: Sequence[str]) -> str:
        fitted = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(fitted).rstrip()[:WIDTH]

    return "\n".join([line(heads), *(line(row) for row in cells)])
