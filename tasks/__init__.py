"""Prefect policy around single calls into `trader`; nothing here decides."""
