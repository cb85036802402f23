"""How long holdings stood without stops while a trader lived, looked at from inside the exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trader.domain.market import SECOND
from trader.simulation.kraken_server.app import KrakenTwin

LOOK_S = 0.5
Span = tuple[str, int, int]  # pair, from, to


class Watch:
    """Notes every span in which a pair was held with less than its size under stops."""

    def __init__(self, twin: KrakenTwin) -> None:
        self._twin, self.spans, self._bare = twin, list[Span](), dict[str, int]()

    async def run(self) -> None:
        """Look twice a second, as exchange time goes."""
        while True:
            self.look()
            await self._twin.clock.sleep(LOOK_S)

    def look(self) -> None:
        now, bare = self._twin.clock.now_us(), self._twin.exchange.state.bare_since
        for pair in [pair for pair in self._bare if bare.get(pair) != self._bare[pair]]:
            self.spans.append((pair, self._bare.pop(pair), now))
        self._bare.update(bare)

    def end(self) -> list[Span]:
        """All spans; what is still bare ends now."""
        self.look()
        return [*self.spans, *((pair, since, self._twin.clock.now_us()) for pair, since in self._bare.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A life: from its lease, when its recovery begins, to its death or the end."""

    from_us: int
    to_us: int


def longest_bare_s(spans: Sequence[Span], lives: Sequence[Lived]) -> float:
    """The longest that a holding stood bare within one life."""
    within = (min(to, life.to_us) - max(since, life.from_us) for _, since, to in spans for life in lives)
    return max(0, *within, 0) / SECOND
