"""Cassettes between the verdict store, their file and a session that is played again."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.bootstrap import wire
from trader.config import Settings
from trader.data.verdicts import SqliteVerdictStore
from trader.errors import ConfigError
from trader.gemini.cassette import Cassette, Source, load, recorded
from trader.gemini.link import DirectLink
from trader.gemini.replay import Miss, Replay
from trader.ports import Clock, VerdictLink


@dataclass(slots=True, kw_only=True)
class Tape:
    """A cassette and what a question means that is not on it. `replay`: the advisor of the newest session that heard it."""

    cassette: Cassette
    miss: Miss = Miss.FAIL
    replay: Replay | None = None

    @property
    def asked(self) -> int:
        """Questions the session put."""
        return self.replay.tape.asked if self.replay else 0

    @property
    def missed(self) -> int:
        """Those of them that the cassette does not hold."""
        return self.replay.tape.missed if self.replay else 0

    def source(self) -> Source:
        """Who answered."""
        return self.replay.source if self.replay else self.cassette.source()

    def link(self, settings: Settings, clock: Clock, stack: AsyncExitStack) -> VerdictLink:
        """The AI of a session that hears the cassette. Raises ConfigError where it holds several sources, none of them the settings'."""
        source = self.cassette.source(wire.choice_of(settings).source)
        self.replay = Replay(
            self.cassette, clock, source=source, miss=self.miss, limits=wire.ai_limits(settings), seed=settings.market.seed,
            ttl_s=settings.ai.ttl_s,
        )  # fmt: skip
        link = DirectLink(self.replay)
        stack.push_async_callback(link.close)
        return link


def tape_of(ai: str, cassette: Path | None, miss: str) -> Tape | None:
    """What `--ai`, `--cassette` and `--miss` mean together: None without a cassette. Raises ConfigError."""
    if (ai == "cassette") != (cassette is not None):
        raise ConfigError("--ai cassette and --cassette FILE go together: the one without the other says nothing")
    if miss not in list(Miss):
        raise ConfigError(f"--miss {miss!r} is not one of {', '.join(Miss)}")
    return None if cassette is None else Tape(cassette=load(cassette), miss=Miss(miss))


def from_store(path: Path, *, since_us: int = 0, until_us: int | None = None) -> tuple[Cassette, int]:
    """The calls of a verdict store as a cassette, and how many were left out because their bodies are past retention."""
    if not path.exists():
        raise ConfigError(f"{path}: no verdict store; the AI was never asked there")
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
