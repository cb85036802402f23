"""Kraken's spot error strings and what each must mean on a write, written out by hand (KRAKEN.md section 7, RELIABILITY.md 2.2).

Not derived from the adapter's own table: this is what it is measured against.
"""

from __future__ import annotations

STRINGS: dict[str, tuple[str, ...]] = {
    "funds": ("EOrder:Insufficient funds",),
    "size": (
        "EOrder:Order minimum not met", "EOrder:Cost minimum not met", "EOrder:Tick size check failed", "EOrder:Invalid price",
        "EOrder:Invalid price:Invalid price argument.", "EOrder:Invalid order", "EGeneral:Invalid arguments:volume",
        "EGeneral:Invalid arguments:volume minimum not met", "EGeneral:Invalid arguments:price", "EGeneral:Invalid arguments:viqc",
        "EGeneral:Invalid arguments: price",
    ),
    "style": (
        "EOrder:Post only order", "EOrder:Reduce only", "EOrder:Reduce only:No position exists",
        "EGeneral:Invalid arguments:Index unavailable",
    ),
    "limits": (
        "EOrder:Orders limit exceeded", "EOrder:Scheduled orders limit exceeded", "EOrder:Insufficient margin",
        "EOrder:Margin allowance exceeded", "EOrder:Margin level too low", "EOrder:Margin position size exceeded",
        "EOrder:Positions limit exceeded", "EOrder:Cannot open position", "EOrder:Cannot open opposing position",
        "EOrder:Unknown position", "EOrder:Trading agreement required",
    ),
    "bug": (
        "EGeneral:Invalid arguments", "EGeneral:Invalid arguments:ordertype", "EGeneral:Unknown method", "EAPI:Bad request",
        "EAPI:Invalid arguments", "EAPI:Invalid arguments:oflags", "ETrade:Invalid request", "EFunding:Unknown withdraw key",
        "EEarnings:Below min",
    ),
    "later": (
        "EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EAuth:Rate limit exceeded", "EAuth:Too many requests",
        "EGeneral:Temporary lockout", "EOrder:Rate limit exceeded", "EOrder:Domain rate limit exceeded", "EService: Throttled: 1767571300",
        "EService:Throttled:1767571300",
    ),
    "pair": (
        "EService:Market in cancel_only mode", "EService:Market in post_only mode", "EService:Market in limit_only mode",
        "EQuery:Unknown asset pair", "EQuery:Invalid asset pair", "EQuery:Unknown asset", "EAccount:Invalid permissions",
        "EAccount:Invalid permissions:BTC trading restricted for DE.", "EBM:limit exceeded:CAL",
    ),
    "auth": (
        "EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Permission denied", "EAuth:Failed", "EAuth:Account temporary disabled",
        "EAuth:Account unconfirmed", "ETrade:User Locked",
    ),
    "nonce": ("EAPI:Invalid nonce",),
    "gone": ("EOrder:Unknown order", "EOrder:Cancel pending", "EGeneral:Cancel pending"),
    "ambiguous": (
        "EService:Unavailable", "EService:Busy", "EService:Timeout", "EService:Deadline elapsed", "EGeneral:Internal error",
        "EGeneral:Internal error[0]", "EDatabase:Internal error",
        # nobody has ever documented these
        "EOrder:Never heard of", "EOrder:Duplicate client order id", "EGeneral:Invalid arguments:cl_ord_id already exists", "EFoo:Bar",
        "no colon at all", "E", "Ünïcödé:⚠", "EOrder:insufficient funds", "X" * 5000,
    ),
}  # fmt: skip
"""Class -> strings. A write that meets `ambiguous` proved nothing, and so did an AddOrder that meets `gone`."""


def expected(kind: str, *, placing: bool) -> str:
    """What the adapter must answer: a kind of Rejected, or `ambiguous`."""
    return "ambiguous" if placing and kind == "gone" else kind
