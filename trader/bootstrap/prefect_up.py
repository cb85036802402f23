"""Prefect's part of `trader up`: pool and deployments in, runs of an earlier life out, the first runs, and the orderly end."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from trader.bootstrap.children import Children
from trader.errors import FatalError, RejectedError, RetryableError
from trader.maintenance import kin
from trader.maintenance.joblog import JobLog
from trader.maintenance.prefect_control import POOL, UNFINISHED, PrefectApi, Run, command
from trader.maintenance.processes import Child, ChildSpec

SESSION = "trade_intraday"
AT_START = ("ingest_history", "report_status")
LATER = "nightly_analysis"
LATER_S = 45.0  # the night's replay takes half a minute of CPU: not while everything else starts
SESSION_FIRST_S = 15.0
ENDS_WITHIN_S = 5.0
TERM_WITHIN_S = 2.5


@dataclass(slots=True)
class PrefectUp:
    """Commands about one server; `tell` is for people."""

    children: Children
    tell: Callable[[str], None]
    deployments: dict[str, str] = field(default_factory=dict)

    @property
    def api(self) -> PrefectApi:
        return self.children.api

    # --- up --------------------------------------------------------------------------------------------------------------
    async def prepare(self) -> None:
        """Pool (paused until the twins answer) and deployments. Raises FatalError with Prefect's words."""
        if not await self.api.has_pool():
            await self._command("work-pool", "work-pool", "create", POOL, "--type", "process", "--overwrite")
        await self.api.pause_pool(True)
        mark = self.children.paths.root / "prefect" / "deployed"
        wanted = self._fingerprint()
        self.deployments = await self.api.deployments()
        if not mark.exists() or mark.read_text() != wanted or not self.deployments:
            await self._command("deploy", "--no-prompt", "deploy", "--all")
            self.deployments = await self.api.deployments()
            mark.write_text(wanted)
        if missing := [name for name in (SESSION, *AT_START, LATER) if name not in self.deployments]:
            raise FatalError(f"prefect.yaml deploys no {missing[0]}; it has {', '.join(sorted(self.deployments)) or 'nothing'}")

    def _fingerprint(self) -> str:
        """Of what a deployment is made of: deploying again costs seconds."""
        root = self.children.root
        return hashlib.blake2b(f"{root}\n{(root / 'prefect.yaml').read_text()}".encode(), digest_size=16).hexdigest()

    async def _command(self, name: str, *words: str) -> None:
        spec = ChildSpec(name=name, command=command(*words), environ=self.children.environ(), directory=self.children.root)
        log = JobLog(self.children.paths.logs, "prefect-setup")
        child = await Child.spawn(spec, log)
        try:
            code = await child.wait()
        finally:
            await asyncio.shield(child.stop())
            log.close()
        if code != 0:
            raise FatalError(f"prefect {' '.join(words)}: code {code}: {child.last_words()}")

    async def clear(self) -> None:
        """Nothing of an earlier life may start or hold a slot: stuck runs are cancelled, runs that were due long ago deleted.

        Only while no flow process of this state directory lives.
        """
        for run in await self.api.runs(UNFINISHED):
            if run.deployment is not None:
                await self.api.force_cancel(run, "its process was gone when `trader up` started")
                self.tell(f"run {run.name} was left {run.state_name}; cancelled")
        while late := await self.api.runs(("SCHEDULED",), before=time.time()):
            for run in late:
                await self.api.delete(run)

    async def begin(self, trading: Callable[[], bool]) -> None:
        """Hand out runs and start one of each job now: the session, and once it trades (or is slow) the others beside it.

        Three interpreters starting at the same time would delay the session by seconds.
        """
        await self.api.pause_pool(False)
        await self.api.start_run(self.deployments[SESSION])
        limit = time.monotonic() + SESSION_FIRST_S
        while not trading() and time.monotonic() < limit:  # noqa: ASYNC110 - the lock of another process sets no event
            await asyncio.sleep(0.2)
        for name in AT_START:
            await self.api.start_run(self.deployments[name])
        await self.api.start_run(self.deployments[LATER], after_s=LATER_S)

    # --- down ------------------------------------------------------------------------------------------------------------
    async def end_runs(self) -> None:
        """Cancel what runs and wait for its end; a flow that does not hear gets SIGTERM, then SIGKILL. Never raises."""
        try:
            async with asyncio.timeout(2.0):
                await self.api.pause_pool(True)
                for run in await self._unfinished():
                    await self.api.cancel(run, "trader up is stopping")
        except (RetryableError, RejectedError, TimeoutError) as error:
            self.tell(f"Prefect does not take the cancellation ({error or 'no answer in time'}); its flows get SIGTERM")
            await self._signal_flows(signal.SIGTERM, TERM_WITHIN_S)
        if not await self._gone(ENDS_WITHIN_S):
            await self._signal_flows(signal.SIGTERM, TERM_WITHIN_S)
            await self._signal_flows(signal.SIGKILL, 0.5)

    async def _unfinished(self) -> list[Run]:
        return [run for run in await self.api.runs(UNFINISHED) if run.deployment is not None]

    async def _gone(self, patience_s: float) -> bool:
        """Whether every flow process has ended, within this time."""
        limit = time.monotonic() + patience_s
        while kin.flow_processes(self.children.paths.root):
            if time.monotonic() >= limit:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _signal_flows(self, number: signal.Signals, patience_s: float) -> None:
        for pid in kin.flow_processes(self.children.paths.root).values():
            kin.signal_to(pid, number)
        await self._gone(patience_s)

    async def write_off(self) -> None:
        """After the worker's end: no run may stay Running or Pending in the books. Never raises."""
        try:
            async with asyncio.timeout(3.0):
                for run in await self._unfinished():
                    await self.api.force_cancel(run, "trader up has stopped")
        except (RetryableError, RejectedError, TimeoutError) as error:
            self.tell(f"some runs may still say Running until the next start ({error or 'no answer in time'})")
