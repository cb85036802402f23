"""Ten one-line mistakes that a backtest can make without anybody noticing, and the tables that look at those lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXITS, RISK, PLAN = "trader/execution/exits.py", "trader/execution/risk.py", "trader/execution/exit_plan.py"
ACCOUNT, COMPILED = "trader/research/account.py", "trader/indicators/compiled.py"
STEPS = ("tests/unit/execution/test_exits.py", "tests/unit/research/test_s1.py")
REVIEWS = ("tests/unit/execution/test_risk.py",)
ACCOUNTS = ("tests/unit/research/test_account.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`old` stands once in `file` and becomes `new`. `tables`: test files that are asked first; the parity campaign is asked where
    they see nothing."""

    name: str
    file: str
    old: str
    new: str
    tables: tuple[str, ...] = ()

    def line(self, root: Path) -> int:
        """Where it bites, counted from 1. Raises ValueError where the text stands there never or more than once."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} stands {text.count(self.old)} times in {self.file}, it must stand there once")
        return text[: text.index(self.old)].count("\n") + 1


MUTANTS = (
    Mutant(
        name="entry filled at the signal's close", file=ACCOUNT, old="int(market.ticks[0][place]))\n        entry",
        new="int(market.ticks[3][place - 1]))\n        entry",
    ),
    Mutant(
        name="target before stop", file=EXITS, old="    if low <= state.stop:",
        new="    if low <= state.stop and not (first and high >= t.tp1):", tables=STEPS,
    ),
    Mutant(
        name="fee of the other side", file=ACCOUNT, old="fee(bought, from_float(costs.taker)", new="fee(bought, from_float(costs.maker)"
    ),
    Mutant(name="slippage in our favour", file=COMPILED, old="(_SLIP_ONE - units)", new="(_SLIP_ONE + units)", tables=STEPS),
    Mutant(name="cooldown a bar short", file=RISK, old="max(0, need - (bar_us", new="max(0, need - 1 - (bar_us", tables=REVIEWS),
    Mutant(
        name="ratchet a level high", file=EXITS, old="t.breakeven if n == 1 else under", new="t.breakeven if n == 1 else reached",
        tables=STEPS,
    ),
    Mutant(name="entry bar excluded", file=ACCOUNT, old="market.ticks, place, legs", new="market.ticks, place + 1, legs"),
    Mutant(
        name="gap filled at the level", file=EXITS,
        old="    if open <= state.stop:\n        return stop_reason, t.sign * slipped(open,",
        new="    if open <= state.stop:\n        return stop_reason, t.sign * slipped(state.stop,", tables=STEPS,
    ),
    Mutant(
        name="stop rounded away from entry", file=PLAN, old="toward, away = (up, up) if", new="toward, away = (down, up) if",
        tables=STEPS,
    ),
    Mutant(
        name="cash released a bar early", file=ACCOUNT, old="self.waiting[0].bar_us < close_us",
        new="self.waiting[0].bar_us <= close_us", tables=ACCOUNTS,
    ),
)  # fmt: skip
