"""Archives of candles on their way in: fetched where they lie behind a URL, imported beside the event loop, judged by the gate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp

from trader.bootstrap.ingestion import gate
from trader.data.archive import ArchiveImport, ArchiveReport, Progress
from trader.data.archive_files import COMMON, Contents, contents
from trader.data.history import HistoryStore
from trader.domain.market import Instrument
from trader.errors import RejectedError, RetryableError

BLOCK = 1 << 20
QUIET_S = 60.0  # without a byte
GROUP = 30
"""Pairs a download of the demo's archive: each group is stored before the next is fetched."""


def names_of(instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """Kraken's altname -> unified pair, of every pair that is listed."""
    theirs = {common: altname for altname, common in COMMON.items()}
    return {theirs.get(i.base, i.base) + theirs.get(i.quote, i.quote): pair for pair, i in instruments.items()}


def demo_archive(url: str, pairs: Iterable[str], days: int) -> str:
    """Where the demo's exchange offers the last `days` of these pairs, in the timeframes decided on."""
    return f"{url}/archive/Kraken_OHLCVT.zip?intervals=15,240&days={days}&pairs={quote(','.join(pairs))}"


@asynccontextmanager
async def at_hand(source: str, folder: Path) -> AsyncIterator[Path]:
    """The archive as a local path; one behind a URL is fetched into `folder` and deleted at the end.

    Raises RetryableError where it cannot be reached or breaks off, RejectedError where the server refuses.
    """
    if not source.startswith(("http://", "https://")):
        yield Path(source)
        return
    path = folder / f"archive-{os.getpid()}.zip"
    try:
        await _download(source, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _download(url: str, path: Path) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=QUIET_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            if answer.status >= 400:
                words = (await answer.text())[:300]
                raise (RetryableError if answer.status >= 500 else RejectedError)(f"archive {url}: HTTP {answer.status}: {words}")
            with path.open("wb") as file:
                async for block in answer.content.iter_chunked(BLOCK):
                    file.write(block)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RetryableError(f"archive {url}: {type(error).__name__}: {error}") from error


async def take(
    directory: Path, found: Contents, *, now_us: int, progress: Progress | None = None, stopping: Callable[[], bool] | None = None
) -> ArchiveReport:
    """Import in a thread with a connection of its own, so that the loop stays free."""

    def work() -> ArchiveReport:
        store = HistoryStore(directory)
        try:
            judge = lambda write: gate(directory, write)  # noqa: E731 - the gate of this store
            return ArchiveImport(store, now_us=now_us, judge=judge, progress=progress, stopping=stopping).run(found)
        finally:
            store.close()

    return await asyncio.to_thread(work)


def look(path: Path, instruments: Mapping[str, Instrument], pairs: Iterable[str] = (), timeframes: Iterable[str] = ()) -> Contents:
    """An archive's files, those of the chosen pairs and timeframes only."""
    found, wanted, spans = contents(path, names_of(instruments)), frozenset(pairs), frozenset(timeframes)
    files = tuple(f for f in found.files if (not wanted or f.pair in wanted) and (not spans or str(f.timeframe) in spans))
    return Contents(files=files, unusable=found.unusable)
