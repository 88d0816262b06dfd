"""What the parts of `VersionedCollection` have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.bound_sessions import apart, apart_all
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.core.arguments import check_all
from versioned_collection.core.codec import Codec
from versioned_collection.core.merging import DEFAULT_POLICY, MergePolicy, ResolverLike
from versioned_collection.errors import CollectionNotTracked, InvalidArgument, InvalidType
from versioned_collection.past.plan import Planner
from versioned_collection.repository.repository import Repository

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
Author = str | Mapping[str, Any]
RemoteLike = Database[Any] | Collection[Any] | str | os.PathLike[str] | None
"""Another side of a collection: it, its database, a URI, the path of a bundle, the name of a
remote; None: origin."""


class Facet(Collection[DocumentType]):
    """A part of the public methods of `VersionedCollection`; mixed in before `Collection`."""

    _repository: Repository
    _planner: Planner

    def __init_subclass__(cls, **options: Any) -> None:
        """Check arguments of verbs, and keep these apart from the application's session.

        Methods that a program adds in a class of its own stay as they are.
        """
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            apart_all(check_all(cls))

    def _named(self, name: str) -> Self:
        """Return an object like this one on another collection of the database."""
        raise NotImplementedError

    @property
    def _codec(self) -> Codec:
        return self._repository.codec

    def _said(self, author: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Return what a person says about a version as anybody can encode it."""
        return self._codec.stored(author, "author"), self._codec.stored(metadata, "metadata")

    @apart
    def is_tracked(self) -> bool:
        """Tell whether the collection has a history."""
        return self._repository.known_state() is not None

    def _unless_untracked(self, verb: Callable[[Repository], T], otherwise: T) -> T:
        """Run a verb; an untracked collection answers politely instead."""
        try:
            return verb(self._repository)
        except CollectionNotTracked:
            return otherwise


def options_of(place: Any) -> dict[str, Any]:
    """Return what reads and writes go by, of a database or a collection of any driver."""
    names = ("codec_options", "read_preference", "write_concern", "read_concern")
    return {name: getattr(place, name) for name in names}


def policy_of(resolver: ResolverLike | None, policy: MergePolicy | None) -> MergePolicy:
    """Return the policy that a person asked for, in one of two ways.

    Raises:
        InvalidArgument: Both were given.
        InvalidType: The policy is none.
    """
    if policy is not None and not isinstance(policy, MergePolicy):
        raise InvalidType("policy is a MergePolicy", argument=policy)
    if resolver is None:
        return DEFAULT_POLICY if policy is None else policy
    if policy is not None:
        raise InvalidArgument("give a resolver for all conflicts, or a policy, not both")
    return MergePolicy(default=resolver)
