"""Positions that the exchange will not sell for want of the coins: after some rounds in a row nobody knows what is held.

The position keeps its size, since a guess could sell twice or forget coins. One halt, `unknown COIN`, says so to a person and keeps
entries in the coin off; the stop is tried again at the beat that sees the coins, or after ten minutes, instead of every few seconds,
exits whenever they are due. The halt ends when a stop stands again, or by a person's word, and the attempts begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trader.domain.halts import UNKNOWN
from trader.domain.market import SECOND
from trader.domain.money import sub
from trader.domain.orders import Balance
from trader.execution.held import Held
from trader.ports import Clock, Halt, Ledger

ROUNDS = 6  # of stops and a sale that were refused: about a minute
AGAIN_S = 600.0
FUNDS = "funds"  # kind of a refusal for want of coins


class Shortfall:
    """Counts refusals by position; what is halted stands in the ledger, so a restart begins no new round of noise."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock

    def waits(self, held: Held) -> bool:
        """Whether what is held is unknown and no attempt at a stop is due."""
        if held.short and not self._halted(held) and held.again_us:
            held.short = held.again_us = 0  # a person has looked
        return self.clock.now_us() < held.again_us

    def refused(self, held: Held, why: str) -> None:
        """The exchange took neither a stop nor a sale of what is held."""
        held.short += 1
        now, position = self.clock.now_us(), held.position
        halted = self._halted(held)
        if held.short >= ROUNDS and not halted:
            reason = (
                f"the exchange takes neither a stop nor a sale of {position.quantity} in {position.pair} ({why}): what is held is unknown"
            )
            self.ledger.set_halt(Halt(cause=_cause(held), level="REDUCING", since_us=now, reason=reason))
            halted = True
        if halted:
            held.again_us = now + int(AGAIN_S * SECOND)

    def looked(self, held: Iterable[Held], balances: Mapping[str, Balance]) -> None:
        """The exchange told what is there: where the coins of a position lie free again, its stop is tried at once."""
        for one in held:
            balance = balances.get(_base(one))
            if one.again_us and balance is not None and sub(balance.total, balance.held) >= one.position.quantity:
                one.again_us = self.clock.now_us()

    def covered(self, held: Held) -> None:
        """A stop stands: the coins are there."""
        held.short = held.again_us = 0
        if self._halted(held):
            self.ledger.clear_halt(_cause(held), "system", "a stop stands again", self.clock.now_us())

    def _halted(self, held: Held) -> bool:
        return any(halt.cause == _cause(held) for halt in self.ledger.halts())


def _cause(held: Held) -> str:
    return f"{UNKNOWN} {_base(held)}"


def _base(held: Held) -> str:
    return held.position.pair.split("/")[0]
