"""How often each order was written to: what shows that nobody re-sends. Counted on arrival, whatever becomes of the request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_NEW, _KNOWN = ("cl_ord_id", "cliOrdId"), ("txid", "order_id", "cl_ord_id", "cliOrdId")
WRITES: Mapping[str, tuple[str, ...]] = {
    "AddOrder": _NEW, "AddOrderBatch": _NEW, "add_order": _NEW, "batch_add": _NEW,
    "AmendOrder": _KNOWN, "EditOrder": _KNOWN, "amend_order": _KNOWN, "edit_order": _KNOWN,
    "CancelOrder": _KNOWN, "CancelOrderBatch": _KNOWN, "cancel_order": _KNOWN, "batch_cancel": _KNOWN,
    "futures:sendorder": _NEW, "futures:editorder": _KNOWN, "futures:cancelorder": _KNOWN, "futures:batchorder": (*_NEW, "order_id"),
}  # fmt: skip
"""Endpoint or method -> fields that may name the order, the first one present counts."""


class WriteLog:
    """Counts by `endpoint:id`; a request that names no order counts as `endpoint:`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, name: str, fields: Mapping[str, Any], raw: bytes = b"") -> None:
        """Count a request, each order of a batch by itself."""
        wanted = WRITES.get(name)
        if wanted is None:
            return
        for order in _orders(fields, raw):
            named = next((str(order[field]) for field in wanted if order.get(field)), "") if isinstance(order, Mapping) else str(order)
            key = f"{name}:{named}"
            self.counts[key] = self.counts.get(key, 0) + 1

    def of(self, name: str) -> dict[str, int]:
        """Order id -> count of one endpoint."""
        head = name + ":"
        return {key.removeprefix(head): count for key, count in self.counts.items() if key.startswith(head)}


def _orders(fields: Mapping[str, Any], raw: bytes) -> Iterator[Any]:
    """The orders of a batch, from the request's body or its `json` field; any other request is its own order."""
    for text in (fields.get("json"), raw if raw[:1] == b"{" else None):
        rows = None if text is None else _batch(text)
        if rows is not None:
            yield from rows
            return
    yield fields


def _batch(text: str | bytes) -> list[Any] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # nested too deep: no batch either
        return None
    found = [body.get(name) for name in ("orders", "batchOrder", "cl_ord_ids")] if isinstance(body, dict) else []
    return next((rows for rows in found if isinstance(rows, list)), None)
