"""Both processes of a two-process simulation, run as scripts by test_baton.py: `baton_peers.py twin|session PORT ...`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from clock_peers import TinyKraken, ccxt_client, serving, watch

from trader.simulation.baton import GuestChange, run_guest, run_owner

PAIRS = 4
DOWNTIME_S = 7.5


class KillingLog(list[str]):
    """Kills its own process with SIGKILL when line number `at` is written; 0 = never."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def append(self, line: str) -> None:
        super().append(line)
        if len(self) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def twin(port: int) -> dict[str, Any]:
    """Serve until the session says done; return what was seen."""
    kraken = TinyKraken(PAIRS)

    async def main() -> dict[str, Any]:
        async with serving(kraken.app(), port):
            print("ready", flush=True)
            market = asyncio.ensure_future(kraken.market())
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                market.cancel()
        return {"log": kraken.log, "frames": kraken.frames, "time": asyncio.get_running_loop().time()}

    def change(what: GuestChange) -> None:
        kraken.note(f"guest {what}")

    return run_owner(main, control_port=port + 1, downtime_s=DOWNTIME_S, on_change=change) or {}


def session(port: int, kill_at: int, until_s: float) -> dict[str, Any]:
    log = KillingLog(kill_at)

    async def main() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        joined = loop.time()
        client = ccxt_client(port)
        await client.load_markets()
        tasks = [asyncio.ensure_future(watch(client, f"P{i:03d}/EUR", log)) for i in range(PAIRS)]
        while loop.time() < until_s:
            balance = await client.fetch_balance()
            log.append(f"{loop.time():.6f} balance {balance['EUR']['total']}")
            await asyncio.sleep(97.0820393)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        return {"log": list(log), "joined": joined}

    return run_guest(main, control_port=port + 1)


def upload(port: int, megabytes: int) -> dict[str, Any]:
    """A guest that sends and fetches more than any kernel buffer holds."""
    import aiohttp

    async def main() -> dict[str, Any]:
        body = b"x" * (megabytes << 20)
        async with aiohttp.ClientSession() as http, http.post(f"http://127.0.0.1:{port}/echo", data=body) as reply:
            data = await reply.read()
        await asyncio.sleep(50)
        return {"same": data == body, "time": asyncio.get_running_loop().time()}

    return run_guest(main, control_port=port + 1)


def echo(port: int) -> dict[str, Any]:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def main() -> dict[str, Any]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/echo", answer)
        async with serving(app, port):
            print("ready", flush=True)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return {"time": asyncio.get_running_loop().time()}
        return {}

    return run_owner(main, control_port=port + 1, downtime_s=0.0) or {}


if __name__ == "__main__":
    role, numbers = sys.argv[1], [int(word) for word in sys.argv[2:]]
    roles: dict[str, Any] = {"twin": twin, "session": session, "upload": upload, "echo": echo}
    print(json.dumps(roles[role](*numbers)), flush=True)
