"""Kraken's futures REST API behind its own limiter, the classifier and retries: reads raise trader.errors, order calls return values."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from trader.domain.orders import Ambiguous, Rejected
from trader.errors import RejectedError, RetryableError
from trader.kraken import futures_names, outcomes
from trader.kraken.futures_names import Contracts
from trader.kraken.futures_transport import Endpoint, FuturesTransport, WrongMethod
from trader.kraken.outcomes import Class
from trader.kraken.sending import limited, sent_once
from trader.kraken.tariff import (
    FUTURES_ALLOWANCE,
    FUTURES_COST,
    FUTURES_FILLS_SINCE,
    FUTURES_HISTORY_ALLOWANCE,
    FUTURES_HISTORY_COST,
    Allowance,
)
from trader.kraken.transport import NotSent, Refused, Unanswered
from trader.kraken.venue_rest import VenueRest, read_answer, retrying
from trader.ports import Clock, Rng

T = TypeVar("T")
RESERVE = 0.25  # of the 500 units is left to reducing orders
LONGEST_WAIT_S = 60.0  # a wait beyond this is an answer ("later"), not a pause
log = logging.getLogger(__name__)


def _private(path: str, method: str = "GET", cost: float | None = None) -> Endpoint:
    return Endpoint(path, method=method, cost=FUTURES_COST[path] if cost is None else cost)


INSTRUMENTS, TICKERS, BOOK = (Endpoint(path, api="public") for path in ("instruments", "tickers", "orderbook"))
FUNDING = Endpoint("historicalfundingrates", api="public")
CHART = Endpoint("{price_type}/{symbol}/{interval}", api="charts")
SEND, EDIT, CANCEL = (_private(path, "POST") for path in ("sendorder", "editorder", "cancelorder"))
ACCOUNTS, POSITIONS, OPEN_ORDERS, FILLS = (_private(path) for path in ("accounts", "openpositions", "openorders", "fills"))
FILLS_SINCE = _private("fills", cost=FUTURES_FILLS_SINCE)
STATUS_POST, STATUS_GET = _private("orders/status", "POST"), _private("orders/status")
LEVERAGE, SET_LEVERAGE = _private("leveragepreferences"), _private("leveragepreferences", "PUT")
ORDER_EVENTS, TRIGGER_EVENTS, ACCOUNT_LOG = (
    Endpoint(path, api="history", tokens=FUTURES_HISTORY_COST[path]) for path in ("orders", "triggers", "account-log")
)


class Window:
    """Units spent in the last stretch of time; never more than the allowance in any stretch of that length."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._spent: deque[tuple[int, float]] = deque()

    def wait_s(self, now_us: int, cost: float, share: float) -> float:
        """Seconds until `cost` fits under `share` of the allowance."""
        length_us = int(self._allowance.seconds * 1e6)
        while self._spent and self._spent[0][0] <= now_us - length_us:
            self._spent.popleft()
        over = sum(units for _, units in self._spent) + cost - self._allowance.units * share
        for time_us, units in self._spent:
            if over <= 0:
                break
            over -= units
            wait_us = time_us + length_us - now_us
            if over <= 0:
                return wait_us / 1e6
        return 0.0 if over <= 0 else self._allowance.seconds

    def charge(self, now_us: int, cost: float) -> None:
        """Count a call that leaves now."""
        if cost:
            self._spent.append((now_us, cost))

    def fill(self, now_us: int) -> None:
        """The venue said "too many": believe it."""
        self._spent.append((now_us, self._allowance.units))


class FuturesLimiter:
    """Both futures allowances, on exchange time; `counting` False for a server that counts nothing."""

    def __init__(self, clock: Clock, *, counting: bool = True) -> None:
        self._clock, self.counting = clock, counting
        self.units, self.tokens = Window(FUTURES_ALLOWANCE), Window(FUTURES_HISTORY_ALLOWANCE)

    def delay_s(self, endpoint: Endpoint, *, reducing: bool) -> float:
        """Seconds of exchange time before this call fits."""
        if not self.counting:
            return 0.0
        now, share = self._clock.now_us(), 1.0 if reducing else 1.0 - RESERVE
        return max(self.units.wait_s(now, endpoint.cost, share), self.tokens.wait_s(now, endpoint.tokens, 1.0))

    async def wait(self, endpoint: Endpoint, *, reducing: bool = True) -> None:
        """Pause until the call fits, then charge it. Raises RetryableError where that takes over a minute."""
        while (delay := self.delay_s(endpoint, reducing=reducing)) > 0:
            if delay > LONGEST_WAIT_S:
                raise RetryableError(f"our own limit: {endpoint.path} must wait {delay:.0f} s", retry_after_s=delay)
            await self._clock.sleep(delay + 1e-3)
        self.units.charge(self._clock.now_us(), endpoint.cost)
        self.tokens.charge(self._clock.now_us(), endpoint.tokens)

    def refused(self, endpoint: Endpoint) -> None:
        """The venue counted higher than we did."""
        (self.tokens if endpoint.tokens else self.units).fill(self._clock.now_us())


class FuturesRest(VenueRest):
    """One key's futures calls, and the contracts once they are loaded."""

    def __init__(self, transport: FuturesTransport, clock: Clock, *, rng: Rng | None = None, limiter: FuturesLimiter | None = None) -> None:
        super().__init__(clock, rng)
        self.transport = transport
        self.limiter = limiter if limiter is not None else FuturesLimiter(clock)
        self.contracts = Contracts()

    async def load(self) -> Contracts:
        """Read the instruments and replace names and rules."""
        self.contracts = await self.read(INSTRUMENTS, read=futures_names.read_contracts)
        self.instruments = self.contracts.instruments
        if not self.instruments:
            raise RetryableError("instruments lists no perpetual")
        return self.contracts

    async def named(self) -> Contracts:
        """The contracts, loaded at the first call."""
        await self._load_first()
        return self.contracts

    async def symbol(self, pair: str) -> str:
        """The venue's symbol of a pair; an unknown one is looked for once more. Raises RejectedError."""
        return await self._id_of(pair, lambda: self.contracts.symbol(pair))

    async def read(self, endpoint: Endpoint, params: Mapping[str, Any] | None = None, *, read: Callable[[Any], T]) -> T:
        """A read; `read` turns the body into a value and may raise ValueError (KeyError, ...) for a malformed one."""

        async def once() -> T:
            await self.limiter.wait(endpoint)
            try:
                body = await self.transport.call(endpoint, lambda: params or {})
            except Refused as refused:
                self._observe(endpoint, refused.strings)
                raise outcomes.error_for(refused.strings, now_us=self.clock.now_us()) from None
            except WrongMethod as error:
                raise RejectedError(str(error)) from error
            except (Unanswered, NotSent) as error:
                raise RetryableError(str(error)) from error
            return read_answer(endpoint.path, read, body)

        return await retrying(once, self.rng)

    async def order(
        self, endpoint: Endpoint, build: Callable[[], Mapping[str, Any]], *, reducing: bool, patience_s: float
    ) -> Any | Rejected | Ambiguous:
        """Send an order call once. The body, or why there is none; never raises but for cancellation."""
        late = limited(self.limiter.delay_s(endpoint, reducing=reducing), patience_s)
        if late is not None:
            return late

        async def call() -> Any:
            await self.limiter.wait(endpoint, reducing=reducing)
            return await self.transport.call(endpoint, build, urgent=True)

        def judge(refused: Refused) -> Rejected | Ambiguous:
            self._observe(endpoint, refused.strings)
            return self.refusal(endpoint, refused.strings)

        return await sent_once(call(), judge)

    def refusal(self, endpoint: Endpoint, strings: tuple[str, ...]) -> Rejected | Ambiguous:
        """The answer for words of refusal, wherever in the body they stood."""
        return outcomes.answer_for(strings, placing=endpoint is SEND, now_us=self.clock.now_us())

    def _observe(self, endpoint: Endpoint, strings: tuple[str, ...]) -> None:
        if outcomes.classify(strings, write=False) is Class.LATER:
            self.limiter.refused(endpoint)
        elif not all(outcomes.known(text) for text in strings):
            log.error("Kraken futures said something unknown: %s", "; ".join(strings))
