"""A working copy and all its trackers, opened together, and held by one verb at a time."""
