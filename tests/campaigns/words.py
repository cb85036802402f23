"""Every error string and every transport fault on every write endpoint: the answer's class, one write at the twin, true reads.

`python -m tests.campaigns.words [--json]` prints a table; tests/wire/test_error_campaign.py runs it in the default suite.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.campaigns.error_words import STRINGS, expected
from tests.kraken_kit import PAIR, World, world
from trader.domain.orders import Acked, Ambiguous, Answer, Leg, OrderType, Rejected, Side
from trader.kraken.exchange import KrakenExchange
from trader.kraken.limits import Limiter
from trader.kraken.tariff import TIERS
from trader.simulation.exchange_orders import TwinOrder
from trader.simulation.fault_args import MALFORMED
from trader.simulation.faults import Fault
from trader.simulation.loops import run_stepped

STATUSES = (400, 403, 404, 429, 500, 502, 503, 504, 520, 522, 524)
WRITES = ("AddOrder", "AmendOrder", "CancelOrder")
PROOFS = {"AddOrder": "result.txid", "AmendOrder": "result.amend_id", "CancelOrder": "result.count"}  # what makes an answer a proof
LOCKED_S = 1000.0  # longer than any refusal keeps the adapter's limiter shut
OVERSIZE_MB = 40  # more than the adapter reads
NEW_QUANTITY = Decimal("0.002")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault on a write, what the adapter must answer, and whether the write takes effect."""

    write: str
    fault: Fault
    answer: str
    effect: bool

    @property
    def name(self) -> str:
        arg = "" if self.fault.arg is None else f" {str(self.fault.arg)[:60]}"
        return f"{self.write}: {self.fault.action}{arg} {'after' if self.fault.after else 'before'}"


@dataclass(slots=True)
class Result:
    """What a run found. `failures`: one line each, empty when all is well."""

    cases: int = 0
    written: int = 0  # cases in which the twin counted the write exactly once
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def string_cases() -> Iterator[Case]:
    """Every string on every write, before and after the effect."""
    for write in WRITES:
        for kind, strings in STRINGS.items():
            for text in strings:
                for after in (False, True):
                    fault = Fault(where=write, action="error", arg=text, after=after, nth=(1,))
                    yield Case(write=write, fault=fault, answer=expected(kind, placing=write == "AddOrder"), effect=after)


def transport_cases() -> Iterator[Case]:
    """Every way in which an answer can fail to come, or to prove anything, on every write."""
    both: list[tuple[str, Any]] = [("http", status) for status in STATUSES]
    both += [("html", None), ("reset", None), ("half_open", None), ("hang", None)]
    late: list[tuple[str, Any]] = [("malformed", kind) for kind in MALFORMED]
    late += [
        ("cut_json", None),
        ("huge", OVERSIZE_MB),
        ("gzip_bomb", OVERSIZE_MB),
        ("drip", 1.0),
        ("lost_response", None),
        ("hold_reply", None),
    ]
    late += [("txid_beside_error", "EOrder:Insufficient funds"), ("txid_beside_error", "EService:Busy")]
    for write in WRITES:

        def case(action: str, arg: Any = None, *, after: bool, answer: str = "ambiguous", write: str = write) -> Case:
            return Case(write=write, fault=Fault(where=write, action=action, arg=arg, after=after, nth=(1,)), answer=answer, effect=after)

        yield case("lost_request", after=False)
        for action, arg in both:
            yield from (case(action, arg, after=after) for after in (False, True))
        for action, arg in (*late, ("drop_field", PROOFS[write]), ("rename", {"from": PROOFS[write], "to": "other"})):
            yield case(action, arg, after=True)
        yield case("delay", 15.0, after=True)
        yield case("nonce_reject", after=False, answer="nonce")
        for action, arg in (("delay", 3.0), ("warning", "WDatabase:No change"), ("ack_lag", 3.0)):
            if action != "ack_lag" or write == "AddOrder":
                yield case(action, arg, after=True, answer="acked")


def class_of(answer: Answer) -> str:
    """acked, ambiguous, or the kind of a refusal; one that never left is none of them."""
    if isinstance(answer, Acked):
        return "acked"
    if isinstance(answer, Ambiguous):
        return "ambiguous"
    return f"not sent ({answer.message})" if answer.message.startswith("not sent") else answer.kind


class Campaign:
    """Plays cases in one world, one after another, on an adapter that may be planted with a fault of its own."""

    def __init__(self, w: World, exchange: KrakenExchange) -> None:
        self.w, self.exchange, self.result = w, exchange, Result()
        self._number = 0

    async def play(self, case: Case) -> None:
        """One write under its fault; failures go to the result."""
        self._number += 1
        before = await self._resting() if case.write != "AddOrder" else None
        self.w.twin.inject(case.fault)
        answer, order_id = await self._write(case.write, before)
        self.w.twin.middleware.release()
        await self.w.twin.clear_faults()
        said = class_of(answer)
        await self.w.clock.sleep(LOCKED_S if said == "later" else 5.0)  # a late effect has come, a limiter is open again
        times = self.w.twin.middleware.writes.of(case.write).get(order_id, 0)
        self.result.cases += 1
        self.result.written += times == 1
        self.result.answers[said] += 1
        if said != case.answer:
            self._fail(case, f"answered {said}, not {case.answer}")
        if times != 1:
            self._fail(case, f"written {times} times")
        await self._judge(case, order_id)

    async def _write(self, write: str, order: TwinOrder | None) -> tuple[Answer, str]:
        if order is None:
            intent = await self._intent()
            return await self.exchange.submit(intent), intent.cl_ord_id
        if write == "CancelOrder":
            return await self.exchange.cancel(order.txid), order.txid
        deadline_us = self.w.clock.now_us() + 5_000_000
        return await self.exchange.amend(
            order.txid, pair=PAIR, quantity=NEW_QUANTITY, trigger_price=None, deadline_us=deadline_us
        ), order.txid

    async def _judge(self, case: Case, order_id: str) -> None:
        """Whether the write did what its fault says, and whether the adapter reads just what is in the books."""
        books = self.w.twin.exchange
        order = next((one for one in books.state.orders.values() if order_id in (one.txid, one.cl_ord_id)), None)
        if case.write == "AddOrder":
            done = order is not None
        else:
            assert order is not None
            done = order.volume == NEW_QUANTITY if case.write == "AmendOrder" else not order.live
        if done != case.effect:
            self._fail(case, f"took effect: {done}, expected: {case.effect}")
        seen = {(one.txid, one.quantity) for one in await self.w.exchange.open_orders()}
        if seen != (true := {(one.txid, one.volume) for one in books.open_orders()}):
            self._fail(case, f"read {seen}, in the books {true}")
        for one in books.open_orders():
            books.cancel(one, self.w.clock.now_us())

    async def _resting(self) -> TwinOrder:
        answer = await self.w.exchange.submit(await self._intent())
        assert isinstance(answer, Acked), answer
        self._number += 1
        return self.w.twin.exchange.state.orders[answer.txid]

    async def _intent(self) -> Any:
        """A limit buy far below the market that rests."""
        price = Decimal(int(self.w.twin.exchange.last(PAIR) / 2))
        return await self.w.entry(
            cl_ord_id=f"tabc{self._number:014d}", leg=Leg.ENTRY, side=Side.BUY, order_type=OrderType.LIMIT, quantity=Decimal("0.001"),
            limit_price=price, close_trigger=None, immediate=False,
        )  # fmt: skip

    def _fail(self, case: Case, why: str) -> None:
        self.result.failures.append(f"{case.name}: {why}")


def run(cases: list[Case], adapter: type[KrakenExchange] = KrakenExchange) -> Result:
    """Play cases in one stepped world; `adapter`: the build under test."""

    async def main() -> Result:
        async with world() as w:
            unlimited = Limiter(w.clock, tier=TIERS["unlimited"], public_per_s=None)
            campaign = Campaign(w, adapter(w.client, w.clock, limiter=unlimited))
            await campaign.exchange.instruments()
            for case in cases:
                await campaign.play(case)
            return campaign.result

    return run_stepped(main)


class Resending(KrakenExchange):
    """A planted breach: what proves nothing is sent once more."""

    async def submit(self, intent: Any) -> Answer:
        return await _twice(lambda: super(Resending, self).submit(intent))

    async def cancel(self, txid: str) -> Answer:
        return await _twice(lambda: super(Resending, self).cancel(txid))

    async def amend(self, txid: str, **more: Any) -> Answer:
        return await _twice(lambda: super(Resending, self).amend(txid, **more))


class Guessing(KrakenExchange):
    """A planted breach: what proves nothing is called a refusal."""

    async def submit(self, intent: Any) -> Answer:
        answer = await super().submit(intent)
        return self._guess(answer)

    @staticmethod
    def _guess(answer: Answer) -> Answer:
        return Rejected(kind="bug", message=answer.message) if isinstance(answer, Ambiguous) else answer


async def _twice(call: Callable[[], Awaitable[Answer]]) -> Answer:
    answer = await call()
    return await call() if isinstance(answer, Ambiguous) else answer


def main() -> None:
    """Play everything; exit code 1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    arguments = parser.parse_args()
    parts = {"strings": run(list(string_cases())), "transport": run(list(transport_cases()))}
    if arguments.json:
        print(
            json.dumps(
                {name: {"cases": part.cases, "written_once": part.written, "failures": part.failures} for name, part in parts.items()}
            )
        )
    else:
        for name, part in parts.items():
            print(f"{name}: {part.cases} cases, {part.written} written exactly once, {len(part.failures)} failures")
            print("  " + ", ".join(f"{kind} {count}" for kind, count in sorted(part.answers.items())))
            print("\n".join(f"  FAILED {line}" for line in part.failures))
    sys.exit(any(part.failures for part in parts.values()))


if __name__ == "__main__":
    main()
