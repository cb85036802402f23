"""API keys at the twin's door: permissions by table, nonces per key, windows, bans, expiry; the options of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from tests.wire.kraken_rest import Rest
from tests.wire.kraken_twin_harness import KEY, SECRET, trading
from trader.bootstrap.twins import keys_of
from trader.errors import ConfigError
from trader.simulation.clock import LoopClock
from trader.simulation.kraken_server.spot.keyring import NEEDS, PERMISSIONS, TRADING, ApiKey
from trader.simulation.kraken_server.spot.limits import LimitRules
from trader.simulation.loops import run_stepped
from trader.simulation.market import EPOCH_US

OTHER = "b3RoZXIgc2VjcmV0"
MAIN = ApiKey(key=KEY, secret=SECRET)


def test_every_private_endpoint_asks_for_its_permission_and_any_one_of_them_suffices() -> None:
    keys = [MAIN, *(ApiKey(key=word, secret=OTHER, permissions=(word,)) for word in PERMISSIONS)]

    async def main() -> None:
        async with trading(keys=keys, api_key="", api_secret="") as (twin, _), aiohttp.ClientSession() as session:
            served = [name for name in NEEDS if name in twin.places]
            assert len(served) >= 15
            for word in PERMISSIONS:
                rest = Rest(session, key=word, secret=OTHER)
                denied = [name for name in served if (await rest.private(name))[0] == ["EGeneral:Permission denied"]]
                assert denied == [name for name in served if NEEDS[name] and word not in NEEDS[name]], word

    run_stepped(main)


def test_no_private_endpoint_lacks_a_row_in_the_permission_table() -> None:
    async def main() -> None:
        async with trading() as (twin, _):
            assert len(twin._private) >= 20
            assert [name for name in twin._private if name not in NEEDS] == []

    run_stepped(main)


def test_keys_of_one_account_see_the_same_orders_and_count_their_nonces_apart() -> None:
    second = ApiKey(key="second", secret=OTHER)

    async def main() -> None:
        async with trading(keys=[MAIN, second], api_key="", api_secret="") as (_, exchange), aiohttp.ClientSession() as session:
            other = Rest(session, key="second", secret=OTHER)
            order = await exchange.create_order("ETH/EUR", "limit", "buy", 0.1, 100)
            assert list((await other.must("OpenOrders", nonce=5))["open"]) == [order["id"]]
            assert (await other.private("Balance", nonce=5))[0] == ["EAPI:Invalid nonce"]
            assert await exchange.fetch_balance()
            info = await other.must("GetApiKeyInfo", nonce=6)
            assert (info["apiKey"], info["permissions"], info["nonceWindow"], info["nonce"]) == ("second", list(TRADING), 0, "6")
            for wrong in (Rest(session, key="second"), Rest(session, secret=OTHER)):
                assert (await wrong.private("Balance"))[0] == ["EAPI:Invalid signature"]
            assert (await Rest(session, key="third").private("Balance"))[0] == ["EAPI:Invalid key"]

    run_stepped(main)


def test_a_nonce_window_takes_late_nonces_once_and_not_after_a_restart(tmp_path: Path) -> None:
    key = ApiKey(key="wide", secret=OTHER, nonce_window=10)
    steps = [(100, True), (95, True), (95, False), (100, False), (90, True), (89, False), (105, True), (94, False), (96, True)]

    async def main() -> None:
        clock = LoopClock(EPOCH_US)
        options = {"keys": [MAIN, key], "api_key": "", "api_secret": "", "state_dir": tmp_path, "clock": clock}
        async with trading(**options) as _, aiohttp.ClientSession() as session:  # type: ignore[arg-type]
            rest = Rest(session, key="wide", secret=OTHER)
            for nonce, good in steps:
                assert (await rest.private("Balance", nonce=nonce))[0] == ([] if good else ["EAPI:Invalid nonce"]), nonce
        async with trading(port=8702, **options) as _, aiohttp.ClientSession() as session:  # type: ignore[arg-type]
            rest = Rest(session, 8702, key="wide", secret=OTHER)
            for nonce, good in [(97, False), (105, False), (106, True), (105, False)]:
                assert (await rest.private("Balance", nonce=nonce))[0] == ([] if good else ["EAPI:Invalid nonce"]), nonce

    run_stepped(main)


def test_many_bad_nonces_shut_a_key_out_for_a_while() -> None:
    async def main() -> None:
        async with trading(limits=LimitRules(nonce_ban_after=3)) as (twin, _), aiohttp.ClientSession() as session:
            rest = Rest(session)
            answers = [(await rest.private("Balance", nonce=nonce))[0] for nonce in (9, 9, 9, "x", 10)]
            assert answers == [[], *[["EAPI:Invalid nonce"]] * 3, ["EGeneral:Temporary lockout"]]
            await twin.clock.sleep(901)
            assert (await rest.private("Balance", nonce=11))[0] == []

    run_stepped(main)


def test_an_expired_key_is_no_key() -> None:
    key = ApiKey(key="brief", secret=OTHER, valid_until_us=EPOCH_US + 60_000_000)

    async def main() -> None:
        async with trading(keys=[MAIN, key], api_key="", api_secret="") as (twin, _), aiohttp.ClientSession() as session:
            rest = Rest(session, key="brief", secret=OTHER)
            assert (await rest.private("Balance"))[0] == []
            await twin.clock.sleep(61)
            assert (await rest.private("Balance"))[0] == ["EAPI:Invalid key"]

    run_stepped(main)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_signature_covers_the_bytes_as_sent(as_json: bool) -> None:
    async def main() -> None:
        async with trading() as _, aiohttp.ClientSession() as session:
            rest = Rest(session)
            assert (await rest.private("TradeBalance", as_json=as_json, asset="ZEUR"))[0] == []
            body = json.dumps({"nonce": 10**15}) if as_json else f"nonce={10**15}"
            headers = {"API-Key": KEY, "API-Sign": "AAAA", "Content-Type": "application/json" if as_json else "text/plain"}
            async with session.post("http://127.0.0.1:8701/0/private/Balance", data=body, headers=headers) as answer:
                assert await answer.json() == {"error": ["EAPI:Invalid signature"]}

    run_stepped(main)


def test_the_kth_secret_and_rights_belong_to_the_kth_key() -> None:
    first, second = keys_of(["a", "b"], [SECRET, OTHER], ["query-funds, query-ledger"])
    assert (first.key, first.secret, first.permissions) == ("a", SECRET, ("query-funds", "query-ledger"))
    assert (second.key, second.secret, second.permissions) == ("b", OTHER, TRADING)
    assert [key.key for key in keys_of([], [], [])] == ["demo-key"]
    assert SECRET not in repr(first)


@pytest.mark.parametrize(
    ("names", "secrets", "rights", "told"),
    [
        (["a"], [], [], r"--api-key is given 1 times and --api-secret 0"),
        ([], [SECRET], [], r"--api-secret 1"),
        (["a"], ["not base64!"], [], r"--api-secret.*secret of api key 'a' is not base64"),
        (["a"], [SECRET], ["fly"], r"--key-rights.*'fly' is not known; allowed are query-funds"),
        (["a"], [SECRET], ["query-funds", "query-funds"], r"--key-rights is given 2 times for 1"),
        ([""], [SECRET], [], r"must not be empty"),
    ],
)
def test_keys_that_make_no_sense_are_refused_by_option(names: list[str], secrets: list[str], rights: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        keys_of(names, secrets, rights)


def test_a_key_given_twice_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="given twice"):
            async with trading(keys=[MAIN, MAIN], api_key="", api_secret=""):
                pass

    run_stepped(main)
