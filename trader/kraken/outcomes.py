"""The total classifier of Kraken's words (RELIABILITY.md section 2.2): every string has a class, the unknown is ambiguous.

Exact match first, then the longest prefix, then the default. Blanks after a colon are dropped before the look-up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from trader.domain.orders import Ambiguous, Rejected
from trader.errors import AuthError, RejectedError, RetryableError, TraderError
from trader.kraken.words import EXACT_WORDS, PREFIX_WORDS

MESSAGE = 500  # characters of the venue's words that are kept; a hostile answer may hold millions
DEADLINE_ELAPSED = "EService:Deadline elapsed"
LOCKOUT_S = 900.0  # EGeneral:Temporary lockout holds for about 15 minutes


class Class(StrEnum):
    """What a venue string asks for; the values of refusals are the kinds of `Rejected`."""

    AMBIGUOUS = "ambiguous"
    AUTH = "auth"
    NONCE = "nonce"
    LATER = "later"
    PAIR = "pair"
    GONE = "gone"
    LIMITS = "limits"
    BUG = "bug"
    STYLE = "style"
    SIZE = "size"
    FUNDS = "funds"
    WARN = "warn"


# The most cautious class wins when several strings come together.
CAUTION: tuple[Class, ...] = tuple(Class)
EXACT: dict[str, Class] = {text: Class(kind) for kind, texts in EXACT_WORDS.items() for text in texts}
PREFIXES: tuple[tuple[str, Class], ...] = tuple(
    sorted(((text, Class(kind)) for kind, texts in PREFIX_WORDS.items() for text in texts), key=lambda row: (-len(row[0]), row[0]))
)
_BLANKS = re.compile(r":\s+")
# A complaint about an id that already exists means an order stands, whatever family the wording belongs to.
_DUPLICATE = re.compile(r"duplicat|already|cl_?ord|client.?order", re.IGNORECASE)
_THROTTLED = re.compile(r"^EService:Throttled:\s*(\d+(?:\.\d+)?)$")


def normal(text: str) -> str:
    """The form the table is keyed by: trimmed, no blanks after colons."""
    return _BLANKS.sub(":", text.strip())


def class_of(text: str) -> Class:
    """Class of one string; `AMBIGUOUS` for anything the table does not know."""
    key = normal(text)
    found = EXACT.get(key)
    if found is not None:
        return found
    if key.startswith("W"):
        return Class.WARN
    kind = next((kind for prefix, kind in PREFIXES if key.startswith(prefix)), Class.AMBIGUOUS)
    return Class.AMBIGUOUS if kind is Class.BUG and _DUPLICATE.search(key) else kind


def classify(strings: Sequence[str], *, write: bool) -> Class:
    """Class of an answer's strings. `write`: an order was being placed, so "unknown order" proves nothing.

    No string at all is ambiguous: something failed without saying what.
    """
    kinds = {class_of(text) for text in strings} or {Class.AMBIGUOUS}
    worst = next(kind for kind in CAUTION if kind in kinds)
    if write and worst in (Class.GONE, Class.WARN):
        return Class.AMBIGUOUS
    return Class.AMBIGUOUS if worst is Class.WARN else worst


def retry_after(strings: Sequence[str], now_us: int) -> float | None:
    """Seconds the venue asked us to wait, where it said so; at most a lockout's, since a moment further off is a slip of its clock or
    unit, and an exit must not wait for that."""
    for text in map(normal, strings):
        if text.startswith("EGeneral:Temporary lockout"):
            return LOCKOUT_S
        if match := _THROTTLED.match(text):
            return min(max(0.0, float(match.group(1)) - now_us / 1e6), LOCKOUT_S)
    return None


def answer_for(strings: Sequence[str], *, placing: bool, now_us: int, has_result: bool = False) -> Rejected | Ambiguous:
    """The answer of an order call that the venue refused. An error beside a result proves nothing."""
    message = "; ".join(strings)[:MESSAGE] or "no reason given"
    kind = classify(strings, write=placing)
    if kind is Class.AMBIGUOUS or has_result:
        return Ambiguous(message=message, late=not has_result and {normal(text) for text in strings} == {DEADLINE_ELAPSED})
    return Rejected(kind=kind.value, message=message, retry_after_s=retry_after(strings, now_us))


def error_for(strings: Sequence[str], *, now_us: int) -> TraderError:
    """The error of a read that the venue refused."""
    message = "Kraken refused: " + ("; ".join(strings)[:MESSAGE] or "no reason given")
    kind = classify(strings, write=False)
    if kind is Class.AUTH and not any(normal(text) == "ESession:Invalid session" for text in strings):
        return AuthError(message)
    if kind in (Class.AMBIGUOUS, Class.LATER, Class.NONCE, Class.AUTH):
        return RetryableError(message, retry_after_s=retry_after(strings, now_us))
    return RejectedError(message)


def known(text: str) -> bool:
    """Whether the table has a row for this string."""
    key = normal(text)
    return key in EXACT or key.startswith("W") or any(key.startswith(prefix) for prefix, _ in PREFIXES)
