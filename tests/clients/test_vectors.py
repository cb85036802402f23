"""Requests made by others, sent as they are: the signature vectors of KRAKEN.md section 4, and every request ccxt is recorded to send."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.clients.recorded import load
from tests.clients.still_market import StillMarket
from trader.simulation.clock import LoopClock
from trader.simulation.faults import FaultPlan
from trader.simulation.kraken_server.app import KrakenTwin
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = "1616492376594"
BODY = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
PATH = "/0/private/AddOrder"
MARKET = StillMarket(
    {"BTC/USD": (40_000.0, 1), "LTC/USD": (70.0, 2), "LTC/USDT": (70.0, 5), "BTC/USDT": (40_000.0, 1), "ETH/USDT": (2_500.0, 2),
     "DOGE/USD": (0.1, 6), "PEPE/USD": (0.00001, 9)}
)  # fmt: skip


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[KrakenTwin, aiohttp.ClientSession, str]]:
    """A twin that lists the vectors' pairs, its account full of all they trade, and a plain HTTP client."""
    twin = KrakenTwin(
        MARKET, LoopClock(EPOCH_US), state_dir=None, plan=FaultPlan(()), api_key="k", api_secret=SECRET, seed=1, tag="abc",
        starting_cash=Decimal(100_000),
    )  # fmt: skip
    twin.exchange.state.balances |= {asset: Decimal(1_000) for asset in ("BTC", "LTC", "USDT")}
    port = await twin.start("127.0.0.1", 8701)
    try:
        async with aiohttp.ClientSession() as session:
            yield twin, session, f"http://127.0.0.1:{port}"
    finally:
        await twin.close()


def sign(path: str, nonce: str, body: str) -> str:
    """API-Sign as Kraken documents it, written here once more so that the twin is not its own judge."""
    digest = hashlib.sha256((nonce + body).encode()).digest()
    return base64.b64encode(hmac.new(base64.b64decode(SECRET), path.encode() + digest, hashlib.sha512).digest()).decode()


async def post(session: aiohttp.ClientSession, url: str, body: str, signature: str, path: str = PATH) -> dict[str, Any]:
    """A signed form; the answer as it came."""
    headers = {"API-Key": "k", "API-Sign": signature, "Content-Type": "application/x-www-form-urlencoded"}
    async with session.post(url + path, data=body.encode(), headers=headers) as answer:
        return dict(await answer.json(content_type=None))


BAD = "EAPI:Invalid signature"
CHANGED = {
    "as documented": (BODY, SIGNATURE, None),
    "a digit of the volume": (BODY.replace("1.25", "1.26"), SIGNATURE, BAD),
    "two fields changed places": (BODY.replace("ordertype=limit&pair=XBTUSD", "pair=XBTUSD&ordertype=limit"), SIGNATURE, BAD),
    "a digit of the nonce": (BODY.replace("1616492376594", "1616492376595"), SIGNATURE, BAD),
    "a letter of the signature": (BODY, "5" + SIGNATURE[1:], BAD),
    "no signature": (BODY, "", BAD),
}  # fmt: skip


@pytest.mark.parametrize("changed", CHANGED)
def test_the_signature_of_kraken_s_own_example_is_taken_and_no_other(changed: str) -> None:
    body, signature, error = CHANGED[changed]

    async def run() -> None:
        async with serving() as (twin, session, url):
            answer = await post(session, url, body, signature)
            if error is None:
                assert answer["result"]["descr"]["order"] == "buy 1.25000000 XBTUSD @ limit 37500.0"
            else:
                assert answer["error"] == [error]
            assert len(twin.exchange.open_orders()) == (error is None)

    run_stepped(run)


# --- what ccxt sends ----------------------------------------------------------------------------------------------------
NO_POSITION = "EOrder:Reduce only:No position exists"
STATE = {"reduce_only=true": NO_POSITION, "txid=OF7S76-H2IMS-N2ML4U": "EOrder:Unknown order"}
"""Part of a request -> the refusal that says it was understood: the account has no margin position, and no order of that id."""


def vectors(exchange: str) -> list[dict[str, Any]]:
    return [vector for vector in load("ccxt/requests.json")["vectors"] if vector["exchange"] == exchange]


def test_every_spot_request_of_ccxt_is_understood() -> None:
    """The very bodies, with our nonce in front and our signature; the answers, request by request."""
    wanted = vectors("kraken")
    assert len(wanted) == 17
    answers: list[tuple[str, list[str]]] = []

    async def run() -> None:
        async with serving() as (twin, session, url):
            for number, vector in enumerate(wanted, start=1):
                path, body = vector["path"], "&".join(filter(None, (f"nonce={number}", vector["body"])))
                if vector["verb"] == "GET":
                    async with session.get(f"{url}{path}?{vector['query']}") as reply:
                        answer = await reply.json(content_type=None)
                else:
                    answer = await post(session, url, body, sign(path, str(number), body), path)
                answers.append((vector["body"] or vector["query"], answer["error"]))
            assert len(twin.exchange.state.orders) == 6

    run_stepped(run)
    for sent, errors in answers:
        refusal = next((error for part, error in STATE.items() if part in sent), None)
        assert errors == ([] if refusal is None else [refusal]), sent
    assert sum(bool(errors) for _, errors in answers) == 5


def test_a_request_that_is_not_understood_would_be_seen() -> None:
    async def run() -> None:
        async with serving() as (_, session, url):
            body = "nonce=1&pair=LTCUSDT&type=buy&ordertype=teleport&volume=0.1"
            answer = await post(session, url, body, sign(PATH, "1", body))
            assert answer["error"] == ["EGeneral:Invalid arguments:ordertype"]

    run_stepped(run)
