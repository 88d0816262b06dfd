"""export: a version, or a whole history, into a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from versioned_collection import files, formats
from versioned_collection.core.graph import ancestors_of
from versioned_collection.core.revision import check_text
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import VersionId
from versioned_collection.errors import (
    BranchNotFound,
    InvalidArgument,
    InvalidOperation,
    InvalidType,
    NotSupported,
)
from versioned_collection.files import FileLike
from versioned_collection.history.revisions import Resolver, RevisionLike
from versioned_collection.history.versions import entry_of
from versioned_collection.observing import Counted, Progress, counted, observed
from versioned_collection.remotes.base import Refs
from versioned_collection.remotes.bundling import Contents, proved_content, write_bundle
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.transfer import MOST_VERSIONS
from versioned_collection.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written to a file.

    Attributes:
        file: What people call the file.
        format: Its format.
        version: The version whose documents it holds, None for a bundle without documents.
        documents: How many documents of that version it holds.
        versions: How many versions a bundle holds; 0 for other files.
        branches: The branches that a bundle holds, with their tips.
        tags: The tags that a bundle holds.
        bytes: How many bytes were written.
    """

    file: str
    format: str
    version: VersionId | None
    documents: int
    versions: int = 0
    branches: Mapping[str, VersionId] | None = None
    tags: Sequence[str] = ()
    bytes: int = 0


class Wanted(NamedTuple):
    """What the caller of an export asks for.

    Attributes:
        revision: The version, for a file of one.
        format: The format; that of the file's ending where it is left out.
        branches: The branches that go into a bundle; all of them where they are left out.
        since: Versions that whoever reads the bundle has already.
        relaxed: Whether JSON is written for people.
        overwrite: Whether a file that exists may be replaced.
    """

    revision: RevisionLike = None
    format: str | None = None
    branches: Iterable[str] | None = None
    since: RevisionLike | Iterable[RevisionLike] = None
    relaxed: bool = False
    overwrite: bool = False


def export(
    repository: Repository, file: FileLike, wanted: Wanted, progress: Progress | None = None
) -> Exported:
    """Write a version or a history to a file.

    Raises:
        InvalidArgument: The arguments contradict each other, or name no format; or no file can
            have the name.
        InvalidType: An argument is of the wrong type.
        UnusableFile: The file exists already, or the system refuses.
        InvalidCollectionVersion: There is no such version.
        BranchNotFound: There is no such branch.
        InvalidOperation: There is no branch at all, which a bundle needs.
        NotSupported: The format cannot hold a document, or a library is missing.
        CorruptHistory: A version is not what its checksum says.
        SnapshotUnavailable: The documents moved while they were read.
        CollectionNotTracked: There is no history.
    """
    format = files.format_of(file, wanted.format, formats.ALL_ENDINGS)
    _check(wanted, format)
    repository.state()
    with observed("export", repository):
        way = _bundle if format == formats.BUNDLE else _documents
        with files.written(file, wanted.overwrite) as out:
            found = way(repository, out, wanted, format, counted(progress))
    return replace(found, file=files.name_of(file))


def _check(wanted: Wanted, format: str) -> None:
    if format == formats.BUNDLE and wanted.revision is not None:
        raise InvalidArgument(
            "a bundle holds branches, not one revision: choose them with branches=[...], and "
            "with since=... what it leaves out"
        )
    if format != formats.BUNDLE and (wanted.branches is not None or wanted.since is not None):
        raise InvalidArgument("branches and since choose what goes into a bundle", format=format)
    if wanted.relaxed and format != "jsonl":
        raise InvalidArgument("relaxed is about JSON", format=format)
    if isinstance(wanted.branches, str):
        raise InvalidArgument("branches is a list of names", branches=wanted.branches)
    if wanted.branches is not None and not isinstance(wanted.branches, Iterable):
        raise InvalidType("branches is a list of names", branches=wanted.branches)


# -- one version -----------------------------------------------------------------------------


class _Counted:
    """Passes bytes on, and counts them."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.closed = False
        self.size = 0

    def write(self, data: Any) -> int:
        self._out.write(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Do nothing: whoever opened the file does."""

    def close(self) -> None:
        """Do nothing either."""


def _documents(
    repository: Repository, out: BinaryIO, wanted: Wanted, format: str, progress: Counted
) -> Exported:
    here = MongoRemote(repository)
    version = Resolver(repository, repository.state()).resolve(wanted.revision)
    entry = entry_of(repository, version)
    phases = iter(("read", "documents") if format == "parquet" else ("documents",))
    count = 0

    def batches() -> Iterator[list[bytes]]:
        nonlocal count
        count, phase = 0, next(phases)
        for batch in proved_content(here, entry):
            count += len(batch)
            progress(phase, len(batch), sum(map(len, batch)))
            yield batch

    options = {"relaxed": wanted.relaxed} if format == "jsonl" else {}
    counted: Any = _Counted(out)
    formats.write(format, batches, counted, **options)
    return Exported("", format, version, count, bytes=counted.size)


# -- a history -------------------------------------------------------------------------------


def _bundle(
    repository: Repository, out: BinaryIO, wanted: Wanted, format: str, progress: Counted
) -> Exported:
    here = MongoRemote(repository)
    refs = here.refs()
    if refs is None:
        raise InvalidOperation("the collection was dropped meanwhile")
    contents = _contents(repository, refs, wanted)
    count, size = write_bundle(here, contents, out, repository.now(), progress)
    return Exported(
        "",
        format,
        contents.content,
        count,
        len(contents.versions),
        dict(contents.refs.branches),
        sorted(contents.refs.tags),
        size,
    )


def _contents(repository: Repository, refs: Refs, wanted: Wanted) -> Contents:
    tree = repository.log.tree()
    since = _since(repository, wanted.since)
    branches = _branches(refs, wanted.branches)
    tags = {name: tag["version"] for name, tag in refs.tags.items()}
    tips = [*branches.values(), *(tags.values() if wanted.branches is None else ())]
    reached = ancestors_of(tree, *tips)
    known = ancestors_of(tree, *since) if since else set()
    versions = sorted(reached - known)
    if len(versions) > MOST_VERSIONS:
        raise NotSupported(
            f"{len(versions):,} versions are more than the {MOST_VERSIONS:,} that can be brought "
            "anywhere at once; export fewer branches",
            versions=len(versions),
            limit=MOST_VERSIONS,
        )
    current = refs.current if refs.current in branches else min(branches)
    return Contents(
        repository.home,
        Refs(
            branches,
            {name: refs.tags[name] for name, tag in tags.items() if tag in reached},
            _checksums(repository, tree, versions, refs.checksums),
            current,
            refs.labels,
        ),
        versions,
        _places(tree, reached & known, refs),
        {one: tree.nodes[one].label for one in _latest(tree, since, known)},
        None if since else branches[current],
    )


def _checksums(
    repository: Repository,
    tree: VersionTree,
    versions: Sequence[VersionId],
    named: Iterable[VersionId],
) -> dict[VersionId, str]:
    """Return the checksums of what has a name, and of what the versions of a bundle stand on.

    Also what is not in the bundle tells whether the history was purged; see `remotes.purged`.
    """
    below = {parent for one in versions for parent in tree.nodes[one].parents}
    return repository.log.checksums(sorted(below.difference(versions).union(named)))


def _branches(refs: Refs, names: Iterable[str] | None) -> dict[str, VersionId]:
    """Return the tips of branches that were chosen.

    Raises:
        BranchNotFound: There is no such branch.
        InvalidArgument: None was chosen.
        InvalidOperation: There is none.
    """
    if not refs.branches:
        raise InvalidOperation(
            "there is no branch, and a bundle needs one: create_branch() makes one where HEAD is"
        )
    if names is None:
        return dict(refs.branches)
    chosen = {}
    for name in names:
        if check_text(name) not in refs.branches:
            raise BranchNotFound(
                f"there is no branch {name!r}; branches() lists them", branch=name
            )
        chosen[name] = refs.branches[name]
    if not chosen:
        raise InvalidArgument("name a branch, or leave branches out for all of them")
    return chosen


def _since(repository: Repository, since: Any) -> list[VersionId]:
    """Return the versions that the other side has; a list means several."""
    if since is None:
        return []
    resolver = Resolver(repository, repository.state())
    several = since if isinstance(since, (list, set, frozenset)) else [since]
    return list(dict.fromkeys(resolver.resolve(one) for one in several))


def _latest(
    tree: VersionTree, since: Iterable[VersionId], known: Iterable[VersionId]
) -> list[VersionId]:
    """Return those of some versions that no other one of them contains.

    Args:
        tree: All versions.
        since: The versions.
        known: They, and all that they contain.
    """
    contained = {parent for version in known for parent in tree.nodes[version].parents}
    return [version for version in since if version not in contained]


def _places(tree: VersionTree, versions: Iterable[VersionId], refs: Refs) -> list[Any]:
    """Return the places of earlier versions, where somebody may need them.

    That is where labels have changed: a pull compares them down to the first version then.
    """
    return [] if refs.labels is None else [tree.nodes[one] for one in sorted(versions)]
