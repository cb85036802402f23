"""The `VerdictLink` port: in process, and a real worker on a socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from verdict_kit import EPOCH, KEY, question

from trader.data.verdicts import SqliteVerdictStore
from trader.domain.verdicts import AiMode, AskOutcome, Lookup, Question, Ruling, Verdict
from trader.execution.confirmation import Desk, Snapshot
from trader.execution.verdict_book import VerdictBook, rule
from trader.gemini.link import DirectLink
from trader.gemini.socket_link import SocketLink
from trader.gemini.worker import SOCKET, STORE, WorkerServer
from trader.ports import VerdictLink
from trader.simulation.clock import wall_clock
from trader.simulation.gemini_server import GeminiTwin


def answered(asked: Question) -> Verdict:
    return Verdict(
        key=asked.key, outcome=AskOutcome.OK, asked_us=asked.asked_us, expires_us=asked.asked_us + 300_000_000, band_lo=asked.band_lo,
        band_hi=asked.band_hi, p_loss=0.1, is_twin=True, verdict_id=f"v-{asked.key.pair}",
    )  # fmt: skip


class Scripted:
    """A network peer in two lines: answers after `seconds`, counts its rounds."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.rounds, self.word, self.closed = seconds, [], "ok", False

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        self.rounds.append([one.key.pair for one in questions])
        await asyncio.sleep(self.seconds)
        return [answered(one) for one in questions]

    def state(self) -> str:
        return self.word

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def short_directory() -> AsyncIterator[Path]:
    """A path short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="ai") as name:
        yield Path(name)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def collect(link: VerdictLink, count: int, seconds: float = 30.0) -> list[Verdict]:
    verdicts: list[Verdict] = []

    def enough() -> bool:
        verdicts.extend(link.take())
        return len(verdicts) >= count

    await until(enough, seconds)
    return verdicts


@asynccontextmanager
async def direct(advisor: Scripted) -> AsyncIterator[VerdictLink]:
    link = DirectLink(advisor)
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def socketed(advisor: Scripted) -> AsyncIterator[VerdictLink]:
    async with short_directory() as folder:
        server, link = WorkerServer(advisor, folder / SOCKET), SocketLink(folder / SOCKET)
        await server.start()
        await link.start()
        try:
            await until(lambda: link.state() == "ok")
            yield link
        finally:
            await link.close()
            await server.close()


Make = Callable[[Scripted], Any]
LINKS = pytest.mark.parametrize("make", [direct, socketed])


def run(make: Make, use: Callable[[VerdictLink, Scripted], Awaitable[None]]) -> Scripted:
    advisor = Scripted()

    async def main() -> None:
        async with make(advisor) as link:
            await use(link, advisor)

    asyncio.run(main())
    return advisor


@LINKS
def test_what_is_wanted_comes_back_once_with_the_band_that_was_asked(make: Make) -> None:
    async def use(link: VerdictLink, _: Scripted) -> None:
        link.want([question("A/EUR"), question("B/EUR")])
        assert list(link.take()) == []
        verdicts = await collect(link, 2)
        assert sorted(verdicts, key=lambda one: one.key.pair) == [answered(question("A/EUR")), answered(question("B/EUR"))]
        assert list(link.take()) == []

    assert run(make, use).closed


@LINKS
def test_questions_of_a_quarter_second_share_a_batch_and_priority_does_not_wait(make: Make) -> None:
    async def use(link: VerdictLink, advisor: Scripted) -> None:
        link.want([question("A/EUR")])
        await asyncio.sleep(0.05)
        link.want([question("B/EUR")])
        await collect(link, 2)
        assert [sorted(one) for one in advisor.rounds] == [["A/EUR", "B/EUR"]]
        took = []
        for _ in range(3):  # the fastest counts: a busy machine may hold one back
            started = asyncio.get_running_loop().time()
            link.want([question("C/EUR")])
            link.want([question("D/EUR", priority=True)])
            await collect(link, 2)
            took.append(asyncio.get_running_loop().time() - started)
        assert min(took) < 0.2
        assert advisor.rounds[1] == ["D/EUR", "C/EUR"]

    run(make, use)


@LINKS
def test_the_newest_question_of_a_key_wins_and_an_overflow_is_answered(make: Make) -> None:
    async def use(link: VerdictLink, advisor: Scripted) -> None:
        link.want([question(asked_us=EPOCH), question(asked_us=EPOCH + 5)])
        (verdict,) = await collect(link, 1)
        assert verdict.asked_us == EPOCH + 5
        link.want([question(f"P{i}/EUR") for i in range(600)])
        verdicts = await collect(link, 600)
        assert sum(one.outcome is AskOutcome.OK for one in verdicts) == 512
        assert {one.detail for one in verdicts if one.outcome is not AskOutcome.OK} == {"queue full"}
        assert max(len(one) for one in advisor.rounds) <= 128

    run(make, use)


@LINKS
def test_the_state_of_the_provider_is_the_state_of_the_link(make: Make) -> None:
    async def use(link: VerdictLink, advisor: Scripted) -> None:
        for word in ("BREAKER", "BUDGET", "ok"):
            advisor.word = word
            await until(lambda word=word: link.state() == word)  # type: ignore[misc]

    run(make, use)


@LINKS
def test_a_closed_link_has_no_worker(make: Make) -> None:
    async def use(link: VerdictLink, _: Scripted) -> None:
        assert link.state() == "ok"
        await link.close()
        assert link.state() == "NO_WORKER"

    run(make, use)


@LINKS
def test_nothing_of_the_session_waits_while_the_provider_hangs(make: Make) -> None:
    async def use(link: VerdictLink, advisor: Scripted) -> None:
        advisor.seconds = 3600.0
        slowest = 0.0
        for i in range(200):
            started = time.perf_counter()
            link.want([question(f"P{i}/EUR", EPOCH + i)])
            link.take()
            link.state()
            slowest = max(slowest, time.perf_counter() - started)
            await asyncio.sleep(0)
        assert slowest < 10.0  # a wait for the provider would be an hour, a busy machine is none

    run(make, use)


# --- the socket --------------------------------------------------------------------------------------------------------
ANSWER = (
    b'{"type": "verdicts", "verdicts": [{"key": {"pair": "ABC/EUR", "side": "buy", "strategy": "' + KEY.strategy.encode()
    + b'"}, "asked_us": 1767571200000000, "outcome": "OK", "p_loss": %b, "detail": "", "expires_us": %b}]}\n'
)  # fmt: skip


@pytest.mark.parametrize(
    "garbage",
    [
        b"not json\n", b"[]\n", b'{"type": "state", "state": "fine"}\n', b'{"type": "verdicts", "verdicts": [7]}\n', b"[" * 100_000 + b"\n",
        b"x" * (3 << 20), ANSWER % (b"7", b"1"), b'{"type": "state", "state": Infinity}\n', ANSWER % (b"0.1", b"1e999"),
    ],
    ids=["text", "list", "state", "verdict", "deep", "3MB", "bad_p", "constant", "endless"],
)  # fmt: skip
def test_garbage_from_the_worker_is_no_worker_and_no_verdict(garbage: bytes) -> None:
    async def main() -> None:
        async with short_directory() as folder:

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b'{"type": "state", "state": "ok"}\n')
                await reader.readline()
                writer.write(garbage)
                await asyncio.sleep(60)

            server = await asyncio.start_unix_server(talk, os.fspath(folder / SOCKET))
            link = SocketLink(folder / SOCKET)
            await link.start()
            await until(lambda: link.state() == "ok")
            link.want([question()])
            (verdict,) = await collect(link, 1)
            assert (verdict.outcome, verdict.detail) == (AskOutcome.UNAVAILABLE, "NO_WORKER")
            assert link.last_error.startswith("connection: ")
            await link.close()
            server.close()

    asyncio.run(main())


ENDLESS = (
    b'{"type": "want", "questions": [{"key": {"pair": "A/EUR", "side": "buy", "strategy": "s"}, "asked_us": 1e999, "asked_price": 1, '
    b'"band": [1, 2], "features": {}, "priority": false}]}\n'
)


def test_garbage_from_a_session_ends_its_connection_and_the_worker_serves_the_next() -> None:
    async def main() -> None:
        async with short_directory() as folder:
            server = WorkerServer(Scripted(), folder / SOCKET)
            await server.start()
            assert stat.S_IMODE((folder / SOCKET).stat().st_mode) == 0o600
            for garbage in (b"not json\n", b'{"type": "want", "questions": [1]}\n', b"y" * (2 << 20), ENDLESS):
                reader, writer = await asyncio.open_unix_connection(os.fspath(folder / SOCKET))
                writer.write(garbage)
                try:
                    while await asyncio.wait_for(reader.read(1 << 16), 60):
                        pass
                except ConnectionResetError:
                    pass
                writer.close()
            link = SocketLink(folder / SOCKET)
            await link.start()
            link.want([question()])
            assert [one.outcome for one in await collect(link, 1)] == [AskOutcome.OK]
            await link.close()
            await server.close()

    asyncio.run(main())


def test_a_silent_worker_is_no_worker_after_its_time() -> None:
    async def main() -> None:
        async with short_directory() as folder:
            server = WorkerServer(Scripted(), folder / SOCKET, heartbeat_s=3600.0)
            link = SocketLink(folder / SOCKET, silence_s=0.3)
            await server.start()
            await link.start()
            await until(lambda: link.state() == "ok")
            await until(lambda: link.state() == "NO_WORKER", 20.0)
            await link.close()
            await server.close()

    asyncio.run(main())


# --- the worker process ------------------------------------------------------------------------------------------------
def start_worker(state: Path, url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TRADER_GEMINI_API_KEY": "canary-key-4711", "NO_PROXY": "127.0.0.1,localhost"}
    command = [sys.executable, "-m", "trader.gemini.worker", "--state", os.fspath(state), "--base-url", url, "--deadline-s", "20"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_worker_is_no_worker_within_5_seconds_and_a_new_one_is_found() -> None:
    async def main() -> None:
        async with short_directory() as folder:
            clock = wall_clock()
            twin = GeminiTwin(clock, 7)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            await twin.start(port=port)
            worker = start_worker(folder, twin.url)
            link = SocketLink(folder / SOCKET)
            book = VerdictBook()
            desk = Desk(book)
            shot = Snapshot(key=KEY, price=100.0, atr_fraction=0.01, stop=0.0247, target=0.5, costs=0.009, features={"rsi": 30.0})
            try:
                await link.start()
                await until(lambda: link.state() == "ok", 60)
                link.want(desk.near([shot], clock.now_us()))
                verdicts = await collect(link, 1, 10)
                desk.take(verdicts, clock.now_us())
                book.link_state = link.state()
                ruled = rule(AiMode.VETO, book, KEY, 100.0, clock.now_us())
                assert (ruled.used.lookup, ruled.used.is_twin) == (Lookup.HIT, True)
                assert ruled.used.ruling is not Ruling.DEFER
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                await until(lambda: link.state() == "NO_WORKER", 5.0)
                book.link_state = link.state()
                ruled = rule(AiMode.VETO, book, KEY, 100.0, clock.now_us())
                assert (ruled.used.ruling, ruled.used.lookup) == (Ruling.DEFER, Lookup.NO_WORKER)
                worker = start_worker(folder, twin.url)
                await until(lambda: link.state() == "ok", 60)
                link.want([question("NEW/EUR", clock.now_us())])
                assert [one.outcome for one in await collect(link, 1, 10)] == [AskOutcome.OK]
                worker.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(worker.wait, 20) == 0
            finally:
                worker.kill()
                output = "".join(worker.communicate())
                await link.close()
                await twin.close()
            store = SqliteVerdictStore(folder / STORE, read_only=True)
            assert (store.summary().calls, store.summary().usable, store.summary().twin_calls) == (2, 2, 2)
            store.close()
            kept = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()) + output.encode()
            assert b"ABC/EUR" in kept
            assert b"canary-key" not in kept

    asyncio.run(main())


def test_a_worker_without_a_key_says_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRADER_GEMINI_API_KEY"}
    command = [sys.executable, "-m", "trader.gemini.worker", "--state", "nowhere"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "TRADER_GEMINI_API_KEY is not set" in done.stderr
