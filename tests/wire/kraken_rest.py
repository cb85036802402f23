"""Bare signed REST calls to the twin: what a client without a library of its own would send."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.wire.kraken_twin_harness import KEY, SECRET
from trader.simulation.kraken_server.wire.signing import sign

NONCES = itertools.count(1)


class Rest:
    """One key's calls. Answers are Kraken's `(error, result)`; `nonce` overrides the rising one."""

    def __init__(self, session: aiohttp.ClientSession, port: int = 8701, *, key: str = KEY, secret: str = SECRET) -> None:
        self._session, self._base, self._key, self._secret = session, f"http://127.0.0.1:{port}", key, secret

    async def public(self, name: str, **params: Any) -> tuple[list[str], Any]:
        async with self._session.get(f"{self._base}/0/public/{name}", params=params) as answer:
            body = await answer.json()
            return body["error"], body.get("result")

    async def private(self, name: str, *, nonce: int | str | None = None, as_json: bool = False, **params: Any) -> tuple[list[str], Any]:
        path, number = f"/0/private/{name}", str(next(NONCES) if nonce is None else nonce)
        fields = {"nonce": number} | params
        body = json.dumps(fields).encode() if as_json else urlencode(fields).encode()
        headers = {"API-Key": self._key, "API-Sign": sign(path, number, body, self._secret)}
        headers["Content-Type"] = "application/json" if as_json else "application/x-www-form-urlencoded"
        async with self._session.post(self._base + path, data=body, headers=headers) as answer:
            reply = await answer.json()
            return reply["error"], reply.get("result")

    async def must(self, name: str, **params: Any) -> Any:
        """The result of a private call that has to succeed."""
        error, result = await self.private(name, **params)
        assert error == [], (name, params, error)
        return result
