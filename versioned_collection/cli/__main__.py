"""Where ``vc``, or ``python -m versioned_collection.cli``, begins."""

from __future__ import annotations

import sys

from versioned_collection.cli.exits import Exit


def main() -> None:
    """Run ``vc``, which takes some time to load."""
    try:
        from versioned_collection.cli.app import main as run

        run()
    except KeyboardInterrupt:  # before a command began, which would have reported it
        sys.exit(Exit.INTERRUPTED)


if __name__ == "__main__":
    main()
