"""Drains the outbox into Slack: every message at least once, one whose outcome is unknown repeated once, threads in order.

One root message per trade; everything else of the trade answers in its thread, and its end is written into the root. Nothing
in trading waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trader.slack.blocks import Rendered, render
from trader.slack.client import Failure, Sent, SlackClient, Trouble
from trader.slack.phrases import Words, digest, outcome, phrase

ENTRY, EXIT = "entry.filled", "exit.filled"
BURST, BURST_S, OLD_S = 5, 60.0, 3600.0
REPEAT = "repeated after an unknown outcome"

log = logging.getLogger(__name__)


class Row(Protocol):
    """A message of the outbox with the state of its delivery."""

    @property
    def seq(self) -> int: ...
    @property
    def dedupe_key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def priority(self) -> bool: ...
    @property
    def thread_key(self) -> str: ...
    @property
    def payload(self) -> Mapping[str, Any]: ...
    @property
    def environment(self) -> str: ...
    @property
    def created_us(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def ts(self) -> str | None: ...
    @property
    def last_error(self) -> str: ...


class Box(Protocol):
    """The sender's end of the outbox."""

    def pending(self, now_us: int, limit: int = 100) -> Sequence[Row]: ...
    def root(self, thread_key: str) -> Row | None: ...
    def mark(self, seq: int, state: str, *, channel: str | None = None, ts: str | None = None, error: str = "") -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Machine seconds: between two messages of a channel, and the pause after a failure, doubled up to the longest."""

    gap_s: float = 1.0
    first_pause_s: float = 2.0
    longest_pause_s: float = 300.0


class Sender:
    """`speed`: seconds of the messages' clock a machine second. `stopped` says what a person must put right, empty while all is well."""

    def __init__(self, box: Box, client: SlackClient, *, channel: str, speed: float = 1.0, pace: Pace | None = None) -> None:
        self._box, self._client, self._channel, self._speed = box, client, channel, speed
        self._pace = pace or Pace()
        self._failures = 0
        self._resume_at = 0.0
        self._next_at = 0.0
        self._probe_first = False
        self.stopped = ""

    async def drain(self, now_us: int) -> int:
        """Send what may be sent now; how many messages were delivered. Returns early when Slack does not take them."""
        if self.stopped or asyncio.get_running_loop().time() < self._resume_at:
            return 0
        if self._probe_first and not self._handled(await self._client.probe()):
            return 0
        self._probe_first = False
        rows = list(self._box.pending(now_us))
        grouped = self._to_digest(rows, now_us)
        sent = 0
        if grouped:
            if not await self._digest(grouped):
                return 0
            sent += len(grouped)
        for row in [row for row in rows if row not in grouped]:
            if not await self._deliver(row):
                break
            sent += 1
        return sent

    # --- one message ---------------------------------------------------------------------------------------------------
    async def _deliver(self, row: Row) -> bool:
        """False where the sender must pause; the row keeps its place."""
        root = self._box.root(row.thread_key) if row.thread_key else None
        root = root if root is not None and root.seq < row.seq else None
        if row.state == "SENDING" and row.ts:  # it was posted; only the root was not edited yet
            return await self._close(row, root)
        repeat = row.state == "SENDING"
        if repeat and row.last_error == REPEAT:
            self._box.mark(row.seq, "FAILED", error="the outcome was unknown twice")
            return True
        message = _rendered(row, phrase(row.kind, row.payload), repeat=repeat)
        self._box.mark(row.seq, "SENDING", error=REPEAT if repeat else "")
        found = await self._post(row, message, root)
        if isinstance(found, Failure) and found.trouble is Trouble.TOO_BIG:
            found = await self._post(row, message.plain(), root)
        if isinstance(found, Failure):
            return self._not_sent(row, found, repeat=repeat)
        self._handled(None)
        ends = row.kind == EXIT and root is not None
        self._box.mark(row.seq, "SENDING" if ends else "SENT", channel=found.channel or self._channel, ts=found.ts)
        return await self._close(row, root) if ends else True

    async def _post(self, row: Row, message: Rendered, root: Row | None) -> Sent | Failure:
        await self._turn()
        return await self._client.post(
            self._channel, message, thread_ts=root.ts if root else None, broadcast=row.priority, kind=row.kind, dedupe_key=row.dedupe_key
        )

    def _not_sent(self, row: Row, failure: Failure, *, repeat: bool) -> bool:
        if failure.trouble in (Trouble.REFUSED, Trouble.TOO_BIG):
            log.error("slack: message %d (%s) was refused: %s", row.seq, row.kind, failure.detail)
            self._box.mark(row.seq, "FAILED", error=failure.detail)
            return True
        if failure.trouble is Trouble.UNKNOWN:
            self._box.mark(row.seq, "SENDING", error=REPEAT if repeat else failure.detail)
        elif repeat:  # the repeat certainly did not arrive, so the one repeat is still to come
            self._box.mark(row.seq, "SENDING", error=failure.detail)
        else:
            self._box.mark(row.seq, "PENDING", error=failure.detail)
        return self._handled(failure)

    async def _close(self, row: Row, root: Row | None) -> bool:
        """Write the result into the message that opened the trade; a digest is left as it is."""
        if root is not None and root.ts and root.state == "SENT":
            message = _rendered(root, phrase(root.kind, root.payload), extra=outcome(row.payload))
            await self._turn()
            found = await self._client.update(root.channel or self._channel, root.ts, message)
            if isinstance(found, Failure) and found.trouble is not Trouble.REFUSED:
                return self._handled(found)
        self._handled(None)
        self._box.mark(row.seq, "SENT")
        return True

    # --- several as one ------------------------------------------------------------------------------------------------
    def _to_digest(self, rows: Sequence[Row], now_us: int) -> list[Row]:
        """A backlog older than an hour, or more than five entries within a minute; never an alarm, never one in doubt."""
        calm = [row for row in rows if not row.priority and row.state == "PENDING"]
        old = [row for row in calm if (now_us - row.created_us) / 1e6 / self._speed > OLD_S]
        if len(old) > 1:
            return old
        entries = [row for row in calm if row.kind == ENTRY]
        if len(entries) > BURST and (entries[-1].created_us - entries[0].created_us) / 1e6 / self._speed <= BURST_S:
            return entries
        return []

    async def _digest(self, rows: Sequence[Row]) -> bool:
        told = digest(Counter(row.kind for row in rows))
        heads = [phrase(row.kind, row.payload).headline for row in rows[:20]]
        words = Words(told.headline, (*told.lines, *heads, *([f"and {len(rows) - 20} more"] if len(rows) > 20 else [])))
        await self._turn()
        found = await self._client.post(
            self._channel, render(words, environment=rows[0].environment), thread_ts=None, broadcast=False, kind="digest",
            dedupe_key=f"digest:{rows[0].dedupe_key}:{len(rows)}",
        )  # fmt: skip
        if isinstance(found, Failure):
            self._handled(found)
            return False
        self._handled(None)
        for row in rows:
            self._box.mark(row.seq, "DIGESTED", channel=found.channel or self._channel, ts=found.ts)
        return True

    # --- pace ----------------------------------------------------------------------------------------------------------
    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_at - loop.time()))
        self._next_at = loop.time() + self._pace.gap_s

    def _handled(self, failure: Failure | None) -> bool:
        """Keep the pause after a failure; True where there was none."""
        if failure is None:
            self._failures = 0
            return True
        if failure.trouble is Trouble.PERSON:
            self.stopped = failure.detail
            log.error("slack: %s; nothing is sent until a person has put it right and the sender is started again", failure.detail)
            return False
        pause = min(self._pace.first_pause_s * 2**self._failures, self._pace.longest_pause_s)
        self._failures = min(self._failures + 1, 20)
        self._resume_at = asyncio.get_running_loop().time() + (failure.retry_after_s if failure.retry_after_s is not None else pause)
        self._probe_first = self._probe_first or failure.trouble is Trouble.UNKNOWN
        log.warning("slack: %s; again in %.1f s", failure.detail, self._resume_at - asyncio.get_running_loop().time())
        return False


def _rendered(row: Row, words: Words, *, repeat: bool = False, extra: str = "") -> Rendered:
    return render(words, environment=row.environment, alarm=row.priority, repeat=repeat, extra=extra)
