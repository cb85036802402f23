"""What every door of the Kraken twin is made of: requests, replies, sockets, and the faults of all three."""
