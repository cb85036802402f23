"""A flow started by a person: its result on standard output, an expected error as one sentence, and an exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any, Final

from tasks.trading import STOPPED, TAKEN
from trader.errors import ConfigError, LeaseLostError, RetryableError, TraderError, UnsafeError

CODES: Final[tuple[tuple[type[TraderError], int], ...]] = (
    (ConfigError, 2), (UnsafeError, 3), (LeaseLostError, 5), (RetryableError, 4), (TraderError, 1),
)  # fmt: skip
"""Exit codes of INTERFACES section 4, the first class that fits."""


ENDED: Final = {TAKEN: 5, STOPPED: 3}
"""Exit codes of sessions that did not start, and need none."""


def run_to_exit_code(work: Coroutine[Any, Any, Any]) -> int:
    """Run a flow to its end and print its result as JSON; 0, or the code of what stopped it."""
    try:
        result = asyncio.run(work)
    except TraderError as error:
        sys.stderr.write(f"trader: {error}\n")
        return next(code for kind, code in CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    return ENDED.get(str(result.get("ended")), 0) if isinstance(result, dict) else 0
