"""Purged walk-forward selection with multiple-testing control: which of the strategies, if any, has earned the place of the current one."""
