"""A real history to demonstrate with: ten releases of the ``mime-db`` database.

`mime-db <https://github.com/jshttp/mime-db>`_ lists the media types known to the web. Ten
consecutive releases of it ship with this package as ``mime-db.json.gz``: the first release in
full, and for each later one the entries that it added, changed and removed. The data is under
the MIT licence, in ``mime-db.LICENSE`` beside it. ``scripts/build_demo_data.py`` rebuilds both
files.

Use it so:

    for release in releases():
        print(release.version, release.published.date(), len(release.documents))
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from typing import Any, TypedDict, cast

__all__ = ["Release", "checksum", "releases"]

_DATA_FILE = "mime-db.json.gz"
_FORMAT = 1

_Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Release:
    """One published release of ``mime-db``.

    Attributes:
        version: The version number, for example ``"1.54.0"``.
        published: The release date that the change log of the release gives, at midnight UTC.
        documents: The documents by MIME type, in the order of the original file. Each one has
            the MIME type as ``_id``, then the fields of the original entry in their order.
    """

    version: str
    published: datetime
    documents: dict[str, dict[str, Any]]


class _Step(TypedDict):
    """What the data file holds for one release: its difference from the one before."""

    version: str
    published: str
    sha256: str
    added: _Entries
    changed: _Entries
    removed: list[str]


def releases() -> Iterator[Release]:
    """Yield the releases, oldest first.

    The data file is read when the first release is asked for, and the documents of a release
    are built when it is reached. Every release has documents of its own: changing them affects
    no other release and no later iteration.

    Yields:
        The next release.
    """
    entries: _Entries = {}
    for step in _read_steps():
        entries = _advance(entries, step)
        yield Release(step["version"], _midnight(step["published"]), _documents(entries))


def checksum(documents: dict[str, dict[str, Any]]) -> str:
    """Return the checksum that tells whether documents equal those of a release.

    It is the SHA-256 of the entries without ``_id`` as compact ASCII JSON. The order of the
    fields counts, the order of the documents does not.

    Args:
        documents: Documents by MIME type, as in `Release.documents`.

    Returns:
        The digest in hexadecimal.
    """
    entries = {
        name: {field: value for field, value in documents[name].items() if field != "_id"}
        for name in sorted(documents)
    }
    return hashlib.sha256(json.dumps(entries, separators=(",", ":")).encode()).hexdigest()


def _read_steps() -> list[_Step]:
    """Read the data file.

    Returns:
        The releases as differences, oldest first.

    Raises:
        ValueError: The data file has another format than this module reads.
    """
    packed = resources.files(__name__).joinpath(_DATA_FILE).read_bytes()
    archive = json.loads(gzip.decompress(packed))
    if archive["format"] != _FORMAT:
        raise ValueError(f"{_DATA_FILE} has format {archive['format']}, expected {_FORMAT}")
    return cast("list[_Step]", archive["releases"])


def _advance(entries: _Entries, step: _Step) -> _Entries:
    """Return the entries after a step, ordered by MIME type as in the original file."""
    merged = {**entries, **step["added"], **step["changed"]}
    for name in step["removed"]:
        del merged[name]
    return dict(sorted(merged.items()))


def _documents(entries: _Entries) -> dict[str, dict[str, Any]]:
    """Return entries as documents that share nothing mutable with them."""
    return {name: {"_id": name, **_copy(entry)} for name, entry in entries.items()}


def _copy(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an entry, whose values are scalars or lists of scalars."""
    return {
        field: value.copy() if isinstance(value, list) else value for field, value in entry.items()
    }


def _midnight(day: str) -> datetime:
    """Return midnight UTC of an ISO 8601 date."""
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
