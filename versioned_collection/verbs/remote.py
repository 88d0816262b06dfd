"""add_remote, remove_remote, remotes: names for other sides of the same collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from versioned_collection.core.codec import Codec
from versioned_collection.core.revision import check_text
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidArgument, RemoteNotFound
from versioned_collection.observing import verb
from versioned_collection.remotes.address import address_in, check_remote_name, check_url
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import storable
from versioned_collection.trackers.remotes import KnownRemote


@dataclass(frozen=True, slots=True)
class RemoteInfo:
    """Another side of the collection.

    Attributes:
        name: Its name; that of one that was never added is its address.
        url: Where it is, with references instead of secrets; None where it was never added.
        branches: Where its branches were when last seen.
        seen: When that was (UTC, server's clock), None for never.
    """

    name: str
    url: str | None
    branches: Mapping[str, VersionId] = field(default_factory=dict)
    seen: datetime | None = None


def remotes(repository: Repository) -> list[RemoteInfo]:
    """Return what is known about remotes, in the order of their names."""
    repository.state()
    return [_info(repository.codec, known) for known in repository.remotes.all()]


def _info(codec: Codec, known: KnownRemote) -> RemoteInfo:
    seen = None if known.seen is None else codec.time(known.seen)
    return RemoteInfo(known.name, known.url, known.tips, seen)


@verb("add_remote")
def add_remote(repository: Repository, name: str, url: str) -> RemoteInfo:
    """Give another side a name; what is known of its address is known of it.

    Raises:
        InvalidArgument: The name is malformed or taken, branches or labels here begin with it, the
            URI is none, or holds a password.
        CollectionNotTracked: There is no history.
    """
    check_remote_name(name)
    url = check_url(url)
    repository.state()
    _refuse_prefix(repository, name)
    address = address_in(url)
    earlier = repository.remotes.get(address) or KnownRemote(address, None, {}, None)
    known = earlier._replace(name=name, url=url)
    if not repository.remotes.add(known):
        raise InvalidArgument(
            f"there is a remote {name!r} already; remove_remote({name!r}) first", remote=name
        )
    _remove(repository, address)
    return _info(repository.codec, known)


def _refuse_prefix(repository: Repository, name: str) -> None:
    """Refuse a name under which branches here would pass for those of the remote.

    Raises:
        InvalidArgument: It is one.
    """
    taken = [branch for branch in repository.branches.all() if branch.startswith(f"{name}/")]
    if not taken and name not in repository.remotes.prefixes():
        taken = [node.branch for node in repository.log.nodes_under(name)]
    if taken:
        raise InvalidArgument(
            f"the branch {min(taken)!r} here would pass for one of a remote {name!r}; choose "
            "another name",
            remote=name,
            branch=min(taken),
        )


@verb("remove_remote")
def remove_remote(repository: Repository, name: str) -> None:
    """Forget a remote; the versions that came from it stay.

    Raises:
        RemoteNotFound: There is no remote of that name.
        InvalidType: The name is no text.
    """
    check_text(name, "remote")
    if not (storable(name) and _remove(repository, name)):
        raise RemoteNotFound(f"there is no remote {name!r}; remotes() lists them", remote=name)


def _remove(repository: Repository, name: str) -> bool:
    keeps_name = bool(repository.log.nodes_under(name))
    return repository.remotes.remove(name, keeps_name=keeps_name)
