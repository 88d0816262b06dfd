"""Documents that move: which ones, and writing them without overwriting anybody's change."""
