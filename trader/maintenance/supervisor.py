"""Starts children in order, watches that they live and answer, restarts them with growing pauses, stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trader.errors import FatalError
from trader.maintenance.joblog import JobLog
from trader.maintenance.processes import Child, ChildSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds of the supervisor. The pause before restart n in a row is `first_pause_s` x 2^(n-1), at most `longest_pause_s`."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 60.0
    steady_after_s: float = 60.0
    probe_every_s: float = 5.0
    probe_failures: int = 6
    ready_poll_s: float = 0.2


class Kept:
    """One child over its restarts."""

    def __init__(self, spec: ChildSpec, log: JobLog, patience: Patience, tell: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = log
        self.child: Child | None = None
        self.state = "starting"
        self.restarts = 0
        self._in_a_row = 0
        self._patience = patience
        self._tell = tell
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Spawn, wait until it answers, then watch it. Raises FatalError with its last words when it does not."""
        self.child = await Child.spawn(self.spec, self.log)
        try:
            await self._until_ready(self.child)
        except FatalError:
            await self.child.stop()
            self.state = "failed"
            raise
        self.state = "running"
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.spec.name}")

    async def _until_ready(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + self.spec.ready_within_s
        while child.running:
            if self.spec.probe is None or await self.spec.probe():
                return
            if loop.time() > limit:
                raise FatalError(
                    f"{self.spec.name} did not answer at {self.spec.address} within {self.spec.ready_within_s:g} s: {child.last_words()}"
                )
            await asyncio.sleep(self._patience.ready_poll_s)
        code = await child.wait()
        raise FatalError(f"{self.spec.name} ended with code {code} before it answered: {child.last_words()}")

    async def _watch(self) -> None:
        """Until cancelled: wait for its death or its silence, pause, start again."""
        while True:
            assert self.child is not None
            began = asyncio.get_running_loop().time()
            why = await self._until_lost(self.child)
            lived = asyncio.get_running_loop().time() - began
            self._in_a_row = 1 if lived >= self._patience.steady_after_s else self._in_a_row + 1
            pause = min(self._patience.first_pause_s * 2 ** min(self._in_a_row - 1, 20), self._patience.longest_pause_s)
            self.state = "restarting"
            self._say(f"{self.spec.name} {why} after {lived:.0f} s; again in {pause:g} s. Last words: {self.child.last_words()}")
            await self.child.stop()
            await asyncio.sleep(pause)
            await self._again()

    async def _again(self) -> None:
        """One try; a failure is met by the next round of `_watch`, whose child is then dead."""
        self.restarts += 1
        try:
            self.child = await Child.spawn(self.spec, self.log)
            await self._until_ready(self.child)
        except FatalError as error:
            self.state = "failing"
            self.log.write(str(error), level="error")
            if self.child is not None:
                await self.child.stop()
            return
        self.state = "running"
        self._say(f"{self.spec.name} runs again, pid {self.child.pid}")

    async def _until_lost(self, child: Child) -> str:
        """Why it needs a restart, once it does."""
        ended = asyncio.create_task(child.wait())
        failures = 0
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=self._patience.probe_every_s)
                if ended.done() or self.spec.probe is None or not self.spec.probe_later:
                    continue
                failures = 0 if await self.spec.probe() else failures + 1
                if failures >= self._patience.probe_failures:
                    return f"did not answer {failures} times"
            return f"ended with code {ended.result()}"
        finally:
            ended.cancel()

    def _say(self, text: str) -> None:
        self.log.write(text, level="warning")
        self._tell(text)

    async def stop(self) -> bool:
        """End the watch, then the child; False when it had to be killed."""
        self.forget()
        if self._watcher is not None:
            await asyncio.gather(self._watcher, return_exceptions=True)
        obeyed = await self.child.stop() if self.child is not None else True
        self.state = "stopped"
        self.log.close()
        return obeyed

    def forget(self) -> None:
        """End the watch only, so that its death is no news any more."""
        if self._watcher is not None:
            self._watcher.cancel()


class Supervisor:
    """The children of one installation, in the order they were started."""

    def __init__(self, logs: Path, tell: Callable[[str], None], patience: Patience | None = None) -> None:
        self._logs = logs
        self._tell = tell
        self._patience = patience or Patience()
        self.children: dict[str, Kept] = {}

    async def start(self, *specs: ChildSpec) -> None:
        """Start these at the same time and wait for all; FatalError of the first that fails, the others stay for `stop`."""
        kept = [Kept(spec, JobLog(self._logs, spec.name), self._patience, self._tell) for spec in specs]
        self.children |= {child.spec.name: child for child in kept}
        await asyncio.gather(*(child.start() for child in kept))

    async def stop(self, groups: Sequence[Sequence[str]]) -> list[str]:
        """Stop group after group, each at once within; names not in any group come last. Returns who had to be killed."""
        for child in self.children.values():
            child.forget()
        named = [name for group in groups for name in group]
        killed = []
        for group in (*groups, [name for name in self.children if name not in named]):
            killed += await self.stop_group(group)
        return killed

    async def stop_group(self, names: Sequence[str]) -> list[str]:
        """Stop these at once; those that were never started, or are stopped, count as stopped. Returns who had to be killed."""
        present = [name for name in names if name in self.children and self.children[name].state != "stopped"]
        obeyed = await asyncio.gather(*(self.children[name].stop() for name in present))
        return [name for name, ok in zip(present, obeyed, strict=True) if not ok]

    def kill(self) -> None:
        """SIGKILL to every group, now."""
        for child in self.children.values():
            child.forget()
            if child.child is not None:
                child.child.kill_group()
