"""What an operator runs: start and watch, verify, reset, examine."""
