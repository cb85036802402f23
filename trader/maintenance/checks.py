"""One finding of the doctor or the preflight: level, code, what was seen, why it matters and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor."""

    level: Level
    code: str
    what: str
    why: str = ""
    fix: str = ""

    def line(self) -> str:
        """For a terminal; an `ok` needs no reasons."""
        head = f"{self.level:<4} {self.code:<10} {self.what}"
        return head if self.level == "ok" else f"{head}\n     why: {self.why}\n     fix: {self.fix}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def judged(good: bool, code: str, what: str, *, why: str, fix: str, bad: Level = "FAIL") -> Check:
    """`ok` where it is good, else `bad` with its reasons."""
    return Check(level="ok", code=code, what=what) if good else Check(level=bad, code=code, what=what, why=why, fix=fix)
