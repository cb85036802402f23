"""Orders looked up by many at once: one request takes all along, and nobody is told what was not asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from desk_kit import House, in_house
from interleave_kit import Wrapped

from trader.domain.orders import Leg, RemoteOrder
from trader.errors import AuthError, RetryableError
from trader.execution.lookups import Lookups

UNKNOWN = "OAAAAA-AAAAA-AAAAAA"


class Counted(Wrapped):
    """The venue behind a gate: what each request asked for, and what the next ones raise."""

    def __init__(self, house: House) -> None:
        super().__init__(house.world.exchange)
        self.asked: list[tuple[str, ...]] = []
        self.gate = asyncio.Event()
        self.raises: list[Exception] = []

    async def orders(self, txids: Sequence[str]) -> Sequence[RemoteOrder]:
        self.asked.append(tuple(txids))
        await self.gate.wait()
        if self.raises:
            raise self.raises.pop(0)
        found: Sequence[RemoteOrder] = await self.real.orders(txids)
        return found


def looked_up(test: Callable[[Lookups, Counted, str, str], Awaitable[None]]) -> None:
    """With two orders of the venue: an entry and its stop."""

    async def run(house: House) -> None:
        await house.bought()
        entry, stop = (house.intents(leg)[0].txid for leg in (Leg.ENTRY, Leg.STOP))
        assert entry is not None and stop is not None
        venue = Counted(house)
        await test(Lookups(venue), venue, entry, stop)  # type: ignore[arg-type]

    in_house(run)


def asking(lookups: Lookups, *txids: str) -> list[asyncio.Task[RemoteOrder | None]]:
    return [asyncio.create_task(lookups.order(txid)) for txid in txids]


def test_who_comes_while_a_request_is_under_way_goes_with_the_next() -> None:
    async def test(lookups: Lookups, venue: Counted, entry: str, stop: str) -> None:
        first = asking(lookups, entry)
        await asyncio.sleep(1)
        others = asking(lookups, stop, entry, stop, UNKNOWN)  # `entry`, too: the request under way may have been answered before
        await asyncio.sleep(1)
        venue.gate.set()
        found = await asyncio.gather(*first, *others)
        assert [order and order.txid for order in found] == [entry, stop, entry, stop, None]
        assert venue.asked[:2] == [(entry,), (stop, entry, UNKNOWN)]

    looked_up(test)


def test_a_failed_request_is_unknown_to_all_it_was_made_for_and_to_nobody_else() -> None:
    async def test(lookups: Lookups, venue: Counted, entry: str, stop: str) -> None:
        venue.raises = [RetryableError("nothing came"), RetryableError("again nothing")]
        first = asking(lookups, entry)
        await asyncio.sleep(1)
        pair = asking(lookups, entry, stop)
        await asyncio.sleep(1)
        venue.gate.set()
        failed = await asyncio.gather(*first, *pair, return_exceptions=True)
        assert [str(one) for one in failed] == ["nothing came", "again nothing", "again nothing"]
        order = await lookups.order(stop)
        assert order is not None and order.txid == stop

    looked_up(test)


@pytest.mark.parametrize("ends", ["cancelled", "fatal"])
def test_whose_request_never_ends_leaves_the_others_to_ask_for_themselves(ends: str) -> None:
    async def test(lookups: Lookups, venue: Counted, entry: str, stop: str) -> None:
        (leader,) = asking(lookups, entry)
        await asyncio.sleep(1)
        others = asking(lookups, stop, entry)
        await asyncio.sleep(1)
        if ends == "cancelled":
            leader.cancel()
        else:
            venue.raises = [AuthError("refused")]
        venue.gate.set()
        failure = (await asyncio.gather(leader, return_exceptions=True))[0]
        assert isinstance(failure, asyncio.CancelledError if ends == "cancelled" else AuthError)
        found = await asyncio.gather(*others)
        assert [order and order.txid for order in found] == [stop, entry]
        assert set(venue.asked[1]) == {entry, stop}

    looked_up(test)
