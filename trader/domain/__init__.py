"""Values and plain arithmetic; standard library only."""
