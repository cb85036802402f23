"""Orders looked up by id, one request for all who wait to know: reads are paced by the venue's counter, and a stop that is being
handed over to a sale leaves its position bare until its end is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trader.domain.orders import RemoteOrder
from trader.errors import RetryableError
from trader.ports import Exchange


@dataclass(slots=True)
class _Answer:
    """Of one request about one order; `known` once it has come, and then `order` is None where the venue does not know the id."""

    known: bool = False
    order: RemoteOrder | None = None
    failure: RetryableError | None = None


class Lookups:
    """Asks the venue for orders. Whoever asks while a request is under way waits for the next one, which takes all of them along."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._wanted: dict[str, list[_Answer]] = {}  # of the request that has not left yet: id -> who waits
        self._under_way = asyncio.Lock()

    async def order(self, txid: str) -> RemoteOrder | None:
        """The order as the venue has it after this call began; None for an id it does not know. Raises what the venue's answer is."""
        answer = _Answer()
        self._wanted.setdefault(txid, []).append(answer)
        async with self._under_way:
            if not answer.known:
                await self._ask()
        if answer.failure is not None:
            raise answer.failure
        return answer.order

    async def _ask(self) -> None:
        """One request for all that is wanted now; where it never ends, or ends in another way, the next one asks again."""
        asked, self._wanted = self._wanted, {}
        failure: RetryableError | None = None
        found: dict[str, RemoteOrder] = {}
        try:
            found = {order.txid: order for order in await self._exchange.orders(tuple(asked))}
        except RetryableError as error:
            failure = error
        except BaseException:
            for txid, answers in self._wanted.items():
                asked.setdefault(txid, []).extend(answers)
            self._wanted = asked
            raise
        for txid, answers in asked.items():
            for answer in answers:
                answer.known, answer.order, answer.failure = True, found.get(txid), failure
