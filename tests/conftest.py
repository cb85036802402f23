"""Being here puts this folder on the path, so that tests of every layer can import the kits beside this file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt_clock
import pytest

FLOWS = "tests/flows/"
MEMORY_FILES, ROOM = Path("/dev/shm"), 2 << 30  # noqa: S108 - pytest makes private directories there


def _scratch_in_memory() -> None:
    """Put temporary folders where a sync costs nothing: many sessions commit thousands of times, and no test cuts the power.

    What a killed process leaves is the same there. TMPDIR, where somebody set it, wins; so does the disk where memory is short.
    """
    if "TMPDIR" not in os.environ and MEMORY_FILES.is_dir() and shutil.disk_usage(MEMORY_FILES).free >= ROOM:
        os.environ["TMPDIR"] = str(MEMORY_FILES)  # for every process that a test starts, too
        tempfile.tempdir = None


_scratch_in_memory()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but all flows are one lot: one worker starts their two Prefect servers, the other none."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Lots(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return FLOWS if nodeid.startswith(FLOWS) else str(super()._split_scope(nodeid))

    return Lots(config, log)


@pytest.fixture(autouse=True)
def _ccxt_reads_its_own_clock_again() -> Iterator[None]:
    """A simulated clock set on ccxt's classes must not reach the next test, which may be a stranger's client in real time."""
    yield
    ccxt_clock.restore()
