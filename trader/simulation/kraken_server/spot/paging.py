"""Windows and pages of the history endpoints: `start` exclusive, `end` inclusive, `ofs` entries skipped, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trader.simulation.exchange_orders import invalid
from trader.simulation.kraken_server.spot import order_form
from trader.simulation.kraken_server.wire.middleware import Call

PAGE = 50
ASKED = 20  # ids a query may name
EARLIEST, LATEST = -1, 1 << 62
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Times in microseconds and the number of entries to skip."""

    start_us: int
    end_us: int
    offset: int

    def holds(self, time_us: int) -> bool:
        """Whether a moment lies inside."""
        return self.start_us < time_us <= self.end_us

    def page(self, found: Sequence[T], size: int = PAGE) -> Sequence[T]:
        """The entries of one answer."""
        return found[self.offset : self.offset + size]


def window(call: Call, moment_of: Callable[[str], int | None]) -> Window:
    """The window a call asks for; `start` and `end` are unix seconds or an id, whose moment `moment_of` knows. Raises Refused."""
    offset = order_form.whole(call.fields, "ofs")
    if offset < 0:
        raise invalid("ofs")
    return Window(start_us=_moment(call, "start", EARLIEST, moment_of), end_us=_moment(call, "end", LATEST, moment_of), offset=offset)


def _moment(call: Call, name: str, default: int, moment_of: Callable[[str], int | None]) -> int:
    text = call.fields.get(name, "")
    if not text:
        return default
    if (known := moment_of(text)) is not None:
        return known
    value = order_form.number(call.fields, name)
    return default if value is None else int(value * 1_000_000)


def asked_ids(call: Call, name: str, most: int = ASKED) -> list[str]:
    """The ids a query names, separated by commas. Raises Refused for none or too many."""
    ids = [text.strip() for text in call.fields.get(name, "").split(",") if text.strip()]
    if not 1 <= len(ids) <= most:
        raise invalid(name)
    return ids
