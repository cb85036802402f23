"""One kill, twice: exchange and session in two processes on one stepped clock, SIGKILL, restart, comparison."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.kill import judge
from tests.kill.points import FIRST_OF_RECOVERY, POINTS, Point
from tests.session_kit import HOUR, Stage, fetch_history, state_dir
from trader.bootstrap.verification import verify_state

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What to kill, where and how long to trade in all."""

    point: Point
    seed: int
    occurrence: int = 1
    hours: float = 4.0


def run_kill(
    point: str, seed: int, *, occurrence: int = 1, hours: float = 4.0, keep: Path | None = None, history: Path | None = None
) -> dict[str, Any]:
    """Play the kill in two fresh state directories and compare; raises RuntimeError with a process's words when one fails.

    `history`: candles that `fetch_history` stored for this seed, None: they are fetched now.
    """
    kill = Kill(point=POINTS[point], seed=seed, occurrence=occurrence, hours=hours)
    with tempfile.TemporaryDirectory(prefix="trader-kill-") as scratch:
        base = keep or Path(scratch)
        stage = Stage.of(seed)
        candles = history or fetch_history(stage, base / "history")
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda n: _play(kill, stage, base / f"run{n}", candles, n), (1, 2))
    same = {name: first[name] == second[name] for name in ("journal", "twin")}
    checks = first["checks"] | {"killed": first["killed"], "same_journal": same["journal"], "same_twin": same["twin"]}
    return {
        "point": point, "seed": seed, "occurrence": occurrence, **{k: v for k, v in first.items() if k != "checks"},
        "equal": all(same.values()), "checks": checks, "ok": all(checks.values()),
    }  # fmt: skip


def _play(kill: Kill, stage: Stage, root: Path, history: Path, number: int) -> dict[str, Any]:
    """The whole story in one state directory; `number` also seeds the hashes, which must not matter."""
    paths = state_dir(stage, root, history)
    port, control = free_port(), free_port()
    place = {"root": str(root), "port": port, "control": control}
    until_us = stage.world.epoch_us + int(kill.hours * HOUR)
    owner = _start("exchange", {**place, "point": kill.point.name, "occurrence": kill.occurrence}, number)
    try:
        _await_ready(owner)
        lives = [(FIRST_OF_RECOVERY, 1)] if kill.point.recovering else []
        lives += [(kill.point.name, kill.occurrence), ("", 0)]
        busy: judge.Busy | None = None
        died, last = 0, None
        for point, occurrence in lives:
            last = _start("life", {**place, "point": point, "occurrence": occurrence, "until_us": until_us}, number)
            out = _finish(last, "life")
            if last.returncode != -signal.SIGKILL:
                break
            died += 1
            busy = judge.busy_with(paths)
        seen = _finish(owner, "exchange")
    finally:
        if owner.poll() is None:
            owner.kill()
            owner.wait()
    if out is None or seen is None:
        raise RuntimeError(f"{kill.point.name}: no life was left to end in peace")
    twin = judge.books_hash(paths)
    state = judge.read_books(paths)
    counted = judge.count(state, busy)
    verdict = verify_state(root)
    return {
        "killed": died == len(lives) - 1, "busy_with": None if busy is None else asdict(busy), **asdict(counted),
        "journal": out["journal"], "twin": twin, "entries": out["summary"]["orders"], "decisions": out["summary"]["decisions"],
        "deaths": seen["deaths"], "max_unprotected_s": seen["max_unprotected_s"],
        "compared": {name: check["compared"] for name, check in verdict["checks"].items()},
        "checks": judge.checks(kill.point, counted, busy, state, seen) | {f"verify_{n}": c["ok"] for n, c in verdict["checks"].items()},
    }  # fmt: skip


def _start(role: str, words: dict[str, Any], number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.kill.processes", role, json.dumps(words)]
    environ = os.environ | {"PYTHONHASHSEED": str(number)}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _await_ready(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    if owner.stdout.readline().strip() != "ready":
        raise RuntimeError(f"exchange: {owner.communicate(timeout=30)[1][-2000:]}")


def _finish(process: subprocess.Popen[str], name: str) -> dict[str, Any] | None:
    """The object a process printed at its end; None where it was killed."""
    out, words = process.communicate(timeout=PATIENCE_S)
    if process.returncode == -signal.SIGKILL:
        return None
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with {process.returncode}: {words[-3000:]}")
    return dict(json.loads(out.strip().splitlines()[-1]))


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
