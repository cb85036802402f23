"""Every fault of an endpoint, seen by a bare HTTP client: what comes instead of the answer, and what the books say."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.wire.kraken_twin_harness import enter, trading
from trader.simulation.fault_catalogue import ENDPOINT, KRAKEN_ACTIONS
from trader.simulation.faults import Fault
from trader.simulation.kraken_server.wire.middleware import comes_after
from trader.simulation.loops import run_stepped

URL = "http://127.0.0.1:8701/0/public/Time"
Seen = tuple[int, bytes] | BaseException
WAIT_S = 6.0


async def ask(session: aiohttp.ClientSession, url: str = URL, *, get: bool = False) -> Seen:
    """Status and body, or what the client raised. A POST where possible, as aiohttp repeats a lost GET by itself."""
    try:
        async with (session.get if get else session.post)(url, timeout=aiohttp.ClientTimeout(total=WAIT_S)) as answer:
            return answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return error


def page(status: int) -> Callable[[Seen], bool]:
    return lambda seen: isinstance(seen, tuple) and seen[0] == status and b"<html" in seen[1] and b"cloudflare" in seen[1]


def body(check: Callable[[Any], object]) -> Callable[[Seen], object]:
    return lambda seen: isinstance(seen, tuple) and seen[0] == 200 and check(json.loads(seen[1]))


def raised(*kinds: type[BaseException]) -> Callable[[Seen], bool]:
    return lambda seen: isinstance(seen, kinds)


def unreadable(seen: Seen) -> bool:
    """A body with status 200 that no JSON parser takes."""
    try:
        return isinstance(seen, tuple) and seen[0] == 200 and not isinstance(json.loads(seen[1]), dict)
    except ValueError:
        return True


def padded(seen: Seen) -> bool:
    return isinstance(seen, tuple) and len(seen[1]) > 2_000_000 and json.loads(seen[1])["result"]["unixtime"] > 0


def fine(seen: Seen) -> bool:
    return isinstance(seen, tuple) and seen[0] == 200 and json.loads(seen[1])["error"] == []


CASES: list[tuple[str, Any, bool, Callable[[Seen], object]]] = [
    ("lost_request", None, False, raised(aiohttp.ServerDisconnectedError)),
    ("lost_response", None, False, raised(aiohttp.ServerDisconnectedError)),
    ("reset", None, False, raised(ConnectionResetError, aiohttp.ClientOSError)),
    ("reset", None, True, raised(ConnectionResetError, aiohttp.ClientOSError)),
    ("half_open", None, False, raised(TimeoutError)),
    ("half_open", None, True, raised(TimeoutError)),
    ("hang", None, False, raised(TimeoutError)),
    ("hang", None, True, raised(TimeoutError)),
    ("delay", 7.0, False, raised(TimeoutError)),
    ("delay", 3.0, True, fine),
    ("drip", 1.0, False, raised(TimeoutError)),
    ("drip", 0.01, False, fine),
    *(("http", status, after, page(status)) for status in (403, 429, 500, 502, 503, 504, 520, 522, 524) for after in (False, True)),
    ("html", None, False, page(200)),
    ("html", None, True, page(200)),
    ("error", "EService:Busy", False, body(lambda seen: seen == {"error": ["EService:Busy"]})),
    ("error", "EService:Busy", True, body(lambda seen: seen == {"error": ["EService:Busy"]})),
    ("nonce_reject", None, False, body(lambda seen: seen == {"error": ["EAPI:Invalid nonce"]})),
    ("warning", "WDatabase:No change", False, body(lambda seen: seen["error"] == ["WDatabase:No change"] and seen["result"]["unixtime"])),
    ("txid_beside_error", "EService:Busy", False, body(lambda seen: seen["error"] == ["EService:Busy"] and seen["result"]["unixtime"])),
    ("cut_json", None, False, unreadable),
    ("malformed", None, False, unreadable),
    ("malformed", "json", False, unreadable),
    ("malformed", "envelope", False, unreadable),
    ("malformed", "empty", False, lambda seen: isinstance(seen, tuple) and seen == (200, b"")),
    ("malformed", "bytes", False, lambda seen: isinstance(seen, tuple) and b"\xff\xfe" in seen[1]),
    ("malformed", "deep", False, lambda seen: isinstance(seen, tuple) and b"[" * 100_000 in seen[1]),
    ("malformed", "null", False, body(lambda seen: seen == {"error": [], "result": None})),
    ("malformed", "types", False, body(lambda seen: seen["error"] == "[]" and isinstance(seen["result"]["unixtime"], str))),
    ("huge", 2, False, padded),
    ("gzip_bomb", 2, False, padded),
    ("rename", {"from": "unixtime", "to": "time"}, False, body(lambda seen: "time" in seen["result"] and "unixtime" not in seen["result"])),
    ("drop_field", "result.unixtime", False, body(lambda seen: list(seen["result"]) == ["rfc1123"])),
    ("hold_reply", None, False, raised(TimeoutError)),
]  # fmt: skip


def test_each_fault_of_an_endpoint_is_seen_once_and_the_next_call_is_served() -> None:
    async def main() -> None:
        async with trading() as (twin, _), aiohttp.ClientSession() as session:
            for action, arg, after, expected in CASES:
                twin.inject(Fault(where="Time", action=action, arg=arg, after=after, nth=(1,)))
                seen = await ask(session)
                assert expected(seen), (action, arg, after, seen)
                assert fine(await ask(session)), (action, arg, after)
                twin.middleware.release()
                await twin.clear_faults()
            assert twin.plan.missed == {}

    run_stepped(main)


def test_no_action_of_an_endpoint_is_left_out() -> None:
    wanted = {name for name, action in KRAKEN_ACTIONS.items() if ENDPOINT in action.at}
    assert len(wanted) >= 20
    assert {case[0] for case in CASES} == wanted


FUTURES = "http://127.0.0.1:8701/derivatives/api/v3/tickers"


def test_each_fault_of_an_endpoint_works_at_the_futures_door_too() -> None:
    """`delay` of three seconds and a slow drip change nothing but the time; everything else is seen in the answer."""
    args: dict[str, Any] = {"rename": {"from": "tickers", "to": "rows"}, "drop_field": "tickers"}
    tried = {(action, after): args.get(action, arg) for action, arg, after, _ in CASES if action != "drip"}

    async def main() -> None:
        async with trading() as (twin, _), aiohttp.ClientSession() as session:
            calm = await ask(session, FUTURES, get=True)
            assert isinstance(calm, tuple)
            assert json.loads(calm[1])["result"] == "success"
            for (action, after), arg in tried.items():
                twin.inject(Fault(where="futures:tickers", action=action, arg=arg, after=after))
                seen = await ask(session, FUTURES, get=True)
                late = isinstance(seen, tuple) and action == "delay"
                assert (
                    late or not isinstance(seen, tuple) or (seen[0], b'"serverTime"' in seen[1], len(seen[1])) != (200, True, len(calm[1]))
                )
                assert twin.plan.fired[f"futures:tickers:{action}"] >= 1
                twin.middleware.release()
                await twin.clear_faults()
            again = await ask(session, FUTURES, get=True)
            assert isinstance(again, tuple)
            assert json.loads(again[1])["result"] == "success"

    run_stepped(main)
    assert len(tried) >= 25


@pytest.mark.parametrize("action", sorted(name for name, one in KRAKEN_ACTIONS.items() if ENDPOINT in one.at))
def test_before_the_effect_nothing_is_placed_and_after_it_one_order_is(action: str) -> None:
    arg = next(arg for name, arg, *_ in CASES if name == action)
    arg = {"from": "txid", "to": "ids"} if action == "rename" else "result.txid" if action == "drop_field" else arg
    kind = KRAKEN_ACTIONS[action]

    async def main() -> None:
        async with trading() as (twin, exchange):
            exchange.timeout = int(WAIT_S * 1000)
            for after in [side for side in (False, True) if (side and kind.after) or (not side and kind.before)]:
                fault = Fault(where="AddOrder", action=action, arg=arg, after=after, nth=(1,))
                twin.inject(fault)
                before = len(twin.exchange.state.orders)
                with contextlib.suppress(Exception):  # what a client makes of it is the client's business
                    async with asyncio.timeout(WAIT_S):
                        await enter(exchange, number=2 if after else 1)
                await asyncio.sleep(2)  # a delayed request takes effect though nobody waits for it any more
                placed = len(twin.exchange.state.orders) - before
                assert (placed > 0) == (comes_after(fault) or action == "delay"), (action, after)
                assert set(twin.middleware.writes.of("AddOrder").values()) == {1}
                await twin.clear_faults()

    run_stepped(main)


def test_a_reset_is_a_reset_and_a_loss_is_an_end_on_real_sockets_too() -> None:
    async def main() -> list[str]:
        async with trading(port=0) as (twin, exchange):
            port = int(exchange.urls["api"]["public"].rpartition(":")[2])
            seen = []
            for action in ("reset", "lost_response"):
                twin.inject(Fault(where="Time", action=action, nth=(1,)))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /0/public/Time HTTP/1.1\r\nHost: twin\r\n\r\n")
                try:
                    seen.append(f"{action}: {await reader.read()!r}")
                except ConnectionResetError:
                    seen.append(f"{action}: reset")
                writer.close()
                await twin.clear_faults()
            return seen

    assert asyncio.run(main()) == ["reset: reset", "lost_response: b''"]


def test_a_half_open_connection_reads_nothing_more() -> None:
    async def main() -> None:
        async with trading() as (twin, _):
            twin.inject(Fault(where="Time", action="half_open", nth=(1,)))
            reader, writer = await asyncio.open_connection("127.0.0.1", 8701)
            request = b"GET /0/public/Time HTTP/1.1\r\nHost: twin\r\n\r\n"
            for _ in range(2):
                writer.write(request)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(5):
                        await reader.read(1)
            assert twin.middleware.counters["Time"] == 1
            writer.close()

    run_stepped(main)
