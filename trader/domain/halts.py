"""What a halt's cause says of itself: which pairs it binds, and what the venue's refusals call for (RELIABILITY.md section 6)."""

from __future__ import annotations

AUTH, LIMITS, NONCE, SKEW = "AUTH", "LIMITS", "NONCE", "SKEW"
LEDGER = "LEDGER"  # its place takes no writes; ends with that
FOREIGN, MISMATCH, UNKNOWN = "foreign", "mismatch", "unknown"  # each followed by the asset it is about
OF_REFUSALS = {"auth": AUTH, "limits": LIMITS, "nonce": NONCE}  # kind of a `Rejected` -> the halt it calls for


def asset_of(cause: str) -> str:
    """The one asset a cause is about; empty for one that binds the whole account."""
    kind, _, asset = cause.partition(" ")
    return asset if kind in (FOREIGN, MISMATCH, UNKNOWN) else ""


def binds(cause: str, pair: str) -> bool:
    """Whether a halt of this cause refuses entries in `pair` (BASE/QUOTE or BASE/QUOTE:QUOTE)."""
    asset = asset_of(cause)
    return not asset or asset in pair.partition(":")[0].split("/")
