"""JSON without floats."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def exact_json(body: str) -> Any:
    """JSON with a Decimal for every number that has a point or an exponent.

    NaN and infinities are refused, and so is nesting that no parser bears (ValueError).
    """
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
