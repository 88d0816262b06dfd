"""The steps of ``vc demo``: plain PyMongo writes, and verbs that record them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from versioned_collection.errors import AutoMergeFailedError, CorruptHistory

if TYPE_CHECKING:
    from versioned_collection import Conflict, VersionedCollection
    from versioned_collection.demo_data import Release

DATABASE = "demo"
COLLECTION = "mime_types"
_AUTHOR = "mime-db"
BRANCH = "my-edit"

_LAST = "1.54.0"
_OTHER_FIELD = "application/sql"
_SAME_FIELD = "text/markdown"

Documents = dict[str, dict[str, Any]]


@dataclass
class Step:
    """One step of the demo.

    Attributes:
        name: What was done.
        detail: To what effect.
        seconds: How long it took.
    """

    name: str
    detail: str = ""
    seconds: float = 0.0


class Replay:
    """Replays releases, and keeps the time of each step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._documents: dict[str, Documents] = {}
        self._present: Documents = {}

    @property
    def seconds(self) -> float:
        """The time of all steps."""
        return sum(step.seconds for step in self.steps)

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[Step]:
        """Measure a step."""
        step = Step(name, detail)
        started = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - started
        self.steps.append(step)

    def record(self, collection: VersionedCollection, release: Release) -> None:
        """Make the collection a release's documents, and record them as a version."""
        writes = differences(self._present, release.documents)
        with self.step(f"write {release.version}", f"{len(writes):,} documents, plain PyMongo"):
            collection.bulk_write(writes, ordered=False)
        message = f"mime-db {release.version}, published {release.published:%Y-%m-%d}"
        facts = {"release": release.version, "published": release.published}
        first = not collection.is_tracked()
        with self.step(f"{'init' if first else 'register'} {release.version}") as step:
            if first:
                collection.init(message, author=_AUTHOR, metadata=facts)
            else:
                collection.register(message, author=_AUTHOR, metadata=facts)
        version = collection.tag(f"v{release.version}")
        step.detail = version.label
        self._present = release.documents
        self._documents[release.version] = release.documents

    def compare(self, collection: VersionedCollection, release: str) -> str:
        """Compare the present documents with a release, field by field and in order.

        Raises:
            CorruptHistory: They differ.
        """
        from versioned_collection.demo_data import checksum

        present = {document["_id"]: document for document in collection.find()}
        found, expected = checksum(present), checksum(self._documents[release])
        if found != expected:
            raise CorruptHistory(
                f"the documents of {release} are not as they were published", release=release
            )
        return f"equals mime-db {release}: sha256 {found[:16]}"

    def edit(self, collection: VersionedCollection) -> None:
        """Register edits of two documents on a branch of its own.

        Later releases change both as well: of the first one another field, of the second one
        the same.
        """
        collection.create_branch(BRANCH)
        collection.update_one({"_id": _OTHER_FIELD}, {"$set": {"compressible": True}})
        collection.update_one({"_id": _SAME_FIELD}, {"$push": {"extensions": "mdown"}})
        collection.register("SQL compresses, Markdown files may end in .mdown", author="me")

    def merge(self, collection: VersionedCollection) -> list[Conflict]:
        """Merge the edits into main; return the conflicts that wait.

        Raises:
            CorruptHistory: There is another number of them than one.
        """
        with suppress(AutoMergeFailedError):
            collection.merge(BRANCH)
        conflicts = list(collection.conflicts())
        if [(one.document_id, one.path) for one in conflicts] != [(_SAME_FIELD, ("extensions",))]:
            raise CorruptHistory("the merge left other conflicts than the one that was expected")
        return conflicts

    def settle(self, collection: VersionedCollection, conflict: Conflict) -> list[str]:
        """Settle the conflict by what both sides want, and record the merge."""
        extensions = [*conflict.ours, "mdown"]
        collection.resolve_conflict(conflict, extensions)
        collection.register(author="me")
        return extensions

    def compare_merged(self, collection: VersionedCollection, extensions: list[str]) -> str:
        """Compare the present documents with the last release and the two edits.

        Raises:
            CorruptHistory: They differ.
        """
        expected = dict(self._documents[_LAST])
        expected[_OTHER_FIELD] = {**expected[_OTHER_FIELD], "compressible": True}
        expected[_SAME_FIELD] = {**expected[_SAME_FIELD], "extensions": extensions}
        present = {document["_id"]: document for document in collection.find()}
        if present != expected or collection.has_changes():
            raise CorruptHistory("the merged documents are not those of both sides")
        return f"all of mime-db {_LAST} and both edits"

    def verify(self, collection: VersionedCollection) -> None:
        """Check everything on disk.

        Raises:
            CorruptHistory: There are problems.
        """
        problems = [str(problem) for problem in collection.verify()]
        if problems:
            raise CorruptHistory("; ".join(problems))


def differences(old: Documents, new: Documents) -> list[Any]:
    """Return the writes that lead from some documents to others."""
    from pymongo import DeleteOne, InsertOne, ReplaceOne

    writes: list[Any] = [DeleteOne({"_id": name}) for name in old if name not in new]
    for name, document in new.items():
        if name not in old:
            writes.append(InsertOne(document))
        elif list(old[name].items()) != list(document.items()):
            writes.append(ReplaceOne({"_id": name}, document))
    return writes
