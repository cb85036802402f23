"""Kraken's futures API: REST v3, charts, history and WebSocket v1."""
