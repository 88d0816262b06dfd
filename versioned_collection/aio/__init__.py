"""The asynchronous class, over PyMongo Async and Motor."""

from versioned_collection.aio.collection import AsyncVersionedCollection

__all__ = ["AsyncVersionedCollection"]
