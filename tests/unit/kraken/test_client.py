"""The transport over real HTTP: signature, nonces, one private call at a time, deadlines, caps and silence."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from trader.errors import ConfigError, FatalError
from trader.kraken import ccxt_session
from trader.kraken.client import KrakenClient, make_client
from trader.kraken.transport import NotSent, Refused, Unanswered
from trader.simulation.clock import LoopClock
from trader.simulation.loops import run_stepped

T = TypeVar("T")
NOW = 1_767_571_200_000_000
KEY, SECRET = "canary-key", base64.b64encode(b"canary secret").decode()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def with_server(handler: Handler, test: Callable[[KrakenClient], Awaitable[T]], **settings: Any) -> T:
    """Run `test` with a client of a server that answers everything with `handler`, on the stepped loop."""

    async def run() -> T:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8711).start()
        client = make_client(
            url="http://127.0.0.1:8711", ws_url="ws://127.0.0.1:8711", clock=LoopClock(NOW),
            **{"api_key": KEY, "api_secret": SECRET} | settings,
        )  # fmt: skip
        try:
            return await test(client)
        finally:
            await client.close()
            await runner.cleanup()

    return run_stepped(run)


def fields(**values: str) -> Callable[[], dict[str, str]]:
    return lambda: values


async def good(_: web.Request) -> web.Response:
    return web.json_response({"error": [], "result": {"ok": 1}})


def test_private_calls_are_signed_over_the_bytes_on_the_wire_with_rising_nonces() -> None:
    seen: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        raw = await request.read()
        form = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
        digest = hashlib.sha256(form["nonce"].encode() + raw).digest()
        wanted = hmac.new(base64.b64decode(SECRET), request.path.encode() + digest, hashlib.sha512).digest()
        assert request.headers["API-Sign"] == base64.b64encode(wanted).decode()
        seen.append(int(form["nonce"]))
        return web.json_response({"error": [], "result": form})

    async def test(client: KrakenClient) -> list[Any]:
        close = {"ordertype": "stop-loss", "price": "1.5"}
        return await asyncio.gather(
            *(client.private("AddOrder", lambda: {"price": "1.25", "close": close}, urgent=True) for _ in range(20))
        )

    results = with_server(handler, test)
    assert seen == sorted(set(seen))
    assert len(seen) == 20
    assert seen[0] == NOW // 1000
    assert (results[0]["close[ordertype]"], results[0]["close[price]"], results[0]["price"]) == ("stop-loss", "1.5", "1.25")


def test_the_nonce_starts_above_the_stored_floor_and_a_ceiling_is_stored_ahead() -> None:
    ceilings: list[int] = []
    floor = NOW // 1000 + 500_000

    async def test(client: KrakenClient) -> list[int]:
        first = [client.incrementing_nonce() for _ in range(3)]
        client.raise_nonce()
        return [*first, client.incrementing_nonce()]

    nonces = with_server(good, test, nonce_floor=floor, save_nonce=ceilings.append)
    assert nonces[:3] == [floor + 1, floor + 2, floor + 3]
    assert nonces[3] > floor + 60_000
    assert len(ceilings) == 1
    assert ceilings[0] >= nonces[3]


def test_answers_are_judged_by_the_envelope() -> None:
    replies: list[tuple[int, str]] = [
        (200, '{"error":["EOrder:Insufficient funds"]}'),
        (200, '{"error":["EService:Busy"],"result":{"txid":["O1"]}}'),
        (503, '{"error":["EService:Unavailable"]}'),
        (200, '{"error":["WDatabase:No change"],"result":{"count":1}}'),
        (200, '{"error":["WDatabase:No change"]}'),
        (200, "<html>maintenance</html>"), (200, '{"error":[],"resu'), (200, ""), (200, "[]"), (200, '{"error":"x"}'),
        (200, '{"error":[]}'),
        (200, '{"error":[],"result":{"v":NaN}}'), (429, "slow down"), (502, "<html>"), (520, ""), (524, '{"error":[],"result":{}}'),
    ]  # fmt: skip

    async def handler(_: web.Request) -> web.Response:
        status, text = replies[handler.calls]  # type: ignore[attr-defined]
        handler.calls += 1  # type: ignore[attr-defined]
        return web.Response(status=status, text=text, content_type="application/json")

    handler.calls = 0  # type: ignore[attr-defined]

    async def test(client: KrakenClient) -> list[Any]:
        outcomes: list[Any] = []
        for _ in replies:
            try:
                outcomes.append(await client.private("AddOrder", fields(), urgent=True))
            except (Refused, Unanswered) as error:
                outcomes.append(error)
        return outcomes

    funds, beside, unavailable, warned, bare, *rest = with_server(handler, test)
    assert (funds.strings, funds.has_result) == (("EOrder:Insufficient funds",), False)
    assert beside.has_result
    assert unavailable.strings == ("EService:Unavailable",)
    assert warned == {"count": 1}
    assert bare.strings == ("WDatabase:No change",)
    assert len(rest) == 11
    assert [type(outcome) for outcome in rest] == [Unanswered] * 11


def test_a_silent_server_ends_at_the_deadline_and_the_next_call_goes_on() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("Balance"):
            await asyncio.sleep(3600)
        return await good(request)

    async def test(client: KrakenClient) -> tuple[float, Any]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(Unanswered):
            await client.private("Balance", fields(), urgent=True)
        return loop.time() - started, await client.private("OpenOrders", fields(), urgent=False)

    took, after = with_server(handler, test)
    assert took == pytest.approx(10.0, abs=0.1)
    assert after == {"ok": 1}


def test_an_order_overtakes_waiting_reads_and_cuts_a_slow_one_short() -> None:
    order: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        order.append(request.path.rpartition("/")[2])
        if request.path.endswith("Slow"):
            await asyncio.sleep(3600)
        return await good(request)

    async def test(client: KrakenClient) -> tuple[float, list[Any]]:
        loop = asyncio.get_running_loop()
        reads = [asyncio.create_task(client.private(path, fields(), urgent=False)) for path in ("Slow", "Read1", "Read2")]
        await asyncio.sleep(0.5)
        started = loop.time()
        await client.private("AddOrder", fields(), urgent=True)
        took = loop.time() - started
        return took, await asyncio.gather(*reads, return_exceptions=True)

    took, results = with_server(handler, test)
    assert order == ["Slow", "AddOrder", "Read1", "Read2"]
    assert took == pytest.approx(2.0, abs=0.1)
    assert isinstance(results[0], Unanswered)
    assert results[1:] == [{"ok": 1}, {"ok": 1}]


def test_a_call_given_up_by_its_builder_leaves_no_byte_and_frees_the_turn() -> None:
    calls: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        calls.append(request.path)
        return await good(request)

    def give_up() -> dict[str, str]:
        raise NotSent("too late")

    async def test(client: KrakenClient) -> None:
        with pytest.raises(NotSent):
            await client.private("AddOrder", give_up, urgent=True)
        await client.private("Balance", fields(), urgent=False)

    with_server(handler, test)
    assert calls == ["/0/private/Balance"]


def test_a_cancelled_caller_passes_the_turn_on() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return await good(request)

    async def test(client: KrakenClient) -> Any:
        tasks = [asyncio.create_task(client.private("Balance", fields(), urgent=False)) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        tasks[1].cancel()
        return await tasks[2]

    assert with_server(handler, test) == {"ok": 1}


def test_a_huge_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt_session, "BODY_LIMIT", 100_000)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text='{"error":[],"result":"' + "x" * 1_000_000 + '"}', content_type="application/json")

    async def test(client: KrakenClient) -> None:
        with pytest.raises(Unanswered, match="ClientPayloadError"):
            await client.public("Time", {})

    with_server(handler, test)


def test_a_refused_connection_is_unanswered() -> None:
    async def run() -> None:
        client = make_client(url="http://127.0.0.1:8799", ws_url="ws://127.0.0.1:8799", api_key=None, api_secret=None, clock=LoopClock(NOW))
        with pytest.raises(Unanswered):
            await client.public("Time", {})
        await client.close()

    run_stepped(run)


def test_private_calls_without_a_key_are_fatal() -> None:
    async def test(client: KrakenClient) -> None:
        assert not client.has_key
        with pytest.raises(FatalError):
            await client.private("Balance", fields(), urgent=False)

    with_server(good, test, api_key=None, api_secret=None)


def test_no_log_line_holds_key_secret_or_signature(caplog: pytest.LogCaptureFixture) -> None:
    signatures: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        signatures.append(request.headers["API-Sign"])
        return web.json_response({"error": ["EAPI:Invalid key"]})

    async def test(client: KrakenClient) -> str:
        with pytest.raises(Refused) as caught:
            await client.private("Balance", fields(), urgent=False)
        return repr(caught.value)

    with caplog.at_level(logging.DEBUG):
        logging.getLogger("trader.kraken.client").debug("the capture works")
        message = with_server(handler, test)
    assert len(signatures) == 1
    assert "the capture works" in caplog.text
    for secret in (KEY, SECRET, signatures[0]):
        assert secret not in caplog.text + message


def test_unusable_settings_are_refused_without_showing_the_secret() -> None:
    clock = LoopClock(NOW)
    with pytest.raises(ConfigError, match="both"):
        make_client(url=None, ws_url=None, api_key="k", api_secret=None, clock=clock)
    with pytest.raises(ConfigError, match="both addresses"):
        make_client(url="http://127.0.0.1:1", ws_url=None, api_key=None, api_secret=None, clock=clock)
    with pytest.raises(ConfigError, match="base64") as caught:
        make_client(url=None, ws_url=None, api_key="k", api_secret="hunter2!", clock=clock)
    assert "hunter2" not in str(caught.value)


def test_live_addresses_are_ccxts_own() -> None:
    async def run() -> Any:
        client = make_client(url=None, ws_url=None, api_key=None, api_secret=None, clock=LoopClock(NOW))
        return client.urls["api"], client.enableRateLimit, client.verbose

    api, throttled, verbose = run_stepped(run)
    assert (api["private"], api["ws"]["privateV2"]) == ("https://api.kraken.com", "wss://ws-auth.kraken.com/v2")
    assert (throttled, verbose) == (False, False)


def test_ccxt_neither_throttles_nor_repeats_nor_prints() -> None:
    async def run() -> tuple[Any, ...]:
        client = make_client(url=None, ws_url=None, api_key=KEY, api_secret=SECRET, clock=LoopClock(NOW))
        settings = (client.enableRateLimit, client.options["maxRetriesOnFailure"], client.verbose)
        await client.close()
        return settings

    assert run_stepped(run) == (False, 0, False)
