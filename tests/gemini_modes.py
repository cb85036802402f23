"""Every fault mode of the Gemini twin through the real SDK: `python -m tests.gemini_modes`, one JSON line a mode.

Each mode meets one batch of five questions on the stepped clock, then half a minute in which a hidden retry would come. A line says
what the batch ended in, how many HTTP requests the twin counted for it, and what the book rules on an entry afterwards. `ok` and
`slow` are the controls: they alone may rule ALLOW. Exit code 1 where a line differs from TABLE (AI.md section 3).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Ruling, Verdict, VerdictKey
from trader.execution.confirmation import VerdictBook
from trader.gemini.client import make_client
from trader.gemini.decisions import GeminiDecisions
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_faults import MODES, gemini_plan
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.loops import run_stepped

T = TypeVar("T")
EPOCH = 1_767_571_200_000_000
LENIENT = 0.8  # the highest threshold there is: what it does not admit, none does
CONTROLS = ("ok", "slow")
TABLE = {
    "ok": AskOutcome.OK,
    "slow": AskOutcome.OK,
    "hang": AskOutcome.TIMEOUT,
    "reset": AskOutcome.UNAVAILABLE,
    "refuse": AskOutcome.UNAVAILABLE,
    "400": AskOutcome.REFUSED,
    "401": AskOutcome.REFUSED,
    "403": AskOutcome.REFUSED,
    "404": AskOutcome.REFUSED,
    "408": AskOutcome.UNAVAILABLE,
    "429": AskOutcome.RATE_LIMITED,
    "500": AskOutcome.UNAVAILABLE,
    "503": AskOutcome.UNAVAILABLE,
    "html502": AskOutcome.UNAVAILABLE,
    "block": AskOutcome.BLOCKED,
} | dict.fromkeys(
    (
        "html200", "truncated", "empty_body", "nan", "bool", "string", "out_of_range", "null", "missing_id", "extra_id", "wrong_type",
        "unknown_type", "bad_confidence", "answers_list", "oversize", "duplicate_key",
    ),
    AskOutcome.INVALID,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one batch. `rulings`: of the five entries it was about; `elapsed_s`: simulated, until its verdicts came."""

    mode: str
    outcome: str
    detail: str
    requests: int
    rulings: dict[str, int]
    elapsed_s: float

    @property
    def wrong(self) -> str:
        """How the row differs from the table, or nothing."""
        if self.outcome != TABLE[self.mode].value:
            return f"{self.mode}: {self.outcome}, the table says {TABLE[self.mode].value}"
        if self.requests != 1:
            return f"{self.mode}: {self.requests} requests for one batch"
        allowed = self.rulings.get(Ruling.ALLOW.value, 0) + self.rulings.get(Ruling.SHRINK.value, 0)
        if bool(allowed) != (self.mode in CONTROLS):
            return f"{self.mode}: {allowed} of 5 entries admitted"
        return ""


def questions(count: int = 5, now_us: int = EPOCH) -> list[Question]:
    """Questions about `count` pairs, each with numbers of its own."""
    return [
        Question(
            key=VerdictKey(pair=f"P{i}/EUR", side=Side.BUY, strategy="viable/mitraillette/AGGRESSIVE"),
            asked_us=now_us,
            asked_price=100.0,
            band_lo=99.0,
            band_hi=101.0,
            features={"rsi": 24.0 + i, "score": 60.0 + i, "volume_ratio": 1.0 + i / 10, "h4": "neutral"},
        )
        for i in range(count)
    ]


def fault(mode: str, **extra: Any) -> str:
    """The plan with one fault, as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"where": "decisions", "action": mode, **extra}.items()]
    return "[[fault]]\n" + "\n".join(lines) + "\n"


def with_twin(use: Callable[[GeminiTwin, GeminiDecisions], Awaitable[T]], plan: str = "", seed: int = 7) -> T:
    """Run `use` on the stepped loop with a twin under `plan` and a provider that is pointed at it."""

    async def main() -> T:
        clock = LoopClock(EPOCH)
        twin = GeminiTwin(clock, seed, gemini_plan(plan, seed=seed))
        await twin.start(port=8702)
        advisor = GeminiDecisions(make_client("test-key", twin.url), clock, seed=seed)
        try:
            return await use(twin, advisor)
        finally:
            await advisor.close()
            await twin.close()

    return run_stepped(main)


def meet(mode: str) -> tuple[Row, list[Verdict]]:
    """One batch in one mode: its row, and the verdicts that came of it."""

    async def use(twin: GeminiTwin, advisor: GeminiDecisions) -> tuple[Row, list[Verdict]]:
        loop, clock = asyncio.get_running_loop(), LoopClock(EPOCH)
        begin = loop.time()
        verdicts = list(await advisor.ask(questions()))
        elapsed = loop.time() - begin
        book = VerdictBook()
        book.link_state = "ok"  # the breaker's word is left out: the verdicts alone must not admit anything
        for verdict in verdicts:
            book.put(verdict)
            book.set_tau(verdict.key, LENIENT)
        rulings = Counter(book.look_up(verdict.key, 100.0, clock.now_us()).ruling.value for verdict in verdicts)
        await asyncio.sleep(25.0)  # a hidden retry would come in this time
        outcomes = sorted({verdict.outcome.value for verdict in verdicts})
        row = Row(
            mode=mode, outcome="+".join(outcomes), detail=verdicts[0].detail, requests=twin.requests, rulings=dict(sorted(rulings.items())),
            elapsed_s=round(elapsed, 3),
        )  # fmt: skip
        return row, verdicts

    return with_twin(use, fault(mode))


def main() -> int:
    """Print the table; 1 where a line of it is wrong or a mode is missing."""
    problems = [f"{mode}: not in the table" for mode in MODES if mode not in TABLE]
    for mode in MODES:
        row, _ = meet(mode)
        print(json.dumps(asdict(row)), flush=True)
        problems += [row.wrong] if row.wrong else []
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
