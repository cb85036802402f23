"""ccxt for JavaScript against the twin: a node child that carries out one operation a line."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

from tests.clients.table import AbsentError, Client, MissingError, WrongError
from tests.clients.twin_process import Twin, key_of

HERE = Path(__file__).with_name("js")
LINE_LIMIT = 1 << 22


class CcxtJs(Client):
    """The operations themselves are in js/; this side sends their names and reads what came of them."""

    name = "ccxt JavaScript"

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """Start node and wait until ccxt is loaded; AbsentError without node or without the package."""
        node = shutil.which("node")
        if node is None:
            raise AbsentError("node is not installed (apt install nodejs npm)")
        if not (HERE / "node_modules" / "ccxt").is_dir():
            raise AbsentError("the npm package is not installed (make clients-js)")
        key = key_of(self.name)
        self._child = await asyncio.create_subprocess_exec(
            node, "run.mjs", self._twin.url, self._twin.ws, key.key, key.secret, cwd=HERE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE_LIMIT,
        )  # fmt: skip
        assert self._child.stdout is not None and self._child.stderr is not None
        if not await self._child.stdout.readline():
            raise WrongError(f"node ended: {(await self._child.stderr.read())[-800:].decode()}")
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        if self._child is None:
            return
        if self._reader is not None:
            self._reader.cancel()
        if self._child.returncode is None:
            self._child.kill()
        await self._child.wait()

    async def call(self, method: str, *args: Any) -> Any:
        assert self._child is not None and self._child.stdin is not None
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._child.stdin.write(json.dumps({"id": number, "method": method, "args": args}).encode() + b"\n")
        try:
            answer = await self._waiting[number]
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise MissingError(answer["error"]) if answer["missing"] else WrongError(answer["error"])
        return answer["value"]

    async def _read(self) -> None:
        """Hand each line to who waits for it; fail them all when node ends."""
        assert self._child is not None and self._child.stdout is not None
        while line := await self._child.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(WrongError("node ended"))

    async def x_listen(self) -> None:
        """Begin to receive executions."""
        await self.call("x_listen")

    async def x_executed(self, txid: str) -> list[str]:
        """Ids of the trades of this order, as executions tells them."""
        return list(await self.call("x_executed", txid))
