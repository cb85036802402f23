"""Exchange time for every driver: one formula over the loop's clock, or over the machine's for several processes."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader.errors import ConfigError, CorruptError

# A wall-driven sleep looks at the machine's clock at least this often, so a stepped clock or a suspend is noticed.
LONGEST_NAP_S = 30.0
# The simulated loop's clock resolution; a shorter pause would not move its time at all.
SHORTEST_NAP_S = 1e-6


class LoopClock:
    """Exchange time = `origin_us` + `speed` x the event loop's own time (SIMULATION.md).

    On a stepped loop (`speed` 1) it moves only when nobody has work; on a real loop with `speed` X it is paced and
    private to one process. `loop` None means the loop running at the time of the call.
    """

    _longest_nap_s = math.inf

    def __init__(self, origin_us: int, speed: float = 1.0, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigError(f"speed: {speed!r} is not allowed; a finite number above 0 is")
        self.origin_us = origin_us
        self.speed = speed
        self._loop = loop

    def now_us(self) -> int:
        """UTC microseconds of exchange time."""
        return self.origin_us + round((self._loop or asyncio.get_running_loop()).time() * self.speed * 1e6)

    async def sleep_until(self, time_us: int) -> None:
        """Return once `now_us() >= time_us`, at once where it already is."""
        while (left_us := time_us - self.now_us()) > 0:  # noqa: ASYNC110 - a timer may fire a microsecond early
            await asyncio.sleep(max(min(left_us / 1e6 / self.speed, self._longest_nap_s), SHORTEST_NAP_S))

    async def sleep(self, seconds: float) -> None:
        """Pause for this many seconds of exchange time; zero and less only let others run."""
        await asyncio.sleep(max(0.0, seconds / self.speed))


class PacedClock(LoopClock):
    """Exchange time = `origin_us` + `speed` x (machine time - `wall_s`): the same in every process that knows the three."""

    _longest_nap_s = LONGEST_NAP_S

    def __init__(self, origin_us: int, wall_s: float, speed: float = 1.0) -> None:
        super().__init__(origin_us, speed)
        self.wall_s = wall_s

    def now_us(self) -> int:
        return self.origin_us + round((time.time() - self.wall_s) * self.speed * 1e6)


def wall_clock() -> PacedClock:
    """The machine's own UTC time."""
    return PacedClock(0, 0.0, 1.0)


def save_clock(path: Path, *, origin_us: int, wall_s: float, speed: float) -> None:
    """Write the three numbers of a paced clock for other processes (mode 0600, replaced atomically)."""
    text = json.dumps({"origin_us": origin_us, "wall_s": wall_s, "speed": speed})
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    scratch.unlink(missing_ok=True)
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def load_clock(path: Path) -> PacedClock:
    """The clock that `save_clock` wrote. Raises FileNotFoundError, or CorruptError naming the field."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptError(f"{path}: not the JSON of a clock: {error}") from error
    if not isinstance(row, Mapping):
        raise CorruptError(f"{path}: {row!r} is not an object with origin_us, wall_s and speed")
    origin_us = _number(path, row, "origin_us")
    speed = _number(path, row, "speed")
    if speed <= 0:
        raise CorruptError(f"{path}: speed {speed!r} is not above 0")
    return PacedClock(round(origin_us), _number(path, row, "wall_s"), speed)


def _number(path: Path, row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CorruptError(f"{path}: {name} is {value!r}; a finite number is allowed")
    return value
