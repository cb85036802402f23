"""From decision to protected position; pure but for the session and its helpers."""
