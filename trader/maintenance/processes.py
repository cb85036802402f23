"""One child process: its own process group, its words in a log, a stop that always ends, and death with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trader.errors import FatalError
from trader.maintenance.joblog import LINE_LIMIT, JobLog
from trader.maintenance.kin import die_with_parent

Probe = Callable[[], Awaitable[bool]]
LAST_WORDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A program to keep running. `address` is for people.

    `probe` says whether it answers (None: alive is enough); with `probe_later` False it is asked at the start only.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    directory: Path
    address: str = ""
    probe: Probe | None = None
    probe_later: bool = True
    ready_within_s: float = 60.0
    stop_within_s: float = 4.0


@dataclass(slots=True)
class Child:
    """A running instance of a spec. Make it with `spawn`."""

    spec: ChildSpec
    process: asyncio.subprocess.Process
    log: JobLog
    words: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_WORDS))
    heard: Callable[[str], None] | None = None
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(cls, spec: ChildSpec, log: JobLog, *, heard: Callable[[str], None] | None = None) -> Child:
        """Start it in a session of its own (a Ctrl-C in the terminal is ours alone); `heard` is told each line it says.

        Raises FatalError where it cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.command,
                cwd=spec.directory,
                env=dict(spec.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise FatalError(f"{spec.name}: cannot start {spec.command[0]}: {error}") from error
        child = cls(spec, process, log, heard=heard)
        log.write(f"started, pid {process.pid}", command=" ".join(spec.command))
        child._reader = asyncio.create_task(child._read(), name=f"words of {spec.name}")
        return child

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def wait(self) -> int:
        """Its exit code, once everything it said is in the log; -9 means SIGKILL."""
        code = await self.process.wait()
        if self._reader is not None:  # a grandchild may hold the pipe open
            await asyncio.wait({self._reader}, timeout=0.5)
        return code

    async def stop(self) -> bool:
        """SIGTERM, then SIGKILL to its whole group when its patience is over; False when it had to be killed."""
        obeyed = True
        if self.running:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), self.spec.stop_within_s)
            except TimeoutError:
                obeyed = False
        self.kill_group()
        await self.wait()
        if self._reader is not None:
            self._reader.cancel()
        self.log.write("stopped" if obeyed else f"killed: SIGTERM did not end it within {self.spec.stop_within_s:g} s")
        return obeyed

    def kill_group(self) -> None:
        """SIGKILL to whatever is left of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def _read(self) -> None:
        """Every line into the log; a line too long for the buffer is cut into pieces."""
        stream = self.process.stdout
        assert stream is not None
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hear(line)
            if len(rest) > 4 * LINE_LIMIT:
                self._hear(rest)
                rest = b""
        self._hear(rest)

    def _hear(self, line: bytes) -> None:
        if text := line.decode(errors="replace").rstrip():
            self.words.append(text)
            self.log.write(text)
            if self.heard is not None:
                self.heard(text)

    def last_words(self) -> str:
        """The end of what it said, in one line."""
        return " | ".join(self.words)[-600:] or "it said nothing"
