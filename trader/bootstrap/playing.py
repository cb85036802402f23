"""The simulated past, seen from `trader up`: a child process at full speed and a progress bar for whoever waits."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trader.errors import FatalError
from trader.maintenance.joblog import JobLog
from trader.maintenance.processes import Child, ChildSpec

LABEL = "simulated past"
EVERY_S = 30.0
_SHARE = re.compile(r"([\d.]+)%")


class Teller:
    """Shows how far it is: a bar on a terminal, else a line every 30 seconds."""

    def __init__(self, hint: Callable[[str], None]) -> None:
        self._hint = hint
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._told = time.monotonic()
        if sys.stderr.isatty():
            columns = (TextColumn(LABEL), BarColumn(), TextColumn("{task.percentage:5.1f} %"), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=100.0)

    def shown(self) -> AbstractContextManager[object]:
        """Keeps the bar on the screen."""
        return self._bar if self._bar is not None else nullcontext()

    def heard(self, line: str) -> None:
        """One line of the child."""
        text = line.removeprefix(f"{LABEL}:").strip()
        if self._bar is not None:
            share = _SHARE.search(text)
            done = float(share.group(1)) if share else None
            what = text.partition(",")[2].strip() if share else text
            self._bar.update(self._task, completed=done, description=what)
        elif time.monotonic() - self._told >= EVERY_S:
            self._told = time.monotonic()
            self._hint(f"{LABEL}: {text}")


async def play(minutes: int, environ: Mapping[str, str], root: Path, logs: Path, hint: Callable[[str], None]) -> None:
    """Run the child to its end, whatever ends this coroutine ends it too. Raises FatalError with its last words."""
    spec = ChildSpec(
        name="past", command=(sys.executable, "-m", "trader.bootstrap.past", "--minutes", str(minutes)), environ=environ, directory=root,
        stop_within_s=1.0,
    )  # fmt: skip
    teller = Teller(hint)
    log = JobLog(logs, spec.name)
    child = await Child.spawn(spec, log, heard=teller.heard)
    try:
        with teller.shown():
            code = await child.wait()
    finally:
        await asyncio.shield(child.stop())
        log.close()
    if code != 0:
        raise FatalError(f"the simulated past ended with code {code}: {child.last_words()}")
