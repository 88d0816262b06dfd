"""What a forked child makes anew: it inherits locks and the names of threads, not the threads."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_children(renew: Callable[[], object]) -> None:
    """Call this now, and in each child of `os.fork` before anything else runs there.

    Args:
        renew: Makes threads or locks.
    """
    renew()
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew)
