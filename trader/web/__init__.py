"""The status page and the read-only REST API, in a process of their own."""
