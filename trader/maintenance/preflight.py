"""What must hold before real money is traded, judged from facts somebody else gathered: pure, so that each refusal is a table row.

Sources: SPEC section 3 (double opt-in), RELIABILITY sections 6 and 12 (skew, key rights), KRAKEN section 4 (rights a key needs).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from trader.maintenance.checks import Check, judged

MAX_SKEW_S = 1.0
SOON_US = 7 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The arm file as found. `account` None: there is no file; `mode`: its permission bits; `owned`: it belongs to this user."""

    path: Path
    account: str | None
    mode: int = 0o600
    owned: bool = True

    @classmethod
    def read(cls, path: Path, uid: int) -> Arm:
        """The file's first line is the account's name."""
        try:
            about, text = path.stat(), path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return cls(path=path, account=None)
        lines = text.splitlines()
        return cls(path=path, account=lines[0].strip() if lines else "", mode=stat.S_IMODE(about.st_mode), owned=about.st_uid == uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What the exchange says about the key. `missing`: rights the trader needs; `withdrawing`: rights to move money out."""

    name: str
    missing: tuple[str, ...]
    withdrawing: tuple[str, ...]
    expires_us: int | None
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the account can do with its money. `fitting` of `pairs` can be entered with `stake`, the most one position may take."""

    quote: str
    free: Decimal
    stake: Decimal
    fitting: int
    pairs: int
    taker: Decimal
    maker: Decimal
    volume: Decimal


def opted_in(environment: str, account: str, arm: Arm, booked: str) -> Iterator[Check]:
    """The two opt-ins, and that both and the ledger speak of one account. `booked`: the ledger's account, empty for a new one."""
    yield judged(
        environment == "live", "E-LIVE-001", f"environment is {environment}", why="real orders are sent in live only",
        fix="set environment = live (TRADER_ENVIRONMENT=live), once you mean it",
    )  # fmt: skip
    how = f"(umask 077; echo {account} > {arm.path})"
    if arm.account is None:
        yield Check(
            level="FAIL", code="E-ARM-001", what=f"live trading is not armed: there is no {arm.path}",
            why="a setting alone never trades real money", fix=f"when every other check is ok: {how}",
        )  # fmt: skip
    else:
        yield judged(
            arm.account == account, "E-ARM-002", f"the arm file names account {arm.account!r}, the settings {account!r}",
            why="the file must name the very account that is to be traded", fix=f"set account, or arm this one: {how}",
        )  # fmt: skip
        yield judged(
            arm.mode & 0o077 == 0 and arm.owned, "E-ARM-003", f"the arm file is {arm.mode:o}, {'ours' if arm.owned else 'of another user'}",
            why="whoever can write it can arm live trading", fix=f"rm {arm.path}; {how}",
        )  # fmt: skip
    yield judged(
        booked in ("", account), "E-ARM-004", f"the ledger belongs to account {booked or account!r}",
        why="an account's books are about that account alone", fix=f"set account = {booked!r}, or another state_dir",
    )  # fmt: skip


def key(found: KeyFacts, accepted: str, now_us: int) -> Iterator[Check]:
    """Rights, expiry and addresses of the key. `accepted`: name of a key that may trade although it can withdraw."""
    yield judged(
        not found.missing, "E-KEY-002", f"key {found.name!r} may do all that is needed" if not found.missing
        else f"key {found.name!r} lacks the rights {', '.join(found.missing)}",
        why="a session must read the account, place, amend and cancel orders, and hear of its fills", fix="add them at Kraken",
    )  # fmt: skip
    if found.withdrawing and accepted == found.name != "":
        yield Check(
            level="warn", code="E-KEY-003", what=f"key {found.name!r} can withdraw ({', '.join(found.withdrawing)}), accepted by name",
            why="whoever gets hold of it can take the money out", fix="use a key without these rights; empty kraken.accept_withdraw_key",
        )  # fmt: skip
    else:
        words = f"can withdraw ({', '.join(found.withdrawing)})" if found.withdrawing else "cannot move money out"
        yield judged(
            not found.withdrawing, "E-KEY-003", f"key {found.name!r} {words}",
            why="a trader never needs it, and whoever gets hold of the key can take the money out", fix="make a key without these rights",
        )  # fmt: skip
    if found.expires_us is not None:
        until = datetime.fromtimestamp(found.expires_us / 1e6, UTC)
        left = found.expires_us - now_us
        yield judged(
            left > SOON_US, "E-KEY-004", f"the key expires at {until:%Y-%m-%d %H:%M} UTC", bad="warn" if left > 0 else "FAIL",
            why="orders and exits are refused from then on", fix="make a new key in time",
        )  # fmt: skip
    yield judged(
        bool(found.addresses), "E-KEY-005", f"the key is bound to {', '.join(found.addresses) or 'no address'}", bad="warn",
        why="a stolen key works from anywhere", fix="bind it to this machine's address at Kraken",
    )  # fmt: skip


def clock(skew_s: float) -> Check:
    """`skew_s`: exchange minus ours."""
    return judged(
        abs(skew_s) <= MAX_SKEW_S, "E-CLOCK-003", f"the exchange's clock is {skew_s:+.1f} s from ours",
        why=f"over {MAX_SKEW_S:g} s, deadlines and proofs are worth nothing", fix="set the clock (timedatectl set-ntp true)",
    )  # fmt: skip


def venue(status: str) -> Check:
    """The exchange takes orders of every kind."""
    return judged(
        status == "online", "E-VENUE-001", f"the exchange is {status}", why="orders and stops are not taken", fix="wait until it is online"
    )


def means(found: Means) -> Iterator[Check]:
    """Balance against the smallest orders, and the fee tier."""
    yield judged(
        found.fitting > 0, "E-MONEY-001",
        f"{found.free:.2f} {found.quote} free; a position takes up to {found.stake:.2f}, enough in {found.fitting} of {found.pairs} pairs",
        why="every entry would be below the exchange's minimum", fix=f"pay in {found.quote}, or choose a strategy with fewer positions",
    )  # fmt: skip
    yield Check(
        level="ok", code="E-FEE-001",
        what=f"fee tier: taker {found.taker * 100:.2f} %, maker {found.maker * 100:.2f} %, at {found.volume:.0f} in 30 days",
    )  # fmt: skip


def refusals(checks: list[Check]) -> str:
    """All that speaks against a start, in one sentence; empty where nothing does."""
    return "; ".join(f"{check.code} {check.what}" for check in checks if check.level == "FAIL")
