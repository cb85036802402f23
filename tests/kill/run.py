"""One kill: exchange and session in two processes on one stepped clock, SIGKILL, restart, verdict; twice where they are compared."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.kill import judge
from tests.kill.points import Kill
from tests.kill.watch import longest_bare_s
from tests.session_kit import HOUR, Stage, fetch_history, state_dir
from trader.bootstrap.outcome import MAX_UNPROTECTED_S
from trader.bootstrap.paths import Paths
from trader.bootstrap.verification import verify_state

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 900.0  # of the machine; a life takes a few, and a busy machine many times that


def run_kill(
    kill: Kill | None, seed: int, *, hours: float, history: Path | None = None, keep: Path | None = None, repeat: bool = True
) -> dict[str, Any]:
    """Play the kill in a fresh state directory, or in two that are compared; None: nobody dies.

    `history`: candles that `fetch_history` stored for this seed, None: they are fetched now. Raises RuntimeError with a
    process's words when one fails.
    """
    with tempfile.TemporaryDirectory(prefix="trader-kill-") as scratch:
        base = keep or Path(scratch)
        stage = Stage.of(seed)
        candles = history or fetch_history(stage, base / "history")
        with ThreadPoolExecutor(2) as pool:
            plays = (partial(_play, kill, stage, base / f"run{n}", candles) for n in (1, 2)[: 1 + repeat])
            runs = list(pool.map(lambda play: play(hours=hours), plays))
    first = runs[0]
    same = {f"same_{name}": first[name] == other[name] for other in runs[1:] for name in ("journal", "twin")}
    checks = first["checks"] | {"killed": first["killed"]} | same
    return {
        "kill": "" if kill is None else kill.name, "seed": seed, **{k: v for k, v in first.items() if k != "checks"},
        "equal": all(same.values()), "checks": checks, "ok": all(checks.values()),
    }  # fmt: skip


def _play(kill: Kill | None, stage: Stage, root: Path, history: Path, *, hours: float) -> dict[str, Any]:
    """The whole story in one state directory, whose name also seeds the hashes: they must not matter."""
    paths, number = state_dir(stage, root, history), len(root.name) + ord(root.name[-1])
    until_us = stage.world.epoch_us + int(hours * HOUR)
    place = {
        "root": str(root), "port": free_port(), "control": free_port(), "until_us": until_us,
        "kill": {} if kill is None else asdict(kill),
    }  # fmt: skip
    owner = start("exchange", {"place": place}, number)
    try:
        await_ready(owner)
        died, out, busy = 0, None, None
        for turn in range(len(kill.arms()) + 1 if kill is not None else 1):
            out = finish(start("life", {"place": place, "number": turn}, number), "life")
            if out is not None:
                break
            died += 1
            busy = judge.busy_with(paths)
        seen = finish(owner, "exchange")
    finally:
        if owner.poll() is None:
            owner.kill()
            owner.wait()
    if out is None or seen is None:
        raise RuntimeError(f"{kill}: no life was left to end in peace")
    killed = died == (0 if kill is None else len(kill.arms()))
    return {
        "killed": killed, "busy_with": None if busy is None else asdict(busy), "journal": out["journal"],
        "entries": out["summary"]["orders"], "decisions": out["summary"]["decisions"], "deaths": seen["deaths"],
        **verdict(paths, busy, seen, until_us=until_us, limit_s=MAX_UNPROTECTED_S),
    }  # fmt: skip


def verdict(paths: Paths, busy: judge.Busy | None, seen: dict[str, Any], *, until_us: int, limit_s: float) -> dict[str, Any]:
    """What became of everything: the exchange's books by themselves, and the ledger against them."""
    twin = judge.books_hash(paths)
    state = judge.read_books(paths)
    counted = judge.count(state, busy)
    lives = judge.lives_of(paths.ledger, [death["at_us"] for death in seen["deaths"]], until_us)
    bare_s = longest_bare_s(seen["bare"], lives)
    agreed = verify_state(paths.root)["checks"]
    return {
        **asdict(counted), "twin": twin, "bare_s": bare_s, "lives": len(lives), "lines": judge.own_lines(paths.ledger),
        "compared": {name: check["compared"] for name, check in agreed.items()},
        "problems": {name: check["problems"] for name, check in agreed.items() if check["problems"]},
        "checks": judge.checks(counted, state, list(seen["unprotected"]), bare_s, limit_s)
        | {f"verify_{name}": check["ok"] for name, check in agreed.items()},
    }  # fmt: skip


# --- processes ----------------------------------------------------------------------------------------------------------------
def start(role: str, words: dict[str, Any], number: int = 0) -> subprocess.Popen[str]:
    """A process of the story; `number` seeds its hashes."""
    command = [sys.executable, "-m", "tests.kill.processes", role, json.dumps(words)]
    environ = os.environ | {"PYTHONHASHSEED": str(number)}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_ready(owner: subprocess.Popen[str]) -> None:
    """Return once the exchange serves."""
    assert owner.stdout is not None
    if owner.stdout.readline().strip() != "ready":
        raise RuntimeError(f"exchange: {owner.communicate(timeout=30)[1][-2000:]}")


def finish(process: subprocess.Popen[str], name: str) -> dict[str, Any] | None:
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
