"""Perpetual futures of the twin: contracts, prices, margin, and one account's orders and positions. No I/O; time is passed in."""
