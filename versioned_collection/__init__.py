"""versioned_collection: the powers of git for any MongoDB collection."""

from versioned_collection import embedded, errors
from versioned_collection.collection import VersionedCollection
from versioned_collection.core.document import DocumentId
from versioned_collection.core.version import Version

__all__ = ["DocumentId", "Version", "VersionedCollection", "embedded", "errors"]

__version__ = "0.1.0"
