"""The one way in: every request passes `admit`, its effect and the way out; faults act in between.

A fault before the effect leaves the books untouched; a fault after it only spoils the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import Refused, unit_hash
from trader.simulation.fault_catalogue import KRAKEN_ACTIONS
from trader.simulation.faults import EDITS, Fault, FaultPlan
from trader.simulation.kraken_server.timed_faults import LateOrders
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.replies import End, Reply, envelope
from trader.simulation.kraken_server.wire.spoiling import edited, spoilt
from trader.simulation.kraken_server.wire.write_log import WriteLog

LATENCY_S = (0.020, 0.050)
INVALID_NONCE = "EAPI:Invalid nonce"


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as it arrived. `fields`: parsed parameters as text, plus `symbol` where a pair is named."""

    name: str
    path: str
    private: bool
    raw: bytes
    headers: Mapping[str, str]
    fields: dict[str, str]
    arrived_us: int
    address: str = ""  # of the client, for the limits of public calls
    flags: dict[str, Any] = field(default_factory=dict)  # faults that the effect itself has to play: their arguments, or True


def comes_after(fault: Fault) -> bool:
    """Whether a fault waits for the effect: by its nature, or where both are possible by the plan's word."""
    action = KRAKEN_ACTIONS[fault.action]
    return action.after and (fault.after or not action.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one API words what became of a request: its result, and Kraken's own string for a refusal."""

    answer: Callable[[Any], Reply]
    refusal: Callable[[str], Reply]


SPOT = Dialect(answer=lambda result: Reply(text=envelope(result)), refusal=lambda error: Reply(text=envelope(error=error)))


class Middleware:
    """Counts, delays and spoils. `released` sets free the answers that a hold_reply fault keeps."""

    def __init__(self, *, plan: FaultPlan, clock: Clock, seed: int) -> None:
        self.plan = plan
        self.counters: dict[str, int] = {}
        self.held = self._calls = 0
        self.stopped = asyncio.Event()
        self.writes = WriteLog()
        self.late_orders = LateOrders(clock)
        self._clock, self._seed = clock, seed
        self._released = asyncio.Event()

    def count(self, what: str) -> None:
        """One more of something: an endpoint's request, a refusal by its string."""
        self.counters[what] = self.counters.get(what, 0) + 1

    async def run(
        self,
        call: Call,
        admit: Callable[[Call], None],
        effect: Callable[[Call], Any],
        settled: Callable[[], Awaitable[None]],
        dialect: Dialect = SPOT,
    ) -> Reply:
        """Answer one request. `admit` and `effect` raise Refused with the venue's string; `settled` tells the streams."""
        self.count(call.name)
        self.writes.note(call.name, call.fields, call.raw)
        self._calls += 1
        number = self._calls
        early: list[Fault] = []
        late: list[Fault] = []
        for fault in self.plan.take(call.name, call.fields):
            if fault.action == "lost_request":
                return Reply(end=End.FIN)
            (late if comes_after(fault) else early).append(fault)
        for fault in late:
            call.flags[fault.action] = True if fault.arg is None else fault.arg
        try:
            admit(call)
            for fault in early:
                if (instead := await self._before(fault)) is not None:
                    return instead
            if call.private:
                low, high = LATENCY_S
                await self._clock.sleep(low + (high - low) * unit_hash(self._seed, "latency", number))
            result = self.late_orders.without(call.name, effect(call))
            for fault in late:
                if fault.action == "ack_lag":
                    self.late_orders.hide(result.get("txid", ()), fault.arg, settled)
            reply = dialect.answer(result)
        except Refused as refusal:
            self.count(refusal.error)
            reply = dialect.refusal(refusal.error)
        await settled()
        for fault in late:
            reply = await self._after(call.name, fault, reply, dialect)
        return reply

    async def stream(
        self, name: str, fields: Mapping[str, str], effect: Callable[[str | None], list[str]], settled: Callable[[], Awaitable[None]]
    ) -> list[str] | None:
        """Frames that answer a WebSocket request, None where the connection breaks.

        `effect` takes an error to refuse with; `settled` tells the streams what it did.
        """
        self.count(name)
        self.writes.note(name, fields)
        faults = self.plan.take(name, fields)
        actions = {fault.action: fault for fault in faults}
        if "ws_drop" in actions:
            return None
        if "lost_request" in actions or ("hang" in actions and not actions["hang"].after):
            return []
        if "msg_rate" in actions:
            return [dumps({"error": "Exceeded msg rate", "success": False})]
        delay = actions.get("delay")
        if delay is not None and not delay.after:
            await asyncio.sleep(delay.arg)
        refusal = actions.get("error")
        frames = effect(refusal.arg if refusal is not None and not refusal.after else None)
        await settled()
        if refusal is not None and refusal.after:
            frames = effect(refusal.arg)
        if delay is not None and delay.after:
            await asyncio.sleep(delay.arg)
        if "lost_response" in actions or "hang" in actions:
            return []
        for fault in faults:
            if fault.action in EDITS:
                frames = self._edit_each(name, frames, fault)
        return frames

    def _edit_each(self, name: str, frames: list[str], fault: Fault) -> list[str]:
        changed = [edited(text, fault) for text in frames]
        if not any(changed):
            self.plan.miss(name, fault)
        return [new or old for new, old in zip(changed, frames, strict=True)]

    def release(self) -> int:
        """Let the held answers go; returns how many there were."""
        count = self.held
        self._released.set()
        self._released = asyncio.Event()
        return count

    def stop(self) -> None:
        """Break every request that waits for ever."""
        self.stopped.set()
        self.release()

    async def _before(self, fault: Fault) -> Reply | None:
        """What is answered instead of the effect, None to go on."""
        if fault.action in ("error", "nonce_reject"):
            raise Refused(fault.arg or INVALID_NONCE)
        if fault.action == "delay":
            await asyncio.sleep(fault.arg)
            return None
        return spoilt(Reply(), fault)

    async def _after(self, name: str, fault: Fault, reply: Reply, dialect: Dialect) -> Reply:
        """The answer as a fault leaves it."""
        if fault.action == "delay":
            await asyncio.sleep(fault.arg)
        elif fault.action == "hold_reply":
            await self._hold()
        elif fault.action == "error":
            return dialect.refusal(fault.arg)
        elif (changed := spoilt(reply, fault)) is not None:
            return changed
        else:
            self.plan.miss(name, fault)
        return reply

    async def _hold(self) -> None:
        self.held += 1
        try:
            await self._released.wait()
        finally:
            self.held -= 1
