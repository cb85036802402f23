"""The venue's rules of its pairs while a session runs: read anew each hour, and which pairs its refusals take out of the running."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trader.domain.market import MINUTE, Instrument
from trader.domain.orders import Rejected
from trader.errors import RejectedError, RetryableError
from trader.execution.wiring import Wiring
from trader.ports import Exchange

EVERY_US = 60 * MINUTE
TOO_OLD_US = 24 * 60 * MINUTE
DELISTED = "delisted"
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


class VenueRules:
    """Keeps `wiring.instruments` as the venue tells them. `suspended`: pairs that enter nothing more in this session -> why."""

    def __init__(self, wiring: Wiring) -> None:
        self.w = wiring
        self.suspended: dict[str, str] = {}
        self._read_us = self._due_us = wiring.clock.now_us()
        self._due_us += EVERY_US
        self._refused: dict[str, int] = {}

    @property
    def too_old(self) -> bool:
        """Whether the rules are older than entries may be made by."""
        return self.w.clock.now_us() - self._read_us > TOO_OLD_US

    async def refresh(self) -> None:
        """Read them where that is due. A pair that is no longer listed keeps its steps, for what is held of it, and enters nothing."""
        now = self.w.clock.now_us()
        if now < self._due_us:
            return
        try:
            fresh = await self.w.exchange.instruments()
        except (RetryableError, RejectedError) as error:
            self.w.ledger.note("rules.unread", {"error": str(error)}, now)
            return
        known = self.w.instruments
        gone = {pair: replace(rules, status=DELISTED) for pair, rules in known.items() if pair not in fresh}
        known.update({**gone, **fresh})
        self._read_us, self._due_us = now, now + EVERY_US

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
