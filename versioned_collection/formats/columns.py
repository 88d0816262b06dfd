"""Parquet, through Apache Arrow: columns for programs that compute.

Arrow has types of its own, so this is no copy to the byte: integers have 64 bits, dates count
microseconds, a field that is missing is null. What has no counterpart is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from versioned_collection.core.document import document_key, has_duplicate_names, id_value
from versioned_collection.core.portions import portions
from versioned_collection.errors import NotSupported
from versioned_collection.extras import how_to_get
from versioned_collection.files import unusable
from versioned_collection.formats import Batches

Path = tuple[str, ...]
Row = dict[str, Any]

_ROWS, _BYTES = 5_000, 16 * 1024 * 1024
"""What one group of rows holds."""

_IDS = b"versioned_collection.object_ids"
"""In the metadata of a file: the places whose texts are ObjectIds, as JSON."""

_LEVELS = 99
"""Levels of columns that Arrow reads again."""

_BENEATH: Mapping[type, int] = {dict: 1, list: 2}
"""How many of them lie between a value and what is in it."""

_NO_FIELD = "empty"
"""The column, always null, of documents without fields: Parquet has none without columns."""

_PLAIN = frozenset((type(None), bool, int, Int64, float, str, bytes, datetime))
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotSupported(
            f"Parquet takes Apache Arrow: {how_to_get('parquet')}", library="pyarrow"
        ) from error
    return pyarrow, pyarrow.parquet


# -- writing -------------------------------------------------------------------------------


def write(batches: Batches, out: BinaryIO) -> None:
    """Write documents; see `formats.write`.

    They are read twice: once for the types of the columns, which have to hold all of them.
    """
    arrow, parquet = _library()
    table = _Table(arrow)
    for raws in _groups(batches):
        table.learn(raws)
    metadata = {_IDS: json.dumps(sorted(table.object_ids)).encode()}
    schema = arrow.schema([_storable(arrow, field) for field in table.schema], metadata)
    try:
        with parquet.ParquetWriter(out, schema) as writer:
            for raws in _groups(batches):
                writer.write_table(arrow.Table.from_pylist(table.rows(raws), schema=schema))
    except arrow.ArrowException as error:
        raise NotSupported(
            f"Parquet cannot hold these documents: {error}. Export to a .bson or .jsonl file",
            reason=str(error),
        ) from error


def _storable(arrow: Any, field: Any) -> Any:
    """Return a column that Parquet takes: documents without fields get one that is null."""
    types, kind = arrow.types, field.type
    if types.is_list(kind):
        return field.with_type(arrow.list_(_storable(arrow, kind.value_field)))
    if types.is_struct(kind):
        inner = [_storable(arrow, kind.field(place)) for place in range(kind.num_fields)]
        return field.with_type(arrow.struct(inner or [(_NO_FIELD, arrow.bool_())]))
    return field


def _groups(batches: Batches) -> Iterator[list[bytes]]:
    for batch in batches():
        yield from portions(batch, len, _ROWS, _BYTES)


class _Table:
    """Finds out what columns documents need.

    Args:
        arrow: The library.

    Attributes:
        schema: The columns of all documents so far.
        object_ids: The places of ObjectIds.
    """

    def __init__(self, arrow: Any) -> None:
        self._arrow = arrow
        self.schema = arrow.schema([])
        self.object_ids: set[Path] = set()
        self._texts: set[Path] = set()

    def learn(self, raws: Sequence[bytes]) -> None:
        """Add columns, or widen them, so that they hold some documents.

        Raises:
            NotSupported: There is no such column for one of them.
        """
        rows = self.rows(raws)
        try:
            self.schema = self._with(self.schema, rows)
        except _refusals(self._arrow) as error:
            raise self._culprit(raws, rows, error) from error

    def rows(self, raws: Sequence[bytes]) -> list[Row]:
        """Return documents as Arrow takes them."""
        return [self._row(raw) for raw in raws]

    def _with(self, schema: Any, rows: Sequence[Row]) -> Any:
        names = {name: None for row in rows for name in row}
        arrays = {name: self._arrow.array([row.get(name) for row in rows]) for name in names}
        found = self._arrow.schema([(name, one.type) for name, one in arrays.items()])
        return self._arrow.unify_schemas([schema, found], promote_options="permissive")

    def _row(self, raw: bytes) -> Row:
        try:
            if has_duplicate_names(raw):
                raise _Inexpressible((), "has two fields of the same name")
            fields = bson.decode(raw, _OPTIONS)
            return {name: self._value(value, (name,)) for name, value in fields.items()}
        except _Inexpressible as error:
            raise _refused(raw, ".".join(error.path), error.reason) from error
        except bson.errors.BSONError as error:
            raise _refused(raw, "", f"cannot be read ({error})") from error

    def _value(self, value: Any, path: Path, level: int = 1) -> Any:
        kind = type(value)
        level += _BENEATH.get(kind, 0)
        if level > _LEVELS:
            raise _Inexpressible(path[:1], f"has more than {_LEVELS} levels, a list counting two")
        if kind is ObjectId:
            self._note(path, self.object_ids, self._texts)
            return str(value)
        if kind is str:
            self._note(path, self._texts, self.object_ids)
        if kind in _PLAIN:
            return value
        if kind is dict:
            return {name: self._value(one, (*path, name), level) for name, one in value.items()}
        if kind is list:
            return [self._value(one, path, level) for one in value]
        if kind is Decimal128 and value.to_decimal().is_finite():
            return value.to_decimal()
        raise _Inexpressible(path, f"is of the type {kind.__name__}, which has no counterpart")

    @staticmethod
    def _note(path: Path, own: set[Path], other: set[Path]) -> None:
        if path in other:
            raise _Inexpressible(path, "is an ObjectId in some documents and a text in others")
        own.add(path)

    def _culprit(
        self, raws: Sequence[bytes], rows: Sequence[Row], error: Exception
    ) -> NotSupported:
        """Return the error for the first document that no column fits, and its field."""

        def fits(name: str, count: int) -> bool:
            some = [{name: row[name]} for row in rows[:count] if name in row]
            try:
                self._with(self.schema, some)
            except _refusals(self._arrow):
                return False
            return True

        names = {name: None for row in rows for name in row}
        name = next((one for one in names if not fits(one, len(rows))), None)
        if name is None:
            return NotSupported(f"Parquet cannot hold these documents: {error}", reason=str(error))
        place = _first(len(rows), lambda count: not fits(name, count))
        return _refused(raws[place - 1], name, f"does not fit the others: {error}")


def _refusals(arrow: Any) -> tuple[type[Exception], ...]:
    return (arrow.ArrowException, TypeError, ValueError, OverflowError)


def _first(most: int, holds: Callable[[int], bool]) -> int:
    """Return the lowest number up to `most` for which something holds; it does for `most`."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


class _Inexpressible(Exception):
    """A value that Arrow has no type for."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


def _refused(raw: bytes, field: str, reason: str) -> NotSupported:
    key = document_key(raw)
    what = f"the field {field!r} of the document" if field else "the document"
    return NotSupported(
        f"Parquet cannot hold these documents: {what} with _id {id_value(key)!r} {reason}. Export "
        "to a .bson or .jsonl file",
        document_id=id_value(key),
        field=field,
        reason=reason,
    )


# -- reading -------------------------------------------------------------------------------


def read(source: BinaryIO, name: str) -> Iterator[bytes]:
    """Iterate over documents; see `formats.read`. Fields that are null are left out."""
    arrow, parquet = _library()
    number = 0
    try:
        file = parquet.ParquetFile(source)
        ids = _object_ids((file.schema_arrow.metadata or {}).get(_IDS))
        for batch in file.iter_batches(batch_size=1_000):
            for row in batch.to_pylist():
                number += 1
                yield bson.encode(_restored(row, (), ids))
    except (arrow.ArrowException, bson.errors.BSONError, OSError, *_VALUES) as error:
        reason = "malformed" if number else "foreign"
        where = f"row {number:,}" if number else "it"
        raise unusable(name, reason, f"{where} cannot be read as Parquet ({error})") from error


_VALUES = (ValueError, TypeError, OverflowError, ArithmeticError, LookupError)


def _object_ids(stored: bytes | None) -> frozenset[Path]:
    return frozenset(map(tuple, json.loads(stored))) if stored else frozenset()


def _restored(value: Any, path: Path, ids: frozenset[Path]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _restored(one, (*path, name), ids)
            for name, one in value.items()
            if one is not None
        }
    if isinstance(value, list):
        return [_restored(one, path, ids) for one in value]
    if isinstance(value, str) and path in ids:
        return ObjectId(value)
    if isinstance(value, Decimal):
        return Decimal128(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value
