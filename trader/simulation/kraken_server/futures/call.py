"""A request to the futures API as it arrived, and how its answers are worded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trader.simulation.kraken_server.futures.render import iso_ms
from trader.simulation.kraken_server.wire.compact import dumps
from trader.simulation.kraken_server.wire.middleware import Call, Dialect
from trader.simulation.kraken_server.wire.replies import Reply

CODED = {"INSUFFICIENT_MARGIN": 92}
"""Refusals that come as HTTP 500 with a list of errors."""
STATUS = {"notFound": 404}
BY_STATUS = "status:"
STATUS_FIELDS = {"POST sendorder": "sendStatus", "POST editorder": "editStatus", "POST cancelorder": "cancelStatus"}


@dataclass(slots=True, kw_only=True)
class FuturesCall(Call):
    """`endpoint`: method and name, as the handlers are keyed; `items`: all parameters in order, repeated ones too; `query`: raw."""

    endpoint: str
    method: str
    query: bytes
    parts: tuple[str, ...] = ()  # variable parts of the path
    key: str = ""  # fingerprint of the API key, once it is known to be good
    items: list[tuple[str, str]] = field(default_factory=list)


def derivatives(now_us: Callable[[], int], endpoint: str = "") -> Dialect:
    """`result` and `serverTime` around every answer; a refusal is a `result` too.

    A fault's error `status:WORD` on an endpoint that answers with a status is no refusal: the answer is a success with this status.
    """
    field = STATUS_FIELDS.get(endpoint)

    def answer(result: Any) -> Reply:
        if isinstance(result, Reply):
            return result
        return _json({"result": "success", **result, "serverTime": iso_ms(now_us())})

    def refusal(error: str) -> Reply:
        if field is not None and error.startswith(BY_STATUS):
            return answer({field: {"status": error.removeprefix(BY_STATUS), "receivedTime": iso_ms(now_us()), "orderEvents": []}})
        return _refusal(error, now_us())

    return Dialect(answer=answer, refusal=refusal)


def bare(now_us: Callable[[], int]) -> Dialect:
    """Charts and history answer without a frame; refusals look as everywhere."""
    return Dialect(
        answer=lambda result: result if isinstance(result, Reply) else _json(result), refusal=lambda error: _refusal(error, now_us())
    )


def _refusal(error: str, now_us: int) -> Reply:
    if error in CODED:
        body: dict[str, Any] = {"errors": [{"code": CODED[error], "message": error}], "result": "error", "serverTime": iso_ms(now_us)}
        return _json(body, status=500)
    return _json({"result": "error", "error": error, "serverTime": iso_ms(now_us)}, status=STATUS.get(error, 200))


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(text=dumps(body), status=status)
