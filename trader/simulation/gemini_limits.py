"""Rate limits of the Gemini twin: requests and tokens a minute, requests a day, as a free tier has them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from trader.domain.market import DAY, MINUTE, SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a key may use. The demo's twin has none; `FREE` is what is quoted for the free tier."""

    per_minute: int
    tokens_per_minute: int
    per_day: int


FREE = Quota(per_minute=200, tokens_per_minute=50_000, per_day=10_000)


class Meter:
    """Counts what was let through, on the clock that is passed in."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._minute: deque[tuple[int, int]] = deque()  # (when, tokens) of the last minute
        self._day, self._today = -1, 0

    def refuse_s(self, now_us: int, tokens: int) -> int | None:
        """Whole seconds to wait, or None: the request is let through and counted."""
        if now_us // DAY != self._day:
            self._day, self._today = now_us // DAY, 0
        while self._minute and self._minute[0][0] <= now_us - MINUTE:
            self._minute.popleft()
        if self._today >= self.quota.per_day:
            return math.ceil((DAY - now_us % DAY) / SECOND)
        used = sum(count for _, count in self._minute)
        if len(self._minute) >= self.quota.per_minute or (self._minute and used + tokens > self.quota.tokens_per_minute):
            return math.ceil((self._minute[0][0] + MINUTE - now_us) / SECOND)
        self._minute.append((now_us, tokens))
        self._today += 1
        return None
