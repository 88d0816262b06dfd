"""From what a person passes as a remote to the remote itself, opened for one verb."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pymongo.database import Database

from versioned_collection.errors import (
    InvalidArgument,
    InvalidOperation,
    InvalidType,
    RemoteNotFound,
)
from versioned_collection.observing import Progress
from versioned_collection.remotes.address import (
    DEFAULT,
    SCHEMES,
    address_in,
    path_of,
    place_in,
    with_secrets,
)
from versioned_collection.remotes.base import Remote
from versioned_collection.remotes.bundle import BundleRemote, read_only
from versioned_collection.remotes.checked import UNREADABLE
from versioned_collection.remotes.mongo import MongoRemote, address_of
from versioned_collection.remotes.reaching import connected, reaching
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.metadata import Metadata

RemoteLike = Repository | Database[Any] | str | os.PathLike[str] | None
"""The trackers of a collection, a database, a URI, the path of a bundle, the name of a remote, or
None for origin."""


@contextmanager
def opened(
    repository: Repository,
    wanted: RemoteLike,
    progress: Progress | None = None,
    *,
    giving: bool = False,
) -> Iterator[tuple[str, Remote]]:
    """Open a remote, and close what had to be opened for it.

    Args:
        repository: The trackers on this side.
        wanted: What the person passes.
        progress: Told how many documents were written at the remote.
        giving: Whether the remote is to take something in.

    Yields:
        The name by which its branches are tracked, and the remote.

    Raises:
        RemoteNotFound: There is no remote of that name.
        RemoteUnreachable: There is no connection to it, or it broke; also while it is in use.
        PermissionDenied: It refused the login.
        InvalidArgument: It names another collection, or is no address.
        InvalidOperation: It is this very collection, or a bundle that begins after versions
            which are not here.
        InvalidType: It is nothing that a remote can be.
        UnusableFile: It is a file that is no whole bundle.
        NotSupported: It is a bundle, and is to take something in.
    """
    name, path = _bundle(repository, wanted)
    if path is not None:
        if giving:
            raise read_only(path)
        with BundleRemote(path) as bundle:
            _check_since(repository, bundle)
            yield name or _known_name(repository, path), bundle
        return
    with ExitStack() as stack:
        other, name = stack.enter_context(_found(repository, wanted))
        here, there = repository.db.client, other.db.client
        stack.enter_context(reaching(address_of(other), there, here))
        if not isinstance(wanted, Repository):
            other.find_home()
        stack.enter_context(other.deltas.fresh.kept())
        known, remote = _named(repository, other, progress)
        yield name or known, remote


def _bundle(repository: Repository, wanted: RemoteLike) -> tuple[str | None, str | None]:
    """Return the name by which a bundle was asked for, if by one, and its path, if it is one."""
    name = wanted or DEFAULT if isinstance(wanted, str) or wanted is None else None
    known = None if name is None or "://" in name else repository.remotes.get(name)
    if known is not None and known.url is not None:
        return name, path_of(known.url)
    return None, path_of(wanted)


def _check_since(repository: Repository, bundle: BundleRemote) -> None:
    """Make sure that the versions are here on which a bundle builds.

    Raises:
        InvalidOperation: They are not.
    """
    known = repository.log.among(bundle.since)
    lacking = [label for version, label in bundle.since.items() if version not in known]
    if lacking:
        raise InvalidOperation(
            f"{bundle.address} holds what came after {', '.join(lacking)}, which "
            f"{'is' if len(lacking) == 1 else 'are'} not here; bring the bundle before it first, "
            "or one that was exported without since",
            remote=bundle.address,
            lacking=lacking,
        )


@contextmanager
def _found(repository: Repository, wanted: RemoteLike) -> Iterator[tuple[Repository, str | None]]:
    """Yield the trackers of a remote, and the name by which it was asked for, if by one."""
    if isinstance(wanted, Repository):
        yield wanted, None
    elif isinstance(wanted, Database):
        yield Repository(wanted, repository.home), None
    elif wanted is None or isinstance(wanted, str):
        with _opened_at(repository, DEFAULT if wanted is None else wanted) as found:
            yield found
    else:
        raise InvalidType(
            "a remote is a VersionedCollection, a Database, a mongodb:// URI, the path of a "
            f"bundle or the name of a remote, not {type(wanted).__name__}"
        )


@contextmanager
def _opened_at(repository: Repository, wanted: str) -> Iterator[tuple[Repository, str | None]]:
    url, name = wanted, None
    if "://" in wanted and not wanted.startswith(SCHEMES):
        raise InvalidArgument("the URI of a remote begins with mongodb:// or mongodb+srv://")
    if not wanted.startswith(SCHEMES):
        known = repository.remotes.get(wanted)
        if known is None or known.url is None:
            raise RemoteNotFound(
                f"there is no remote {wanted!r}; remotes() lists them, add_remote() adds one",
                remote=wanted,
            )
        url, name = known.url, wanted
    url = with_secrets(url)
    place = place_in(url)
    options: dict[str, Any] = {}
    if "serverselectiontimeoutms" not in {one.lower() for one in place["options"]}:
        patience = repository.db.client.options.server_selection_timeout
        options["serverSelectionTimeoutMS"] = int(patience * 1000)
    with connected(url, place["password"], **options) as client:
        other = Repository(
            client[place["database"]],
            place["collection"] or repository.home,
            lease_seconds=repository.lease_seconds,
            lease_wait_seconds=repository.lease_wait_seconds,
        )
        yield other, name


def _named(
    repository: Repository, other: Repository, progress: Progress | None
) -> tuple[str, MongoRemote]:
    if other.home != repository.home:
        raise InvalidArgument(
            f"the remote is the collection {other.home!r}, this one is {repository.home!r}; both "
            "sides have the same name",
            names=(repository.home, other.home),
        )
    remote = MongoRemote(other, progress)
    if _is_same(repository, other):
        raise InvalidOperation(
            "the collection and the remote are the same; name another database or server",
            address=remote.address,
        )
    return _known_name(repository, remote.address), remote


def _is_same(repository: Repository, other: Repository) -> bool:
    if repository.db.name != other.db.name:
        return False
    if repository.db.client is other.db.client:
        return True
    here, there = repository.metadata.read_main(), _state(other)
    if here is not None and there is not None:
        return bool(here.uuid is not None and here.uuid == there.uuid)
    return address_of(repository) == address_of(other)


def _state(other: Repository) -> Metadata | None:
    """Return the state at the other side, None also where it cannot be read; see `refs`."""
    try:
        return other.metadata.read_main()
    except UNREADABLE:
        return None


def _known_name(repository: Repository, address: str) -> str:
    """Return the name of the remote with this address, or the address itself."""
    for known in repository.remotes.all():
        if known.url is not None and address_in(known.url) == address:
            return known.name
    return address
