"""The Kraken twin's wire: REST and WebSocket v2 in front of the matching engine (KRAKEN.md)."""
