"""Unique values of trackers, looked up instead of compared with those of all documents.

mongomock compares each new document with all others, so that many take very long. Nobody else
writes to trackers, so what is noted here stays true.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Mapping
from typing import Any

from versioned_collection.core.document import key_of, twin_token

Document = dict[str, Any]

_known: weakref.WeakKeyDictionary[Any, tuple[Any, dict[str, Values]]] = weakref.WeakKeyDictionary()


class Values:
    """The values that the documents of a collection have in the fields of one unique index."""

    def __init__(self, index: Mapping[str, Any], documents: Any) -> None:
        self._fields = [name for name, _ in index["key"]]
        self._found = {self.of(document) for document in documents}

    def of(self, document: Document) -> Hashable:
        """Return the values of a document, equal where a server takes them for equal."""
        return tuple(twin_token(key_of(document.get(name))) for name in self._fields)

    def are_taken(self, document: Document, before: Document | None) -> bool:
        """Tell whether a document has the values of another one than that which it replaces."""
        values = self.of(document)
        return values in self._found and (before is None or self.of(before) != values)

    def move(self, before: Document | None, after: Document | None) -> None:
        """Note that a document came, went or changed."""
        if before is not None:
            self._found.discard(self.of(before))
        if after is not None:
            self._found.add(self.of(after))


def values_in(store: Any) -> dict[str, Values]:
    """Return the values of all unique indexes of a tracker, by the names of these."""
    documents, known = _known.get(store, (lambda: None, {}))
    if documents() is not store._documents:
        known = {}
        _known[store] = weakref.ref(store._documents), known
    wanted = {name: index for name, index in store.indexes.items() if index.get("unique")}
    for name in known.keys() - wanted:
        del known[name]
    for name in wanted.keys() - known:
        known[name] = Values(wanted[name], store.documents)
    return known
