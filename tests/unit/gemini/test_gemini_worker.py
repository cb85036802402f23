"""What the AI worker does beside serving: its daily work."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from trader.domain.verdicts import Question, Verdict
from trader.errors import FatalError
from trader.gemini.worker import SOCKET, WorkerServer, serve


class Silent:
    """An advisor that is asked nothing."""

    def state(self) -> str:
        return "ok"

    async def ask(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        raise AssertionError(f"asked {questions}")

    async def close(self) -> None:
        return None


def test_the_daily_work_is_done_at_the_start_and_again_until_the_worker_is_stopped(tmp_path: Path) -> None:
    modes: list[int] = []

    def daily() -> None:
        modes.append(stat.S_IMODE((tmp_path / SOCKET).stat().st_mode))
        if len(modes) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    async def main() -> None:
        async with asyncio.timeout(10):
            await serve(WorkerServer(Silent(), tmp_path / SOCKET), daily=daily, day_s=0.01)

    asyncio.run(main())
    assert modes[:3] == [0o600] * 3
    assert not (tmp_path / SOCKET).exists()


def test_daily_work_that_fails_ends_the_worker_in_order(tmp_path: Path) -> None:
    def daily() -> None:
        raise FatalError("the verdict store cannot be written")

    with pytest.raises(FatalError, match="cannot be written"):
        asyncio.run(serve(WorkerServer(Silent(), tmp_path / SOCKET), daily=daily))
    assert not (tmp_path / SOCKET).exists()
