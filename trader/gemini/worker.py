"""The AI worker process: takes questions from the session's socket, buys verdicts, sends them back with a heartbeat.

`python -m trader.gemini.worker --state DIR [--base-url URL]`; the key comes from TRADER_GEMINI_API_KEY. Socket
`DIR/ai.sock` (0600), store `DIR/ai.sqlite`. One session at a time: the newest connection gets the verdicts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from trader.errors import ConfigError, TraderError
from trader.gemini.advisors import FALLBACKS, PROVIDERS, Choice, advisor
from trader.gemini.budget import Limits
from trader.gemini.client import make_client
from trader.gemini.link import DirectLink, StatefulAdvisor
from trader.gemini.wire import HEARTBEAT_S, LINE_LIMIT, decode, encode, question_in, verdict_out
from trader.ports import VerdictStore

KEY_VARIABLE = "TRADER_GEMINI_API_KEY"
SOCKET, STORE = "ai.sock", "ai.sqlite"
DAY_S = 86_400.0
_WRITE_LIMIT_S = 5.0


class WorkerServer:
    """The worker's end of the socket around a `DirectLink`."""

    def __init__(self, advisor: StatefulAdvisor, path: Path, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._path = path
        self._heartbeat_s = heartbeat_s
        self._link = DirectLink(advisor)
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; a socket file left by a killed worker is replaced. Raises ConfigError for a path too long for a socket."""
        if len(os.fsencode(self._path)) > 100:
            raise ConfigError(f"state_dir: {self._path} is too long for a unix socket; allowed are 100 bytes")
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)  # 0600 from the first moment
        try:
            self._server = await asyncio.start_unix_server(self._serve, os.fspath(self._path), limit=LINE_LIMIT)
        finally:
            os.umask(mask)
        self._pump = asyncio.get_running_loop().create_task(self._send_for_ever())

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
        await self._link.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session. A line that is no message ends its connection and nothing else."""
        if self._writer is not None:
            self._writer.close()
        self._writer = writer
        self._link.arrived.set()  # greet with a state line
        try:
            while line := await reader.readline():
                message = decode(line)
                if message["type"] != "want" or not isinstance(message.get("questions"), list):
                    raise ValueError("AI socket: unknown line")
                self._link.want([question_in(value) for value in message["questions"]])
        except (OSError, ValueError) as error:
            sys.stderr.write(f"ai worker: connection ended: {type(error).__name__}: {str(error)[:200]}\n")
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()

    async def _send_for_ever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):  # timeout(), not wait_for(): Python 3.11's swallows cancellation in a race
                async with asyncio.timeout(self._heartbeat_s):
                    await self._link.arrived.wait()
            lines = [encode({"type": "state", "state": self._link.state()})]
            if verdicts := self._link.take():
                lines.insert(0, encode({"type": "verdicts", "verdicts": [verdict_out(verdict) for verdict in verdicts]}))
            await self._send(b"".join(lines))

    async def _send(self, data: bytes) -> None:
        """To the session of now; one that does not read for 5 s is cut off."""
        writer = self._writer
        if writer is None:
            return
        try:
            writer.write(data)
            async with asyncio.timeout(_WRITE_LIMIT_S):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.close()
            if self._writer is writer:
                self._writer = None


class _WallClock:
    """The machine's UTC time: what budget and breaker of this process count in."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def sleep_until(self, time_us: int) -> None:
        await self.sleep((time_us - self.now_us()) / 1e6)


async def serve(
    server: WorkerServer, ready: Callable[[], None] | None = None, *, daily: Callable[[], object] | None = None, day_s: float = DAY_S
) -> None:
    """Run until SIGTERM or SIGINT, then close in order. `daily`: called at the start and every `day_s`; its error ends the worker."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    try:
        if ready is not None:
            ready()
        while not stop.is_set():
            if daily is not None:
                daily()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(day_s):
                    await stop.wait()
    finally:
        await server.close()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trader.gemini.worker", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="state directory")
    parser.add_argument("--base-url", default=None, help="provider address; default: Google")
    parser.add_argument("--provider", choices=PROVIDERS, default=Choice().provider)
    parser.add_argument("--model", default=Choice().model)
    parser.add_argument("--deadline-s", type=float, default=Choice().deadline_s)
    parser.add_argument("--text-model", default=Choice().text_model)
    parser.add_argument("--text-deadline-s", type=float, default=Choice().text_deadline_s)
    parser.add_argument("--fallback", choices=FALLBACKS, default=Choice().fallback, help="asked while the breaker is open")
    parser.add_argument("--ttl-s", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls-per-day", type=int, default=Limits().calls)
    parser.add_argument("--questions-per-day", type=int, default=Limits().questions)
    parser.add_argument("--input-tokens-per-day", type=int, default=Limits().tokens)
    parser.add_argument("--usd-per-day", type=float, default=Limits().usd, help="hard cap, where the price is known")
    parser.add_argument("--calls-per-minute", type=int, default=Limits().calls_a_minute)
    parser.add_argument("--input-tokens-per-minute", type=int, default=Limits().tokens_a_minute)
    parser.add_argument("--usd-per-million", type=float, default=None, help="price of input tokens; unset: cost unknown")
    parser.add_argument("--store", default="trader.data.verdicts:SqliteVerdictStore", help="module:class of the verdict store")
    return parser.parse_args(argv)


def _open_store(name: str, path: Path) -> VerdictStore:
    """The store by name: adapters do not import each other, so this process is told which one to load."""
    module, _, kind = name.partition(":")
    store: VerdictStore = getattr(import_module(module), kind)(path)
    return store


async def _main(arguments: argparse.Namespace, key: str) -> None:
    limits = Limits(
        calls=arguments.calls_per_day,
        questions=arguments.questions_per_day,
        tokens=arguments.input_tokens_per_day,
        usd=arguments.usd_per_day,
        usd_per_million=arguments.usd_per_million,
        calls_a_minute=arguments.calls_per_minute,
        tokens_a_minute=arguments.input_tokens_per_minute,
    )
    store, clock = _open_store(arguments.store, arguments.state / STORE), _WallClock()
    try:
        choice = Choice(
            provider=arguments.provider,
            model=arguments.model,
            deadline_s=arguments.deadline_s,
            text_model=arguments.text_model,
            text_deadline_s=arguments.text_deadline_s,
            fallback=arguments.fallback,
        )
        client = make_client(key, arguments.base_url)
        asked = advisor(client, clock, choice, store=store, limits=limits, seed=arguments.seed, ttl_s=arguments.ttl_s)
        server = WorkerServer(asked, arguments.state / SOCKET)
        await serve(
            server,
            lambda: print(f"ai worker ready on {arguments.state / SOCKET}", flush=True),
            daily=lambda: store.drop_bodies(clock.now_us()),
        )
    finally:
        store.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; exit code 2 where key or settings are missing."""
    arguments = _arguments(argv)
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        sys.stderr.write(f"ai worker: {KEY_VARIABLE} is not set; a provider key is needed (any text for the twin)\n")
        return 2
    try:
        asyncio.run(_main(arguments, key))
    except TraderError as error:
        sys.stderr.write(f"ai worker: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
