"""An AI-confirmed trading system for Kraken with one decision path for backtest, replay, demo and live."""

__version__ = "0.1.0"
