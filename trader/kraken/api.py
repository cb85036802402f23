"""The account behind the orders: ledger entries, trades, fee tier and rights of the key, read to their end.

For preflight and bookkeeping; nothing here is about an order under way, so every call leaves the reserve of the REST counter
to those that are. Raises what reads raise: RetryableError, RejectedError, FatalError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.domain.money import ZERO
from trader.domain.orders import Fill
from trader.errors import RejectedError
from trader.kraken import translate
from trader.kraken.pages import pages, read_fills
from trader.kraken.rest import Rest
from trader.kraken.tariff import Kind

READING = ("query-funds", "query-open-trades", "query-closed-trades")
TRADING = ("modify-trades", "close-trades")
STREAMING = "create-ws-token"
WITHDRAWING = ("withdraw-funds", "add-withdraw-address", "update-withdraw-address")  # taking money out, and where it may go


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One movement of one asset. `amount` is signed and before `fee`; `balance` is after both; `refid`: the trade, deposit, ..."""

    entry_id: str
    refid: str
    time_us: int
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """Rates of the account's tier as fractions, and the 30-day volume it was reached with, in `currency`.

    `next_volume` and `next_taker`: where the next tier begins and what it takes; None at the last one.
    """

    taker: Decimal
    maker: Decimal
    volume: Decimal
    currency: str
    next_volume: Decimal | None = None
    next_taker: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """What a key may do. `name`: as its owner called it; `expires_us` None: never; `nonce_window`: how far behind the highest nonce a
    call may be, in nonce units."""

    name: str
    permissions: tuple[str, ...]
    expires_us: int | None
    nonce_window: int
    addresses: tuple[str, ...]

    @property
    def can_read(self) -> bool:
        """Balances, open and closed orders, trades."""
        return all(right in self.permissions for right in READING)

    @property
    def can_trade(self) -> bool:
        """Place, amend and cancel."""
        return all(right in self.permissions for right in TRADING)

    @property
    def can_stream(self) -> bool:
        """Get a token for the private WebSocket."""
        return STREAMING in self.permissions

    @property
    def can_withdraw(self) -> bool:
        """Take money out: a key like this must not be used for trading."""
        return bool(self.withdrawing)

    @property
    def withdrawing(self) -> tuple[str, ...]:
        """Its rights that take money out."""
        return tuple(right for right in WITHDRAWING if right in self.permissions)

    @property
    def missing(self) -> tuple[str, ...]:
        """Rights the trader needs and this key lacks."""
        return tuple(right for right in (*READING, *TRADING, STREAMING) if right not in self.permissions)


class AccountApi:
    """Reads over one key's connection; share the `Rest` of the exchange, so that its limiter counts these calls, too."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def ledger(self, since_us: int, *, asset: str | None = None, kind: str | None = None) -> Sequence[LedgerEntry]:
        """Every entry after a time, oldest first; `asset` by our name, `kind` as Kraken words it (trade, deposit, withdrawal, ...)."""
        names = await self._rest.named()
        fields = {"type": kind} if kind is not None else {}
        if asset is not None:
            fields["asset"] = asset_id(names.assets, asset)

        def read(key: str, row: Any) -> LedgerEntry:
            return read_entry(key, row, names.asset)

        rows = await pages(self._rest, "Ledgers", "ledger", since_us, read, kind=Kind.HISTORY, reserve=False, fields=fields)
        return sorted(rows, key=lambda entry: (entry.time_us, entry.entry_id))

    async def trades(self, since_us: int) -> Sequence[Fill]:
        """Every own trade after a time, oldest first."""
        return await read_fills(self._rest, since_us, reserve=False)

    async def fee_tier(self, pair: str) -> FeeTier:
        """What the account pays on a pair. Raises RejectedError for a pair Kraken does not list."""
        pair_id = await self._rest.pair_id(pair)
        return await self._rest.private("TradeVolume", {"pair": pair_id}, read=lambda result: read_tier(result, pair_id), reserve=False)

    async def key_rights(self) -> KeyRights:
        """What the key in use may do; needs no right itself."""
        return await self._rest.private("GetApiKeyInfo", read=read_rights, reserve=False)


def asset_id(assets: Mapping[str, str], asset: str) -> str:
    """Kraken's id of an asset. Raises RejectedError where none has that name."""
    found = next((key for key, name in assets.items() if name == asset), None)
    if found is None:
        raise RejectedError(f"asset {asset!r} is not among those Kraken lists")
    return found


def read_entry(entry_id: str, raw: Any, name: translate.PairName) -> LedgerEntry:
    """A row of Ledgers or QueryLedgers."""
    row = translate.mapping(raw, f"ledger entry {entry_id}")
    return LedgerEntry(
        entry_id=entry_id, refid=translate.text(row.get("refid"), "refid"), time_us=translate.seconds_us(row.get("time"), "time"),
        kind=translate.text(row.get("type"), "type"), asset=name(translate.text(row.get("asset"), "asset")),
        amount=translate.decimal(row.get("amount"), "amount"), fee=translate.decimal(row.get("fee"), "fee"),
        balance=translate.decimal(row.get("balance"), "balance"),
    )  # fmt: skip


def read_tier(result: Any, pair_id: str) -> FeeTier:
    """The answer of TradeVolume for one pair; percent become fractions."""
    taker, maker = (translate.mapping(result[part][pair_id], part) for part in ("fees", "fees_maker"))
    following = [None if taker.get(field) is None else translate.decimal(taker[field], field) for field in ("nextvolume", "nextfee")]
    volume, rate = following
    return FeeTier(
        taker=fraction(taker.get("fee"), "fees.fee"), maker=fraction(maker.get("fee"), "fees_maker.fee"),
        volume=translate.decimal(result["volume"], "volume"), currency=translate.text(result["currency"], "currency"),
        next_volume=volume, next_taker=None if rate is None else rate.scaleb(-2),
    )  # fmt: skip


def fraction(percent: Any, field: str) -> Decimal:
    """A percentage as a fraction, 0 or more and below 1."""
    number = translate.decimal(percent, field).scaleb(-2)
    if not ZERO <= number < 1:
        raise ValueError(f"{field}: {percent!r} is not a percentage of a fee")
    return number


def read_rights(result: Any) -> KeyRights:
    """The answer of GetApiKeyInfo."""
    until = int(translate.decimal(result.get("validUntil") or 0, "validUntil"))
    permissions = result["permissions"]
    if not isinstance(permissions, list):
        raise ValueError(f"permissions: {permissions!r:.80} is not a list")
    return KeyRights(
        name=str(result.get("apiKeyName") or ""),
        permissions=tuple(translate.text(right, "permissions") for right in permissions), expires_us=until * 1_000_000 if until else None,
        nonce_window=int(translate.decimal(result.get("nonceWindow") or 0, "nonceWindow")),
        addresses=tuple(map(str, result.get("ipAllowlist") or ())),
    )  # fmt: skip
