"""One study: which pairs may be judged, a run of any strategy over them with one shared account, and the judgement from all runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trader.errors import ConfigError
from trader.research import portfolio
from trader.research.board import BoardMaker
from trader.research.optimizer.conditions import judge, too_little
from trader.research.optimizer.series import Run, run_of
from trader.research.optimizer.universe import LEAST_PAIRS, begins, end_of, universe_of
from trader.research.optimizer.verdict import Judgement, Universe
from trader.strategy.columns import Bars, Entries
from trader.strategy.strategies import Strategy

CASH = 10_000.0


class Candles:
    """Bars of the pairs that may be judged, ready to be run over: what every strategy's run shares.

    `bars`: in the order of the pairs' names, each dropped once it is looked at; `end_us`: close of the newest candle of all; `room`: rows
    that all may have. What the strategies say is worked out pair by pair too, so that the indicators of one pair are in memory, not of
    all. `ahead`: for all strategies, while each pair is looked at; else for one strategy when it is first run, for a worker that runs
    few of them.
    """

    def __init__(
        self, bars: Iterable[tuple[str, Bars]], strategies: Sequence[Strategy], reference: str, *, end_us: int, room: int,
        ahead: bool = True,
    ) -> None:  # fmt: skip
        self.reference = reference
        self._said: dict[str, dict[str, Entries]] = {one.name: {} for one in strategies} if ahead else {}
        self.bars: dict[str, Bars] = {}
        chosen, excluded, made = {}, {}, BoardMaker(room)
        for pair, one in bars:
            first, why = begins(one, strategies, end_us)
            if why:
                excluded[pair] = why
                continue
            chosen[pair] = first
            for strategy in strategies if ahead else ():
                self._said[strategy.name][pair] = strategy.entries(one)
            self.bars[pair] = one.moved(made.add(pair, one.columns))
        self.universe: Universe = universe_of(chosen, excluded, reference)
        if not self.universe.pairs:
            self.bars = {}
        self._board = (self.universe.pairs, made.board()) if self.bars else None

    @classmethod
    def of(cls, bars: Mapping[str, Bars], strategies: Sequence[Strategy], reference: str) -> Candles:
        """Of bars that are in memory."""
        ordered = [(pair, bars[pair]) for pair in sorted(bars)]
        return cls(ordered, strategies, reference, end_us=end_of(bars), room=sum(map(len, bars.values())))

    @property
    def lacking(self) -> str:
        """Why nothing can be judged, in words; empty where it can."""
        if len(self.bars) >= LEAST_PAIRS:
            return ""
        first = next(iter(self.universe.excluded.items()), None)
        why = f", for instance {first[0]}: {first[1]}" if first is not None else ""
        if self.reference in self.universe.excluded:
            why = f", {self.reference}: {self.universe.excluded[self.reference]}"
        return f"{len(self.bars)} pairs may be judged, {LEAST_PAIRS} are needed{why}"

    def run(self, strategy: Strategy) -> Run:
        """A strategy's record over all pairs with one account. Raises ConfigError where no pair may be judged."""
        if self._board is None:
            raise ConfigError(f"nothing to run {strategy.name} on: {self.lacking}")
        books = portfolio.run(
            strategy, self.bars, board=self._board, said=self._entries(strategy), cash=CASH, reference=self.reference
        )  # fmt: skip
        return run_of(strategy.name, books, self._board[1])

    def _entries(self, strategy: Strategy) -> Mapping[str, Entries]:
        if strategy.name not in self._said:
            said = {}
            for pair, bars in self.bars.items():
                said[pair] = strategy.entries(bars)
                bars.forget()
            self._said[strategy.name] = said
        return self._said[strategy.name]


def concluded(candles: Candles, strategies: Sequence[Strategy], current: str, runs: Iterable[Run]) -> Judgement:
    """The judgement from the record of every strategy, wherever it was run; no record is asked for where the candles do not suffice.

    Raises ConfigError for a current strategy that does not compete.
    """
    competing(strategies, current)
    if candles.lacking:
        return too_little(current, candles.lacking)
    return judge(strategies, {run.name: run for run in runs}, current, candles.universe.first_day)


def competing(strategies: Sequence[Strategy], current: str) -> Strategy:
    """The current strategy among those that compete. Raises ConfigError naming them where it is none."""
    for one in strategies:
        if one.name == current:
            return one
    raise ConfigError(f"current strategy {current!r} is none of {', '.join(one.name for one in strategies)}")
