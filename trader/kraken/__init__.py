"""The Kraken spot adapter: the only place that imports ccxt."""
