"""Every fault mode of both APIs of the Gemini twin through the real SDK: `python -m tests.gemini_modes`, one JSON line a mode.

Each mode meets one batch of five questions on the stepped clock, then half a minute in which a hidden retry would come. A line says
what the batch ended in, how many HTTP requests the twin counted for it, and what the book rules on an entry afterwards. `ok` and
`slow` are the controls: they alone may rule ALLOW. Exit code 1 where a line differs from TABLE (AI.md section 3).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from trader.domain.orders import Side
from trader.domain.verdicts import AskOutcome, Question, Ruling, Verdict, VerdictKey
from trader.execution.verdict_book import VerdictBook
from trader.gemini.client import make_client
from trader.gemini.decisions import GeminiDecisions
from trader.gemini.text import GeminiText
from trader.simulation.clock import LoopClock
from trader.simulation.gemini_faults import MODES, gemini_plan
from trader.simulation.gemini_server import GeminiTwin
from trader.simulation.loops import run_stepped

T = TypeVar("T")
P = TypeVar("P", GeminiDecisions, GeminiText)
EPOCH = 1_767_571_200_000_000
LENIENT = 0.8  # the highest threshold there is: what it does not admit, none does
CONTROLS = ("ok", "slow")
TABLE = {
    "ok": AskOutcome.OK,
    "slow": AskOutcome.OK,
    "hang": AskOutcome.TIMEOUT,
    "400": AskOutcome.REFUSED,
    "401": AskOutcome.REFUSED,
    "403": AskOutcome.REFUSED,
    "404": AskOutcome.REFUSED,
    "429": AskOutcome.RATE_LIMITED,
    "block": AskOutcome.BLOCKED,
} | dict.fromkeys(("reset", "refuse", "408", "500", "503", "html502"), AskOutcome.UNAVAILABLE)
"""What a mode ends in, by AI.md section 3; every other one is INVALID, with the detail of DETAILS."""
DETAILS: dict[str, dict[str, str]] = {
    "decisions": {
        **dict.fromkeys(("html200", "truncated", "empty_body", "oversize", "duplicate_key", "nan"), "json:"),
        **dict.fromkeys(("bool", "string", "out_of_range", "null"), "value:"),
        **dict.fromkeys(("missing_id", "extra_id"), "ids:"),
        **dict.fromkeys(("wrong_type", "unknown_type"), "type:"),
        "bad_confidence": "inconsistent:", "answers_list": "shape:",
    },
    "generate": {
        **dict.fromkeys(("html200", "truncated", "empty_body", "oversize"), "json:"),
        **dict.fromkeys(("safety", "max_tokens", "continuation", "two_candidates"), "finish:"),
        **dict.fromkeys(("missing_id", "extra_id", "repeated_id"), "ids:"),
        **dict.fromkeys(
            ("fence", "prose", "wrong_enum", "extra_key", "duplicate_key", "nan", "bool", "string", "out_of_range", "null"), "schema:"
        ),
        "model_drift": "drift:",
    },
}  # fmt: skip
DEADLINES_S = {"decisions": 2.0, "generate": 6.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one batch. `rulings`: of the five entries it was about; `elapsed_s`: simulated, until its verdicts came."""

    api: str
    mode: str
    outcome: str
    detail: str
    requests: int
    rulings: dict[str, int]
    elapsed_s: float

    @property
    def wrong(self) -> str:
        """How the row differs from the table, or nothing."""
        expected = TABLE.get(self.mode, AskOutcome.INVALID)
        if self.outcome != expected.value:
            return f"{self.mode}: {self.outcome}, the table says {expected.value}"
        if expected is AskOutcome.INVALID and not self.detail.startswith(DETAILS[self.api][self.mode]):
            return f"{self.mode}: {self.detail!r}, the table says {DETAILS[self.api][self.mode]}"
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


def fault(mode: str, where: str = "decisions", **extra: Any) -> str:
    """The plan with one fault, as TOML."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"where": where, "action": mode, **extra}.items()]
    return "[[fault]]\n" + "\n".join(lines) + "\n"


def with_twin(use: Callable[[GeminiTwin, GeminiDecisions], Awaitable[T]], plan: str = "", seed: int = 7) -> T:
    """Run `use` on the stepped loop with a twin under `plan` and the provider of the Decisions API that is pointed at it."""
    return _pointed(GeminiDecisions, use, plan, seed)


def with_text(use: Callable[[GeminiTwin, GeminiText], Awaitable[T]], plan: str = "", seed: int = 7) -> T:
    """The same with the text provider."""
    return _pointed(GeminiText, use, plan, seed)


def _pointed(provider: type[P], use: Callable[[GeminiTwin, P], Awaitable[T]], plan: str, seed: int) -> T:
    async def main(twin: GeminiTwin, clock: LoopClock) -> T:
        advisor = provider(make_client("test-key", twin.url), clock, seed=seed)
        try:
            return await use(twin, advisor)
        finally:
            await advisor.close()

    return beside_twin(main, plan, seed)


def beside_twin(use: Callable[[GeminiTwin, LoopClock], Awaitable[T]], plan: str, seed: int) -> T:
    """Run `use` on the stepped loop with a twin under `plan`."""

    async def main() -> T:
        clock = LoopClock(EPOCH)
        twin = GeminiTwin(clock, seed, gemini_plan(plan, seed=seed))
        await twin.start(port=8702)
        try:
            return await use(twin, clock)
        finally:
            await twin.close()

    return run_stepped(main)


def meet(mode: str, api: str = "decisions") -> tuple[Row, list[Verdict]]:
    """One batch in one mode of an API: its row, and the verdicts that came of it."""

    async def use(twin: GeminiTwin, advisor: GeminiDecisions | GeminiText) -> tuple[Row, list[Verdict]]:
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
            api=api, mode=mode, outcome="+".join(outcomes), detail=verdicts[0].detail, requests=twin.requests,
            rulings=dict(sorted(rulings.items())), elapsed_s=round(elapsed, 3),
        )  # fmt: skip
        return row, verdicts

    return with_twin(use, fault(mode)) if api == "decisions" else with_text(use, fault(mode, api))


def main() -> int:
    """Print the table; 1 where a line of it is wrong or a mode is missing."""
    argparse.ArgumentParser(prog="python -m tests.gemini_modes", description=__doc__).parse_args()
    asked = [(api, mode) for api, modes in MODES.items() for mode in modes]
    problems = [f"{api} {mode}: not in the table" for api, mode in asked if mode not in TABLE and mode not in DETAILS[api]]
    for api, mode in asked:
        row, _ = meet(mode, api)
        print(json.dumps(asdict(row)), flush=True)
        problems += [f"{api} {row.wrong}"] if row.wrong else []
    for problem in problems:
        print(f"MISS {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
