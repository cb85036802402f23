"""Each safety rule of the AI broken in one line, and the tests that must see it (docs/reference/ai-safety.md)."""

from __future__ import annotations

from tests.mutants.table import Mutant

BOOK, RISK, CLIENT = "trader/execution/verdict_book.py", "trader/execution/risk.py", "trader/gemini/client.py"
SAFETY = ("tests/unit/execution/test_ai_safety.py",)
BOOKS = ("tests/unit/execution/test_verdict_book.py",)

BREACHES = (
    Mutant(
        name="look-up opens a file", file=BOOK, tables=SAFETY, old="        verdict = self._verdicts.get(key)\n        if verdict is None:",
        new='        open("/dev/null").close()\n        verdict = self._verdicts.get(key)\n        if verdict is None:',
    ),
    Mutant(
        name="broken look-up ends the session", file="trader/execution/asking.py", tables=("tests/unit/execution/test_asking.py",),
        old="except Exception as error:", new="except KeyError as error:",
    ),
    Mutant(name="entry without a verdict", file=RISK, tables=SAFETY, old="ruling.ruling is Ruling.DEFER:", new="ruling.ruling is None:"),
    Mutant(name="veto is not obeyed", file=RISK, tables=SAFETY, old="ruling.ruling is Ruling.VETO:", new="ruling.ruling is None:"),
    Mutant(
        name="AI enlarges a stake", file="trader/execution/thresholds.py", tables=SAFETY, old="SHRINK_FACTOR = 0.5",
        new="SHRINK_FACTOR = 1.5",
    ),
    Mutant(
        name="verdict outlives its time", file=BOOK, tables=BOOKS, old="<= now_us < self.expires_us(verdict)",
        new="<= now_us < self.expires_us(verdict) + 1",
    ),
    Mutant(
        name="verdict outside its band", file=BOOK, tables=BOOKS, old="if not verdict.band_lo <= price <= verdict.band_hi:",
        new="if not verdict.band_lo <= price:",
    ),
    Mutant(
        name="verdict with an open breaker", file=BOOK, tables=BOOKS, old='("ok", "PRIORITY", "BUDGET")',
        new='("ok", "PRIORITY", "BUDGET", "BREAKER")',
    ),
    Mutant(
        name="number of the socket ends the link", file="trader/gemini/wire.py", tables=("tests/contract/test_verdict_link.py",),
        old="except (KeyError, TypeError, OverflowError) as error:", new="except (KeyError, TypeError) as error:",
    ),
    Mutant(
        name="true is a probability", file="trader/gemini/parse.py", tables=("tests/unit/gemini/test_gemini_parse.py",),
        old="    if isinstance(value, bool) or not isinstance(value, int | float):\n        return None",
        new="    if not isinstance(value, int | float):\n        return None",
    ),
    Mutant(
        name="SDK repeats a request", file=CLIENT, tables=("tests/wire/test_night_suggestions.py",), old="HttpRetryOptions(attempts=1)",
        new="HttpRetryOptions(attempts=3)",
    ),
    Mutant(
        name="stand-in passes for the service", file=CLIENT, tables=("tests/wire/test_gemini_twin.py",),
        old="is_twin=TWIN_HEADER in response.headers", new="is_twin=False",
    ),
    Mutant(
        name="service asked elsewhere", file=CLIENT, tables=SAFETY, old="base_url=base_url or GOOGLE", new="base_url=base_url",
    ),
    Mutant(
        name="off without a word", file="trader/config.py", tables=SAFETY, old='mode: Literal["off", "shadow", "veto"] = "veto"',
        new='mode: Literal["off", "shadow", "veto"] = "off"',
    ),
    Mutant(
        name="harm does not demote", file="trader/bootstrap/scoring.py", tables=("tests/integration/test_ai_standing.py",),
        old="not report.standing.demoted:", new="report.standing.demoted:",
    ),
    Mutant(
        name="suggestion applies itself", file="trader/bootstrap/tuning.py", tables=("tests/integration/test_suggestions.py",),
        old="if one.state(0) is SuggestionState.APPROVED]", new="if one.state(0) is not SuggestionState.REJECTED]",
    ),
)  # fmt: skip
