"""Adapters that run S1 on other engines, each in an environment of its own; no dependency of the project."""
