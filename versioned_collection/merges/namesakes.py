"""Documents of the collection that stand in the way of others, which its collation takes for them.

Which ids a collation takes for one only the server knows: it is asked for those that are about to
come in. Ids that are one everywhere, such as ``1`` and ``1.0``, are told by `are_twins`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.document import DocumentKey, document_key, raw_id_in
from versioned_collection.core.portions import BYTES_OF_IDS, IDS_PER_READ, portions
from versioned_collection.driver.wire import documents
from versioned_collection.past.sameness import COLLATED, is_collated
from versioned_collection.repository.repository import Repository

Keys = set[DocumentKey]


def kept_out(
    repository: Repository,
    arriving: Iterable[DocumentKey],
    staying: Callable[[Keys], Keys],
) -> Keys:
    """Return the ids that cannot come in, as documents stay that the collation takes for them.

    Args:
        repository: The trackers.
        arriving: The ids of documents that are to come in.
        staying: Returns which of some documents stay; it is asked about all at once.
    """
    texts = sorted(key for key in arriving if key[0] in COLLATED)
    if not texts or not is_collated(repository, texts[0]):
        return set()
    found: Keys = set()
    for portion in portions(texts, len, IDS_PER_READ, BYTES_OF_IDS):
        present = _present(repository, portion) - set(portion)
        if present:
            found.update(_held_back(repository, portion, staying(present)))
    return found


def _held_back(
    repository: Repository, keys: Sequence[DocumentKey], staying: Keys
) -> Iterator[DocumentKey]:
    """Iterate over the ids that have one of some documents in their place.

    The server says of several ids only that there is one in the place of some of them.
    """
    if len(keys) == 1 or not staying:
        yield from keys if staying else ()
        return
    middle = len(keys) // 2
    for half in (keys[:middle], keys[middle:]):
        yield from _held_back(repository, half, staying & _present(repository, half))


def _present(repository: Repository, keys: Sequence[DocumentKey]) -> Keys:
    asked = RawBSONDocument(raw_id_in(keys))
    found = documents(repository.db, repository.name, asked, projection={"_id": 1})
    return {document_key(raw) for batch in found for raw in batch}
