"""API keys that the twin of a run knows: the trader's own, and some that no live start may trade with."""

from __future__ import annotations

from trader.bootstrap.paths import API_SECRET
from trader.bootstrap.stand_ins import DEMO_KEY
from trader.simulation.kraken_server.spot.keyring import TRADING, ApiKey

GOOD = ApiKey(key="good", secret=API_SECRET, name="trading only")
LAME = ApiKey(key="lame", secret=API_SECRET, name="too little", permissions=("query-funds", "create-ws-token"))
WITHDRAWS = ApiKey(key="withdraws", secret=API_SECRET, name="too much", permissions=(*TRADING, "withdraw-funds"))
KEYS = (DEMO_KEY, GOOD, LAME, WITHDRAWS)
