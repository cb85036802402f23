"""The TLS listener of the twin: one certificate, both sides of the exchange behind it, strangers turned away."""

from __future__ import annotations

import asyncio
import ssl
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from tests.wire.kraken_twin_harness import KEY, MARKET, SECRET
from trader.simulation.clock import LoopClock
from trader.simulation.faults import FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.kraken_server.wire.tls import make_certificate
from trader.simulation.market import EPOCH_US


def test_both_doors_answer_behind_the_certificate(tmp_path: Path) -> None:
    async def main() -> None:
        twin = KrakenTwin(MARKET, LoopClock(EPOCH_US), state_dir=None, plan=FaultPlan(), api_key=KEY, api_secret=SECRET, seed=7, tag="abc",
                          starting_cash=Decimal(10_000))  # fmt: skip
        await twin.start("127.0.0.1", 0)
        port, certificate = await twin.start_tls("127.0.0.1", 0, tmp_path)
        trusting = ssl.create_default_context(cafile=certificate)
        try:
            async with aiohttp.ClientSession(f"https://127.0.0.1:{port}") as session:
                async with session.get("/0/public/Time", ssl=trusting) as answer:
                    assert (await answer.json())["error"] == []
                async with session.get("/derivatives/api/v3/instruments", ssl=trusting) as answer:
                    assert (await answer.json())["result"] == "success"
                async with session.ws_connect("/ws/v1", ssl=trusting) as socket:
                    assert await socket.receive_json() == {"event": "info", "version": 1}
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await session.get("/0/public/Time", ssl=ssl.create_default_context())
        finally:
            await twin.close()

    asyncio.run(main())


def test_a_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    first = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert make_certificate(tmp_path) == (certificate, key)
    assert certificate.read_bytes() == first
