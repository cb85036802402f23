"""Kraken's error strings by class, spot and futures: data of `outcomes` (RELIABILITY.md section 2.2; no blanks after colons)."""

from __future__ import annotations

EXACT_WORDS: dict[str, tuple[str, ...]] = {
    "funds": (
        "EOrder:Insufficient funds", "EOrder:Insufficient funds (insufficient user funds)", "EFunding:Invalid amount",
        "insufficientAvailableFunds", "insufficientFunds", "INSUFFICIENT_MARGIN",
    ),
    "size": (
        "EOrder:Order minimum not met", "EOrder:Order minimum not met (volume too low)", "EOrder:Cost minimum not met",
        "EOrder:Tick size check failed", "EOrder:Invalid price", "EOrder:Invalid order",
        "EGeneral:Invalid arguments:volume", "EGeneral:Invalid arguments:price", "EGeneral:Invalid arguments:viqc",
        "invalidSize", "invalidPrice", "outsidePriceCollar",
    ),
    "style": (
        "EOrder:Post only order", "EOrder:Reduce only", "EGeneral:Invalid arguments:Index unavailable",
        "postWouldExecute", "iocWouldNotExecute", "wouldNotReducePosition",
    ),
    "limits": (
        "EOrder:Orders limit exceeded", "EOrder:Scheduled orders limit exceeded", "EOrder:Insufficient margin",
        "EOrder:Insufficient margin (exchange does not have sufficient funds to allow margin trading)",
        "EOrder:Margin allowance exceeded", "EOrder:Margin level too low", "EOrder:Margin position size exceeded",
        "EOrder:Margin position size exceeded (client would exceed the maximum position size for self pair)",
        "EOrder:Positions limit exceeded", "EOrder:Cannot open position", "EOrder:Cannot open opposing position",
        "EOrder:Unknown position", "EOrder:Trading agreement required", "tooManySmallOrders", "maxPositionViolation",
    ),
    "bug": (
        "EGeneral:Invalid arguments", "EGeneral:Unknown method", "EAPI:Bad request", "EAPI:Invalid arguments",
        "ETrade:Invalid request", "requiredArgumentMissing", "invalidOrderType", "invalidSide", "invalidUnit",
        "invalidAmount", "clientOrderIdTooLong", "orderForEditNotAStop", "Bad Request", "Json Parse Error",
        "Event(s) not found", "Malformed request", "Pair field must be an array",
        "Pair field unsupported for self subscription type", "Subscription book depth must be an integer",
        "Subscription depth not supported", "Subscription field must be an object", "Subscription name invalid",
        "Subscription object unsupported field", "Subscription ohlc interval must be an integer",
        "Subscription ohlc interval not supported", "Subscription ohlc requires interval", "Already subscribed",
    ),
    "later": (
        "EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EAuth:Rate limit exceeded", "EAuth:Too many requests",
        "EGeneral:Temporary lockout", "EOrder:Rate limit exceeded", "EOrder:Domain rate limit exceeded",
        "apiLimitExceeded", "Exceeded msg rate",
    ),
    "pair": (
        "EQuery:Unknown asset pair", "EQuery:Invalid asset pair", "EQuery:Unknown asset", "EBM:limit exceeded:CAL",
        "Pair(s) not found", "Currency pair not in ISO 4217-A3 format", "Currency pair not supported",
        "marketUnavailable", "marketSuspended", "marketInactive", "contractNotFound",
    ),
    "auth": (
        "EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Permission denied", "EAuth:Failed",
        "EAuth:Account temporary disabled", "EAuth:Account unconfirmed", "ETrade:User Locked", "ESession:Invalid session",
        "authenticationError", "accountInactive", "invalidAccount",
    ),
    "nonce": ("EAPI:Invalid nonce", "nonceBelowThreshold", "nonceDuplicate"),
    "gone": ("EOrder:Unknown order", "EOrder:Cancel pending", "EGeneral:Cancel pending", "notFound", "orderForEditNotFound", "filled"),
    "ambiguous": (
        "EService:Unavailable", "EService:Busy", "EService:Timeout", "EService:Deadline elapsed", "EGeneral:Internal error",
        "EDatabase:Internal error", "EDatabase:Internal error (to be deprecated)", "unavailable", "Unavailable", "Server Error",
        "unknownError", "selfFill", "clientOrderIdAlreadyExist",
    ),
}  # fmt: skip

PREFIX_WORDS: dict[str, tuple[str, ...]] = {
    "size": ("EOrder:Invalid price:", "EGeneral:Invalid arguments:volume", "EGeneral:Invalid arguments:price"),
    "style": ("EOrder:Reduce only:",),
    "bug": (
        "EGeneral:Invalid arguments:", "EAPI:Invalid arguments:", "EFunding:", "EEarnings:", "EGeneral:Unknown method:", "invalidArgument",
    ),
    "later": ("EService:Throttled:", "EGeneral:Temporary lockout"),
    "pair": ("EService:Market in ", "EAccount:Invalid permissions", "Currency pair not supported"),
    "ambiguous": ("EGeneral:Internal error",),
}  # fmt: skip
