"""What a merge does at which places: one immutable value, checked when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from versioned_collection.core.merging.paths import (
    Path,
    Pattern,
    PatternLike,
    Wildcard,
    name_of,
    pattern,
    patterns,
)
from versioned_collection.core.merging.resolvers import (
    Resolver,
    ResolverLike,
    is_built_in,
    resolver,
    sees_same_changes,
)
from versioned_collection.errors import InvalidArgument


class MergePolicy:
    """How documents are merged.

    Patterns (see `paths.pattern`) match whole paths: ``"stats"`` is the field itself,
    ``"stats.**"`` the field and all below it. Of several patterns the first that matches
    counts.

    Args:
        resolvers: Resolvers by pattern.
        default: The resolver for all other conflicts; None leaves these.
        list_keys: Patterns of lists whose elements are documents, and the name of the field
            that tells these apart.
        sets: Patterns of lists that are sets.
        coupled: Groups of patterns whose fields change together: where each side changed a
            field of the group, and not in the same way, they conflict. A wildcard in a
            group stands for all its places together.
        same_change_conflicts: Patterns of places where the same change on both sides is a
            conflict, not agreement.

    Raises:
        InvalidArgument: A pattern, resolver or key is wrong; the message says which.
    """

    __slots__ = (
        "_default",
        "_list_keys",
        "_resolvers",
        "_same",
        "_sets",
        "asks",
        "coupled",
        "watches",
    )

    coupled: tuple[tuple[Pattern, ...], ...]
    """The groups of fields that change together."""
    watches: bool
    """Whether any same change can be a conflict."""
    asks: bool
    """Whether any resolver is not a built-in one: it may take as long as it likes."""

    def __init__(
        self,
        resolvers: Mapping[PatternLike, ResolverLike] | None = None,
        *,
        default: ResolverLike | None = None,
        list_keys: Mapping[PatternLike, str] | None = None,
        sets: Iterable[PatternLike] = (),
        coupled: Iterable[Iterable[PatternLike]] = (),
        same_change_conflicts: Iterable[PatternLike] = (),
    ) -> None:
        self._resolvers = [
            (pattern(like), resolver(found)) for like, found in _items(resolvers, "resolvers")
        ]
        self._default = None if default is None else resolver(default)
        self._list_keys = [
            (pattern(like), _field(field)) for like, field in _items(list_keys, "list_keys")
        ]
        self._sets = patterns(sets, "sets")
        self.coupled = tuple(_group(group) for group in _groups(coupled))
        self._same = patterns(same_change_conflicts, "same_change_conflicts")
        _check_apart(self._sets, [found for found, _ in self._list_keys])
        asked = [found for _, found in self._resolvers]
        asked += [] if self._default is None else [self._default]
        self.asks = not all(map(is_built_in, asked))
        self.watches = bool(self._same) or any(map(sees_same_changes, asked))

    def resolver_for(self, path: Path) -> Resolver | None:
        """Return the resolver for conflicts at a place, None where conflicts stay."""
        for like, found in self._resolvers:
            if like.matches(path):
                return found
        return self._default

    def list_key(self, path: Path) -> bytes | None:
        """Return the name of the field that tells a list's elements apart, if any."""
        for like, field in self._list_keys:
            if like.matches(path):
                return field
        return None

    def is_set(self, path: Path) -> bool:
        """Tell whether the list at a place is a set."""
        return any(like.matches(path) for like in self._sets)

    def flags_same_change(self, path: Path) -> bool:
        """Tell whether the same change on both sides is a conflict at a place."""
        if not self.watches:
            return False
        if any(like.matches(path) for like in self._same):
            return True
        found = self.resolver_for(path)
        return found is not None and sees_same_changes(found)


def _items(mapping: object, what: str) -> Iterable[tuple[PatternLike, str]]:
    if mapping is None:
        return ()
    if not isinstance(mapping, Mapping):
        raise InvalidArgument(
            f"{what} is a dict by path pattern, not {mapping!r}", **{what: mapping}
        )
    return mapping.items()


def _field(name: object) -> bytes:
    if not isinstance(name, str) or "\0" in name:
        raise InvalidArgument(
            f"the key of a list is the name of a field of its elements, not {name!r}", field=name
        )
    return name_of(name)


def _groups(coupled: Iterable[Iterable[PatternLike]]) -> Iterable[Iterable[PatternLike]]:
    groups = None if isinstance(coupled, str) else list(coupled)
    if groups is None or any(isinstance(group, str) for group in groups):
        raise InvalidArgument(
            f"coupled takes a list of groups, [['a', 'b']], not {coupled!r}", coupled=coupled
        )
    return groups


def _group(likes: Iterable[PatternLike]) -> tuple[Pattern, ...]:
    group = patterns(likes, "a group of coupled fields")
    wild = any(isinstance(step, Wildcard) for found in group for step in found.steps)
    if len(group) < 2 and not wild:
        raise InvalidArgument(
            f"a group of coupled fields names at least two fields or holds a star, not {likes!r}",
            coupled=likes,
        )
    return group


def _check_apart(sets: Iterable[Pattern], lists: Iterable[Pattern]) -> None:
    both = set(sets) & set(lists)
    if both:
        raise InvalidArgument(
            f"a list is a set or has keys, not both: {sorted(map(repr, both))}; name it once",
            patterns=both,
        )


DEFAULT_POLICY = MergePolicy()
"""Same changes agree, lists merge by stretches, every conflict stays."""
