"""`trader backtest --verify`: the very candles, account and settings of a backtest through the session, event by event, and the
two trade lists side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trader.bootstrap.cassettes import Tape
from trader.bootstrap.kernel_run import session_bars
from trader.bootstrap.market_history import left_out
from trader.bootstrap.replay import Replayed, replay_session
from trader.bootstrap.world import World
from trader.config import AiSettings, CostSettings, MarketSettings, PairSettings, Settings
from trader.domain.costs import Costs
from trader.domain.market import MINUTE, Timeframe
from trader.domain.messages import stamp
from trader.domain.money import from_float
from trader.errors import ConfigError
from trader.research.parity import compare
from trader.simulation.fills import FillRules
from trader.simulation.table import TableMarket
from trader.strategy.columns import Bars
from trader.strategy.modes import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the session is played with: settings that no file and no environment has touched, the market, the range."""

    settings: Settings
    market: TableMarket
    costs: Costs
    start_us: int
    end_us: int
    short: bool
    cash: str
    left_out: Mapping[str, str]

    def bars(self, pair: str) -> Bars:
        """A pair's bars, from the candle on with which the session's own streams begin."""
        return session_bars(self.market, pair, self.settings, self.start_us, self.end_us, short=self.short)

    def replay(self, lines: Sequence[str], tell: Callable[[str], None]) -> dict[str, Any]:
        """Play it, and compare its trade lines with these: counts, every differing field, and what it comes to in words."""
        played = self.play(tell)
        found = compare(lines, played.lines).as_dict()
        if found["compared"] == [0, 0]:
            words = "Neither closed a trade, so nothing is proved."
        elif found["different_fields"]:
            words = "They are not the same."
        else:
            words = "They are the same."
        return found | {"words": words, "cpu_s": played.cpu_s}

    def play(self, tell: Callable[[str], None], tape: Tape | None = None) -> Replayed:
        """Play it, with the AI off or out of a cassette."""
        world = World(seed=self.market.seed, pairs=len(self.market.pairs), epoch_us=self.start_us, cash=self.cash)
        fills = FillRules(
            taker=from_float(self.costs.taker), maker=from_float(self.costs.maker), slippage=from_float(self.costs.slippage)
        )  # fmt: skip
        settings = self.settings if tape is None else self.settings.model_copy(update={"ai": AiSettings(mode="veto")})
        return replay_session(
            settings, world, minutes=(self.end_us - self.start_us) // MINUTE, short=self.short, market=self.market, fills=fills,
            progress=tell, tape=tape,
        )  # fmt: skip


def session_of(
    parameters: Parameters, costs: Costs, market: TableMarket, *, span: tuple[int, int], short: bool, deny: Sequence[str], cash: str
) -> Session:
    """Raises ConfigError for a range that is not on the 15m grid: a session decides at its closes."""
    if odd := [moment for moment in span if moment % Timeframe.M15.us]:
        raise ConfigError(f"--verify: {stamp(odd[0])} is not on the 15m grid; a session decides at the closes of 15m candles")
    settings = Settings.model_validate(
        {"profile": parameters.profile, "mode": parameters.mode, "variation": parameters.variation}
        | {"ai": AiSettings(mode="off"), "pairs": PairSettings(deny=tuple(deny)), "market": MarketSettings(starting_cash_quote=float(cash))}
        | {"costs": CostSettings(maker_fraction=costs.maker, slippage_fraction=costs.slippage)}
    )
    return Session(
        settings=settings, market=market, costs=costs, start_us=span[0], end_us=span[1], short=short, cash=cash,
        left_out=left_out(market, settings, short=short, start_us=span[0], end_us=span[1]),
    )  # fmt: skip
