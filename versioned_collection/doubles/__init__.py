"""Test doubles: a ``mongomock`` database in the place of a server's.

PyMongo talks to a small server in this process, which carries its commands out one by one on what
the mongomock client holds. So whatever is built on PyMongo works as it is, and nothing above this
package knows; what mongomock cannot do is refused with the reason, before anything changes.
"""

from __future__ import annotations

from typing import Any


def is_double(value: object) -> bool:
    """Tell whether an object is one of mongomock's, without importing mongomock."""
    return type(value).__module__.partition(".")[0] == "mongomock"


def adopted(value: Any) -> Any:
    """Return PyMongo's form of a database or collection of mongomock; others as they are.

    Raises:
        NotSupported: This release of mongomock keeps its documents in another way.
    """
    if not is_double(value):
        return value
    from versioned_collection.doubles.client import pymongo_form

    return pymongo_form(value)
