"""The command `trader` without a process of its own: what most tests of its words need."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from trader import cli


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: exit code and both streams."""

    returncode: int
    stdout: str
    stderr: str


def trader(*words: str, cwd: Path, **environ: str) -> Done:
    """The installed command in this process, which spares the start of an interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADER_")}
    out, err = io.StringIO(), io.StringIO()
    there = mock.patch.dict(os.environ, kept | environ, clear=True)
    with there, contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run(words)
    return Done(code, out.getvalue(), err.getvalue())
