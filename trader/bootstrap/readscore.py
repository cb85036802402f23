"""The AI's scorecard for the API: judged anew where it has grown old."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from trader.config import Settings

JUDGED_S: Final = 60.0  # a judgement draws thousands of samples; the night makes no more than one a day


class Scorecards:
    """The scorecard of one installation, at most a minute old. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: tuple[float, dict[str, Any]] | None = None

    def newest(self) -> dict[str, Any]:
        """What `trader ai report --json` says. Raises TraderError where a store cannot be read."""
        from trader.bootstrap import scoring  # its numeric libraries take seconds to load, and a page starts without them

        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] > JUDGED_S:
                self._made = (time.monotonic(), scoring.judge(self._settings).as_dict())
            return self._made[1]
