"""The session's link to history: in its own process under the stepped clock, else to a child process over pipes.

Both judge appended candles with the Polars rules first: rows that break a critical rule go to quarantine, their pair is
blocked and comes back with the expectation's name; the other pairs are stored.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from trader.data import wire
from trader.data.history import HistoryStore
from trader.data.intake import Gates, Intake
from trader.domain.market import MINUTE, Candle, Timeframe
from trader.errors import CorruptError, RetryableError
from trader.ports import Clock, Columns, PairGate

DECIDES_ON: Final = (Timeframe.M15, Timeframe.H4)
KEPT: Final = 100_000  # candles kept while the server is away: 11 hours of 150 pairs, about what REST can repair


class DirectHistoryLink:
    """The store in this process; every call does its work before it returns (a few milliseconds).

    `timeframes`: a pair is ready only when each has a fresh passing tail verdict.
    """

    def __init__(
        self,
        store: HistoryStore,
        clock: Clock,
        *,
        timeframes: Sequence[Timeframe] = DECIDES_ON,
        needs: Mapping[Timeframe, int] | None = None,
    ) -> None:
        self.store = store
        self._clock = clock
        self._gates = Gates(store, timeframes, needs)
        self._intake = Intake(store)

    async def gates(self) -> Mapping[str, PairGate]:
        return self._gates.words(self._clock.now_us())

    async def warm(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> Mapping[str, Columns]:
        return self.store.series(pairs, timeframe, periods)

    async def append(self, candles: Sequence[Candle]) -> Sequence[PairGate]:
        return self._intake.take(candles, self._clock.now_us())

    async def close(self) -> None:
        """Put what is still in memory on disk; the store stays open, its owner closes it."""
        self.store.flush(self._clock.now_us())


class ProcessHistoryLink:
    """The store in a child process (`python -m trader.data.link_server DIR`), asked over pipes; never blocks the loop.

    One call at a time, each with a deadline in seconds of the loop. A child that dies or hangs is replaced with a backoff of
    0.1 s doubling to 5 s; candles it had not put on disk are sent again. Calls raise RetryableError when no answer came in
    time, CorruptError when the store is damaged.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        timeframes: Sequence[Timeframe] = DECIDES_ON,
        deadline_s: float = 20.0,
        commit_every_us: int = MINUTE,
        needs: Mapping[Timeframe, int] | None = None,
    ) -> None:
        self.restarts = 0
        self._needs = {str(timeframe): count for timeframe, count in (needs or {}).items()}
        self._directory, self._clock, self._deadline_s, self._every = directory, clock, deadline_s, commit_every_us
        self._timeframes = tuple(timeframes)
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._backoff_s = 0.0
        self._unsent: list[Candle] = []  # not answered yet
        self._unsaved: list[Candle] = []  # in the child's memory, not on its disk

    async def gates(self) -> Mapping[str, PairGate]:
        header, _ = await self._ask({"call": "gates", "timeframes": [str(t) for t in self._timeframes], "needs": self._needs})
        return {g[0]: PairGate(pair=g[0], reason=g[1], detail=g[2]) for g in header["gates"]}

    async def warm(self, pairs: Sequence[str], timeframe: Timeframe, periods: int) -> Mapping[str, Columns]:
        header, blobs = await self._ask({"call": "warm", "pairs": list(pairs), "timeframe": str(timeframe), "periods": periods})
        return wire.unpack_columns(header["rows"], blobs)

    async def append(self, candles: Sequence[Candle]) -> Sequence[PairGate]:
        """As the port says; after a failure the candles are kept (the newest 100,000) and go out with the next append."""
        async with self._lock:
            self._unsent = [*self._unsent, *candles][-KEPT:]
            header, _ = await self._locked({"call": "append"}, lambda: wire.pack_candles(self._unsent))
            self._unsaved = [] if not header["waiting"] else [*self._unsaved, *self._unsent]
            self._unsent = []
        return [PairGate(pair=g[0], reason=g[1], detail=g[2]) for g in header["gates"]]

    async def close(self) -> None:
        """Let the child put everything on disk and end."""
        async with self._lock:
            child, self._child = self._child, None
        if child is None or child.stdin is None:
            return
        child.stdin.close()  # end of input: the server flushes and leaves
        try:
            await asyncio.wait_for(child.wait(), self._deadline_s)
        except TimeoutError:
            child.kill()
            await child.wait()

    # --- the child -----------------------------------------------------------------------------------------------------
    async def _ask(self, header: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        async with self._lock:
            return await self._locked(header, lambda: ({}, []))

    async def _locked(
        self, header: dict[str, Any], payload: Callable[[], tuple[dict[str, Any], list[bytes]]]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """One call, tried once more when the child turns out to be dead: every call is idempotent."""
        for attempt in (1, 2):
            try:
                async with asyncio.timeout(self._deadline_s):
                    child = self._child or await self._start()
                    more, blobs = payload()
                    answer, data = await self._exchange(child, {**header, **more, "now_us": self._clock.now_us()}, blobs)
                break
            except (TimeoutError, OSError, EOFError) as error:  # IncompleteReadError is an EOFError
                await self._discard()
                if attempt == 2 or isinstance(error, TimeoutError):
                    raise RetryableError(f"history server: no answer to {header['call']} ({type(error).__name__})") from error
            except asyncio.CancelledError:
                await self._discard()  # half a question or answer is in the pipes
                raise
        self._backoff_s = 0.0
        if kind := answer.get("error"):
            raise (CorruptError if kind == "CorruptError" else RetryableError)(f"history server: {answer['message']}")
        return answer, data

    async def _exchange(
        self, child: asyncio.subprocess.Process, header: dict[str, Any], blobs: Sequence[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        assert child.stdin is not None and child.stdout is not None  # both are pipes
        child.stdin.write(wire.encode(header, blobs))
        await child.stdin.drain()
        head = await child.stdout.readexactly(wire.PREFIX.size)
        body = await child.stdout.readexactly(wire.body_size(head))
        return wire.decode(head, body)

    async def _start(self) -> asyncio.subprocess.Process:
        if self._backoff_s:
            await asyncio.sleep(self._backoff_s)
        self._backoff_s = min(5.0, self._backoff_s * 2 or 0.1)
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trader.data.link_server", str(self._directory), "--commit-every-us", str(self._every),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self._child

    async def _discard(self) -> None:
        """End the child that failed us; its answer must never meet the next question."""
        child, self._child = self._child, None
        if child is None:
            return
        self.restarts += 1
        self._unsent, self._unsaved = [*self._unsaved, *self._unsent], []
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
