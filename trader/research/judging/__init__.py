"""What may be concluded from daily returns: one small module a test, each with its source."""
