"""The supervisor on real child processes: order, stubborn children, crash loops, silence, and its own violent death."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from trader.errors import FatalError
from trader.maintenance import kin
from trader.maintenance.processes import ChildSpec
from trader.maintenance.supervisor import Patience, Supervisor

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
FAST = Patience(first_pause_s=0.1, longest_pause_s=0.4, steady_after_s=30.0, probe_every_s=0.1, probe_failures=3, ready_poll_s=0.05)


def spec(tmp_path: Path, name: str, code: str, **more: object) -> ChildSpec:
    environ = {"PATH": os.environ["PATH"], kin.MARK: str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    return ChildSpec(name=name, command=(sys.executable, "-c", textwrap.dedent(code)), environ=environ, directory=tmp_path, **more)  # type: ignore[arg-type]


def words(tmp_path: Path, name: str) -> list[str]:
    """What a child said and what was said about it."""
    return [json.loads(line)["text"] for line in (tmp_path / "logs" / f"{name}.jsonl").read_text().splitlines()]


async def until(condition: object, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, "waited too long"
        await asyncio.sleep(0.02)


def test_children_stop_group_after_group(tmp_path: Path) -> None:
    code = """
        import signal, sys, time
        def bye(*_):
            open("order", "a").write(NAME)
            sys.exit(0)
        signal.signal(signal.SIGTERM, bye)
        print("armed", flush=True)
        time.sleep(600)
    """

    async def main() -> None:
        supervisor = Supervisor(tmp_path / "logs", lambda _: None, FAST)
        for name in ("a", "b", "c"):
            await supervisor.start(spec(tmp_path, name, code.replace("NAME", repr(name))))
        await until(lambda: all("armed" in words(tmp_path, name) for name in "abc"))
        assert await supervisor.stop((("c",), ("a", "not started"))) == []

    asyncio.run(main())
    assert (tmp_path / "order").read_text() == "cab"
    assert kin.marked(tmp_path) == []


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path: Path) -> None:
    family = f"import subprocess,sys; subprocess.Popen([sys.executable,'-c',{STUBBORN!r}]); exec({STUBBORN!r})"

    async def main() -> list[str]:
        supervisor = Supervisor(tmp_path / "logs", lambda _: None, FAST)
        await supervisor.start(spec(tmp_path, "deaf", family, stop_within_s=0.5))
        await until(lambda: words(tmp_path, "deaf").count("deaf") == 2)
        assert len(kin.marked(tmp_path)) == 2
        return await supervisor.stop(())

    began = time.monotonic()
    assert asyncio.run(main()) == ["deaf"]
    assert time.monotonic() - began < 60
    assert kin.marked(tmp_path) == []
    assert "killed: SIGTERM did not end it within 0.5 s" in words(tmp_path, "deaf")


def test_a_crash_looping_child_is_restarted_with_growing_pauses(tmp_path: Path) -> None:
    code = "open('starts','a').write('x'); print('no luck', flush=True); raise SystemExit(3)"
    told: list[str] = []

    async def main() -> int:
        supervisor = Supervisor(tmp_path / "logs", told.append, FAST)
        await supervisor.start(spec(tmp_path, "looper", code))
        await until(lambda: len(told) >= 8)
        await supervisor.stop(())
        return supervisor.children["looper"].restarts

    assert asyncio.run(main()) >= 3
    pauses = [text.split("again in ")[1].split(" s.")[0] for text in told if "again in" in text]
    assert pauses[:4] == ["0.1", "0.2", "0.4", "0.4"]
    assert "ended with code 3" in told[0] and "no luck" in told[0]
    assert len((tmp_path / "starts").read_text()) >= 4


def test_a_child_killed_from_outside_runs_again(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        supervisor = Supervisor(tmp_path / "logs", lambda _: None, FAST)
        await supervisor.start(spec(tmp_path, "s", SLEEPER))
        kept = supervisor.children["s"]
        assert kept.child is not None
        first = kept.child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: kept.restarts == 1 and kept.state == "running")
        second = kept.child.pid
        await supervisor.stop(())
        return first, second

    first, second = asyncio.run(main())
    assert first != second
    assert not kin.alive(first) and not kin.alive(second)


def test_a_child_that_falls_silent_is_restarted(tmp_path: Path) -> None:
    answers = [True, True, False, False, False]

    async def probe() -> bool:
        return answers.pop(0) if answers else True

    told: list[str] = []

    async def main() -> None:
        supervisor = Supervisor(tmp_path / "logs", told.append, FAST)
        await supervisor.start(spec(tmp_path, "mute", SLEEPER, probe=probe))
        await until(lambda: supervisor.children["mute"].restarts == 1 and supervisor.children["mute"].state == "running")
        await supervisor.stop(())

    asyncio.run(main())
    assert "did not answer 3 times" in told[0]


def test_a_child_that_dies_before_it_answers_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async def main() -> None:
        supervisor = Supervisor(tmp_path / "logs", lambda _: None, FAST)
        try:
            await supervisor.start(spec(tmp_path, "broken", "raise SystemExit('no such market')", probe=never))
        finally:
            await supervisor.stop(())

    with pytest.raises(FatalError, match="broken ended with code 1 before it answered: no such market"):
        asyncio.run(main())


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_supervisor import FAST, STUBBORN, spec
from trader.maintenance.supervisor import Supervisor
from trader.maintenance.warden import warded
state = Path({state!r})
family = "import subprocess,sys; subprocess.Popen([sys.executable,'-c',%r], start_new_session=True); exec(%r)" % (STUBBORN, STUBBORN)
async def main():
    async with warded(state):
        await Supervisor(state / "logs", print, FAST).start(spec(state, "family", family))
        print("ready", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_nothing_survives_a_supervisor_killed_with_sigkill(tmp_path: Path) -> None:
    code = SUPERVISOR.format(tests=str(Path(__file__).parent), state=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"ready\n"
        limit = time.monotonic() + 60
        while len(kin.marked(tmp_path)) < 2 and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(kin.marked(tmp_path)) == 2  # a deaf child, and its deaf child in a session of its own
        supervisor.kill()
    limit = time.monotonic() + 60
    while kin.marked(tmp_path) and time.monotonic() < limit:
        time.sleep(0.1)
    assert kin.marked(tmp_path) == []
