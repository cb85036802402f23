"""The engine: closed candles in, decisions out. Owns each pair's candle builders and indicator streams; pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trader.domain.costs import Costs
from trader.domain.market import Candle, Timeframe
from trader.domain.messages import Action, Decision, Refusal
from trader.domain.orders import Side
from trader.execution.bars import BarBuilder
from trader.indicators.likeness import Closes
from trader.indicators.series import Row
from trader.indicators.streams import PairStreams
from trader.ports import Columns
from trader.strategy.brain import decide_sides
from trader.strategy.modes import Parameters


@dataclass(slots=True, kw_only=True)
class PairState:
    """What the engine keeps of one pair."""

    streams: PairStreams
    fifteen: BarBuilder
    four: BarBuilder
    last_us: int  # close time of the newest 15m candle in the streams
    last_base_us: int


class Engine:
    """Decisions for all joined pairs with one strategy. Give candles in time order; read decisions after a 15m close.

    `reference`: the pair the regime is read from; `sides`: what may be entered, longs alone on spot; `short`: ready after three
    periods.
    """

    def __init__(
        self, *, parameters: Parameters, costs: Costs, reference: str, sides: Sequence[Side] = (Side.BUY,), short: bool = False
    ) -> None:
        self.parameters, self.costs, self.sides, self.short = parameters, costs, tuple(sides), short
        self.reference = reference
        self.pairs: dict[str, PairState] = {}
        self.marks: dict[str, float] = {}  # newest close of any timeframe, for equity

    # --- pairs ---------------------------------------------------------------------------------------------------------
    def join(self, pair: str, fifteen: Columns, four: Columns, running: Sequence[Candle]) -> None:
        """Start following a pair: warm candles, and the closed base candles of the running 15m bar."""
        end_us = int(fifteen.time[-1]) + Timeframe.M15.us
        state = PairState(
            streams=PairStreams(fifteen, four, self.parameters, short=self.short), fifteen=BarBuilder(Timeframe.M15),
            four=BarBuilder(Timeframe.H4), last_us=end_us, last_base_us=end_us,
        )  # fmt: skip
        for candle in _tail(pair, fifteen, int(four.time[-1]) + Timeframe.H4.us):
            state.four.add(candle)
        self.pairs[pair] = state
        self.marks[pair] = float(fifteen.close[-1])
        self.absorb(running)

    def leave(self, pair: str) -> None:
        """Forget a pair (a gap, a correction, a failed gate); it may join again."""
        self.pairs.pop(pair, None)

    def stale(self, close_us: int) -> list[str]:
        """Pairs whose newest 15m candle is not the one that ended at `close_us`: a base candle was missed."""
        return [pair for pair, state in self.pairs.items() if state.last_us < close_us]

    # --- candles -------------------------------------------------------------------------------------------------------
    def absorb(self, candles: Iterable[Candle]) -> list[Candle]:
        """Take closed base candles; returns the longer candles (4h before 15m of one pair) they completed."""
        done: list[Candle] = []
        for candle in candles:
            state = self.pairs.get(candle.pair)
            if state is None or candle.time_us < state.last_base_us:
                continue
            state.last_base_us = candle.close_us
            self.marks[candle.pair] = candle.close
            fifteen = state.fifteen.add(candle) if candle.timeframe is not Timeframe.M15 else candle
            if fifteen is None or fifteen.time_us != state.last_us:
                continue  # begun in the middle, or one is missing before it: the pair is stale until repaired
            four = state.four.add(fifteen)
            if four is not None:
                state.streams.update_h4(four)
                done.append(four)
            state.streams.update(fifteen)
            state.last_us = fifteen.close_us
            done.append(fifteen)
        return done

    # --- decisions -----------------------------------------------------------------------------------------------------
    def decide(self, close_us: int, pairs: Iterable[str], blocked: dict[str, str]) -> list[Decision]:
        """A decision per pair for the 15m candle that ended at `close_us`; `blocked` pairs refuse with their reason."""
        return [self._decide(pair, close_us, blocked.get(pair, "")) for pair in pairs]

    def _decide(self, pair: str, close_us: int, blocked: str) -> Decision:
        state = self.pairs.get(pair)
        if blocked:
            return self._refuse(pair, close_us, Refusal.NOT_READY, f"data gate: {blocked}")
        if state is None or state.last_us != close_us:
            return self._refuse(pair, close_us, Refusal.NOT_READY, "no closed candle for this bar")
        return decide_sides(pair, state.streams.row, self.parameters, self.costs, self.sides)

    def _refuse(self, pair: str, close_us: int, code: Refusal, detail: str) -> Decision:
        return Decision(
            pair=pair,
            close_us=close_us,
            side=self.sides[0],
            action=Action.HOLD,
            score=0.0,
            refusal=code,
            detail=detail,
            strategy=self.parameters.strategy,
        )

    def peek(self, pair: str, running: Candle | None, *, rsi_below: float = 100.0) -> Row | None:
        """The row as if the forming 15m candle closed now, unless its RSI is above `rsi_below`; for the near-zone scan only."""
        state = self.pairs.get(pair)
        if state is None or running is None or not state.streams.ready or state.streams.peek_rsi(running.close) > rsi_below:
            return None
        forming = state.fifteen.forming(running)
        return state.streams.peek(forming) if forming is not None and forming.time_us == state.last_us else None

    def reference_change(self, close_us: int) -> float | None:
        """24 h change of BTC against the quote on closed 15m candles; None where it is not known for this bar."""
        state = self.pairs.get(self.reference)
        return state.streams.change_24h if state is not None and state.last_us == close_us else None

    def closes(self, pair: str, close_us: int) -> Closes | None:
        """The newest closes of a pair that has the bar which ended at `close_us`, for correlations; None for any other."""
        state = self.pairs.get(pair)
        return state.streams.closes if state is not None and state.last_us == close_us else None

    def quote_volume(self, pair: str) -> float:
        """Turnover of the newest 96 bars, in quote."""
        state = self.pairs.get(pair)
        return state.streams.quote_volume if state else 0.0


def _tail(pair: str, columns: Columns, from_us: int) -> list[Candle]:
    """The 15m candles at or after `from_us`, as values."""
    first = int(columns.time.searchsorted(from_us))
    return [
        Candle(
            pair=pair, timeframe=Timeframe.M15, time_us=int(columns.time[i]), open=float(columns.open[i]), high=float(columns.high[i]),
            low=float(columns.low[i]), close=float(columns.close[i]), volume=float(columns.volume[i]), filled=bool(columns.filled[i]),
        )
        for i in range(first, len(columns))
    ]  # fmt: skip
