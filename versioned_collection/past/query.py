"""Queries as people pass them, checked and encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson.raw_bson import RawBSONDocument

from versioned_collection.core.codec import Codec
from versioned_collection.core.document import RAW_OPTIONS, build, raw_array
from versioned_collection.errors import InvalidArgument, InvalidType, NotSupported
from versioned_collection.past import language

_OF_FIND_ALONE = ("$elemMatch", "$meta")
_WRITING = frozenset(("$out", "$merge"))
_OF_ONE_COLLECTION = frozenset(
    ("$changeStream", "$collStats", "$geoNear", "$indexStats", "$planCacheStats", "$search")
)
_ORDERING = frozenset(("$geoNear", "$near", "$nearSphere"))
_SEARCHING = frozenset(("$text",))
_SCRIPTED = frozenset(("$where",))
_JOINING = frozenset(("$lookup", "$graphLookup", "$unionWith"))

LARGEST_NUMBER = 2**63 - 1

Sort = list[tuple[str, Any]]


@dataclass(slots=True)
class Find:
    """What a find asks for.

    Attributes:
        filter: The filter's bytes.
        projection: The fields, None for all.
        sort: Names and directions.
        skip: How many documents are passed over.
        limit: At most how many documents; 0 for all.
        batch_size: How many documents the server sends at once.
        options: Further options of the commands ``find`` and ``aggregate``.
    """

    filter: bytes
    projection: Mapping[str, Any] | None = None
    sort: Sort = field(default_factory=list)
    skip: int = 0
    limit: int = 0
    batch_size: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def keeps_ids(self) -> bool:
        """Whether the projection leaves ``_id`` what it is, or out."""
        projection = self.projection or {}
        is_cut = any(name.startswith("_id.") for name in projection)
        return not is_cut and isinstance(projection.get("_id", 1), (bool, int, float))

    @property
    def drops_ids(self) -> bool:
        """Whether the projection leaves ``_id`` out."""
        return self.keeps_ids and not (self.projection or {}).get("_id", 1)

    @property
    def is_ranked(self) -> bool:
        """Whether the order is one of scores, which documents do not hold."""
        return any(isinstance(way, Mapping) for _, way in self.sort)

    @property
    def is_for_find_alone(self) -> bool:
        """Whether an aggregation cannot make the projection."""
        return _is_for_find_alone(self.projection or {})


def _is_for_find_alone(projection: Mapping[str, Any]) -> bool:
    for name, value in projection.items():
        if name in _OF_FIND_ALONE or (name == "$slice" and not _is_expression(value)):
            return True
        if name.startswith("$"):
            continue  # an expression, which is one of aggregations
        if name.endswith("$") or (isinstance(value, Mapping) and _is_for_find_alone(value)):
            return True
    return False


def _is_expression(sliced: Any) -> bool:
    """Tell whether a ``$slice`` names an array, not the field that it stands at."""
    first = sliced[0] if isinstance(sliced, list) and sliced else None
    return isinstance(first, (str, list, Mapping))


def projection_of(value: Any) -> Mapping[str, Any] | None:
    """Return a projection as the server takes it; a list names the fields to keep, if any.

    Raises:
        InvalidType: It is neither a dict nor a list of texts.
    """
    if value is None or isinstance(value, Mapping):
        return value or None
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if not is_list or not all(isinstance(name, str) for name in value):
        raise InvalidType("projection is a dict or a list of field names", argument=value)
    return dict.fromkeys(value, 1) or None


def sort_of(key: Any, direction: Any = None) -> Sort:
    """Return a sort as a list of names and directions.

    Raises:
        InvalidType: It is not what PyMongo takes.
        InvalidArgument: It asks for the order in which documents lie in a collection.
    """
    pairs = _pairs_of(key, direction)
    if any(name == "$natural" for name, _ in pairs):
        raise InvalidArgument(
            "the documents of a version lie in several collections and have no natural order; "
            "sort by a field, such as _id",
            argument=key,
        )
    return pairs


def _pairs_of(key: Any, direction: Any = None, what: str = "sort") -> Sort:
    if key is None:
        return []
    if isinstance(key, str):
        return [(key, 1 if direction is None else direction)]
    found = key.items() if isinstance(key, Mapping) else key
    pairs = list(found) if isinstance(found, Iterable) else [found]
    pairs = [(pair, 1) if isinstance(pair, str) else pair for pair in pairs]
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise InvalidType(
                f"{what} is a field name, or a list of (name, direction)", argument=key
            )
    return [(name, way) for name, way in pairs]


def number_of(value: Any, what: str) -> int:
    """Return a number that is not negative.

    Raises:
        InvalidType: It is no whole number.
        InvalidArgument: It is negative, or larger than BSON's are.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(f"{what} is a whole number", argument=value)
    if value < 0:
        raise InvalidArgument(f"{what} is not negative", argument=value)
    if value > LARGEST_NUMBER:
        raise InvalidArgument(f"{what} is at most {LARGEST_NUMBER:,}", argument=value)
    return value


def flag_of(value: Any, what: str) -> bool:
    """Return what is true or false.

    Raises:
        InvalidType: It is neither.
    """
    if not isinstance(value, bool):
        raise InvalidType(f"{what} is True or False", argument=value)
    return value


def hint_of(value: Any) -> Any:
    """Return a hint as the server takes it: an index's name, or its key.

    Raises:
        InvalidType: It is neither.
    """
    if value is None or isinstance(value, (str, Mapping)):
        return value
    return dict(_pairs_of(value, what="hint"))


def collation_of(value: Any) -> Mapping[str, Any] | None:
    """Return a collation as the server takes it.

    Raises:
        InvalidType: It is none.
    """
    found = getattr(value, "document", value)
    if found is not None and not isinstance(found, Mapping):
        raise InvalidType("collation is a pymongo Collation or a dict", argument=value)
    return found


def joined(*filters: bytes | None) -> bytes:
    """Return the filter that finds what all of some filters find."""
    some = [filter_ for filter_ in filters if filter_ is not None and len(filter_) > 5]
    if len(some) < 2:
        return some[0] if some else build()
    return build(b"\x04$and\0" + raw_array(b"\x03" + filter_ for filter_ in some))


@dataclass(frozen=True)
class Stages:
    """An aggregation pipeline, taken apart.

    Attributes:
        filter: What its first stages ask of each document.
        rest: The stages behind them.
        joins: Whether other collections are read, which are to be read as they are now.
    """

    filter: bytes
    rest: list[RawBSONDocument]
    joins: bool

    @property
    def are_ranked(self) -> bool:
        """Whether they ask for scores of a text search, which documents do not hold."""
        asking = any(b"$meta\0" in stage.raw for stage in self.rest)
        return asking and searches_text(self.filter)


def stages_of(pipeline: Any, codec: Codec) -> Stages:
    """Take an aggregation pipeline apart.

    Raises:
        InvalidType: It is no list of dicts.
        InvalidArgument: BSON cannot hold it.
        NotSupported: A stage writes, or needs a collection of its own.
    """
    if not isinstance(pipeline, (list, tuple)):
        raise InvalidType("a pipeline is a list of stages", argument=pipeline)
    raws = [RawBSONDocument(codec.document(one, "stage"), RAW_OPTIONS) for one in pipeline]
    used = set(language.stages(raws))
    _refuse(used)
    filters = []
    while raws and list(raws[0]) == ["$match"] and isinstance(raws[0]["$match"], Mapping):
        filters.append(bytes(raws.pop(0)["$match"].raw))
    return Stages(joined(*filters), raws, bool(used & _JOINING))


def _refuse(used: set[str]) -> None:
    if used & _WRITING:
        raise NotSupported(
            f"{', '.join(sorted(used & _WRITING))} writes, and a version is read at one moment, "
            "at which nothing is written: take what the other stages return, and write that",
            stages=sorted(used & _WRITING),
        )
    if used & _OF_ONE_COLLECTION:
        stages = sorted(used & _OF_ONE_COLLECTION)
        raise NotSupported(
            f"{', '.join(stages)} reads a collection of its own, while the documents of a version "
            "are in several; check the version out to use it",
            stages=stages,
        )


def refuse_nearness(filter_: bytes) -> None:
    """Refuse a filter that puts documents in an order, which several collections cannot share.

    Raises:
        NotSupported: It does.
    """
    used = _used(filter_, _ORDERING)
    if used:
        raise NotSupported(
            f"{', '.join(sorted(used))} puts the documents of one collection in order, while "
            "those of a version are in several; use $geoWithin, or check the version out",
            operators=sorted(used),
        )


def refuse_scripts(filter_: bytes) -> None:
    """Refuse a filter that only a find can apply, where an aggregation has to.

    Raises:
        NotSupported: It is one.
    """
    used = _used(filter_, _SCRIPTED)
    if used:
        raise NotSupported(
            "$where goes neither with a sort nor with a count, which several collections answer "
            "by an aggregation; sort or count the documents that it finds, use $expr, or check "
            "the version out",
            operators=sorted(used),
        )


def searches_text(filter_: bytes) -> bool:
    """Tell whether a filter needs a text index."""
    return bool(_used(filter_, _SEARCHING))


def _used(filter_: bytes, some: frozenset[str]) -> set[str]:
    """Return which of some operators a filter uses."""
    if not any(name.encode() in filter_ for name in some):
        return set()
    return set(language.operators(RawBSONDocument(filter_, RAW_OPTIONS))) & some
