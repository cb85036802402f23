from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trader.simulation import baton
from trader.simulation.baton import GuestChange, OwnerGone, run_guest, run_owner

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
UNTIL_S = 1200


_ports = itertools.count(20_000 + os.getpid() * 16 % 10_000)


def free_port() -> int:
    """A port that is free together with the next; below the range from which the kernel takes ports for dialling."""
    while True:
        port = 20_000 + next(_ports) % 12_000
        with suppress(OSError), socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
            next(_ports)
            return port


def start(role: str, *numbers: int, seed: int = 0) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(HERE), str(ROOT / "tests")])
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(seed)}
    words = [sys.executable, str(HERE / "baton_peers.py"), role, *map(str, numbers)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [line for line in out.splitlines() if line != "ready"]
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def run_with_kills(kills: list[int], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the twin saw, what the last session saw)."""
    port = free_port()
    twin = start("twin", port, seed=seed)
    try:
        for kill_at in kills:
            victim = start("session", port, kill_at, UNTIL_S, seed=seed)
            victim.communicate(timeout=60)
            assert victim.returncode == -signal.SIGKILL
        last = finish(start("session", port, 0, UNTIL_S, seed=seed))
        return finish(twin), last
    finally:
        twin.kill()
        twin.wait()


@pytest.mark.kill
def test_a_session_killed_three_times_gives_the_same_logs_in_two_runs_and_for_two_hash_seeds() -> None:
    twin, last = run_with_kills([30, 45, 30], seed=1)
    changes = [line for line in twin["log"] if "guest" in line]
    assert [line.split()[-1] for line in changes] == ["joined", "died"] * 3 + ["joined", "done"]
    times = [float(line.split()[0]) for line in changes]
    assert [round(join - death, 6) for death, join in zip(times[1:-1:2], times[2::2], strict=True)] == [7.5] * 3
    assert sum("socket closed" in line for line in twin["log"]) == 4
    assert sum("subscribe" in line for line in twin["log"]) == 16
    assert twin["frames"] > 200
    assert len(last["log"]) > 100
    assert last["joined"] == pytest.approx(times[-2], abs=1e-6)
    assert run_with_kills([30, 45, 30], seed=2) == (twin, last)


@pytest.mark.kill
def test_a_session_that_is_never_killed_ends_the_owner_cleanly() -> None:
    twin, last = run_with_kills([], seed=0)
    assert twin["time"] >= UNTIL_S
    assert twin["frames"] == sum("/EUR" in line for line in last["log"]) > 200


def test_more_bytes_than_a_kernel_buffer_holds_cross_both_ways_without_time() -> None:
    port = free_port()
    owner = start("echo", port)
    guest = finish(start("upload", port, 24))
    assert guest == {"same": True, "time": 50.0}
    assert finish(owner) == {"time": 50.0}


def in_thread(target: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(target())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


async def for_ever() -> None:
    await asyncio.Event().wait()


def sleeper(seconds: float) -> Callable[[], Awaitable[float]]:
    async def main() -> float:
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    return main


def test_an_owner_that_stays_serves_one_guest_after_another() -> None:
    port = free_port()
    changes: list[GuestChange] = []

    async def until_the_second_is_done() -> float:
        while changes.count(GuestChange.DONE) < 2:  # noqa: ASYNC110 - a timer is what is tested
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    def owner() -> float | None:
        return run_owner(until_the_second_is_done, control_port=port, downtime_s=5.0, stay=True, on_change=changes.append)

    thread, result = in_thread(owner)
    assert run_guest(sleeper(100.5), control_port=port) == 100.5
    assert run_guest(sleeper(10), control_port=port) == 115.5
    thread.join(20)
    assert result == [116.0]
    assert changes == [GuestChange.JOINED, GuestChange.DONE] * 2


def test_two_idle_processes_without_a_timer_are_a_deadlock() -> None:
    port = free_port()
    thread, result = in_thread(lambda: run_owner(for_ever, control_port=port, downtime_s=0.0))
    with pytest.raises(OwnerGone, match="gone"):
        run_guest(for_ever, control_port=port)
    thread.join(20)
    assert isinstance(result[0], RuntimeError)
    assert "for_ever" in str(result[0]) or "Event.wait" in str(result[0])


def test_an_error_of_the_guest_comes_out_and_the_owner_sees_a_death() -> None:
    port = free_port()
    changes: list[GuestChange] = []

    async def until_death() -> str:
        while GuestChange.DIED not in changes:  # noqa: ASYNC110 - a timer is what is tested
            await asyncio.sleep(1)
        return "seen"

    async def fails() -> None:
        await asyncio.sleep(3)
        raise ValueError("of the guest")

    thread, result = in_thread(lambda: run_owner(until_death, control_port=port, downtime_s=60.0, on_change=changes.append))
    with pytest.raises(ValueError, match="of the guest"):
        run_guest(fails, control_port=port)
    thread.join(20)
    assert result == ["seen"]


def test_missing_partners_are_reported_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baton, "JOIN_LIMIT_S", 0.1)
    with pytest.raises(RuntimeError, match="nobody listens on control port"):
        run_guest(for_ever, control_port=free_port())
    with pytest.raises(RuntimeError, match="no guest joined"):
        run_owner(for_ever, control_port=free_port(), downtime_s=0.0)


def test_the_guest_serves_nothing_and_the_owner_dials_nobody() -> None:
    port = free_port()

    async def serve() -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)

    async def dial() -> None:
        await asyncio.open_connection("127.0.0.1", port)

    with pytest.raises(OSError, match="does not dial"):
        run_owner(dial, control_port=port, downtime_s=0.0)
    thread, _ = in_thread(lambda: run_owner(sleeper(1), control_port=port, downtime_s=0.0))
    with pytest.raises(ValueError, match="cannot serve"):
        run_guest(serve, control_port=port)
    with pytest.raises(OwnerGone):
        run_guest(for_ever, control_port=port)
    thread.join(20)
    assert not thread.is_alive()
