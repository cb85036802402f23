"""The one way in: every request passes `admit`, `before_effect`, its effect and `after_effect`; faults act in between.

A fault before the effect leaves the books untouched; a fault after it only spoils the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trader.ports import Clock
from trader.simulation.exchange_orders import Refused, unit_hash
from trader.simulation.faults import Fault, FaultPlan

LATENCY_S = (0.020, 0.050)
HTML = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


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
    flags: dict[str, bool] = field(default_factory=dict)  # faults that the effect itself has to play


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, or (`abort`) a connection that breaks instead of one."""

    text: str = ""
    status: int = 200
    content_type: str = "application/json"
    abort: bool = False


ABORT = Reply(abort=True)


def envelope(result: Any = None, error: str | None = None) -> str:
    """Kraken's answer: always an `error` list, and a `result` where there is none."""
    body: dict[str, Any] = {"error": [error]} if error else {"error": [], "result": result}
    return json.dumps(body, separators=(",", ":"))


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
        self._clock, self._seed = clock, seed
        self._released = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(
        self,
        call: Call,
        admit: Callable[[Call], None],
        effect: Callable[[Call], Any],
        settled: Callable[[], Awaitable[None]],
        dialect: Dialect = SPOT,
    ) -> Reply:
        """Answer one request. `admit` and `effect` raise Refused with Kraken's string; `settled` tells the streams."""
        self.counters[call.name] = self.counters.get(call.name, 0) + 1
        self._calls += 1
        number = self._calls
        faults = self.plan.take(call.name, call.fields)
        if any(fault.action == "lost_request" for fault in faults):
            return ABORT
        try:
            admit(call)
            if (reply := await self._before_effect(call, faults)) is not None:
                return reply
            if call.private:
                low, high = LATENCY_S
                await self._clock.sleep(low + (high - low) * unit_hash(self._seed, "latency", number))
            reply = dialect.answer(effect(call))
        except Refused as refusal:
            self.counters[refusal.error] = self.counters.get(refusal.error, 0) + 1
            reply = dialect.refusal(refusal.error)
        await settled()
        return await self._after_effect(reply, faults)

    async def stream(self, name: str, fields: Mapping[str, str], effect: Callable[[str | None], list[str]]) -> list[str] | None:
        """Frames that answer a WebSocket request, None where the connection breaks. `effect` takes an error to refuse with."""
        self.counters[name] = self.counters.get(name, 0) + 1
        faults = self.plan.take(name, fields)
        actions = {fault.action: fault.arg for fault in faults}
        if "ws_drop" in actions:
            return None
        if "lost_request" in actions or "hang" in actions:
            return []
        if "delay" in actions:
            await asyncio.sleep(actions["delay"])
        frames = effect(actions.get("error"))
        return [] if "lost_response" in actions else frames

    def release(self) -> int:
        """Let the held answers go; returns how many there were."""
        count = self.held
        self._released.set()
        self._released = asyncio.Event()
        return count

    def stop(self) -> None:
        """Break every request that waits for ever."""
        self._stopped.set()
        self.release()

    async def _before_effect(self, call: Call, faults: list[Fault]) -> Reply | None:
        for fault in faults:
            if fault.action == "error":
                raise Refused(fault.arg)
            if not fault.after and (reply := await self._spoil(fault, None)) is not None:
                return reply
            call.flags[fault.action] = True
        return None

    async def _after_effect(self, reply: Reply, faults: list[Fault]) -> Reply:
        for fault in faults:
            if fault.action == "lost_response":
                return ABORT
            if fault.action == "cut_json":
                reply = Reply(text=reply.text[: len(reply.text) // 2])
            elif fault.action == "hold_reply":
                await self._hold()
            elif fault.after:
                reply = await self._spoil(fault, reply) or reply
        return reply

    async def _spoil(self, fault: Fault, reply: Reply | None) -> Reply | None:
        if fault.action == "delay":
            await asyncio.sleep(fault.arg)
        elif fault.action == "hang":
            await self._stopped.wait()
            return ABORT
        elif fault.action == "http":
            return Reply(text=HTML, status=fault.arg, content_type="text/html")
        elif fault.action == "html":
            return Reply(text=HTML, content_type="text/html")
        return reply

    async def _hold(self) -> None:
        self.held += 1
        try:
            await self._released.wait()
        finally:
            self.held -= 1
