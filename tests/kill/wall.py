"""What only the machine's own time can show: kills at any instant, a process stopped past its lease, two at once, a full disk.

Exchange and trader are processes on one paced clock. SIGKILL comes from outside, at instants drawn from the seed; what is compared
is what the exchange's books and the ledger say in the end.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.kill.disk import SmallDisk
from tests.kill.processes import PACED
from tests.kill.run import PATIENCE_S, await_ready, finish, free_port, start, verdict
from tests.session_kit import HOUR, Stage, state_dir
from trader.bootstrap.paths import Paths
from trader.data.emergency import EmergencyJournal
from trader.data.ledger_control import submit_control
from trader.data.reader import LedgerReader
from trader.domain.halts import LEDGER
from trader.domain.orders import Leg
from trader.simulation.clock import PacedClock
from trader.simulation.exchange_orders import unit_hash

SPEED = 12.0  # exchange seconds a second: a bar of 15 minutes closes every 75 seconds
LONGEST_LIFE_S = 12.0
STOP_WITHIN_S = 5.0 * SPEED  # five of the machine's seconds: requests and their time-outs are in its time
STOPPED_S = PACED.lease_ttl_s + 3.0
FULL_S = 6.0
HOURS = 4.0


class Stand:
    """An exchange that serves a state directory on the machine's clock; lives come and go on it."""

    def __init__(self, stage: Stage, paths: Paths) -> None:
        self.stage, self.paths = stage, paths
        clock = (stage.world.epoch_us, time.time(), SPEED)
        self.clock = PacedClock(*clock)
        self.place: dict[str, Any] = {
            "root": str(paths.root), "port": free_port(), "kill": {}, "paced": clock, "until_us": stage.world.epoch_us + int(HOURS * HOUR),
        }  # fmt: skip
        self.deaths: list[dict[str, Any]] = []
        self._exchange = start("exchange", {"place": self.place})
        self._number = 0
        await_ready(self._exchange)

    def life(self) -> subprocess.Popen[str]:
        """A trader that has told that it trades."""
        process = self.asked("session")
        assert process.stdout is not None
        if process.stdout.readline().strip() != "up":
            raise RuntimeError(f"life: {process.communicate(timeout=30)[1][-2000:]}")
        return process

    def asked(self, holder: str) -> subprocess.Popen[str]:
        """A trader that was told to start."""
        self._number += 1
        return start("life", {"place": self.place, "number": self._number, "holder": holder}, self._number)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL, now."""
        process.kill()
        process.wait()
        self.deaths.append({"at_us": self.clock.now_us()})

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Let the last life and then the exchange end in peace; the verdict."""
        process.terminate()
        finish(process, "life")
        self._exchange.terminate()
        seen = finish(self._exchange, "exchange")
        assert seen is not None
        seen["deaths"] = self.deaths
        outcome = verdict(self.paths, None, seen, until_us=self.clock.now_us(), limit_s=STOP_WITHIN_S)
        wrong = [name for name, good in outcome["checks"].items() if not good]
        return {"ok": not wrong, "wrong": wrong, **{name: outcome[name] for name in ("bare_s", "lives", "compared", "problems")}}

    def close(self) -> None:
        """Leave nothing running, whatever happened."""
        if self._exchange.poll() is None:
            self._exchange.kill()
            self._exchange.wait()


@contextmanager
def stand(seed: int, root: Path, history: Path) -> Iterator[Stand]:
    """A fresh one."""
    stage = Stage.of(seed)
    one = Stand(stage, state_dir(stage, root, history))
    try:
        yield one
    finally:
        one.close()


def stories(seed: int, kills: int, history: Path) -> dict[str, Any]:
    """All of them; each story on a stand of its own."""
    found: dict[str, Any] = {}
    told: dict[str, Callable[[Path], dict[str, Any]]] = {
        "killed": lambda root: killed(seed, kills, root, history),
        "stopped": lambda root: stopped(seed, root, history),
        "disk": lambda root: disk(seed, root, history),
    }
    for name, tell in told.items():
        with tempfile.TemporaryDirectory(prefix=f"trader-{name}-") as scratch:
            try:
                found[name] = tell(Path(scratch))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                found[name] = {"ok": False, "broken": f"{type(error).__name__}: {str(error)[-600:]}"}
        print(f"{name}: {'ok' if found[name]['ok'] else 'FAILED'}", file=sys.stderr, flush=True)
    return {"ok": all(one["ok"] for one in found.values()), **found}


def killed(seed: int, kills: int, root: Path, history: Path) -> dict[str, Any]:
    """So many kills, the first once something is held, each a drawn time after that or after its life began to trade."""
    with stand(seed, root, history) as here:
        for number in range(kills):
            life = here.life()
            if not here.deaths:
                _first_position(here)
            time.sleep(LONGEST_LIFE_S * unit_hash(seed, "life", number))
            here.kill(life)
        last = here.life()
        time.sleep(LONGEST_LIFE_S)
        outcome = here.end(last)
    return outcome | {"ok": outcome["ok"] and outcome["compared"]["fills_match"] >= 1, "kills": len(here.deaths)}


def stopped(seed: int, root: Path, history: Path) -> dict[str, Any]:
    """A second trader beside the first; and the first one stopped for longer than its lease, then woken."""
    with stand(seed, root, history) as here:
        life = here.life()
        second = here.asked("second")
        refusal = second.communicate(timeout=PATIENCE_S)[1].strip().splitlines()[-1:]
        refused = second.returncode != 0 and any("another process" in line for line in refusal)
        os.kill(life.pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(life.pid, signal.SIGCONT)
        woken = life.communicate(timeout=PATIENCE_S)[1].strip().splitlines()[-1][-200:]
        ended = life.returncode != 0 and "expired" in woken
        life = here.life()
        time.sleep(LONGEST_LIFE_S)
        outcome = here.end(life)
    return outcome | {"ok": outcome["ok"] and refused and ended, "second": refusal[-1][-200:] if refusal else "let in", "woken": woken}


def disk(seed: int, root: Path, history: Path) -> dict[str, Any]:
    """A ledger on a disk that fills up while an exit is asked for, and that is read-only at the next start.

    The exit must go through the emergency journal, and what it was asked for must be sold in the end.
    """
    with SmallDisk.on(root / "state") as small:
        if small is None:
            return {"ok": True, "skipped": "no right to mount a small disk here: needs root"}
        stage = Stage.of(seed)
        paths = small.moved_out(state_dir(stage, root / "state", history), root)
        here = Stand(stage, paths)
        try:
            return _filled(here, small)
        finally:
            here.close()


def _filled(here: Stand, small: SmallDisk) -> dict[str, Any]:
    life = here.life()
    position = _first_position(here)
    now = here.clock.now_us()
    small.nearly_fill()
    submit_control(here.paths.ledger, "exit", position, "person", now, key=f"exit{now}")
    small.fill()
    time.sleep(FULL_S)
    exits = [one.intent for one in EmergencyJournal(here.paths.emergency).read() if one.intent.leg is Leg.EXIT]
    small.free()
    time.sleep(FULL_S)
    here.kill(life)
    small.read_only(True)
    life = here.asked("session")
    words = (life.stdout.readline().strip() if life.stdout is not None else "") or life.communicate()[1].strip().splitlines()[-1]
    small.read_only(False)
    if life.poll() is not None:
        life = here.life()
    time.sleep(FULL_S)
    outcome = here.end(life)
    told = {
        "halted": _refused_writes(here.paths),
        "exits_in_emergency": sum(intent.position_id == position for intent in exits),
        "sold": position not in _held(here.paths),
    }
    return outcome | {"ok": outcome["ok"] and all(told.values()), **told, "read_only": words[-200:]}


def _first_position(here: Stand) -> str:
    """Wait for something to be held; its id."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if held := _held(here.paths):
            return held[0]
        time.sleep(0.2)
    raise RuntimeError("nothing was bought")


def _held(paths: Paths) -> list[str]:
    """Ids of the positions that the ledger holds, oldest first."""
    with closing(LedgerReader(paths.ledger)) as reader:
        return [view.position.position_id for view in reader.positions()]


def _refused_writes(paths: Paths) -> int:
    """How often the ledger said that it had taken no writes."""
    with closing(sqlite3.connect(f"{paths.ledger.as_uri()}?mode=ro", uri=True)) as raw:
        told = raw.execute("SELECT payload FROM journal WHERE type = 'halt.set'").fetchall()
    return sum(json.loads(payload)["cause"] == LEDGER for (payload,) in told)
