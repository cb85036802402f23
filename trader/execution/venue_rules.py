"""The venue's rules of its pairs while a session runs: read anew each hour, and which pairs its refusals take out of the running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from trader.domain.market import MINUTE, SECOND, Instrument
from trader.domain.orders import Rejected
from trader.errors import RejectedError, RetryableError
from trader.execution.wiring import Wiring
from trader.ports import Clock, Exchange

EVERY_US = 60 * MINUTE
TOO_OLD_US = 24 * 60 * MINUTE
ONLINE, DELISTED = "online", "delisted"
STATUS_S = 0.5  # a status that takes longer is unknown
SHUT_S = 5.0  # what was read to take no exit is not read before: every trade may touch a target
SIZES_REFUSED = 2  # in a row: our idea of the pair's steps and minimums is wrong


async def too_small(exchange: Exchange, known: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether the venue takes no order of this size, by rules read just now: what is known may be a minimum that came down since, and
    a holding that is written off stays without a stop. Not told, nothing is too small: the attempt will show."""
    if known.tradable(quantity, price):
        return False
    try:
        fresh = (await exchange.instruments()).get(known.pair)
    except (RetryableError, RejectedError):
        return False
    return fresh is not None and not fresh.tradable(quantity, price)


class Minimums:
    """Whether a holding is below what the venue takes. Our rules may hold a minimum that has come down since, and a way out does not wait
    an hour for them: they are read again, at most every few seconds."""

    def __init__(self, exchange: Callable[[], Exchange], known: Mapping[str, Instrument], clock: Clock) -> None:
        self._exchange, self._known, self._clock = exchange, known, clock
        self._fresh: Mapping[str, Instrument] = {}
        self._due_us = 0

    async def bar(self, pair: str, quantity: Decimal) -> bool:
        """Whether an order of this size would be refused. Where nobody tells, the word we have stands: its stop stays."""
        rules = self._known.get(pair)
        if rules is not None and quantity >= rules.order_min:
            return False
        if self._clock.now_us() >= self._due_us:
            self._due_us = self._clock.now_us() + int(SHUT_S * SECOND)
            try:
                self._fresh = await self._exchange().instruments()
            except (RetryableError, RejectedError):
                self._fresh = {}
        fresh = self._fresh.get(pair)
        return fresh is None or quantity < fresh.order_min


class Openness:
    """Whether the venue would take an exit now. In any other mode a stop that is cancelled for it could not be put back."""

    def __init__(self, exchange: Callable[[], Exchange], known: Mapping[str, Instrument]) -> None:
        self._exchange, self._known = exchange, known
        self._shut_until: dict[str, float] = {}  # pair -> loop time

    async def venue(self, pair: str) -> bool:
        """Of the venue as a whole, and of the pair."""
        try:
            async with asyncio.timeout(STATUS_S):
                if await self._exchange().system_status() != ONLINE:
                    return False
        except (RetryableError, RejectedError, TimeoutError):
            pass  # unknown: an exit waits for no status
        return await self.pair(pair)

    async def pair(self, pair: str) -> bool:
        """As the stream told it last; where that is no, the rules are read again, as the stream may have missed the end of it. A pair
        that is not listed any more has no stop to lose."""
        rules = self._known.get(pair)
        if rules is None or rules.status == ONLINE:
            return True
        time = asyncio.get_running_loop().time
        if time() < self._shut_until.get(pair, 0.0):
            return False
        try:
            fresh = (await self._exchange().instruments()).get(pair)
            open_ = fresh is None or fresh.status == ONLINE
        except (RetryableError, RejectedError):
            open_ = False
        if not open_:
            self._shut_until[pair] = time() + SHUT_S
        return open_


class VenueRules:
    """Keeps `wiring.instruments` as the venue tells them. `suspended`: pairs that enter nothing more in this session -> why."""

    def __init__(self, wiring: Wiring) -> None:
        self.w = wiring
        self.suspended: dict[str, str] = {}
        self._read_us = self._due_us = wiring.clock.now_us()
        self._due_us += EVERY_US
        self._refused: dict[str, int] = {}
        self._told: dict[str, str] = {}  # modes that the stream told since the rules were last asked for

    @property
    def too_old(self) -> bool:
        """Whether the rules are older than entries may be made by."""
        return self.w.clock.now_us() - self._read_us > TOO_OLD_US

    async def refresh(self) -> None:
        """Read them where that is due. A pair that is no longer listed keeps its steps, for what is held of it, and enters nothing. What
        the stream tells while they are under way is newer than their answer may be."""
        now = self.w.clock.now_us()
        if now < self._due_us:
            return
        self._told.clear()
        try:
            fresh = await self.w.exchange.instruments()
        except (RetryableError, RejectedError) as error:
            self.w.ledger.note("rules.unread", {"error": str(error)}, now)
            return
        known = self.w.instruments
        gone = {pair: replace(rules, status=DELISTED) for pair, rules in known.items() if pair not in fresh}
        known.update({**gone, **fresh})
        known.update({pair: replace(known[pair], status=status) for pair, status in self._told.items()})
        self._read_us, self._due_us = now, now + EVERY_US

    def told(self, pair: str, status: str) -> None:
        """The stream says what a pair lets through from now on; journalled where it is held, as all pairs may change at once."""
        rules = self.w.instruments.get(pair)
        if rules is None or rules.status == status:
            return
        self.w.instruments[pair] = replace(rules, status=status)
        self._told[pair] = status
        if any(position.pair == pair for position in self.w.ledger.positions()):
            self.w.ledger.note("pair.status", {"pair": pair, "status": status}, self.w.clock.now_us())

    def refused(self, pair: str, answer: Rejected) -> None:
        """An entry was refused: for its size or price, twice in a row, or as an order that nobody should send: the pair is out."""
        self._refused[pair] = self._refused.get(pair, 0) + 1 if answer.kind == "size" else 0
        if answer.kind == "size":
            self._due_us = 0
        if answer.kind == "bug" or self._refused[pair] >= SIZES_REFUSED:
            self.suspended[pair] = f"the venue refused: {answer.message}"
            self.w.ledger.note("pair.suspended", {"pair": pair, "why": answer.message}, self.w.clock.now_us())

    def taken(self, pair: str) -> None:
        """An entry was acknowledged."""
        self._refused.pop(pair, None)
