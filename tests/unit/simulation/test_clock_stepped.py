from __future__ import annotations

import asyncio
import functools
import hashlib
import threading
import time
from collections.abc import AsyncGenerator

import pytest

from trader.simulation import loops
from trader.simulation.loops import SimulatedDeadlock, StepLoop, run_stepped

both = pytest.mark.parametrize("memory", [True, False], ids=["memory", "kernel"])


@both
def test_ten_thousand_seconds_of_sleeping_take_next_to_none(memory: bool) -> None:
    async def main() -> float:
        async def beat() -> None:
            for _ in range(1000):
                await asyncio.sleep(10)

        await asyncio.gather(beat(), beat(), asyncio.sleep(9_999.5))
        return asyncio.get_running_loop().time()

    before = time.perf_counter()
    assert run_stepped(main, memory=memory) == 10_000.0
    assert time.perf_counter() - before < 60.0  # 0.1 on an idle machine


def test_ten_days_are_not_cut_at_asyncios_longest_select() -> None:
    async def main() -> float:
        await asyncio.sleep(864_000)
        return asyncio.get_running_loop().time()

    assert run_stepped(main) == 864_000.0


def test_what_waits_for_rest_comes_one_at_a_time_lowest_first_when_nobody_has_work_and_before_time_moves() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), list[tuple[str, float]]()
        assert isinstance(loop, StepLoop)

        async def work(name: str) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append((f"work of {name}", loop.time()))

        def hand_over(name: str) -> None:
            seen.append((name, loop.time()))
            working.append(asyncio.create_task(work(name)))

        working: list[asyncio.Task[None]] = []
        for order, name in ((2, "late"), (1, "first"), (1, "second")):
            loop.at_rest(order, functools.partial(hand_over, name))
        await asyncio.sleep(1)
        return seen

    assert run_stepped(main) == [(name, 0.0) for of in ("first", "second", "late") for name in (of, f"work of {of}")]


def test_timers_of_one_moment_ring_in_the_order_they_were_set_whatever_was_cancelled_between() -> None:
    def rung(cancelled: int) -> list[int]:
        async def main() -> list[int]:
            loop, seen = asyncio.get_running_loop(), list[int]()
            for number in range(50):
                loop.call_at(5.0, seen.append, number)
                for other in range(cancelled):
                    loop.call_at(5.0 - other, seen.append, -1).cancel()
            await asyncio.sleep(6)
            return seen

        return run_stepped(main)

    assert rung(0) == rung(4) == list(range(50))


def slow_five() -> int:
    time.sleep(0.1)
    return 5


@both
def test_time_stands_still_under_a_job_in_a_thread(memory: bool) -> None:
    async def main() -> tuple[int, float]:
        asyncio.get_running_loop().call_later(3600, lambda: None)
        answer = await asyncio.to_thread(slow_five)
        return answer, asyncio.get_running_loop().time()

    assert run_stepped(main, memory=memory) == (5, 0.0)


def test_results_of_jobs_come_in_the_order_of_submission_whoever_is_done_first() -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def job(number: int) -> None:
            await asyncio.to_thread(time.sleep, 0.05 - number * 0.01)
            seen.append(number)

        await asyncio.gather(*(job(number) for number in range(5)))
        return seen

    assert run_stepped(main) == [0, 1, 2, 3, 4]


def test_a_job_may_call_back_into_the_loop_while_time_stands_still() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()

        async def inner() -> str:
            await asyncio.sleep(0)
            return "from the loop"

        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(inner(), loop).result(5))

    assert run_stepped(main) == "from the loop"


def test_errors_of_a_job_and_its_cancellation_reach_the_waiter() -> None:
    async def main() -> str:
        release = threading.Event()
        stuck = asyncio.ensure_future(asyncio.to_thread(release.wait, 5))
        await asyncio.sleep(0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        await asyncio.sleep(7)
        release.set()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return f"at {asyncio.get_running_loop().time()}"

    assert run_stepped(main) == "at 7.0"


@both
def test_a_deadlock_names_the_waiting_tasks_and_their_lines(memory: bool) -> None:
    async def waits_for_nobody() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(12.5)
        await asyncio.gather(asyncio.create_task(waits_for_nobody(), name="the-feed"), asyncio.Event().wait())

    with pytest.raises(SimulatedDeadlock, match=r"at 12\.5 s.*the-feed in Event\.wait at .*locks\.py:\d+") as caught:
        run_stepped(main, memory=memory)
    assert isinstance(caught.value, RuntimeError)


def test_a_task_that_spins_without_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "SPIN_LIMIT", 5_000)

    async def spinner() -> None:
        while True:  # noqa: ASYNC110 - what a bug would do
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.sleep(3)
        await asyncio.create_task(spinner(), name="spinner")

    with pytest.raises(RuntimeError, match=r"spins at simulated second 3\.0.*spinner"):
        run_stepped(main)


def test_leftover_tasks_are_cancelled_and_generators_closed() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(10**6)
        finally:
            await asyncio.sleep(1)
            ended.append("task")

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def main() -> int:
        task = asyncio.ensure_future(background())
        stream = numbers()
        first = await anext(stream)
        keep.extend([task, stream])
        await asyncio.sleep(1)
        return first

    keep: list[object] = []
    assert run_stepped(main) == 1
    assert ended == ["task", "generator"]


def test_what_main_raises_comes_out_and_the_loop_is_closed() -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        seen.append(asyncio.get_running_loop())
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        run_stepped(main)
    assert isinstance(seen[0], StepLoop)
    assert seen[0].is_closed()


@both
def test_the_order_of_events_is_the_same_in_two_runs(memory: bool) -> None:
    async def main() -> str:
        log: list[str] = []
        loop = asyncio.get_running_loop()

        def note(text: str) -> None:
            log.append(f"{loop.time()!r} {text}")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                note(f"server got {line!r}")
                await asyncio.sleep(0.001 * (len(line) % 5))
                writer.write(line.upper())
            writer.close()

        async def dial(number: int) -> None:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for turn in range(20):
                writer.write(f"{number}-{'x' * ((number * turn) % 7)}\n".encode())
                note(f"client {number} got {await reader.readline()!r}")
                await asyncio.to_thread(time.sleep, 0.0002 * ((number * turn) % 3))
                await asyncio.sleep(0.01 * ((number + turn) % 3))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        await asyncio.gather(*(dial(number) for number in range(8)))
        server.close()
        assert len(log) == 2 * 8 * 20
        return hashlib.sha256("\n".join(log).encode()).hexdigest()

    assert run_stepped(main, memory=memory) == run_stepped(main, memory=memory)
