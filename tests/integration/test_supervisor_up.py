"""`trader up` as a person runs it: real processes, real Prefect, a short past, a killed session, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from trader.maintenance import kin
from trader.maintenance.locks import is_locked
from trader.maintenance.prefect_control import PrefectApi

ROOT = Path(__file__).parents[2]
PORTS = ("PREFECT", "WEB", "KRAKEN_TWIN", "GEMINI_TWIN")


def free_ports(count: int) -> list[int]:
    with bound(count) as sockets:
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def bound(count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    yield sockets
    for one in sockets:
        one.close()


def environ(ports: dict[str, int], **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRADER_", "PREFECT_"))}
    return kept | {f"TRADER_PORTS__{name}": str(port) for name, port in ports.items()} | {"TRADER_MARKET__PAIRS": "4"} | more


def trader(*words: str) -> list[str]:
    return [sys.executable, "-m", "trader.cli", *words]


def wait_for(what: str, condition: Callable[[], Any], seconds: float) -> float:
    """Seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)
    return time.monotonic() - began


def page(url: str) -> str:
    opened = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    with opened(url, timeout=60) as reply:
        return str(reply.read().decode())


def states(state: Path) -> list[tuple[str, str]]:
    """(name, state) of the flow runs that ever began, from Prefect's database."""
    with closing(sqlite3.connect(state / "prefect" / "prefect.db")) as database:
        return list(database.execute("SELECT name, state_type FROM flow_run WHERE state_type <> 'SCHEDULED'"))


@pytest.mark.slow
def test_up_plays_a_past_trades_survives_a_killed_session_and_stops_in_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("up")
    ports = dict(zip(PORTS, free_ports(4), strict=True))
    api = PrefectApi(ports["PREFECT"], timeout_s=60)

    def runs(job: str, *kinds: str) -> list[Any]:
        wanted = {"deployments": {"name": {"any_": [job]}}, "flow_runs": {"state": {"type": {"any_": list(kinds)}}}}
        return list(api.call_now("POST", "/flow_runs/filter", wanted))

    with (state / "out").open("w") as out, (state / "err").open("w") as err:
        up = subprocess.Popen(
            trader("up", "--env", "demo", "--past", "120", "--state", str(state)), env=environ(ports), stdout=out, stderr=err, cwd=ROOT
        )
    try:
        wait_for("the last line", lambda: "status page" in (state / "out").read_text() or up.poll() is not None, 180)
        said = (state / "out").read_text()
        assert up.poll() is None, (state / "err").read_text()
        assert said.strip().splitlines()[-1].endswith(f"http://127.0.0.1:{ports['WEB']}")
        assert "<html" in page(f"http://127.0.0.1:{ports['WEB']}/")
        wait_for("a session", lambda: is_locked(state / "trader.lock"), 120)
        assert len(runs("trade_intraday", "RUNNING")) == 1
        wait_for("ingestion", lambda: runs("ingest_history", "COMPLETED"), 150)

        second = subprocess.run(
            trader("up", "--state", str(state)), env=environ(ports), capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (second.returncode, second.stdout) == (5, "")
        assert "already runs on" in second.stderr

        checked = subprocess.run(
            trader("doctor", "--json", "--state", str(state)), env=environ(ports), capture_output=True, text=True, check=False, cwd=ROOT
        )
        checks = json.loads(checked.stdout)
        assert len(checks) > 15
        assert [check for check in checks if check["level"] == "FAIL"] == []

        (session,) = runs("trade_intraday", "RUNNING")
        os.kill(kin.flow_processes(state)[session["id"]], signal.SIGKILL)
        wait_for("the end of the killed session", lambda: not is_locked(state / "trader.lock"), 5)
        wait_for("a new session", lambda: is_locked(state / "trader.lock"), 75)  # 12 s on two idle cores; the promise is 20

        up.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert up.wait(60) == 0
        assert time.monotonic() - began < 15
        assert kin.marked(state) == []
        ended = states(state)
        assert len(ended) >= 3
        assert [run for run in ended if run[1] in ("RUNNING", "PENDING", "CANCELLING")] == []
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()
        kin.end(kin.marked(state))


def test_a_taken_port_is_refused_with_its_owner_and_its_setting(tmp_path: Path) -> None:
    with bound(4) as sockets:
        ports = dict(zip(PORTS, (one.getsockname()[1] for one in sockets), strict=True))
        sockets[2].listen()
        for index in (0, 1, 3):
            sockets[index].close()
        refused = subprocess.run(
            trader("up", "--state", str(tmp_path / "s")), env=environ(ports), capture_output=True, text=True, check=False, cwd=ROOT
        )
    assert refused.returncode == 2
    assert f"port {ports['KRAKEN_TWIN']} for kraken-twin is taken by pid {os.getpid()}" in refused.stderr
    assert "TRADER_PORTS__KRAKEN_TWIN" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_market_of_a_state_directory_cannot_be_exchanged(tmp_path: Path) -> None:
    ports = dict(zip(PORTS, free_ports(4), strict=True))
    world = {"seed": 7, "pairs": 5, "epoch_us": 1_767_571_200_000_000, "cash": "10000.00", "replay": None}
    (tmp_path / "world.json").write_text(json.dumps(world))
    refused = subprocess.run(
        trader("up", "--state", str(tmp_path)),
        env=environ(ports, TRADER_MARKET__SEED="7"),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert refused.returncode == 2
    assert "market.pairs is 4" in refused.stderr and "made with 5" in refused.stderr


@pytest.mark.parametrize(("which", "path"), [("kraken", "/0/public/Time"), ("gemini", "/healthz")])
def test_a_twin_alone_says_where_it_is_once_it_answers(tmp_path: Path, which: str, path: str) -> None:
    (port,) = free_ports(1)
    words = trader("twin", which, "--port", str(port), "--pairs", "3", "--state", str(tmp_path))
    with subprocess.Popen(words, env=environ({}), stdout=subprocess.PIPE, text=True, cwd=ROOT) as twin:
        assert twin.stdout is not None
        assert twin.stdout.readline() == f"ready http://127.0.0.1:{port} ws://127.0.0.1:{port}\n"
        assert page(f"http://127.0.0.1:{port}{path}")
        twin.send_signal(signal.SIGINT)
        assert twin.wait(15) == 0
    assert (tmp_path / "world.json").exists()
