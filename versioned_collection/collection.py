"""`VersionedCollection`: a PyMongo collection with the powers of git.

Reads and writes pass through to PyMongo. The verbs are in `facets`, by what they are about; each
delegates to its module in `verbs`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from pymongo.collection import Collection
from pymongo.database import Database

from versioned_collection.bound_sessions import apart, unbound
from versioned_collection.capture.journalled import DocumentType, JournalledWrites
from versioned_collection.core.codec import Codec
from versioned_collection.core.revision import check_text
from versioned_collection.doubles import adopted
from versioned_collection.errors import InvalidArgument, InvalidType, NotSupported
from versioned_collection.facets.base import options_of
from versioned_collection.facets.care import Care
from versioned_collection.facets.exporting import Exporting
from versioned_collection.facets.looking import Looking
from versioned_collection.facets.merging import Merging
from versioned_collection.facets.past import Past
from versioned_collection.facets.recording import Recording
from versioned_collection.facets.references import References
from versioned_collection.facets.sharing import Sharing
from versioned_collection.facets.stashing import Stashing
from versioned_collection.facets.state import State
from versioned_collection.facets.worktrees import Worktrees
from versioned_collection.past.plan import Planner
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.base import storable
from versioned_collection.trackers.lease import DEFAULT_SECONDS, DEFAULT_WAIT_SECONDS
from versioned_collection.verbs import lifecycle as lifecycle_verbs
from versioned_collection.verbs.compare import History, history_of
from versioned_collection.working.recovery import recover_on_open

if TYPE_CHECKING:
    from typing_extensions import Self


class VersionedCollection(
    State[DocumentType],
    Recording[DocumentType],
    Past[DocumentType],
    Merging[DocumentType],
    References[DocumentType],
    Worktrees[DocumentType],
    Looking[DocumentType],
    Stashing[DocumentType],
    Sharing[DocumentType],
    Exporting[DocumentType],
    Care[DocumentType],
    JournalledWrites[DocumentType],
    Collection[DocumentType],
):
    """A MongoDB collection whose states can be recorded, revisited, branched and compared.

    Everything a `pymongo.collection.Collection` does works as on the collection itself,
    and writes by any other client count as well. Opening an untracked collection creates
    nothing; `init` does. Opening a tracked one completes or undoes what a killed process
    left half done.

    Args:
        database: The database, or the collection itself; in tests, one of mongomock.
        name: The collection's name; a subclass without a name is named after itself.
        capture: How changes are noticed: ``auto`` (the change stream where the server has
            one, else write-through), ``change_stream``, ``write_through`` or ``scan``.
        lease_seconds: How long the lease of a process that died keeps others waiting.
        lease_wait_seconds: How long a verb waits for another one to finish.
        username: Accepted for older programs; the client that was given is used.
        password: Accepted for older programs; the client that was given is used.
        **options: Options of `pymongo.collection.Collection`, such as ``codec_options``.

    Raises:
        InvalidType: `database` is neither a database nor a collection, or the name is no text.
        InvalidArgument: The name is no text that UTF-8 can hold.
    """

    # the type of documents is that of the database, unless one is given
    @overload
    def __init__(
        self,
        database: Database[DocumentType] | Collection[DocumentType],
        name: str | None = None,
        *,
        capture: str = ...,
        lease_seconds: float = ...,
        lease_wait_seconds: float = ...,
        username: str | None = ...,
        password: str | None = ...,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        database: Database[Any] | Collection[Any],
        name: str | None = None,
        *,
        capture: str = ...,
        lease_seconds: float = ...,
        lease_wait_seconds: float = ...,
        username: str | None = ...,
        password: str | None = ...,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        database: Database[Any] | Collection[Any],
        name: str | None = None,
        *,
        capture: str = "auto",
        lease_seconds: float = DEFAULT_SECONDS,
        lease_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        """Open a collection; for the arguments see the class."""
        del username, password
        database, name, options = _target(type(self), database, name, options)
        super().__init__(database, name, **options)
        self._settings: dict[str, Any] = {
            "capture": capture,
            "lease_seconds": lease_seconds,
            "lease_wait_seconds": lease_wait_seconds,
        }
        with unbound():
            self._opened = self._repository_named(name)
            recover_on_open(self._repository)

    # found when they are needed: PyMongo asks for a copy of the collection for each bulk of
    # writes, and only for its options

    @cached_property
    def _repository(self) -> Repository:  # type: ignore[override]
        return self._opened.seen_by(Codec(self.codec_options))

    @cached_property
    def _planner(self) -> Planner:  # type: ignore[override]
        return Planner(self._repository)

    def _repository_named(self, name: str) -> Repository:
        codec = Codec(self.codec_options)
        return Repository(self.database, name, codec=codec, **self._settings)

    # -- PyMongo's own, adapted ----------------------------------------------------------

    def with_options(self, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Return this collection with other codec options, preferences or concerns.

        An object of a subclass stays one, with the attributes that it has.
        """
        return self._like(super().with_options(*args, **kwargs))

    def _like(self, plain: Collection[Any]) -> Self:
        """Return a copy of this object on a collection as PyMongo knows it."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for found in ("_repository", "_planner"):
            twin.__dict__.pop(found, None)
        Collection.__init__(twin, plain.database, plain.name, **options_of(plain))
        return twin

    def rename(self, new_name: str, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """Rename the collection and its trackers.

        Returns:
            The collection under its new name.

        Raises:
            InvalidArgument: The name is malformed, too long or taken.
            InvalidOperation: There are worktrees, or this is one; or another client has made a
                collection of that name meanwhile, and nothing was done.
            NotSupported: An option such as ``dropTarget`` was given for a tracked collection.
        """
        if self.is_tracked():
            if args or kwargs:
                raise NotSupported(
                    "a tracked collection is renamed without options; drop or rename what has "
                    "the new name first",
                    options=kwargs,
                )
            lifecycle_verbs.rename(self._repository, new_name)
        else:
            super().rename(new_name, *args, **kwargs)
        return self._named(new_name)

    def _named(self, name: str) -> Self:
        """Return an object like this one on another collection of the database."""
        other = self._like(self.database.get_collection(name, **options_of(self)))
        other._opened = self._repository_named(name)
        other._repository.find_home()
        other._repository.own_checks.update(self._repository.own_checks)
        return other

    def drop(self, *args: Any, **kwargs: Any) -> None:
        """Drop the collection and, where it is tracked, its whole history.

        So is what is left of a history that has lost its metadata.

        Raises:
            InvalidOperation: There are worktrees, or this is one; see `remove_worktree`.
        """
        if self.is_tracked():
            lifecycle_verbs.drop(self._repository)
        else:
            lifecycle_verbs.drop_lost(self._repository)
            super().drop(*args, **kwargs)

    # -- comparison ----------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VersionedCollection):
            # never equal to a plain collection: what equals it may live in another database,
            # so there is no hash that all of them could have
            return False if isinstance(other, Collection) else NotImplemented
        return self.name == other.name and self._history() == other._history()

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return NotImplemented if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self.name)  # equal collections may live in different databases

    def __le__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return mine <= theirs

    def __lt__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return mine < theirs

    def __ge__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return theirs <= mine

    def __gt__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return theirs < mine

    @apart
    def _history(self) -> History | None:
        return history_of(self._repository)

    def _comparable(self, other: object) -> tuple[History, History]:
        if not isinstance(other, VersionedCollection):
            raise InvalidType(
                f"cannot compare a VersionedCollection with {type(other).__name__}", other=other
            )
        if self.name != other.name:
            raise InvalidArgument(
                f"the collections have different names: {self.name!r} and {other.name!r}",
                names=(self.name, other.name),
            )
        return self._history() or History(), other._history() or History()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database!r}, {self.name!r})"


def _target(
    cls: type, database: Any, name: str | None, options: dict[str, Any]
) -> tuple[Database[Any], str, dict[str, Any]]:
    database = adopted(database)
    if isinstance(database, Collection):
        name = database.name if name is None else name
        database, options = database.database, {**options_of(database), **options}
    if not isinstance(database, Database):
        raise InvalidType(
            "pass a pymongo Database and a name, or a pymongo Collection, not "
            f"{type(database).__name__}",
            argument=type(database).__name__,
        )
    if name is None:
        if cls is VersionedCollection:
            raise InvalidArgument("name the collection: VersionedCollection(database, name)")
        name = cls.__name__.lower()
    if not storable(f"{database.name}.{check_text(name, 'collection')}"):
        raise InvalidArgument(
            f"{name!r} in {database.name!r} has parts of characters, which no name in MongoDB has",
            name=name,
        )
    return database, name, options
