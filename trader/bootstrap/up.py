"""`trader up`: twins, AI worker, Prefect with pool, deployments and worker, sender and status page, under one supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

from trader.bootstrap import past, playing
from trader.bootstrap.children import (
    ADVISOR,
    GEMINI,
    KRAKEN,
    MODULES,
    PORTS,
    PROVIDER_KEY,
    SENDER,
    SERVER,
    TWINS,
    WEB,
    WORKER,
    Children,
    installed,
    project_root,
)
from trader.bootstrap.grounds import stand
from trader.bootstrap.installation import must_be_demo
from trader.bootstrap.paths import Paths
from trader.bootstrap.prefect_up import SESSION, PrefectUp
from trader.bootstrap.resume import last_moment, start_clock
from trader.bootstrap.trading import stopped
from trader.bootstrap.world import World, world_of
from trader.config import Settings
from trader.data.birth import Birthmark
from trader.errors import ConfigError, TraderError
from trader.maintenance import kin
from trader.maintenance.joblog import JobLog
from trader.maintenance.locks import is_locked, sole_supervisor
from trader.maintenance.processes import ChildSpec
from trader.maintenance.sessions import SessionWatch
from trader.maintenance.sockets import owner_of, port_free
from trader.maintenance.supervisor import Supervisor
from trader.maintenance.warden import warded

STOP_ORDER = ((WORKER,), (SERVER, ADVISOR, SENDER, WEB), (GEMINI, KRAKEN))
TABLE = "supervisor.json"

Say = Callable[[str], None]


def run_up(settings: Settings, *, past_minutes: int, say: Say, hint: Say) -> int:
    """Start all, print where it is, watch until SIGINT or SIGTERM, stop all in order; returns the exit code.

    0 after an orderly stop, 130 when interrupted before it was up or twice. Raises LeaseLostError when another one runs
    on this state directory, ConfigError for settings or taken ports, FatalError when a part does not come up.
    """
    root = project_root()
    paths = Paths(settings.state.resolve()).make()
    with sole_supervisor(paths.root):
        asyncio.run(_may_start(settings, paths))
        up = Up(Children(settings, paths, root), past_minutes=past_minutes, say=say, hint=hint)
        return asyncio.run(up.guarded())


async def _may_start(settings: Settings, paths: Paths) -> None:
    """Raises what speaks against this environment on this directory, before anything is started."""
    Birthmark(paths.birth).examine(paths.ledger_at)
    if settings.environment != "demo":
        if settings.environment == "paper" and settings.ai.mode != "off" and not os.environ.get(PROVIDER_KEY):
            raise ConfigError(f"ai.mode {settings.ai.mode!r} needs a key of the provider: set {PROVIDER_KEY}, or ai.mode = off")
        async with AsyncExitStack() as stack:
            await stand(settings, paths, stack)
        return
    must_be_demo(paths)
    if settings.ledger_url is not None:
        raise ConfigError("setting ledger_url: `trader up --env demo` keeps its ledger in the state directory; unset it")


class Up:
    """One life of the supervisor."""

    def __init__(self, children: Children, *, past_minutes: int, say: Say, hint: Say) -> None:
        self.children, self.settings, self.paths = children, children.settings, children.paths
        self._past_minutes = past_minutes
        self._say, self._hint = say, hint
        self._log = JobLog(self.paths.logs, "up")
        self.supervisor = Supervisor(self.paths.logs, self.tell)
        self.prefect = PrefectUp(children, self.tell)
        self.watch: SessionWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def _demo(self) -> bool:
        return self.settings.environment == "demo"

    def tell(self, text: str) -> None:
        """News for people (stderr) and for the log."""
        self._log.write(text)
        self._hint(text)

    # --- life ------------------------------------------------------------------------------------------------------------
    async def guarded(self) -> int:
        """`run`, beside a process that outlives a kill of this one."""
        async with warded(self.paths.root):
            return await self.run()

    async def run(self) -> int:
        """Until a signal; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        stopped = asyncio.create_task(self._stop.wait())
        rising = asyncio.create_task(self._rise())
        try:
            await asyncio.wait({rising, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if rising.done():
                rising.result()
                await stopped
                return 0
            rising.cancel()
            await asyncio.gather(rising, return_exceptions=True)
            return 130
        finally:
            stopped.cancel()
            await self._fall()

    def _signalled(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            return
        self._hint("stopping at once")
        self.supervisor.kill()
        for pid in kin.marked(self.paths.root):
            kin.signal_to(pid, signal.SIGKILL)

    # --- up --------------------------------------------------------------------------------------------------------------
    async def _rise(self) -> None:
        began = time.monotonic()
        if left := kin.marked(self.paths.root):
            self.tell(f"ending {len(left)} processes that an earlier `trader up` left behind")
            await asyncio.to_thread(kin.end, left)
        self._check_ports()
        peers = await self._twins() if self._demo else await self._no_twins()
        self.paths.socket.unlink(missing_ok=True)
        await self.supervisor.start(*peers, self.children.worker())
        beside = [*([self.children.advisor()] if self._demo or self.settings.ai.mode != "off" else []), *self.children.optional()]
        await self._together(self.supervisor.start(*beside), self.prefect.begin(self._trading))
        self._start_watch()
        self._show(time.monotonic() - began)

    async def _no_twins(self) -> list[ChildSpec]:
        """Paper and live meet the real market."""
        await self._prefect()
        await self.prefect.clear()
        return []

    async def _twins(self) -> list[ChildSpec]:
        """The peers of a demo, after the simulated past where there is none yet, on the clock that goes on from it."""
        self._check_world()
        self.tell("starting Prefect and, where there is none yet, the simulated past")
        await self._together(self._prefect(), self._past())
        moment = last_moment(self.paths)
        world = World.load(self.paths.world) if self.paths.world.exists() else world_of(self.settings)
        await self.prefect.clear()
        start_clock(self.paths, moment if moment is not None else world.epoch_us, self.settings.market.speed)
        return [self.children.kraken(), self.children.gemini()]

    async def _together(self, *work: Coroutine[object, object, None]) -> None:
        """All at once; the first failure cancels the others and is raised as it is."""
        try:
            async with asyncio.TaskGroup() as group:
                for one in work:
                    group.create_task(one)
        except* TraderError as errors:
            raise errors.exceptions[0] from None

    async def _prefect(self) -> None:
        await self.supervisor.start(self.children.server())
        await self.prefect.prepare()

    async def _past(self) -> None:
        """Finish a past that was being moved in, else play one where there is none."""
        await asyncio.to_thread(past.finish, self.paths)
        if past.wanted(self.paths) and self._past_minutes > 0:
            began = time.monotonic()
            await playing.play(self._past_minutes, self.children.environ(), self.children.root, self.paths.logs, self._hint)
            past.finish(self.paths)
            self.tell(f"simulated past: {self._past_minutes} minutes played in {time.monotonic() - began:.0f} s")

    def _check_ports(self) -> None:
        """Raises ConfigError naming each port that is taken, its owner and its setting."""
        taken = []
        for name, who in PORTS.items():
            port = getattr(self.settings.ports, name)
            if who in TWINS and not self._demo:
                continue
            if (who != WEB or installed(WEB)) and not port_free(port):
                fix = f"end that, or set ports.{name} (TRADER_PORTS__{name.upper()})"
                taken.append(f"port {port} for {who} is taken by {owner_of(port)}; {fix}")
        if taken:
            raise ConfigError("; ".join(taken))

    def _check_world(self) -> None:
        """The market of a state directory never changes: its books are about it."""
        if not self.paths.world.exists():
            return
        saved, asked = World.load(self.paths.world), world_of(self.settings)
        for name, setting in (("seed", "market.seed"), ("pairs", "market.pairs")):
            old, new = getattr(saved, name), getattr(asked, name)
            if old != new and saved.replay is None:
                fix = f"use {old}, another --state, or `trader reset`"
                raise ConfigError(f"setting {setting} is {new}, but {self.paths.root} was made with {old}; {fix}")

    def _trading(self) -> bool:
        return is_locked(self.paths.lock)

    def _start_watch(self) -> None:
        deployment = self.prefect.deployments[SESSION]
        self.watch = SessionWatch(self.prefect.api, deployment, held=self._trading, forbidden=lambda: stopped(self.paths), tell=self.tell)
        self._watching = asyncio.create_task(self.watch.run(), name="session watch")

    # --- what runs where -------------------------------------------------------------------------------------------------
    def rows(self) -> list[tuple[str, str, str, str]]:
        """(what, pid, where, state) of everything this supervisor knows of."""
        rows = [("supervisor", str(os.getpid()), str(self.paths.root), "running")]
        for name, kept in self.supervisor.children.items():
            rows.append((name, str(kept.child.pid) if kept.child else "-", kept.spec.address, kept.state))
        rows += [(name, "-", MODULES[name], "not installed") for name in (WEB, SENDER) if not installed(name)]
        rows.append(("session", "-", "a flow run of trade_intraday", self.session_state()))
        return rows

    def session_state(self) -> str:
        """Seen by the lock that a session holds."""
        return "running" if self._trading() else "starting"

    def _show(self, seconds: float) -> None:
        rows = [("what", "pid", "where", "state"), *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        self._say("\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows))
        self._say(f"\neverything runs after {seconds:.0f} s; logs in {self.paths.logs}; Ctrl-C stops all in order")
        file = self.paths.root / TABLE
        file.write_text(json.dumps([dict(zip(("what", "pid", "where", "state"), row, strict=True)) for row in self.rows()]) + "\n")
        file.chmod(0o600)
        self._say(f"Prefect      {self.children.api.page}")
        web = f"http://127.0.0.1:{self.settings.ports.web}"
        self._say(f"status page  {web}" if installed(WEB) else "status page  not installed")

    # --- down ------------------------------------------------------------------------------------------------------------
    async def _fall(self) -> None:
        """Flow runs, worker, server, the rest, twins; then whatever is still there. Ends within 15 seconds."""
        began = time.monotonic()
        if not self.supervisor.children:
            self._log.close()
            return
        self.tell("stopping: session, worker, server, twins")
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if WORKER in self.supervisor.children:
            await self.prefect.end_runs()
            await self.supervisor.stop_group((WORKER,))
            await self.prefect.write_off()
        killed = await self.supervisor.stop(STOP_ORDER)
        if left := kin.marked(self.paths.root):
            killed += [str(pid) for pid in await asyncio.to_thread(kin.end, left, patience_s=1.0)]
        with contextlib.suppress(FileNotFoundError):
            (self.paths.root / TABLE).unlink()
        self.tell(f"stopped in {time.monotonic() - began:.1f} s" + (f"; killed: {', '.join(killed)}" if killed else ""))
        self._log.close()
