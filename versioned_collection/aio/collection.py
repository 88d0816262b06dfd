"""`AsyncVersionedCollection`: the verbs of `VersionedCollection`, awaited."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from versioned_collection.aio.native import Native, twin_of
from versioned_collection.aio.past import AsyncPastCollection
from versioned_collection.aio.threads import Streamed, in_this_loop, in_thread
from versioned_collection.aio.twin import blocking, is_collection, is_motor
from versioned_collection.capture.journalled import DocumentType
from versioned_collection.collection import VersionedCollection
from versioned_collection.core.arguments import check_flag
from versioned_collection.errors import InvalidArgument, InvalidType
from versioned_collection.facets.base import options_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from versioned_collection.core.tree import VersionTree
    from versioned_collection.history.revisions import RevisionLike
    from versioned_collection.verbs.history import DocumentVersion

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def awaited(
    verb: Callable[Concatenate[VersionedCollection[Any], P], R],
) -> Callable[Concatenate[AsyncVersionedCollection[Any], P], Coroutine[Any, Any, R]]:
    """Return a verb as a coroutine function: it runs in a worker thread."""

    @functools.wraps(verb)
    async def run(self: AsyncVersionedCollection[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(verb, *args, **kwargs)

    return run


def streamed(
    verb: Callable[Concatenate[VersionedCollection[Any], P], Iterator[T]],
) -> Callable[Concatenate[AsyncVersionedCollection[Any], P], Streamed[T]]:
    """Return a verb that iterates as one for ``async for``."""

    @functools.wraps(verb)
    def run(
        self: AsyncVersionedCollection[Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Streamed[T]:
        return Streamed(
            lambda **options: verb(self._blocking(), *args, **options),
            lambda: in_this_loop(kwargs),
        )

    return run


class Fact(Generic[R]):
    """What a type checker takes the properties for that `fact` returns."""

    if TYPE_CHECKING:

        def __get__(self, owner: object, kind: type | None = None) -> Coroutine[Any, Any, R]:
            """Return what is to be awaited."""


def fact(getter: Any) -> Any:
    """Return a property of the collection as one to be awaited."""

    @functools.wraps(getter.fget)
    def get(self: AsyncVersionedCollection[Any]) -> Coroutine[Any, Any, Any]:
        return self._run(getter.fget)

    return property(get)


class AsyncVersionedCollection(Native[DocumentType]):
    """A MongoDB collection with the powers of git, for programs on `asyncio`.

    Everything that the driver's collection does works as on the collection itself, by the
    driver's own coroutines. The verbs of `VersionedCollection` have the same names and
    arguments, and are awaited; those that iterate are for ``async for``. They are batch jobs,
    so they run in worker threads and never hold up the loop. Whoever is cancelled while waiting
    for one learns of it once the verb has ended: nothing goes on behind a cancelled task's back,
    and the lease is released. A progress callback is called in the loop; a resolver or a check
    is called in the worker thread.

    Args:
        database: An asynchronous database of PyMongo or of Motor, or the collection itself; in
            tests, one of mongomock-motor.
        name: The collection's name; a subclass without a name is named after itself.
        username: Accepted for older programs; the client that was given is used.
        password: Accepted for older programs; the client that was given is used.
        **options: Further options of `VersionedCollection`, and for a database those of the
            driver's ``get_collection``.

    Raises:
        InvalidType: `database` is neither a database nor a collection.
        InvalidArgument: The collection's name is missing.
    """

    @overload
    def __init__(
        self,
        database: AsyncDatabase[DocumentType] | AsyncCollection[DocumentType],
        name: str | None = None,
        *,
        username: str | None = ...,
        password: str | None = ...,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self,
        database: Any,
        name: str | None = None,
        *,
        username: str | None = ...,
        password: str | None = ...,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        database: Any,
        name: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        """Open a collection; for the arguments see the class."""
        del username, password
        settings = {key: options.pop(key) for key in _SETTINGS if key in options}
        self._collection = _native(type(self), database, name, options)
        self._settings: dict[str, Any] = settings
        self._own_checks: dict[str, Any] = {}
        self._twin: VersionedCollection[Any] | None = None
        self._notes: bool | None = None
        self._opening = threading.Lock()

    # -- the driver's own, adapted -------------------------------------------------------

    def with_options(self, *args: Any, **kwargs: Any) -> Self:
        """Return this collection with other codec options, preferences or concerns."""
        return self._like(self._collection.with_options(*args, **kwargs))

    async def rename(self, new_name: str, *args: Any, **kwargs: Any) -> Self:
        """Rename the collection and its trackers; see `VersionedCollection.rename`."""
        await self._run(VersionedCollection.rename, new_name, *args, **kwargs)
        return self._named(new_name)

    drop = awaited(VersionedCollection.drop)

    # -- the verbs -----------------------------------------------------------------------

    version: Fact[int | None] = fact(VersionedCollection.version)
    branch: Fact[str | None] = fact(VersionedCollection.branch)
    version_tree: Fact[VersionTree | None] = fact(VersionedCollection.version_tree)
    capture_mode: Fact[str] = fact(VersionedCollection.capture_mode)
    is_tracked = awaited(VersionedCollection.is_tracked)
    is_detached = awaited(VersionedCollection.is_detached)
    has_stash = awaited(VersionedCollection.has_stash)
    has_conflicts = awaited(VersionedCollection.has_conflicts)
    has_changes = awaited(VersionedCollection.has_changes)
    status = awaited(VersionedCollection.status)

    init = awaited(VersionedCollection.init)
    register = awaited(VersionedCollection.register)
    checkout = awaited(VersionedCollection.checkout)
    discard_changes = awaited(VersionedCollection.discard_changes)
    delete_version_subtree = awaited(VersionedCollection.delete_version_subtree)

    async def at(self, revision: Any = "HEAD") -> AsyncPastCollection[DocumentType]:
        """Return a version as a read-only collection; see `VersionedCollection.at`."""
        call = partial(self._call, VersionedCollection.at, revision)
        return AsyncPastCollection(await in_thread(call), self._collection.database)

    publish_view = awaited(VersionedCollection.publish_view)
    views = awaited(VersionedCollection.views)
    drop_view = awaited(VersionedCollection.drop_view)

    if TYPE_CHECKING:  # which cannot tell the type of documents of what `streamed` returns

        def history(
            self, document_id: Any, revision: RevisionLike = None, limit: int | None = None
        ) -> Streamed[DocumentVersion[DocumentType]]:
            """See `VersionedCollection.history`."""

    else:
        history = streamed(VersionedCollection.history)

    blame = awaited(VersionedCollection.blame)
    find_versions = streamed(VersionedCollection.find_versions)
    bisect = awaited(VersionedCollection.bisect)
    restore = awaited(VersionedCollection.restore)

    add_check = awaited(VersionedCollection.add_check)
    checks = awaited(VersionedCollection.checks)
    delete_check = awaited(VersionedCollection.delete_check)

    merge = awaited(VersionedCollection.merge)
    cherry_pick = awaited(VersionedCollection.cherry_pick)
    revert = awaited(VersionedCollection.revert)
    rebase = awaited(VersionedCollection.rebase)
    squash = awaited(VersionedCollection.squash)
    reset = awaited(VersionedCollection.reset)
    undo = awaited(VersionedCollection.undo)
    reflog = streamed(VersionedCollection.reflog)
    conflicts = streamed(VersionedCollection.conflicts)
    resolve_conflict = awaited(VersionedCollection.resolve_conflict)
    resolve_conflicts = awaited(VersionedCollection.resolve_conflicts)
    abort_merge = awaited(VersionedCollection.abort_merge)

    create_branch = awaited(VersionedCollection.create_branch)
    branches = awaited(VersionedCollection.branches)
    delete_branch = awaited(VersionedCollection.delete_branch)
    rename_branch = awaited(VersionedCollection.rename_branch)
    tag = awaited(VersionedCollection.tag)
    tags = awaited(VersionedCollection.tags)
    delete_tag = awaited(VersionedCollection.delete_tag)

    async def worktree(self, branch: Any, name: str, **kwargs: Any) -> Self:
        """Check a branch out in a collection of its own; see `VersionedCollection.worktree`."""
        await self._run(VersionedCollection.worktree, branch, name, **kwargs)
        return self._named(name)

    worktrees = awaited(VersionedCollection.worktrees)
    remove_worktree = awaited(VersionedCollection.remove_worktree)

    resolve = awaited(VersionedCollection.resolve)
    get_log = awaited(VersionedCollection.get_log)
    log = streamed(VersionedCollection.log)
    diff = awaited(VersionedCollection.diff)
    changes = streamed(VersionedCollection.changes)
    compare = awaited(VersionedCollection.compare)

    stash = awaited(VersionedCollection.stash)
    stashes = awaited(VersionedCollection.stashes)
    stash_apply = awaited(VersionedCollection.stash_apply)
    stash_discard = awaited(VersionedCollection.stash_discard)

    push = awaited(VersionedCollection.push)
    pull = awaited(VersionedCollection.pull)
    fetch = awaited(VersionedCollection.fetch)
    remotes = awaited(VersionedCollection.remotes)
    add_remote = awaited(VersionedCollection.add_remote)
    remove_remote = awaited(VersionedCollection.remove_remote)

    export = awaited(VersionedCollection.export)
    import_ = awaited(VersionedCollection.import_)

    verify = streamed(VersionedCollection.verify)
    size = awaited(VersionedCollection.size)
    gc = awaited(VersionedCollection.gc)
    thin_out = awaited(VersionedCollection.thin_out)
    purge = awaited(VersionedCollection.purge)
    purges = awaited(VersionedCollection.purges)

    @classmethod
    async def clone(
        cls, remote: Any, into: Any, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Self:
        """Make a copy of a tracked collection in another database.

        See `VersionedCollection.clone`; databases and collections may be asynchronous.
        """
        _refuse_others(into)
        options = {key: kwargs[key] for key in kwargs.keys() - _OF_CLONE}
        kwargs = in_this_loop(kwargs)

        def copy() -> VersionedCollection[Any]:
            return VersionedCollection.clone(
                twin_of(remote), blocking(into), name, *args, **kwargs
            )

        return cls(into, (await in_thread(copy)).name, **options)

    async def listen(self, interval: float = 1.0, stop: asyncio.Event | None = None) -> int:
        """Keep the modified set fresh until `stop` is set, or until this is cancelled.

        Args:
            interval: Seconds between two looks.
            stop: Ends it.

        Returns:
            The number of looks.

        Raises:
            InvalidType: The interval is no number, or `stop` no event.
            InvalidArgument: The interval is negative, or too long to wait for.
        """
        if stop is not None and not isinstance(stop, asyncio.Event):
            raise InvalidType("stop is an asyncio.Event", stop=stop)
        once, stop, looks = threading.Event(), stop or asyncio.Event(), 0
        once.set()
        while True:  # between two looks no thread is kept from other verbs
            looks += await self._run(VersionedCollection.listen, interval, once)
            if await _is_set_within(interval, stop):
                return looks

    # -- comparison ----------------------------------------------------------------------

    async def equals(
        self, other: AsyncVersionedCollection[Any] | VersionedCollection[Any]
    ) -> bool:
        """Tell whether two collections have the same name and the same history.

        It is what ``==`` tells of two `VersionedCollection` objects, where it asks the servers;
        anything else is not equal.
        """
        return await self._run(VersionedCollection.__eq__, other) is True

    async def is_contained_in(
        self,
        other: AsyncVersionedCollection[Any] | VersionedCollection[Any],
        *,
        strictly: bool = False,
    ) -> bool:
        """Tell whether the history of this collection is a part of another one's.

        Args:
            other: The other one.
            strictly: Whether the same history does not count.

        Raises:
            InvalidArgument: The collections have different names (a ValueError).
            InvalidType: `other` is something else (a TypeError).
        """
        check_flag("strictly", strictly)
        compare = VersionedCollection.__lt__ if strictly else VersionedCollection.__le__
        return await self._run(compare, other)

    def __eq__(self, other: object) -> bool:
        """Tell whether both are the same collection of the same client, without asking it.

        For the histories see `equals`.
        """
        if not isinstance(other, AsyncVersionedCollection):
            return NotImplemented
        return bool(self._collection == other._collection)

    def __hash__(self) -> int:
        return hash(self._collection)

    def _not_awaited(self, other: object) -> bool:
        raise InvalidType(
            "an operator cannot await what the servers answer: "
            "`await a.is_contained_in(b)` is a <= b, and with strictly=True a < b",
            other=type(other).__name__,
        )

    __lt__ = __le__ = __gt__ = __ge__ = _not_awaited

    def __bool__(self) -> bool:
        raise NotImplementedError(
            "a collection is neither true nor false; compare with None: collection is not None"
        )

    # -- how -----------------------------------------------------------------------------

    def _named(self, name: str) -> Self:
        """Return a copy of this object on another collection of the database."""
        old = self._collection
        other = self._like(old.database.get_collection(name, **options_of(old)))
        other._own_checks = dict(self._own_checks)
        return other

    def _like(self, collection: Any) -> Self:
        """Return a copy of this object on another collection of the driver."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._collection, twin._twin, twin._opening = collection, None, threading.Lock()
        return twin

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._collection!r})"


_SETTINGS = ("capture", "lease_seconds", "lease_wait_seconds")
_OF_CLONE = {"branch", "remote_name", "progress"}
"""Arguments of `clone` alone; the others are options of the copy."""


def _native(cls: type, database: Any, name: str | None, options: dict[str, Any]) -> Any:
    """Return the driver's collection."""
    _refuse_others(database)
    if isinstance(database, AsyncCollection) or (is_motor(database) and is_collection(database)):
        if name is None or name == database.name:
            return database.with_options(**options) if options else database
        database = database.database
    if name is None:
        if cls is AsyncVersionedCollection:
            raise InvalidArgument("name the collection: AsyncVersionedCollection(database, name)")
        name = cls.__name__.lower()
    return database.get_collection(name, **options)


def _refuse_others(place: Any) -> None:
    if not isinstance(place, (AsyncDatabase, AsyncCollection)) and not is_motor(place):
        raise InvalidType(
            "pass an asynchronous Database of PyMongo or Motor and a name, or a collection, not "
            f"{type(place).__name__}; VersionedCollection takes those of a MongoClient",
            argument=type(place).__name__,
        )


async def _is_set_within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
