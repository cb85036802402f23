"""What the gate says: failures, verdicts per pair, the result of a batch; frozen, and as JSON between processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from trader.data.rules import GAP, Severity
from trader.domain.market import Timeframe
from trader.errors import CorruptError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One broken expectation of one pair; `detail` shows the first row and what was seen."""

    expectation: str
    severity: Severity
    rows: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word on one pair's rows of one timeframe; no failure = passed."""

    timeframe: Timeframe
    pair: str
    rows: int
    failures: tuple[Failure, ...] = ()

    @property
    def critical(self) -> Failure | None:
        """The first critical failure, which names the block."""
        return next((f for f in self.failures if f.severity is Severity.CRITICAL), None)

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """What asks for a repair and refuses nothing."""
        return tuple(f for f in self.failures if f.severity is Severity.WARNING)

    @property
    def gaps(self) -> int:
        """Holes the warning rule saw."""
        return sum(f.rows for f in self.warnings if f.expectation == GAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Verdicts of one batch. `refused`: a table rule failed, so the batch as a whole counts for nothing.

    `validations`: how often Great Expectations was run for it; at most once a timeframe, never for the Polars engine.
    """

    engine: str
    suite_version: str
    verdicts: tuple[Verdict, ...]
    refused: str = ""
    validations: int = 0

    def of(self, timeframe: Timeframe) -> dict[str, Verdict]:
        return {v.pair: v for v in self.verdicts if v.timeframe is timeframe}

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> GateResult:
        """Raises CorruptError when the text is not a gate result."""
        try:
            raw = json.loads(text)
            verdicts = tuple(
                Verdict(
                    timeframe=Timeframe(v["timeframe"]), pair=v["pair"], rows=v["rows"],
                    failures=tuple(Failure(**{**f, "severity": Severity(f["severity"])}) for f in v["failures"]),
                )
                for v in raw["verdicts"]
            )  # fmt: skip
            return GateResult(
                engine=raw["engine"], suite_version=raw["suite_version"], verdicts=verdicts, refused=raw["refused"],
                validations=raw["validations"],
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"gate result: {type(error).__name__}: {error}") from error

    @staticmethod
    def load(path: Path) -> GateResult:
        return GateResult.from_json(path.read_text())
