"""TA-Lib and numpy on float64 columns: technical indicators, patterns, live streams."""
