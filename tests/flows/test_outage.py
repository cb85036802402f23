"""RELIABILITY N4: the Prefect server dies in mid-session; the beats go on, and every stage run is there afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect_kit import ROOT, Server

BEATS, EVERY_S = 75, 0.4
OUTAGE_S = 10.0
LIMIT_S = 0.250


def _session(server: Server, kind: str) -> subprocess.Popen[str]:
    script = str(Path(__file__).with_name("beating_session.py"))
    command = [sys.executable, script, "--kind", kind, "--beats", str(BEATS), "--every", str(EVERY_S)]
    return subprocess.Popen(command, cwd=ROOT, env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_ready(session: subprocess.Popen[str]) -> None:
    assert session.stdout is not None
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(session.stdout.fileno(), 1)):
        line += byte  # no further: what a buffer read ahead, `communicate` would not find
    assert line.strip() == b"ready", session.communicate()[1][-2000:]


def _result(session: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = session.communicate(timeout=180)
    assert session.returncode == 0, err[-2000:]
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def _task_runs(server: Server, run: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for offset in range(0, 5_000, 200):
        rows = server.post("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200, "offset": offset, "sort": "ID_DESC"})
        found.update((row["name"], row["state_type"]) for row in rows)
        if len(rows) < 200:
            break
    return found


def _all_stored(server: Server, run: str, wanted: Counter[tuple[str, str]], timeout_s: float = 60.0) -> Counter[tuple[str, str]]:
    """The task runs of a flow run, once they are as wanted or time is over: the server stores them beside its answers."""
    until = time.monotonic() + timeout_s
    while (found := _task_runs(server, run)) != wanted and time.monotonic() < until:
        time.sleep(0.5)
    return found


@pytest.mark.prefect
@pytest.mark.slow
def test_a_killed_prefect_server_delays_no_beat_and_loses_no_stage_run_but_a_variable_read_on_the_beat_does(server: Server) -> None:
    running = {kind: _session(server, kind) for kind in ("session", "variable", "bare")}
    for process in running.values():
        _wait_ready(process)
    time.sleep(2)
    server.kill()
    time.sleep(OUTAGE_S)
    assert not server.healthy()
    server.start()
    found = {kind: _result(process) for kind, process in running.items()}
    result, late = found["session"], {kind: max(one["late_s"]) for kind, one in found.items()}

    assert len(result["late_s"]) == BEATS
    # What the same beats suffer without Prefect is this machine's load, not the outage.
    assert late["session"] < LIMIT_S + late["bare"], late
    assert late["variable"] > LIMIT_S + late["bare"], "a blocked beat went unnoticed: this test could not fail"
    assert late["variable"] > OUTAGE_S / 2

    wanted = Counter({("reconcile", "COMPLETED"): 1} | {(n, "COMPLETED"): BEATS for n in ("check", "protect", "universe", "report")})
    assert sum(wanted.values()) == result["stages"]
    assert _all_stored(server, result["run"], wanted) == wanted
    print("latest beat: " + ", ".join(f"{kind} {seconds * 1e3:.0f} ms" for kind, seconds in late.items()))
