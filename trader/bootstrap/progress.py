"""How far a long command is, on stderr: a bar on a terminal, else a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

EVERY_S = 30.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Steps a second."""
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s")


class Bar:
    """One label after the other; each `tell` says how much of how much, and of what."""

    def __init__(self, hint: Callable[[str], None]) -> None:
        self._hint, self._told, self._began, self._label = hint, time.monotonic(), time.monotonic(), ""
        self._task = TaskID(0)
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[label]}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                _Rate(), TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("{task.description}"), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=1, label="")

    def shown(self) -> AbstractContextManager[object]:
        """Keeps the bar on the screen."""
        return self._bar if self._bar is not None else nullcontext()

    def of(self, label: str) -> Callable[[int, int, str], None]:
        """A `progress(done, total, what)` for one step."""
        self._label, self._began = label, time.monotonic()
        if self._bar is not None:
            self._bar.reset(self._task, label=label)
        return self.tell

    def tell(self, done: int, total: int, what: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=max(total, 1), description=what)
        elif time.monotonic() - self._told >= EVERY_S:
            self._told = time.monotonic()
            spent = self._told - self._began
            rate, left = done / spent if spent else 0.0, (total - done) * spent / done if done else 0.0
            self._hint(f"{self._label}: {done:,} of {total:,} ({rate:,.0f}/s, {left:.0f} s left), {what}")
