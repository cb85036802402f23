"""The futures client: Kraken's own signature vectors, its words out of any body, and ccxt's traps refused."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
import pytest

from trader.errors import ConfigError, RejectedError
from trader.kraken.futures_client import KrakenFuturesClient, make_futures_client
from trader.kraken.futures_transport import WrongMethod
from trader.kraken.transport import Refused, Unanswered
from trader.simulation.clock import LoopClock

SECRET = "7zxMEF5p/Z8l2p2U7Ghv6x14Af+Fx+92tPgUdVQ748FOIrEoT9bgT+bTRfXc5pz8na+hL/QdrCVG7bh9KpT0eMTm"
MARKET = {
    "id": "PF_XBTUSD", "symbol": "BTC/USD:USD", "base": "BTC", "quote": "USD", "settle": "USD", "type": "swap", "swap": True,
    "linear": True, "contract": True, "precision": {"amount": 0.0001, "price": 1.0}, "limits": {},
}  # fmt: skip


def client() -> KrakenFuturesClient:
    made = make_futures_client(url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", api_key="k", api_secret=SECRET, clock=LoopClock(0))
    made.markets = {"BTC/USD:USD": MARKET}
    return made


def made(build: Any) -> Any:
    """Run something that needs a loop, as ccxt's classes do."""

    async def run() -> Any:
        return build(client())

    return asyncio.run(run())


def test_the_challenge_is_signed_as_kraken_documents_it() -> None:
    signed = made(lambda c: c.signed("c100b894-1729-464d-ace1-52dbce11db42"))
    assert signed["signed_challenge"] == "4JEpF3ix66GA2B+ooK128Ift4XQVtc137N9yeg4Kqsn9PI0Kpzbysl9M1IeCEdjg0zl00wkVqcsnG4bmnlMb3A=="
    assert signed["api_key"] == "k"


def test_addresses_are_those_of_the_other_server() -> None:
    urls = made(lambda c: c.urls["api"])
    assert urls["private"] == "http://127.0.0.1:1/derivatives/api/"
    assert (urls["charts"], urls["history"], urls["ws"]) == (
        "http://127.0.0.1:1/api/charts/", "http://127.0.0.1:1/api/history/", "ws://127.0.0.1:1/ws/v1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "response", "expected"),
    [
        (200, {"result": "success"}, None), (200, {"candles": []}, None), (200, {"elements": []}, None),
        (200, {"result": "error", "error": "authenticationError"}, Refused),
        (500, {"errors": [{"code": 92, "message": "INSUFFICIENT_MARGIN"}]}, Refused), (200, {"result": "error"}, Unanswered),
        (500, {"result": "success"}, Unanswered), (429, None, Unanswered), (200, None, Unanswered), (200, [], Unanswered),
        (405, None, WrongMethod),
    ],
)  # fmt: skip
def test_a_body_is_judged_by_kraken_s_words(code: int, response: Any, expected: type[Exception] | None) -> None:
    def judge(c: KrakenFuturesClient) -> Any:
        return c.handle_errors(code, "", "", "GET", {}, "", response, None, None)

    if expected is None:
        assert made(judge) is None
        return
    with pytest.raises(expected):
        made(judge)


@pytest.mark.parametrize(
    "params", [{"trailingPercent": 1}, {"trailingAmount": 5}, {"timeInForce": "IOC"}, {"timeInForce": "FOK"}, {"timeInForce": "GTD"}]
)
def test_what_ccxt_sends_as_another_order_is_refused(params: dict[str, Any]) -> None:
    def request(c: Any) -> Any:
        kind = "market" if "trailing" in str(params) else "limit"
        return c.create_order_request("BTC/USD:USD", kind, "sell", 0.01, None if kind == "market" else 60_000, params)

    with pytest.raises(RejectedError):
        made(request)

    async def plain() -> Any:
        exchange = ccxt.pro.krakenfutures()
        exchange.markets = {"BTC/USD:USD": MARKET}
        return request(exchange)["orderType"]

    assert asyncio.run(plain()) in ("mkt", "lmt")  # the trap: neither a trailing stop nor an immediate order


def test_what_ccxt_maps_right_passes() -> None:
    request = made(lambda c: c.create_order_request("BTC/USD:USD", "limit", "buy", 0.01, 60_000, {"timeInForce": "ioc"}))
    assert request["orderType"] == "ioc"


@pytest.mark.parametrize(
    "changes", [{"api_secret": "not base64!"}, {"api_key": None}, {"ws_url": None}], ids=["secret", "half a key", "half an address"]
)
def test_unusable_settings_are_named(changes: dict[str, Any]) -> None:
    fields = {"url": "http://x", "ws_url": "ws://x", "api_key": "k", "api_secret": SECRET, "clock": LoopClock(0)}
    with pytest.raises(ConfigError):
        make_futures_client(**(fields | changes))
