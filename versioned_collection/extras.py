"""What is installed beside this library only where it is wanted."""

from __future__ import annotations


def how_to_get(extra: str) -> str:
    """Return the command that installs an extra, for those who have a clone as well."""
    return (
        f'pip install "mongo-versioned-collection[{extra}]" '
        f'(in a clone of it: pip install ".[{extra}]")'
    )
