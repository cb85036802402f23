"""The real client libraries, unmodified, on the stepped loop: ccxt.pro (REST and WebSocket) and both APIs of google-genai."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clock_peers import TinyKraken, ccxt_client, gemini_app, serving, watch

from trader.simulation.loops import run_stepped

both = pytest.mark.parametrize("memory", [True, False], ids=["memory", "kernel"])
PAIRS = 5
SECONDS = 1800


async def trade() -> tuple[list[str], list[str], int]:
    kraken = TinyKraken(PAIRS)
    log: list[str] = []
    async with serving(kraken.app()) as port:
        client = ccxt_client(port)
        await client.load_markets()
        tasks = [asyncio.ensure_future(watch(client, f"{name}/EUR", log)) for name in kraken.names]
        tasks.append(asyncio.ensure_future(kraken.market()))
        while (now := asyncio.get_running_loop().time()) < SECONDS:
            balance = await client.fetch_balance()
            log.append(f"{asyncio.get_running_loop().time():.6f} balance {balance['EUR']['total']}")
            await asyncio.sleep(97 - (asyncio.get_running_loop().time() - now))
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError] * len(tasks), ended
        await client.close()
        await asyncio.sleep(1)
    return log, kraken.log, kraken.frames


def test_ccxt_rest_and_websocket_see_the_same_events_in_memory_on_kernel_sockets_and_again() -> None:
    log, seen, frames = run_stepped(trade)
    assert sum("balance 100.0" in line for line in log) == 19
    assert sum("subscribe" in line for line in seen) == PAIRS
    assert seen[-1].endswith("socket closed")
    candles = [line for line in log if "/EUR" in line]
    assert len(candles) == frames > 4 * PAIRS * (SECONDS // 60 - 1)
    assert run_stepped(trade) == (log, seen, frames)
    assert run_stepped(trade, memory=False) == (log, seen, frames)


def gemini_client(port: int) -> Any:
    from google import genai
    from google.genai import types

    retry = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{port}", api_version="v1beta", timeout=10_000, retry_options=retry)
    return genai.Client(api_key="k", http_options=options)


@both
def test_gemini_text_and_decisions_take_exactly_the_simulated_latency(memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    async def main() -> tuple[list[str], float]:
        from google.genai.decisions import NoulQuestion

        answers: list[str] = []
        async with serving(gemini_app(0.6)) as port:
            client = gemini_client(port)
            loop = asyncio.get_running_loop()
            start = loop.time()
            for _ in range(5):
                reply = await client.aio.models.generate_content(model="gemini-flash-lite", contents="1")
                answers.append(reply.text)
            for number in range(5):
                questions = {f"C{number}": NoulQuestion(instructions="rises?", type="noul")}
                ruling = await client.aio.decisions.create(model="models/gemini-decision-1", input="x", questions=questions)
                answers.append(f"{number} {ruling.answers[f'C{number}'].noul}")
            spent = loop.time() - start
            await client.aio.aclose()
        return answers, spent

    answers, spent = run_stepped(main, memory=memory)
    assert answers == ['{"v":1}'] * 5 + [f"{number} 0.62" for number in range(5)]
    assert spent == pytest.approx(6.0, abs=1e-6)


@both
def test_a_deadline_on_a_hung_gemini_call_costs_no_wall_time(memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    async def main() -> float:
        async with serving(gemini_app(3600.0)) as port:
            client = gemini_client(port)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.0):
                    await client.aio.models.generate_content(model="gemini-flash-lite", contents="1")
            at = asyncio.get_running_loop().time()
            await client.aio.aclose()
            return at

    assert run_stepped(main, memory=memory) == pytest.approx(2.0)
