"""``python -m versioned_collection.cli`` is ``vc``."""

from versioned_collection.cli.app import main

main()
