from __future__ import annotations

import asyncio
import json
import math
import stat
import time
from pathlib import Path

import pytest

from trader.errors import ConfigError, CorruptError
from trader.simulation.clock import LoopClock, PacedClock, load_clock, save_clock, wall_clock
from trader.simulation.loops import run_stepped

EPOCH_US = 1_767_571_200_000_000


def test_stepped_clock_starts_at_its_origin_and_moves_by_what_was_slept() -> None:
    async def main() -> list[int]:
        clock = LoopClock(EPOCH_US)
        seen = [clock.now_us()]
        for seconds in (0.5, 97.0820393, 86_400.0):
            await clock.sleep(seconds)
            seen.append(clock.now_us())
        return seen

    assert run_stepped(main) == [EPOCH_US, EPOCH_US + 500_000, EPOCH_US + 97_582_040, EPOCH_US + 86_497_582_040]


def test_sleep_until_never_returns_early_even_beside_a_timer_half_a_microsecond_before() -> None:
    async def main() -> list[int]:
        clock = LoopClock(EPOCH_US)
        late: list[int] = []

        async def one(offset_us: int) -> None:
            await clock.sleep_until(EPOCH_US + offset_us)
            late.append(clock.now_us() - EPOCH_US - offset_us)

        noise = [asyncio.ensure_future(asyncio.sleep(i * 1e-6 + 4e-7)) for i in range(1, 200)]
        await asyncio.gather(*(one(i) for i in range(1, 200)), *noise)
        return late

    late = run_stepped(main)
    assert len(late) == 199
    assert min(late) >= 0
    assert max(late) <= 1


@pytest.mark.parametrize("neighbour_s", [0.0, 0.2e-6, 0.6e-6, 0.9e-6, 1.1e-6])
def test_no_neighbours_timer_moves_the_microsecond_of_ours(neighbour_s: float) -> None:
    async def main() -> list[int]:
        clock = LoopClock(EPOCH_US)
        noise = [asyncio.ensure_future(asyncio.sleep(second + 0.3e-6 - neighbour_s)) for second in range(1, 50)]
        seen = []
        for _ in range(49):
            await clock.sleep(1.0 + 0.3e-6)
            seen.append(clock.now_us() - EPOCH_US)
        await asyncio.gather(*noise)
        return seen

    assert run_stepped(main) == [second * 1_000_001 for second in range(1, 50)]


def test_a_timer_that_never_comes_is_no_error() -> None:
    async def main() -> float:
        never = asyncio.get_running_loop().call_later(math.inf, print)
        await asyncio.sleep(1)
        never.cancel()
        return asyncio.get_running_loop().time()

    assert run_stepped(main) == 1.0


def test_sleep_until_a_past_time_returns_at_once() -> None:
    async def main() -> float:
        await LoopClock(EPOCH_US).sleep_until(EPOCH_US - 1)
        return asyncio.get_running_loop().time()

    assert run_stepped(main) == 0.0


def test_speed_makes_exchange_time_run_faster_than_the_loop() -> None:
    async def main() -> tuple[int, float]:
        clock = LoopClock(EPOCH_US, 60.0)
        await clock.sleep(3600)
        await clock.sleep_until(EPOCH_US + 7_200_000_000)
        return clock.now_us(), asyncio.get_running_loop().time()

    now_us, loop_s = run_stepped(main)
    assert now_us >= EPOCH_US + 7_200_000_000
    assert loop_s == pytest.approx(120.0, abs=1e-5)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_not_a_finite_number_above_zero_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="speed"):
        LoopClock(EPOCH_US, speed)


def test_paced_clock_is_the_same_in_every_process_that_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    wall_s = time.time() - 10
    save_clock(path, origin_us=EPOCH_US, wall_s=wall_s, speed=100.0)
    ours, theirs = PacedClock(EPOCH_US, wall_s, 100.0), load_clock(path)
    assert (theirs.origin_us, theirs.wall_s, theirs.speed) == (EPOCH_US, wall_s, 100.0)
    assert abs(ours.now_us() - theirs.now_us()) < 50_000_000
    assert ours.now_us() - EPOCH_US >= 1_000_000_000
    assert json.loads(path.read_text()) == {"origin_us": EPOCH_US, "wall_s": wall_s, "speed": 100.0}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["clock.json"]


def test_paced_clock_sleeps_in_exchange_seconds() -> None:
    async def main() -> tuple[float, int]:
        clock = PacedClock(EPOCH_US, time.time(), 1000.0)
        before = time.perf_counter()
        await clock.sleep_until(EPOCH_US + 200_000_000)
        return time.perf_counter() - before, clock.now_us()

    wall_s, now_us = asyncio.run(main())
    assert now_us >= EPOCH_US + 200_000_000
    assert 0.15 < wall_s < 60.0  # of 200 exchange seconds


def test_wall_clock_shows_the_machines_time() -> None:
    before, seen, after = time.time(), wall_clock().now_us(), time.time()
    assert before * 1e6 - 1 <= seen <= after * 1e6 + 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not the JSON"),
        ("[]", "not an object"),
        ('{"origin_us": 1, "wall_s": 1.0}', "speed is None"),
        ('{"origin_us": "x", "wall_s": 1.0, "speed": 1}', "origin_us is 'x'"),
        ('{"origin_us": 1, "wall_s": NaN, "speed": 1}', "wall_s is nan"),
        ('{"origin_us": 1, "wall_s": 1, "speed": 0}', "speed"),
    ],
)
def test_a_spoilt_clock_file_is_named_with_its_field(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(CorruptError, match=named):
        load_clock(path)
