"""One study: which pairs may be judged, a run of every strategy over them with one shared account, and the judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from trader.errors import ConfigError
from trader.research import portfolio
from trader.research.board import board_of
from trader.research.optimizer.conditions import judge, too_little
from trader.research.optimizer.series import Run, run_of
from trader.research.optimizer.universe import LEAST_PAIRS, begins, end_of, universe_of
from trader.research.optimizer.verdict import Judgement, Universe
from trader.strategy.columns import Bars, Entries
from trader.strategy.strategies import Strategy

CASH = 10_000.0


class Candles:
    """Bars of the pairs that may be judged, ready to be run over: what every strategy's run shares.

    What the strategies say is worked out pair by pair and the pair's indicators are dropped, so that those of one pair are in memory,
    not of all. `ahead`: for all strategies, while each pair is looked at; else for one strategy when it is first run, for a worker that
    runs few of them.
    """

    def __init__(self, bars: Mapping[str, Bars], strategies: Sequence[Strategy], reference: str, *, ahead: bool = True) -> None:
        self.reference = reference
        self._said: dict[str, dict[str, Entries]] = {one.name: {} for one in strategies} if ahead else {}
        chosen, excluded, end = {}, {}, end_of(bars)
        for pair in sorted(bars):
            first, why = begins(bars[pair], strategies, end)
            if why:
                excluded[pair] = why
            else:
                chosen[pair] = first
                for one in strategies if ahead else ():
                    self._said[one.name][pair] = one.entries(bars[pair])
            bars[pair].forget()
        self.universe: Universe = universe_of(chosen, excluded, reference)
        self.bars = {pair: bars[pair] for pair in self.universe.pairs}
        self._board = board_of(self.bars) if self.bars else None

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


def study(
    candles: Candles, strategies: Sequence[Strategy], current: str, *, threads: int = 1, progress: Callable[[str], None] | None = None
) -> Judgement:
    """All strategies over the candles, then the judgement on `current`. Raises ConfigError for a current one that does not compete."""
    competing(strategies, current)
    if candles.lacking:
        return too_little(current, candles.lacking)
    return concluded(candles, strategies, current, sweep(candles, strategies, threads=threads, progress=progress))


def sweep(
    candles: Candles, strategies: Sequence[Strategy], *, threads: int = 1, progress: Callable[[str], None] | None = None
) -> list[Run]:
    """The record of every strategy, in their order."""
    done = []
    with ThreadPoolExecutor(threads) as pool:
        for run in pool.map(candles.run, strategies):
            done.append(run)
            if progress is not None:
                progress(f"{len(done)} of {len(strategies)} strategies: {run.name}, {len(run.trades)} trades")
    return done


def concluded(candles: Candles, strategies: Sequence[Strategy], current: str, runs: Iterable[Run]) -> Judgement:
    """The judgement from records made by `sweep`, or by its parts elsewhere."""
    return judge(strategies, {run.name: run for run in runs}, current, candles.universe.first_day)


def competing(strategies: Sequence[Strategy], current: str) -> Strategy:
    """The current strategy among those that compete. Raises ConfigError naming them where it is none."""
    for one in strategies:
        if one.name == current:
            return one
    raise ConfigError(f"current strategy {current!r} is none of {', '.join(one.name for one in strategies)}")
