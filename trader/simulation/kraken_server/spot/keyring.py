"""API keys of the account: who may call what, nonces, stream tokens, GetApiKeyInfo (KRAKEN.md section 4).

Several keys may share one account; nonces, permissions and the REST counter belong to the key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trader.errors import ConfigError
from trader.ports import Clock
from trader.simulation.exchange import TwinExchange
from trader.simulation.exchange_orders import Refused
from trader.simulation.kraken_server.spot.limits import RateLimits
from trader.simulation.kraken_server.wire import signing
from trader.simulation.kraken_server.wire.middleware import Call

INVALID_KEY, INVALID_SIGNATURE, INVALID_NONCE = "EAPI:Invalid key", "EAPI:Invalid signature", "EAPI:Invalid nonce"
DENIED = "EGeneral:Permission denied"
LONGEST_NONCE = 20  # digits of an unsigned 64-bit number

# Kraken's words for what a key may do; the last five of them this exchange has no endpoint for.
TRADING = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "create-ws-token",
)
PERMISSIONS = (*TRADING, "export-data", "add-funds", "withdraw-funds", "earn-funds", "add-withdraw-address", "update-withdraw-address")

_EITHER_TRADES = ("query-open-trades", "query-closed-trades")
_EITHER_CHANGE = ("modify-trades", "close-trades")
# endpoint -> permissions of which one suffices (none: every key may call it)
NEEDS: Mapping[str, tuple[str, ...]] = {
    "Balance": ("query-funds",),
    "BalanceEx": ("query-funds",),
    "TradeBalance": ("query-funds",),
    "TradeVolume": ("query-funds",),
    "OpenOrders": ("query-open-trades",),
    "OpenPositions": ("query-open-trades",),
    "ClosedOrders": ("query-closed-trades",),
    "QueryOrders": _EITHER_TRADES,
    "OrderAmends": _EITHER_TRADES,
    "TradesHistory": _EITHER_TRADES,
    "QueryTrades": _EITHER_TRADES,
    "Ledgers": ("query-ledger",),
    "QueryLedgers": ("query-ledger",),
    "AddOrder": ("modify-trades",),
    "AddOrderBatch": ("modify-trades",),
    "AmendOrder": ("modify-trades",),
    "EditOrder": ("modify-trades",),
    "CancelOrder": _EITHER_CHANGE,
    "CancelOrderBatch": _EITHER_CHANGE,
    "CancelAll": _EITHER_CHANGE,
    "CancelAllOrdersAfter": _EITHER_CHANGE,
    "GetWebSocketsToken": ("create-ws-token",),
    "GetApiKeyInfo": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key. `secret` in base64; `nonce_window`: how far below the highest nonce an unused one is still taken, in the nonce's
    own unit; `valid_until_us` 0: for ever. Raises ConfigError for a secret that is not base64 or an unknown permission."""

    key: str
    secret: str = field(repr=False)
    permissions: tuple[str, ...] = TRADING
    name: str = "twin"
    nonce_window: int = 0
    valid_until_us: int = 0

    def __post_init__(self) -> None:
        if not self.key:
            raise ConfigError("api key '': it must not be empty")
        try:
            base64.b64decode(self.secret, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"secret of api key {self.key!r} is not base64 ({error})") from error
        for permission in self.permissions:
            if permission not in PERMISSIONS:
                raise ConfigError(f"api key {self.key!r}: permission {permission!r} is not known; allowed are {', '.join(PERMISSIONS)}")
        if self.nonce_window < 0:
            raise ConfigError(f"api key {self.key!r}: nonce_window {self.nonce_window} must be at least 0")

    @property
    def fingerprint(self) -> str:
        """Names the key where files may tell it."""
        return signing.fingerprint(self.key)


class Keyring:
    """All keys of the account. Refusals are Kraken's strings, raised as Refused."""

    def __init__(self, keys: Sequence[ApiKey], exchange: TwinExchange, clock: Clock, limits: RateLimits) -> None:
        self._keys = {key.key: key for key in keys}
        if len(self._keys) != len(keys):
            raise ConfigError(f"an api key is given twice: {', '.join(key.key for key in keys)}")
        self._exchange, self._clock, self._limits = exchange, clock, limits
        self._tokens = 0
        self._floors = {key.key: exchange.state.nonces.get(key.fingerprint, -1) for key in keys}  # below it, use is not known any more
        self._used: dict[str, dict[int, None]] = {key.key: {} for key in keys}
        self.handlers: Mapping[str, Callable[[Call], Any]] = {"GetApiKeyInfo": self._key_info, "GetWebSocketsToken": self._token}

    # --- calls -----------------------------------------------------------------------------------------------------
    def admit(self, call: Call) -> None:
        """Key, signature, lockout, nonce, rate and permission, in that order; a nonce counts only under a good signature."""
        now_us = self._clock.now_us()
        key = self._keys.get(call.headers.get("API-Key", ""))
        if key is None or 0 < key.valid_until_us <= now_us:
            raise Refused(INVALID_KEY)
        nonce = call.fields.get("nonce", "")
        if not signing.signed_by(call.headers.get("API-Sign", ""), call.path, nonce, call.raw, key.secret):
            raise Refused(INVALID_SIGNATURE)
        self._limits.locked(key.fingerprint, now_us)
        if not nonce.isdecimal() or len(nonce) > LONGEST_NONCE or not self._use(key, int(nonce)):
            self._limits.bad_nonce(key.fingerprint, now_us)
            raise Refused(INVALID_NONCE)
        self._limits.rest(key.fingerprint, call.name, now_us)
        if not allowed(key, call.name):
            raise Refused(DENIED)

    def _use(self, key: ApiKey, nonce: int) -> bool:
        """Take a nonce: higher than any before, or unused within the key's window below the highest."""
        highest, used = self._exchange.state.nonces.get(key.fingerprint, -1), self._used[key.key]
        if nonce > highest:
            self._exchange.use_nonce(key.fingerprint, nonce)
        elif nonce == highest or nonce in used or nonce <= self._floors[key.key] or nonce < highest - key.nonce_window:
            return False
        if key.nonce_window:
            oldest = max(nonce, highest) - key.nonce_window
            self._used[key.key] = {number: None for number in (*used, nonce) if number >= oldest}
        return True

    # --- streams ---------------------------------------------------------------------------------------------------
    def session(self, token: object, *, held: bool = False) -> ApiKey | None:
        """The key a stream token was given to, None for a token that is not ours, is too old, or whose key has expired.

        `held`: the token holds a private subscription of a connection; then it does not grow old.
        """
        now_us = self._clock.now_us()
        owner = next((key for key in self._keys.values() if signing.token_valid(token, key.secret, None if held else now_us)), None)
        return None if owner is None or 0 < owner.valid_until_us <= now_us else owner

    def find(self, name: str) -> ApiKey | None:
        """A key by its public half."""
        return self._keys.get(name)

    def secret_of(self, name: str) -> str | None:
        """The secret of a key by its public half, None for an unknown or expired one."""
        key = self._keys.get(name)
        return None if key is None or 0 < key.valid_until_us <= self._clock.now_us() else key.secret

    # --- endpoints -------------------------------------------------------------------------------------------------
    def _key_info(self, call: Call) -> dict[str, Any]:
        key, now_s = self._keys[call.headers["API-Key"]], str(self._clock.now_us() // 1_000_000)
        return {
            "apiKeyName": key.name,
            "apiKey": key.key,
            "nonce": call.fields["nonce"],
            "nonceWindow": key.nonce_window,
            "permissions": list(key.permissions),
            "iban": "AA88 N84G TWIN TWIN",
            "validUntil": str(key.valid_until_us // 1_000_000),
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "1767225600",
            "modifiedTime": "1767225600",
            "ipAllowlist": [],
            "lastUsed": now_s,
        }

    def _token(self, call: Call) -> dict[str, Any]:
        self._tokens += 1
        secret = self._keys[call.headers["API-Key"]].secret
        issued_us = self._clock.now_us() - (2 * signing.TOKEN_LIFE_US if call.flags.get("expire_token") else 0)
        return {"token": signing.make_token(secret, issued_us, self._tokens), "expires": signing.TOKEN_LIFE_US // 1_000_000}


def allowed(key: ApiKey, endpoint: str) -> bool:
    """Whether a key's permissions suffice for an endpoint."""
    needs = NEEDS[endpoint]
    return not needs or not set(needs).isdisjoint(key.permissions)
