"""The table client x operation: its cells, how one is run, how it is printed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OK, NOT_APPLICABLE, SKIPPED, FAILED = "ok", "n/a", "SKIPPED", "FAILED"
PATIENCE_S = 25.0
"""Longest time of one operation: two price ticks of the twin, 15 s apart, and some air."""

_IDENTIFIER = str.maketrans(" -", "__", "'")


class MissingError(Exception):
    """The client library has no such method; the message says which."""


class AbsentError(Exception):
    """The client cannot run on this machine; the message says what is missing."""


class WrongError(Exception):
    """The client got an answer, and the answer is not what Kraken would have given."""


def check(condition: object, words: str) -> None:
    """Raise WrongError with `words` unless the condition holds."""
    if not condition:
        raise WrongError(words)


def same(what: str, actual: object, wanted: object) -> None:
    """Raise WrongError unless both are equal, naming both."""
    if actual != wanted:
        raise WrongError(f"{what} is {actual!r}, not {wanted!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Outcome of one operation by one client; `seconds` it took."""

    client: str
    operation: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Table:
    """Cells in the order they were made."""

    cells: list[Cell] = field(default_factory=list)

    def of(self, client: str) -> dict[str, Cell]:
        return {cell.operation: cell for cell in self.cells if cell.client == client}

    def count(self, client: str, outcome: str) -> int:
        return sum(cell.client == client and cell.outcome == outcome for cell in self.cells)

    def bad(self) -> list[Cell]:
        """Cells that are neither ok, nor n/a with a reason, nor SKIPPED with a reason."""
        return [cell for cell in self.cells if cell.outcome == FAILED or (cell.outcome != OK and not cell.reason)]

    def text(self, operations: Sequence[str], clients: Sequence[str]) -> str:
        """One line an operation, one column a client; reasons below, numbered."""
        reasons: list[str] = []
        wide = max(len(name) for name in operations) + 2
        lines = ["operation".ljust(wide) + "".join(name.ljust(18) for name in clients)]
        for operation in operations:
            words = []
            for client in clients:
                cell = self.of(client).get(operation)
                word = "-" if cell is None else cell.outcome
                if cell is not None and cell.reason:
                    if (reason := f"{cell.outcome}: {cell.reason}") not in reasons:
                        reasons.append(reason)
                    word += f" [{reasons.index(reason) + 1}]"
                words.append(word.ljust(18))
            lines.append(operation.ljust(wide) + "".join(words).rstrip())
        lines.append("ok".ljust(wide) + "".join(str(self.count(client, OK)).ljust(18) for client in clients).rstrip())
        return "\n".join([*lines, "", *(f"[{number}] {reason}" for number, reason in enumerate(reasons, start=1))])


async def make_cell(client: str, operation: str, work: Callable[[], Awaitable[Any]], *, patience_s: float = PATIENCE_S) -> Cell:
    """Run one operation for at most `patience_s`; whatever it raises becomes the reason of the cell."""
    begun = time.monotonic()
    outcome, reason = OK, ""
    try:
        async with asyncio.timeout(patience_s):
            await work()
    except MissingError as missing:
        outcome, reason = NOT_APPLICABLE, str(missing)
    except AbsentError as absent:
        outcome, reason = SKIPPED, str(absent)
    except TimeoutError:
        outcome, reason = FAILED, f"no end within {patience_s:g} s"
    except Exception as error:  # noqa: BLE001 - strangers' code: anything it raises is the finding
        outcome, reason = FAILED, f"{type(error).__name__}: {str(error)[:300] or 'no message'}"
    return Cell(client=client, operation=operation, outcome=outcome, reason=reason, seconds=round(time.monotonic() - begun, 3))


class Client:
    """One foreign library. An operation `limit order` is its method `limit_order`, plain (run in a thread) or a coroutine.

    `missing`: operation -> which method the library lacks. `verbs` are what crossings between clients are made of.
    """

    name = ""
    pair = ""
    missing: Mapping[str, str] = {}

    async def open(self) -> None:
        """Connect; raises AbsentError where the client cannot run."""

    async def close(self) -> None:
        """Let go of connections."""

    async def run(self, operation: str) -> None:
        """Carry out one operation of the table and check what came of it."""
        if operation in self.missing:
            raise MissingError(self.missing[operation])
        await self.call(operation.lower().translate(_IDENTIFIER))

    async def call(self, method: str, *args: Any) -> Any:
        """Call one of its own methods, off the loop unless it is a coroutine."""
        found = getattr(self, method)
        return await found(*args) if asyncio.iscoroutinefunction(found) else await asyncio.to_thread(found, *args)
