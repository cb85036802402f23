"""A position as the keeper holds it: with the state of its exits, and the lock under which anything is done to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from trader.domain.account import Position
from trader.execution.positions import Guard


@dataclass(slots=True, kw_only=True)
class Held:
    """A position with its guard (exit state) and the lock that serialises what is done to it."""

    position: Position
    guard: Guard | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    bare: int = 0  # times in a row that no stop could be placed
    short: int = 0  # times in a row that the exchange took neither stop nor sale for want of the coins
    again_us: int = 0  # no attempt at a stop before, since what is held is unknown
    retrying: bool = False
    leaving: bool = False  # somebody is closing it, and goes on until it is closed
