"""Kraken's spot WebSocket v2: subscriptions, frames and order entry."""
