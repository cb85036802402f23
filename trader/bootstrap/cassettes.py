"""Cassettes between the verdict store, their file and a session that is played again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.config import Settings
from trader.data.verdicts import SqliteVerdictStore
from trader.domain.messages import stamp
from trader.errors import ConfigError
from trader.gemini.advisors import TEXT, Fallback
from trader.gemini.cassette import Cassette, Source, load, recorded
from trader.gemini.link import DirectLink, StatefulAdvisor
from trader.gemini.replay import Miss, Replay
from trader.gemini.text import PROVIDER as TEXT_PROVIDER
from trader.ports import Clock, VerdictLink


@dataclass(slots=True, kw_only=True)
class Tape:
    """A cassette and what a question means that is not on it. `replays`: the advisors of the newest session that heard it, by source."""

    cassette: Cassette
    miss: Miss = Miss.FAIL
    replays: dict[Source, Replay] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """Questions the session put."""
        return sum(replay.tape.asked for replay in self.replays.values())

    @property
    def missed(self) -> int:
        """Those of them that the cassette does not hold."""
        return sum(replay.tape.missed for replay in self.replays.values())

    def source(self) -> Source:
        """Who answered, first of all."""
        return next(iter(self.replays), None) or self.cassette.source()

    def advisor(self, settings: Settings, clock: Clock) -> StatefulAdvisor:
        """Who answers for the AI; with `ai.fallback`, two. Raises ConfigError where several answered, none of them the settings'."""
        choice = wire.choice_of(settings)
        sources = [self.cassette.source(choice.source)]
        if choice.fallback == TEXT and choice.provider != TEXT:
            sources.append((TEXT_PROVIDER, choice.text_model))
        self.replays = {
            source: Replay(
                self.cassette, clock, source=source, miss=self.miss, limits=wire.ai_limits(settings), seed=settings.market.seed,
                ttl_s=settings.ai.ttl_s,
            )
            for source in sources
        }  # fmt: skip
        first, *others = self.replays.values()
        return Fallback(first, others[0]) if others else first

    def link(self, settings: Settings, clock: Clock, stack: AsyncExitStack) -> VerdictLink:
        """The session's end of the cassette."""
        link = DirectLink(self.advisor(settings, clock))
        stack.push_async_callback(link.close)
        return link


def tape_of(ai: str, cassette: Path | None, miss: str, modes: Sequence[str] = ()) -> Tape | None:
    """What `--ai`, `--cassette` and `--miss` mean together, beside `modes` of a session: None without a cassette. Raises ConfigError."""
    if modes and ai not in (*modes, "", "cassette"):
        raise ConfigError(f"--ai {ai!r}: allowed are {', '.join(modes)}, cassette")
    if (ai == "cassette") != (cassette is not None):
        raise ConfigError("--ai cassette and --cassette FILE go together: the one without the other says nothing")
    if miss not in list(Miss):
        raise ConfigError(f"--miss {miss!r} is not one of {', '.join(Miss)}")
    return None if cassette is None else Tape(cassette=load(cassette), miss=Miss(miss))


def from_store(path: Path, *, since_us: int = 0, until_us: int | None = None) -> tuple[Cassette, int]:
    """The calls of a verdict store as a cassette, and how many were left out because their bodies are past retention."""
    if not path.exists():
        raise ConfigError(f"{path}: no verdict store; the AI was never asked there")
    if until_us is not None and since_us >= until_us:
        raise ConfigError(f"--from {stamp(since_us)}: must be before --to, which is {stamp(until_us)}")
    store = SqliteVerdictStore(path, read_only=True)
    try:
        span = {"since_us": since_us} | ({} if until_us is None else {"until_us": until_us})
        calls = list(store.calls(**span))
    finally:
        store.close()
    made = recorded(str(path), calls)
    return made, len(calls) - len(made.calls)


def summary(cassette: Cassette, file: Path, dropped: int) -> dict[str, Any]:
    """What was written, JSON-ready. `dropped`: calls past retention."""
    calls = cassette.calls
    return {
        "file": str(file), "sha256": cassette.sha256, "calls": len(calls), "answers": sum(len(call.keys) for call in calls),
        "questions": len(cassette.answers), "outcomes": dict(sorted(Counter(call.outcome.value for call in calls).items())),
        "sources": sorted({f"{call.provider} {call.model}" for call in calls}), "by_the_twin": sum(call.is_twin for call in calls),
        "past_retention": dropped,
    }  # fmt: skip
