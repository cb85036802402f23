"""What Prefect costs a beat: CPU of the trading process, CPU of the server, growth of its database.

    python -m benchmarks.prefect_beat [--quick] [--beats 50] [--rounds 3]

A session of beats, five stages each through the flow's own stage wrapper, against as many empty async tasks; the same beats
without Prefect are taken off. Each run is a process of its own, in turn, on one server with an empty home. Reads CPU times
from /proc, so Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.amounts import whole

STAGES = ("check", "protect", "universe", "report", "decide")
KINDS = ("session", "empty")
FIGURES = (("client", "CPU-ms/beat"), ("server", "CPU-ms/beat"), ("database", "kB/beat"))


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one run: CPU milliseconds of client and server, kilobytes of database; for all its beats together."""

    client: float
    server: float
    database: float


def main() -> None:
    arguments = _parse()
    if arguments.child:
        print(json.dumps({"client": asyncio.run(_child(arguments.child, arguments.beats))}))
        return
    rounds = 1 if arguments.quick else arguments.rounds
    found: dict[str, list[Costs]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="trader-bench-") as home, _server(Path(home)) as server:
        _run(server, "session", 3)  # what a server does once is not a beat's
        for number in range(rounds):
            bare = _client("bare", arguments.beats, server.environment)
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                costs = _run(server, kind, arguments.beats)
                found[kind].append(Costs(costs.client - (bare if kind == "session" else 0.0), costs.server, costs.database))
                print(f"round {number + 1} {kind}: {found[kind][-1]}", file=sys.stderr)
    for name, unit in FIGURES:
        mine, reference = (statistics.median(getattr(c, name) for c in found[kind]) / arguments.beats for kind in KINDS)
        _say(f"prefect.empty_tasks.{name}", reference, unit)
        _say(f"prefect_beat.{name}", mine, unit, f"prefect.empty_tasks.{name}", mine / reference)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefect_beat", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--beats", type=whole(), default=50)
    parser.add_argument("--rounds", type=whole(), default=3)
    parser.add_argument("--child", choices=("session", "empty", "bare"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(name: str, value: float, unit: str, ratio_to: str | None = None, ratio: float | None = None) -> None:
    figure = {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "ratio_to": ratio_to,
        "ratio": None if ratio is None else round(ratio, 3),
    }
    print(json.dumps(figure), flush=True)


# --- the measured process ------------------------------------------------------------------------------------------------
async def _child(kind: str, beats: int) -> float:
    """CPU milliseconds of this process for all beats, with what it still had to send afterwards."""
    if kind == "bare":
        begin = time.process_time()
        await _beat_all(beats, lambda _name, work: work())
        return (time.process_time() - begin) * 1e3
    from prefect import flow, task
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    from tasks.trading import Stages

    @task
    async def empty() -> None:
        return None

    @flow(name=f"bench_{kind}")
    async def run() -> None:
        if kind == "session":
            await _beat_all(beats, Stages())
        else:
            for _ in range(beats * len(STAGES)):
                await empty()

    begin = time.process_time()
    await run()
    for worker in (APILogWorker.instance().drain(), EventsWorker.drain_all()):
        if isinstance(worker, Awaitable):
            await worker
    return (time.process_time() - begin) * 1e3


async def _beat_all(beats: int, stage: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
    for _ in range(beats):
        for name in STAGES:
            await stage(name, _work)


async def _work() -> None:
    await asyncio.sleep(0)


# --- the server beside it --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process group, its database, and what its clients need in their environment."""

    group: int
    database: Path
    environment: dict[str, str]

    def cpu_ms(self) -> float:
        """CPU milliseconds of the group so far, threads included."""
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = entry.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.group:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks * 1e3 / os.sysconf("SC_CLK_TCK")

    def query(self, statement: str) -> int:
        """One number from its database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection:
            return int(connection.execute(statement).fetchone()[0])

    @property
    def kilobytes(self) -> float:
        """Pages in use, those still in the write-ahead log included."""
        pages = self.query("SELECT page_count FROM pragma_page_count") - self.query("SELECT freelist_count FROM pragma_freelist_count")
        return pages * self.query("SELECT page_size FROM pragma_page_size") / 1e3


@contextlib.contextmanager
def _server(home: Path) -> Iterator[Server]:
    if not Path("/proc/self/stat").exists():
        sys.exit("prefect_beat: /proc is needed for the server's CPU time; run this on Linux")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}, "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_healthy(environment["PREFECT_API_URL"], process, home / "server.log")
        yield Server(process.pid, home / "prefect.db", environment)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _wait_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - loopback
            return
        time.sleep(0.2)
    sys.exit(f"prefect_beat: the server did not start: {log.read_text()[-500:]}")


def _client(kind: str, beats: int, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.prefect_beat", "--child", kind, "--beats", str(beats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"prefect_beat: the {kind} run failed: {done.stderr[-500:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["client"])


def _run(server: Server, kind: str, beats: int) -> Costs:
    """One run, measured until the server has stored its last task run and come to rest."""
    stored = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
    before = server.query(stored)
    begin, size = server.cpu_ms(), server.kilobytes
    client = _client(kind, beats, server.environment)
    until = time.monotonic() + 120
    while server.query(stored) - before < beats * len(STAGES):
        if time.monotonic() > until:
            sys.exit(f"prefect_beat: only {server.query(stored) - before} of {beats * len(STAGES)} task runs were stored")
        time.sleep(0.1)
    _wait_idle(server)
    return Costs(client, server.cpu_ms() - begin, server.kilobytes - size)


def _wait_idle(server: Server) -> None:
    """Until a second passes in which it uses less than a tenth of a core."""
    for _ in range(60):
        used = server.cpu_ms()
        time.sleep(1)
        if server.cpu_ms() - used < 100:
            return
    sys.exit("prefect_beat: the server did not come to rest within a minute")


if __name__ == "__main__":
    main()
