"""The matching engine's refusals as kinds of `Rejected`, for callers inside the process (KRAKEN.md section 7).

The adapter has a table of its own for words that come over the wire; the contract suite compares the two. In process
nothing is ever ambiguous: a refusal changed nothing.
"""

from __future__ import annotations

from trader.domain.orders import Rejected

_EXACT = {
    "EOrder:Insufficient funds": "funds",
    "EOrder:Insufficient margin": "limits",
    "EOrder:Order minimum not met": "size",
    "EOrder:Cost minimum not met": "size",
    "EOrder:Tick size check failed": "size",
    "EOrder:Invalid price": "size",
    "EGeneral:Invalid arguments:volume": "size",
    "EGeneral:Invalid arguments:price": "size",
    "EOrder:Post only order": "style",
    "EOrder:Reduce only": "style",
    "EOrder:Unknown order": "gone",
    "EOrder:Unknown position": "limits",
    "EQuery:Unknown asset pair": "pair",
}
_PREFIXES = (
    ("EOrder:Invalid price:", "size"),
    ("EOrder:Reduce only:", "style"),
    ("EService:Market in ", "pair"),
    ("EService:", "later"),  # a passed deadline, a pair without a price: nothing was placed, another try may pass
    ("EOrder:Rate limit exceeded", "later"),
    ("EGeneral:", "bug"),
    ("EOrder:Duplicate", "bug"),
    ("EOrder:", "limits"),  # orders, positions, margin: the account is full
)


def rejected(text: str) -> Rejected:
    """The answer for a refusal in Kraken's words; words of no family are a fault of the caller (kind bug)."""
    kind = _EXACT.get(text) or next((kind for prefix, kind in _PREFIXES if text.startswith(prefix)), "bug")
    return Rejected(kind=kind, message=text)
