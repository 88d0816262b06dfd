"""First contact: an untracked collection becomes a copy of another side's.

The lease is held all the time, as by `init`. Documents go to the replica first, where nobody
sees them; the metadata is the commit point, and from there on the collection is filled from
the replica, by whoever has to complete that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from pymongo import errors as driver
from pymongo.client_session import ClientSession

from versioned_collection.committing.commit import Commit, enter
from versioned_collection.committing.committer import Committer
from versioned_collection.committing.entering import arriving
from versioned_collection.committing.withdrawing import unmake
from versioned_collection.core.document import DocumentKey, document_key
from versioned_collection.core.sums import MODULUS, content_of
from versioned_collection.core.tree import Ancestry
from versioned_collection.core.version import Version, VersionId, fingerprint_text
from versioned_collection.driver.server_errors import reason_of
from versioned_collection.driver.wire import create_collection, create_indexes, documents
from versioned_collection.driver.writes import insert_missing
from versioned_collection.errors import (
    InvalidArgument,
    InvalidOperation,
    TransferRefused,
    VersioningError,
)
from versioned_collection.observing import Progress
from versioned_collection.remotes.base import Arrived, Changes, Setup, Update
from versioned_collection.remotes.checked import key_in, problem_of_document, refused
from versioned_collection.remotes.proving import prove
from versioned_collection.remotes.staging import Staging, says_same
from versioned_collection.repository.hold import leased
from versioned_collection.repository.lifecycle import create_trackers, drop_some, drop_trackers
from versioned_collection.repository.names import check_namespace
from versioned_collection.repository.repository import Repository
from versioned_collection.working.tracking import (
    check_target,
    first_state,
    refuse_foreign,
    refuse_lost,
    refuse_related,
    refuse_renamed,
)


class MongoFounding:
    """Makes an untracked collection a copy; see `remotes.base.Founding`.

    Args:
        repository: The trackers of the collection.
        setup: How the collection at the other side was created.
        tip: The version that is to be checked out.
        progress: Told how many documents were written.

    Raises:
        InvalidOperation: The collection is tracked, or has documents other than those of the
            version.
        CorruptHistory: There is a history whose metadata is lost.
    """

    def __init__(
        self, repository: Repository, setup: Setup, tip: Version, progress: Progress | None
    ) -> None:
        self._repository = repository
        self._setup = setup
        self._tip = tip
        self._progress = progress
        self._stack = ExitStack()
        self._staging = Staging(repository, self._check, rooted=True)
        self._content = 0
        self._count = 0
        self._adopted = False

    def __enter__(self) -> MongoFounding:
        check_namespace(self._repository.db.name, self._repository.name)
        check_target(self._repository)
        with ExitStack() as stack:
            self._hold = stack.enter_context(leased(self._repository, "clone"))
            self._prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # -- before anything is visible ------------------------------------------------------

    def _prepare(self) -> None:
        repository = self._repository
        refuse_related(repository)
        refuse_foreign(repository)
        if repository.known_state() is not None:
            raise InvalidOperation(
                f"{repository.name!r}, which was to become a copy, is tracked already, perhaps "
                "since a moment ago; try again, which brings what it lacks",
                collection=repository.name,
            )
        refuse_renamed(repository)
        refuse_lost(repository)
        self._adopted = self._has_documents()
        if repository.incoming.founding() != self._tip.id:
            drop_trackers(self._hold)  # of an attempt with another version, or of init
        else:  # names may point elsewhere by now
            drop_some(self._hold, (repository.log, repository.branches, repository.tags))
        create_trackers(repository)
        repository.incoming.found(self._tip.id)

    def _has_documents(self) -> bool:
        """Tell whether there are documents, which have to be those of the version."""
        repository = self._repository
        total = count = 0
        for batch in documents(repository.db, repository.name):
            total += content_of(batch)
            count += len(batch)
        if count and fingerprint_text(total % MODULUS) != self._tip.fingerprint:
            raise InvalidOperation(
                f"{repository.name!r} is not tracked and holds {count} document(s) that are not "
                f"those of {self._tip.label}; nothing was written. Move them elsewhere, or "
                "give another database or collection",
                collection=repository.name,
                documents=count,
            )
        return count > 0

    def begin(self, entries: Iterator[list[Version]]) -> Arrived:
        """Announce versions by their log entries; return what is there of them already."""
        return self._staging.begin(self._noting(entries))

    def _noting(self, entries: Iterator[list[Version]]) -> Iterator[list[Version]]:
        for batch in entries:
            for entry in batch:
                if entry.id == self._tip.id and not says_same(entry, self._tip):
                    raise refused(entry.id, "the remote told two stories about it")
            yield batch

    def add(self, changes: Changes) -> Callable[[], int]:
        """Check changes; return what takes them in, and returns how many bytes they have."""
        return self._staging.add(changes)

    def complete(self, versions: Sequence[VersionId]) -> None:
        """Prove that all changes of versions are there, and are those announced."""
        self._staging.complete(versions)

    def _check(self) -> None:
        self._hold.lease.check()

    def documents(self) -> frozenset[DocumentKey]:
        """Return which documents are there already, from an attempt that broke off."""
        present: set[DocumentKey] = set()
        for batch in self._repository.replica.scan():
            self._count_in(batch)
            present.update(map(document_key, batch))
        return frozenset(present)

    def fill(self, documents: Sequence[bytes]) -> None:
        """Take documents of the version to be checked out."""
        for raw in documents:
            problem = problem_of_document(raw, key_in(raw))
            if problem is not None:
                raise refused(self._tip.id, problem)
        if documents:
            self._fenced(partial(self._insert, list(documents)))
        self._count_in(documents)

    def _insert(self, raws: Sequence[bytes], session: ClientSession | None) -> None:
        repository = self._repository
        if not insert_missing(repository.db, repository.replica.name, raws, session):
            raise refused(self._tip.id, "a document of it came twice")

    def _count_in(self, raws: Sequence[bytes]) -> None:
        self._content += content_of(raws)
        self._count += len(raws)

    # -- the commit ----------------------------------------------------------------------

    def finish(self, update: Update, branch: str) -> None:
        """Prove that all is there, let names point to it, and check a branch out.

        Raises:
            TransferRefused: Something is missing, or not as it was announced.
            InvalidArgument: The server refuses an option or index of the collection.
            DocumentRejected: It refuses a document, under these indexes or its own; the
                collection is untracked, and as before.
        """
        hold, repository = self._hold, self._repository
        self._prove()
        founded = self._create()
        at = repository.operation_time() if repository.has_transactions else None
        # what is written from here on is noticed, so what was written before has to be known
        with self._unmade(founded):
            self._adopted = self._has_documents()
        arrived = [[one.id, one.branch, one.number] for one in self._staging.nodes.values()]
        for some in arriving(repository, arrived):
            enter(repository, some)
        tips = {name: tip for name, (_, tip) in update.branches.items() if tip is not None}
        self._name(tips, update.tags)
        if update.purges:
            repository.purges.create()
            repository.purges.bury(one.to_bson() for one in update.purges)
        detached = update.branches.get(branch, (None, None))[1] != self._tip.id
        state = {"head": self._tip.id, "branch": branch, "detached": detached}
        commit = Commit(
            state={**state, "scan": self._adopted and at is None},
            fill=True,
            founded={**founded, "documents": not self._adopted},
            replica=False,
            # they are in the log already; their announcements go with the commit, and so does
            # the note that a copy begins with one of them
            arrived=arrived,
        )
        info = repository.collection_info() or {}
        intent = {"verb": hold.verb, "phase": "apply", "commit": commit.to_bson()}
        repository.metadata.insert(
            hold.lease.token,
            hold.lease.fence,
            {
                **first_state(self._tip.id, branch, at, info, repository.indexes()),
                **state,
                "labels": update.labels,
                "intent": intent,
            },
        )
        hold.refresh()
        committer = Committer(hold, self._progress)
        committer.complete(commit)

    def _name(self, tips: Mapping[str, VersionId], tags: Mapping[str, Mapping[str, Any]]) -> None:
        """Let names point to versions, unless another owner has done so, and gone on."""
        repository = self._repository

        def work(session: ClientSession | None) -> None:
            repository.branches.set_all(tips, session)
            repository.tags.put(tags, session)

        self._fenced(work)

    def _fenced(self, work: Callable[[ClientSession | None], None]) -> None:
        """Write what nobody writes who comes behind the end of the lease.

        Raises:
            LeaseLost: It is not ours any more.
        """

        def attempt(session: ClientSession | None) -> None:
            self._hold.lease.confirm(session)
            work(session)

        self._hold.transaction(attempt)

    def _prove(self) -> None:
        """Prove the documents, and by applying them the changes of all versions."""
        repository = self._repository
        try:
            self._prove_documents()
            tree = self._tree()
            prove(repository, tree, self._tip.id, self._staging.nodes, self._hold.lease.check)
        except TransferRefused:
            repository.incoming.found(None)  # so that the next attempt begins anew
            raise

    def _prove_documents(self) -> None:
        if fingerprint_text(self._content % MODULUS) != self._tip.fingerprint:
            raise refused(
                self._tip.id, "its documents are not those that its fingerprint names; try again"
            )
        if self._repository.replica.count() != self._count:
            raise refused(self._tip.id, "documents of it are missing; try again")

    def _tree(self) -> Ancestry:
        nodes = self._staging.nodes
        roots = [node for node in nodes.values() if not node.parents]
        if len(roots) != 1:
            which = roots[-1] if roots else self._tip
            raise refused(which.id, f"its history has {len(roots)} beginnings")
        return Ancestry(nodes)

    def _create(self) -> dict[str, Any]:
        """Create the collection, and its indexes where it is empty; return what `Commit` notes.

        The indexes come before the documents, so that what they refuse is found while all of it
        can be taken back.
        """
        repository = self._repository
        before = repository.indexes()
        with self._told():
            create_collection(repository.db, repository.name, **self._setup.options)
        info = (repository.collection_info() or {}) if before is None else {}
        present = {index["name"] for index in before or ()}
        names = [] if self._adopted else [index["name"] for index in self._setup.indexes]
        founded = {
            "collection": info.get("info", {}).get("uuid"),
            "indexes": [name for name in names if name not in present],
        }
        with self._unmade(founded), self._told():
            if not self._adopted:
                create_indexes(repository.db, repository.name, self._setup.indexes)
        return founded

    @contextmanager
    def _unmade(self, founded: Mapping[str, Any]) -> Iterator[None]:
        """Take back what was made of the collection, where something refuses it."""
        try:
            yield
        except VersioningError:
            unmake(self._hold, founded)
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except driver.OperationFailure as error:
            raise InvalidArgument(
                f"the server refuses the options or indexes of the collection: {reason_of(error)}",
                server_code=error.code,
            ) from error
