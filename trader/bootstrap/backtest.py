"""`trader backtest`: candles of a file or of the history store through the kernel, and what its result is held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import polars as pl

from trader.bootstrap.backtest_asked import Asked, heard_by_session, pairs_of, range_of, source_of, strategy_of
from trader.bootstrap.backtest_cassette import Confirmed, pass_of
from trader.bootstrap.backtest_futures import PerpetualSource, margin_at
from trader.bootstrap.backtest_verify import Session, session_of
from trader.bootstrap.candles import PairCandles, Source, gap
from trader.domain.futures import FundingPayment
from trader.domain.market import Instrument, Timeframe
from trader.domain.messages import TradeLeg
from trader.domain.money import ZERO, from_float, plain
from trader.domain.orders import Side
from trader.errors import ConfigError
from trader.indicators import technical
from trader.ports import EquityRow
from trader.reporting.study import whole_curve
from trader.research import backtester, comparisons
from trader.research.account import COINS, Rules, account_pass
from trader.research.backtester import Strategy
from trader.research.markets import market_of
from trader.strategy.columns import Bars

CASH = Decimal(10_000)
M15 = Timeframe.M15
END = "end"  # how the kernel calls a position that the data's end left open
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What the result is held against; `chance` None where nothing was entered."""

    holding: comparisons.Holding
    chance: comparisons.RandomEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished run. `capital`: the account, or of a strategy that runs pair by pair a stake for each pair; `pairs`: those that took
    part, with their candles as the strategy read them; `curve`: see `study.whole_curve`; `open`: pairs with a position at the end,
    `held`: those positions whose legs so far make no trade yet (pair by pair the data's end closes all);
    `session`: what may be played to verify it; `confirmed`: the session that made it, with a cassette; times UTC microseconds."""

    asked: Asked
    source: Source
    strategy: Strategy
    shared: bool
    start_us: int
    end_us: int
    pairs: Mapping[str, Bars]
    watched: Sequence[str]
    excluded: Mapping[str, str]
    capital: Decimal
    legs: Sequence[TradeLeg]
    open: Sequence[str]
    held: Sequence[str]
    curve: Sequence[EquityRow]
    signals: int
    refusals: Mapping[str, int]
    halted: Mapping[str, int]
    risk: Mapping[str, float]
    against: Against
    session: Session | None = None
    funding: Sequence[FundingPayment] = ()
    confirmed: Confirmed | None = None

    @property
    def timeframe(self) -> Timeframe:
        """Of the candles the strategy read."""
        return M15 if self.shared else self.source.base


def quiet(done: int, total: int, what: str) -> None:
    """A progress nobody looks at."""


def run_backtest(asked: Asked, tell: Tell = quiet) -> Ran:
    """Raises ConfigError naming the option: an unknown strategy or pair, an empty range, costs no trade can pay, a bad file."""
    strategy = strategy_of(asked)
    if asked.tape is not None:
        heard_by_session(asked, strategy)
    source = source_of(asked)
    pairs = pairs_of(asked.pairs, source)
    start, end = range_of(asked, source)
    if strategy.parameters is None:
        if asked.verify:
            raise ConfigError(f"--verify: no session trades {strategy.name}; allowed with MODE/VARIATION, e.g. mitraillette/AGGRESSIVE")
        return _alone(asked, strategy, source, pairs=pairs, span=(start, end), tell=tell)
    return _shared(asked, strategy, source, pairs=pairs, span=(start, end), tell=tell)


# --- pair by pair ------------------------------------------------------------------------------------------------------
def _alone(
    asked: Asked, strategy: Strategy, source: Source, *, pairs: Sequence[str], span: tuple[int, int], tell: Tell
) -> Ran:  # fmt: skip
    """Pairs independent, each trade with the same stake, on the source's own candles."""
    judged: dict[str, Bars] = {}
    excluded = {}
    for number, pair in enumerate(pairs, start=1):
        columns = source.fine(pair, *span)
        if why := gap(columns, *span, source.base):
            excluded[pair] = why
        else:
            judged[pair] = Bars(columns, warmup=asked.warmup)
        tell(number, len(pairs), f"read {pair}")
    if not judged:
        raise ConfigError(f"no pair can be judged: {pairs[0]}: {excluded[pairs[0]]}")
    data = {pair: {name: getattr(bars, name) for name in ("time", "open", "high", "low", "close")} for pair, bars in judged.items()}
    legs = legs_of(backtester.run(strategy, data, warmup=asked.warmup))
    capital = from_float(strategy.stake) * len(judged)
    return Ran(
        asked=asked, source=source, strategy=strategy, shared=False, start_us=span[0], end_us=span[1], pairs=judged, watched=(),
        excluded=excluded, capital=capital, legs=legs, open=sorted({leg.pair for leg in legs if leg.reason == END}), held=(),
        curve=whole_curve(_steps(legs, capital), capital, *span), signals=sum(_signals(strategy, bars) for bars in judged.values()),
        refusals={}, halted={}, risk={leg.position_id: strategy.exits.stop + strategy.costs.round_trip for leg in legs},
        against=_against(asked, strategy, judged, legs, span),
    )  # fmt: skip


def _signals(strategy: Strategy, bars: Bars) -> int:
    return len(strategy.entries(bars).rows)


def legs_of(trades: pl.DataFrame) -> list[TradeLeg]:
    """Rows of `backtester.run` as legs, by exit time; times must be there. Money to 1e-8 of the quote."""
    legs = []
    times = trades.with_columns(pl.col("entry_time", "exit_time").dt.epoch("us"))
    for row in times.iter_rows(named=True):
        stake = row["quantity"] * row["entry_price"]
        legs.append(
            TradeLeg(
                position_id=f"{row['pair']}@{row['entry_time']}", pair=row["pair"], side=Side.BUY if row["side"] == "long" else Side.SELL,
                entry_us=row["entry_time"], exit_us=row["exit_time"], entry_price=from_float(row["entry_price"]),
                exit_price=from_float(row["exit_price"]), quantity=from_float(row["quantity"]), fee=from_float(round(row["fees"], 8)),
                net=from_float(round(row["net_return"] * stake, 8)), reason=row["reason"],
            )
        )  # fmt: skip
    return sorted(legs, key=lambda leg: (leg.exit_us, leg.pair, leg.entry_us))


def _steps(legs: Sequence[TradeLeg], capital: Decimal) -> list[EquityRow]:
    """Capital and what closed trades made of it, a row at each exit; what is held is not marked."""
    out, realised, fees = [], ZERO, ZERO
    for leg in legs:
        realised, fees = realised + leg.net, fees + leg.fee
        equity = capital + realised
        out.append(
            EquityRow(time_us=leg.exit_us, cash=equity, marked=ZERO, equity=equity, realised=realised, fees=fees, drawdown=0.0)
        )  # fmt: skip
    return out


# --- one account -------------------------------------------------------------------------------------------------------
def _shared(
    asked: Asked, strategy: Strategy, source: Source, *, pairs: Sequence[str], span: tuple[int, int], tell: Tell
) -> Ran:  # fmt: skip
    """One account over all pairs, on 15m candles; history before the range warms up. BTC is read even where it is not traded."""
    if source.base.us > M15.us:
        raise ConfigError(f"strategy {strategy.name}: needs 15m candles or finer ones; {source.name} holds {source.base}")
    reference = f"BTC/{source.pairs[0].split('/')[1]}"
    watched = [reference] if reference in source.pairs and reference not in pairs else []
    played = asked.verify or asked.tape is not None
    session = _session(asked, strategy, source, [*pairs, *watched], span=span, watched=watched) if played else None
    judged: dict[str, Bars] = {}
    instruments, excluded = {}, {}
    for number, one in enumerate(source.read([*pairs, *watched], span[1]), start=1):
        bars, why = _bars(asked, one, session)
        instrument = one.instrument
        if why := why or _unfit(strategy, bars, instrument, span, short=asked.warmup == "short"):
            excluded[one.pair] = why
        else:
            judged[one.pair], instruments[one.pair] = bars, instrument
        tell(number, len(pairs) + len(watched), f"read {one.pair}")
    watched = [pair for pair in watched if pair in judged]
    if len(judged) == len(watched):
        hint = "" if asked.warmup == "short" else "; --warmup short asks for less"
        raise ConfigError(f"no pair can be judged: {pairs[0]}: {excluded[pairs[0]]}{hint}")
    confirmed = None
    if session is not None:
        session = replace(session, market=source.market(list(judged)))
    if session is not None and asked.tape is not None:
        tell(0, 1, "playing the session with the cassette")
        heard = session.play(lambda words: tell(_percent(words), 100, "playing the session with the cassette"), asked.tape)
        confirmed = Confirmed(tape=asked.tape, played=heard, cutoffs=asked.cutoffs)
        found = pass_of(heard, span[1])
    else:
        tell(0, 1, "walking the account")
        fine = {pair: source.fine(pair, int(bars.time[0]), span[1]) for pair, bars in judged.items()} if source.base.us < M15.us else {}
        found = account_pass(
            strategy, judged, instruments, cash=CASH, reference=reference, watched=watched, first_us=span[0], last_us=span[1], fine=fine,
            rules=Rules(clears_halts=session is None),
            money=source.money(margin_at(asked.leverage), asked.seed) if isinstance(source, PerpetualSource) else COINS,
        )  # fmt: skip
    tell(1, 1, "drawing random entries")
    traded = {pair: bars for pair, bars in judged.items() if pair not in watched}
    return Ran(
        asked=asked, source=source, strategy=strategy, shared=True, start_us=span[0], end_us=span[1], pairs=traded, watched=watched,
        excluded=excluded, capital=CASH, legs=found.legs, open=found.open, held=found.held, curve=whole_curve(found.equity, CASH, *span),
        signals=found.signals, refusals=found.refusals, halted=found.halted, risk=_risks(strategy, traded, found.legs),
        against=_against(asked, strategy, traded, found.legs, span),
        session=None if confirmed else session, funding=found.funding, confirmed=confirmed,
    )  # fmt: skip


def _percent(words: str) -> int:
    """How far a session says it is."""
    found = re.search(r"(\d+)(\.\d+)?%", words)
    return int(found.group(1)) if found else 0


def _session(
    asked: Asked, strategy: Strategy, source: Source, pairs: Sequence[str], *, span: tuple[int, int], watched: Sequence[str]
) -> Session:
    assert strategy.parameters is not None
    return session_of(
        strategy.parameters, strategy.costs, source.market(pairs), span=span, short=asked.warmup == "short", deny=watched,
        cash=plain(CASH),
    )  # fmt: skip


def _bars(asked: Asked, one: PairCandles, session: Session | None) -> tuple[Bars, str]:
    """A pair's bars, and why a session could not trade it: "" if it could, or if none is asked for."""
    if session is None or one.pair not in session.market.pairs:
        return Bars(one.quarters, one.four, warmup=asked.warmup), ""
    return session.bars(one.pair), session.left_out.get(one.pair, "")


def _unfit(strategy: Strategy, bars: Bars, instrument: Instrument, span: tuple[int, int], *, short: bool) -> str:
    """Why a pair can never be READY in this range; "" if it can."""
    p = strategy.parameters
    assert p is not None
    for name, seen, wanted in (
        ("15m", len(bars), technical.lookback_15m(p.rsi_period, p.trend_ema, short=short)),
        ("4h", len(bars.four.time), technical.lookback_4h(p.h4_ema, short=short)),
    ):
        if seen < wanted:
            return f"too few {name} candles: {seen} of {wanted}"
    if why := gap(bars.columns, *span, M15):
        return why
    try:
        market_of(bars, instrument, p)
    except ConfigError as error:
        return str(error).removeprefix(f"{instrument.pair}: ")
    inside = (bars.time + M15.us > span[0]) & (bars.time + M15.us <= span[1])
    return "" if bool((bars.features(p).ready & inside).any()) else "no bar is READY in the range: warm-up or gaps"


def _risks(strategy: Strategy, pairs: Mapping[str, Bars], legs: Sequence[TradeLeg]) -> dict[str, float]:
    """Position -> its planned risk as a fraction of the stake: the stop's distance and the round trip's costs."""
    out, signals = {}, {pair: strategy.entries(pairs[pair]) for pair in dict.fromkeys(leg.pair for leg in legs)}
    for leg in legs:
        place, said = int(np.searchsorted(pairs[leg.pair].time, leg.entry_us)) - 1, signals[leg.pair]
        scale = float(said.unit[np.searchsorted(said.rows, place)])
        out[leg.position_id] = strategy.exits.stop * scale + strategy.costs.round_trip
    return out


# --- what it is held against -------------------------------------------------------------------------------------------
def _against(
    asked: Asked, strategy: Strategy, pairs: Mapping[str, Bars], legs: Sequence[TradeLeg], span: tuple[int, int]
) -> Against:  # fmt: skip
    entries: dict[str, set[str]] = {}
    for leg in legs:
        entries.setdefault(leg.pair, set()).add(leg.position_id)
    taken = {}
    for pair, ids in entries.items():
        places, units = comparisons.eligible(strategy, pairs[pair], *span)
        taken[pair] = comparisons.Taken(bars=pairs[pair], count=len(ids), eligible=places, units=units)
    return Against(
        holding=comparisons.buy_and_hold(strategy, pairs, *span),
        chance=comparisons.random_entries(strategy, taken, seed=asked.seed, closed_only=strategy.parameters is not None),
    )
