"""Histories that meet: merges, conflicts and what is decided, rebases, stashes that return."""
