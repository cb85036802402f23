"""The only wiring: environments differ by what is put together here, never by a test in the core."""
