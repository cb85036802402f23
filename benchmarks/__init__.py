"""Benchmarks: `python -m benchmarks.NAME` prints one JSON line a figure (docs: PERFORMANCE section 7)."""
