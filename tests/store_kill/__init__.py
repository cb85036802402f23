"""kill -9 of a process that writes the history store, at every numbered point and at random, with un-synced bytes lost."""
