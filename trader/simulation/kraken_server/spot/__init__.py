"""Kraken's spot API over REST: keys, limits, orders, account, history, public data and the OHLCVT archive."""
