"""Kraken's REST API behind limiter, classifier and retries: reads raise trader.errors, order calls return values."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from trader.domain.market import Instrument
from trader.domain.orders import Ambiguous, Rejected
from trader.errors import AuthError, RetryableError
from trader.kraken import instruments, outcomes
from trader.kraken.limits import Limiter
from trader.kraken.outcomes import Class
from trader.kraken.sending import limited, sent_once
from trader.kraken.tariff import PUBLIC_KINDS, Kind
from trader.kraken.transport import NotSent, Refused, Transport, Unanswered
from trader.kraken.venue_rest import VenueRest, read_answer, retrying
from trader.ports import Clock, Rng

T = TypeVar("T")
NONCE_STRIKES = 3  # refused nonces in a row that mean another user of the key
log = logging.getLogger(__name__)


class Rest(VenueRest):
    """One key's REST calls, and the names of the venue once they are loaded."""

    def __init__(self, transport: Transport, clock: Clock, *, rng: Rng | None = None, limiter: Limiter | None = None) -> None:
        super().__init__(clock, rng)
        self.transport = transport
        self.limiter = limiter if limiter is not None else Limiter(clock)
        self.names = instruments.Names()
        self._nonce_strikes = 0

    # --- names ----------------------------------------------------------------------------------------------------------
    async def load(self) -> Mapping[str, Instrument]:
        """Read Assets, then AssetPairs, and replace names and rules."""
        assets = await self.public("Assets", read=instruments.read_assets)
        self.names, self.instruments = await self.public("AssetPairs", read=lambda result: instruments.read_pairs(result, assets))
        if not self.instruments:
            raise RetryableError("AssetPairs lists no pair")
        return self.instruments

    async def named(self) -> instruments.Names:
        """Names, loaded at the first call."""
        await self._load_first()
        return self.names

    async def pair_id(self, pair: str) -> str:
        """The id of a pair; an unknown one is looked for once more, as it may be newly listed. Raises RejectedError."""
        return await self._id_of(pair, lambda: self.names.pair_id(pair))

    # --- reads ----------------------------------------------------------------------------------------------------------
    async def public(self, path: str, params: Mapping[str, str] | None = None, *, read: Callable[[Any], T], background: bool = False) -> T:
        """A public GET; `read` turns the result into a value and may raise ValueError (KeyError, ...) for a malformed one.

        `background`: every other public call goes first. What orders wait for never waits for candles.
        """

        async def once() -> T:
            async with self.limiter.turn(PUBLIC_KINDS.get(path, Kind.PUBLIC), background=background):
                result = await self._errors(self.transport.public(path, params or {}))
            return read_answer(path, read, result)

        return await retrying(once, self.rng)

    async def private(
        self, path: str, params: Mapping[str, str] | None = None, *, read: Callable[[Any], T], kind: Kind = Kind.READ, reserve: bool = True
    ) -> T:
        """A private read. `reserve`: it may be about an exit, so it may use the whole counter; bulk reads leave a share."""

        async def once() -> T:
            async with self.limiter.turn(kind, reducing=reserve):
                result = await self._errors(self.transport.private(path, lambda: params or {}, urgent=False))
            return read_answer(path, read, result)

        return await retrying(once, self.rng)

    async def _errors(self, call: Awaitable[Any]) -> Any:
        try:
            result = await call
        except Refused as refused:
            self.observe(refused.strings, None)
            if self._nonce_strikes >= NONCE_STRIKES:
                raise AuthError("Kraken refuses our nonces again and again: another program uses this API key") from None
            raise outcomes.error_for(refused.strings, now_us=self.clock.now_us()) from None
        except (Unanswered, NotSent) as error:
            raise RetryableError(str(error)) from error
        self._nonce_strikes = 0
        return result

    # --- orders ---------------------------------------------------------------------------------------------------------
    async def order(
        self, path: str, build: Callable[[], Mapping[str, Any]], *, kind: Kind, pair: str | None,
        txid: str | None = None, reducing: bool, patience_s: float,
    ) -> Any | Rejected | Ambiguous:  # fmt: skip
        """Send an order call once. The raw result, or why there is none; never raises but for cancellation."""
        late = limited(self.limiter.delay_s(kind, pair=pair, txid=txid, reducing=reducing), patience_s)
        if late is not None:
            return late

        async def call() -> Any:
            async with self.limiter.turn(kind, pair=pair, txid=txid, reducing=reducing):
                result = await self.transport.private(path, build, urgent=True)
            self._nonce_strikes = 0
            return result

        def judge(refused: Refused) -> Rejected | Ambiguous:
            self.observe(refused.strings, pair)
            return outcomes.answer_for(refused.strings, placing=kind is Kind.ADD, now_us=self.clock.now_us(), has_result=refused.has_result)

        return await sent_once(call(), judge)

    def observe(self, strings: tuple[str, ...], pair: str | None) -> None:
        """Let refusals correct our model: counters that were full, nonces that were too low."""
        kind = outcomes.classify(strings, write=False)
        if kind is Class.NONCE:
            self._nonce_strikes += 1
            self.transport.raise_nonce()
            log.warning("Kraken refused our nonce; going a minute ahead")
        elif kind is Class.LATER:
            wait = outcomes.retry_after(strings, self.clock.now_us())
            self.limiter.refused(pair, wait, engine=any(text.startswith("EOrder:") for text in strings))
        elif kind is Class.AMBIGUOUS and not all(outcomes.known(text) for text in strings):
            log.error("Kraken said something unknown: %s", "; ".join(strings)[: outcomes.MESSAGE])
