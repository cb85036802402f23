"""Prefect policy (retries, time-outs, tags, artifacts) around one call each into trader."""
