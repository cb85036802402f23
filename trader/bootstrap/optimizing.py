"""The nightly choice of a strategy, wired: candles of the history store (or a file) in, a judgement out.

One function, `decide_on`, is what `trader optimize`, the flow and the noise harness call. Its parts are for the flow's tasks: `load`,
`record` (one strategy; on another process too, which reads the same pinned files itself) and `conclude`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trader import __version__
from trader.bootstrap.candles import FileSource, Source, StoreSource
from trader.data.pinned import Pinned
from trader.domain.costs import Costs
from trader.domain.market import DAY, Timeframe
from trader.domain.messages import stamp
from trader.errors import ConfigError
from trader.indicators.resample import cut
from trader.research.optimizer.candidates import strategies
from trader.research.optimizer.series import Run
from trader.research.optimizer.study import Candles, competing, concluded
from trader.research.optimizer.universe import LEAST_READY_DAYS
from trader.research.optimizer.verdict import Judgement
from trader.strategy.columns import WARMUPS, Bars
from trader.strategy.strategies import Strategy

NEWEST_DAYS = 300 + 56 + 120  # test blocks, the first train block, and what the longest warm-up takes
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is judged: whether the strategy in use stays. `table`: further candidates (TOML); `warmup`: exact, or short."""

    current: str
    profile: str = "viable"
    warmup: str = "exact"
    costs: Costs = field(default_factory=Costs)
    table: Path | None = None

    def strategies(self) -> tuple[Strategy, ...]:
        """Everything that competes. Raises ConfigError for a table or a current strategy that cannot be used."""
        if self.warmup not in WARMUPS:
            raise ConfigError(f"warmup {self.warmup!r} is not one of {', '.join(WARMUPS)}")
        found = strategies(self.profile, self.costs, self.table)
        competing(found, self.current)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Where the candles are: a state directory (its files pinned by whoever asked first), or a file. Goes to other processes."""

    question: Question
    state: Path | None = None
    data: Path | None = None
    pinned: Pinned | None = None
    digest: str = ""

    @property
    def key(self) -> str:
        """Of what a process remembers: the same for the same candles and question."""
        return f"{self.state or self.data} {self.digest} {self.question}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A judgement with what it stands on. `digest`: SHA-256 of candles, question and version: equal inputs, equal answers. `ai`: what
    the AI said of a switch (`optimizer_veto`), None where it was not asked."""

    judgement: Judgement
    question: Question
    digest: str
    source: str
    span: tuple[int, int]
    pairs: Sequence[str]
    excluded: Mapping[str, str]
    ai: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.judgement.as_dict() | {
            "inputs_digest": self.digest, "source": self.source, "from": stamp(self.span[0]), "to": stamp(self.span[1]),
            "profile": self.question.profile, "warmup": self.question.warmup, "costs": asdict(self.question.costs),
            "pairs": list(self.pairs), "excluded": dict(self.excluded), "ai": None if self.ai is None else dict(self.ai),
        }  # fmt: skip


def quiet(done: int, total: int, what: str) -> None:
    """A progress nobody looks at."""


def decide_on(
    question: Question, *, state: Path | None = None, data: Path | None = None, threads: int = 1, tell: Tell = quiet
) -> Answer:  # fmt: skip
    """Judge the current strategy on the candles of a state directory or of a file.

    Raises ConfigError for a question that cannot be asked, CorruptError for candles that cannot be read.
    """
    material = load(question, state=state, data=data)
    competitors = question.strategies()
    names = [one.name for one in competitors]
    if candles_of(material).lacking:
        return conclude(material, ())
    tell(0, len(names), "sweep")
    runs = []
    with ThreadPoolExecutor(threads) as pool:
        for run in pool.map(lambda name: record(material, name), names):
            runs.append(run)
            tell(len(runs), len(names), f"{run.name}: {len(run.trades)} trades")
    return conclude(material, runs)


# --- the parts ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """What a process has read: kept for the other strategies of the same question."""

    candles: Candles
    name: str
    span: tuple[int, int]


_loaded: dict[str, _Loaded] = {}
_loading = threading.Lock()


def load(question: Question, *, state: Path | None = None, data: Path | None = None) -> Material:
    """Check the question, pin the files and read them. Raises as `decide_on`."""
    competitors = question.strategies()
    if (state is None) == (data is None):
        raise ConfigError("candles come from a state directory or from a file, one of the two")
    source = _opened(state, data, None)
    pinned = source.pinned if isinstance(source, StoreSource) else None
    digest = _digest(source.digest(source.pairs, source.first_us, source.end_us), question, competitors)
    material = Material(question=question, state=state, data=data, pinned=pinned, digest=digest)
    with _loading:
        _remember(material, source, ahead=True)
    return material


def _digest(candles: str, question: Question, competitors: Iterable[Strategy]) -> str:
    """Of candles, question, what every row of the table says, and the version of this program, which the records come from."""
    asked = asdict(question) | {"table": [(one.name, asdict(one.exits), one.parameters) for one in competitors], "version": __version__}
    return hashlib.sha256(json.dumps([candles, asked], default=str, sort_keys=True).encode()).hexdigest()


def forget() -> None:
    """Drop what this process has read."""
    with _loading:
        _loaded.clear()


def candles_of(material: Material) -> Candles:
    """The candles, read once a process."""
    return _known(material).candles


def record(material: Material, name: str) -> Run:
    """The record of one strategy; what may run elsewhere."""
    strategy = next(one for one in material.question.strategies() if one.name == name)
    return candles_of(material).run(strategy)


def conclude(material: Material, runs: Iterable[Run]) -> Answer:
    """The answer from the records of all strategies; from none of them where the candles do not suffice."""
    known, question = _known(material), material.question
    universe = known.candles.universe
    return Answer(
        judgement=concluded(known.candles, question.strategies(), question.current, runs), question=question, digest=material.digest,
        source=known.name, span=known.span, pairs=universe.pairs, excluded=universe.excluded,
    )  # fmt: skip


def _known(material: Material) -> _Loaded:
    with _loading:
        if material.key not in _loaded:
            _remember(material, _opened(material.state, material.data, material.pinned), ahead=False)
        return _loaded[material.key]


def _remember(material: Material, source: Source, *, ahead: bool) -> None:
    """Keep what was read, instead of what was read before; under the lock. `ahead`: all strategies will be run here."""
    _loaded.clear()
    _loaded[material.key] = _Loaded(
        candles=_candles(source, material.question, ahead), name=source.name, span=(source.first_us, source.end_us)
    )  # fmt: skip


def _opened(state: Path | None, data: Path | None, pinned: Pinned | None) -> Source:
    """Raises CorruptError for a pinned file that is gone or damaged."""
    if data is not None:
        return FileSource(data)
    assert state is not None
    return StoreSource(state, pinned)


def _candles(source: Source, question: Question, ahead: bool) -> Candles:
    """Bars of all pairs against the source's quote, the newest days that the folds and the warm-up can use."""
    if source.base.us > Timeframe.M15.us:
        raise ConfigError(f"{source.name} holds {source.base} candles; the strategies need 15m ones or finer")
    quotes = [pair.split("/")[-1] for pair in source.pairs]
    quote = max(sorted(set(quotes)), key=quotes.count)
    first_us, stale_us = source.end_us - NEWEST_DAYS * DAY, source.end_us - LEAST_READY_DAYS * DAY
    spans = {
        pair: (max(opens, first_us), newest + Timeframe.M15.us)
        for pair, (opens, newest) in sorted(source.spans().items()) if pair.endswith(f"/{quote}") and newest >= stale_us
    }  # fmt: skip

    def bars() -> Iterator[tuple[str, Bars]]:
        for one in source.read(list(spans), source.end_us):
            four = one.four if one.four is not None and len(one.four) else None
            yield one.pair, Bars(cut(one.quarters, first_us, source.end_us), four, warmup=question.warmup)

    return Candles(
        bars(), question.strategies(), f"BTC/{quote}", end_us=max((end for _, end in spans.values()), default=0),
        room=sum(end - opens for opens, end in spans.values()) // Timeframe.M15.us, ahead=ahead,
    )  # fmt: skip
