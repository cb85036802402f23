"""krakenex against the twin: `api.uri` and the key are all that is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import krakenex

from tests.clients.operations import ALONE, FUTURES
from tests.clients.raw_orders import RawOrders
from tests.clients.twin_process import Twin, key_of

REST_ONLY = "krakenex speaks REST only"
FORMS_ONLY = "krakenex sends forms; Kraken takes batches as JSON"
SPOT_ONLY = "krakenex knows no futures"


class RefusedError(Exception):
    """krakenex hands over Kraken's `error` list; this is it."""


class Krakenex(RawOrders):
    """Raw answers, raw errors, one session."""

    name, pair = "krakenex", "XRP/EUR"
    missing: Mapping[str, str] = (
        {"batch": FORMS_ONLY} | {name: REST_ONLY for name in ALONE if name.startswith("ws ")} | dict.fromkeys(FUTURES, SPOT_ONLY)
    )

    def __init__(self, twin: Twin) -> None:
        key = key_of(self.name)
        self._api = krakenex.API(key.key, key.secret)
        self._api.uri = twin.url

    async def close(self) -> None:
        self._api.close()

    def get(self, method: str, **fields: Any) -> Any:
        return self._result(self._api.query_public(method, fields, timeout=10))

    def post(self, method: str, **fields: Any) -> Any:
        return self._result(self._api.query_private(method, fields, timeout=10))

    def _result(self, answer: dict[str, Any]) -> Any:
        if answer["error"]:
            raise RefusedError(", ".join(answer["error"]))
        return answer["result"]
