"""What the argument of a fault may be: each check returns None where the argument is fine, else words for what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

ArgCheck = Callable[[Any], str | None]
PAIR_STATES = ("online", "cancel_only", "post_only", "limit_only", "reduce_only", "maintenance", "delisted", "hidden")
MALFORMED = ("json", "envelope", "types", "null", "empty", "bytes", "deep")
GARBAGE = ("json", "envelope", "types", "missing", "null", "number", "infinite", "symbol", "deep", "huge")
MOST_MB = 256


def no_arg(arg: Any) -> str | None:
    """The action takes no argument."""
    return None if arg is None else "no arg"


def seconds(arg: Any) -> str | None:
    """A finite, non-negative number of seconds."""
    return None if _finite(arg) and arg >= 0 else "a number of seconds, 0 or more"


def offset(arg: Any) -> str | None:
    """A finite number of seconds of either sign."""
    return None if _finite(arg) and abs(arg) <= 86_400 else "a number of seconds from -86400 to 86400"


def optional_seconds(arg: Any) -> str | None:
    """As `seconds`; absent means for ever."""
    return None if arg is None or seconds(arg) is None else "a number of seconds, 0 or more, or none for ever"


def text(arg: Any) -> str | None:
    """A non-empty string."""
    return None if isinstance(arg, str) and arg else "a non-empty string"


def warning(arg: Any) -> str | None:
    """A warning in Kraken's form."""
    return None if isinstance(arg, str) and arg.startswith("W") else 'a string that begins with W, as "WDatabase:No change"'


def status(arg: Any) -> str | None:
    """An HTTP status that is an error."""
    return None if _whole(arg) and 400 <= arg <= 599 else "an HTTP status from 400 to 599"


def factor(arg: Any) -> str | None:
    """A finite positive number."""
    return None if _finite(arg) and arg > 0 else "a number above 0"


def share(arg: Any) -> str | None:
    """A part of a whole, exact in a string."""
    number = None if quantity(arg) is not None else Decimal(arg)
    return None if number is not None and number < 1 else 'a decimal above 0 and below 1 in a string, as "0.4"'


def megabytes(arg: Any) -> str | None:
    """A size in megabytes (10^6 bytes)."""
    return None if _whole(arg) and 1 <= arg <= MOST_MB else f"a whole number of megabytes from 1 to {MOST_MB}"


def count(arg: Any) -> str | None:
    """How many, 1 where absent."""
    return None if arg is None or (_whole(arg) and 1 <= arg <= 1000) else "a count from 1 to 1000, or none for 1"


def one_of(*words: str) -> ArgCheck:
    """One of some words; absent stands for the first."""
    return lambda arg: None if arg is None or (isinstance(arg, str) and arg in words) else f"one of {', '.join(words)}"


def path(arg: Any) -> str | None:
    """A field of an answer: a dotted path from its root, * for any name or place in a list; a bare name is found at any depth."""
    fine = isinstance(arg, str) and all(arg.split(".")) and not arg.endswith("*")
    return None if fine else 'a field: a dotted path with * for any name, as "result.*.wsname", or a bare name for any depth'


def renaming(arg: Any) -> str | None:
    """A table {from, to}: which field, and its new name."""
    allowed = 'a table { from = "result.*.wsname", to = "ws_name" }'
    if not isinstance(arg, Mapping) or set(arg) != {"from", "to"}:
        return allowed
    return None if path(arg["from"]) is None and text(arg["to"]) is None and "." not in arg["to"] else allowed


def foreign(arg: Any) -> str | None:
    """A table {pair, side, quantity, after_s} of a trade that somebody else makes on the account."""
    allowed = 'a table { pair, side = buy|sell, quantity = "1.5", after_s }'
    if not isinstance(arg, Mapping) or set(arg) != {"pair", "side", "quantity", "after_s"} or arg["side"] not in ("buy", "sell"):
        return allowed
    return None if text(arg["pair"]) is text(arg["quantity"]) is seconds(arg["after_s"]) is None else allowed


def window(**more: ArgCheck) -> ArgCheck:
    """A table {after_s, for_s, ...}: both optional, absent for_s means for ever; `more` are required besides."""
    words = ", ".join((*more, "after_s = 0", "for_s"))

    def check(arg: Any) -> str | None:
        given = {} if arg is None else arg
        if not isinstance(given, Mapping) or not set(more) <= set(given) <= {*more, "after_s", "for_s"}:
            return f"a table {{ {words} }}"
        for name, allowed in (*more.items(), ("after_s", seconds), ("for_s", optional_seconds)):
            if name in given and (said := allowed(given[name])) is not None:
                return f"a table {{ {words} }} with {name} = {said}"
        return None

    return check


def quantity(arg: Any) -> str | None:
    """A positive decimal in a string."""
    try:
        number = Decimal(arg) if isinstance(arg, str) else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    return None if number.is_finite() and number > 0 else 'a positive decimal in a string, as "0.01"'


def _finite(arg: Any) -> bool:
    return isinstance(arg, (int, float)) and not isinstance(arg, bool) and math.isfinite(arg)


def _whole(arg: Any) -> bool:
    return isinstance(arg, int) and not isinstance(arg, bool)
