"""What verify checks: the history, what is kept beside it, and each working copy."""
