"""Assets of the listed pairs: Kraken's ids and short names beside the unified names, and how many digits each is shown with."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trader.simulation.exchange_orders import Refused
from trader.simulation.kraken_server.spot.render import fixed
from trader.simulation.market import Market

UNKNOWN_ASSET = "EQuery:Unknown asset"
LOT_DISPLAY, QUOTE_DISPLAY = 5, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """`name` unified (`BTC`), `asset_id` (`XXBT`), `altname` (`XBT`); `decimals` of its amounts, `display` of its short form."""

    name: str
    asset_id: str
    altname: str
    decimals: int
    display: int

    def text(self, amount: Decimal) -> str:
        """An amount with the asset's digits."""
        return fixed(amount, self.decimals)

    def row(self) -> dict[str, Any]:
        """The asset as the endpoint Assets describes it."""
        return {
            "aclass": "currency",
            "altname": self.altname,
            "decimals": self.decimals,
            "display_decimals": self.display,
            "status": "enabled",
        }


class Assets:
    """Every asset of a market, found by any of its three names."""

    def __init__(self, market: Market, *, quote_decimals: int) -> None:
        self._by_name: dict[str, Asset] = {}
        for pair in market.pairs:
            listing = market.listing(pair)
            base = Asset(
                name=listing.base,
                asset_id=listing.base_id,
                altname=listing.base_altname,
                decimals=listing.lot_decimals,
                display=LOT_DISPLAY,
            )
            quote = Asset(
                name=listing.quote,
                asset_id=listing.quote_id,
                altname=listing.quote_altname,
                decimals=quote_decimals,
                display=QUOTE_DISPLAY,
            )
            self._by_name.setdefault(base.name, base)
            self._by_name.setdefault(quote.name, quote)
        self.all = tuple(self._by_name.values())
        self._ids = {name: asset for asset in self.all for name in (asset.asset_id, asset.altname, asset.name)}

    def of(self, name: str) -> Asset:
        """The asset of a unified name that is listed."""
        return self._by_name[name]

    def listed(self, name: str) -> bool:
        """Whether any asset has this name."""
        return name in self._ids

    def known(self, name: str) -> str:
        """The unified name behind any of an asset's names. Raises Refused for an unknown one."""
        if (asset := self._ids.get(name)) is None:
            raise Refused(UNKNOWN_ASSET)
        return asset.name
