"""Files that hold the documents of one version: BSON, JSON Lines, Parquet.

Each module has ``write``, which takes lists of documents as bytes, and ``read``, which gives
documents as bytes. What it reads is not checked any further than it has to be for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, BinaryIO

Batches = Callable[[], Iterator[list[bytes]]]
"""Iterates over documents in bounded lists; may be called again, for the same documents."""

ENDINGS = {
    ".bson": "bson",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""The formats, by the endings of files' names."""

BUNDLE = "bundle"
"""The format of whole histories, which are no matter of the modules here."""

ALL_ENDINGS = {**ENDINGS, ".bundle": BUNDLE}
"""The same with that of bundles."""

_MODULES = {"bson": "plain", "jsonl": "lines", "parquet": "columns"}


def write(format: str, batches: Batches, out: BinaryIO, **options: Any) -> None:
    """Write documents.

    Args:
        format: The format.
        batches: The documents.
        out: Takes the bytes.
        **options: Options of the format.

    Raises:
        NotSupported: The format cannot hold one of them, or a library is missing.
    """
    _module(format).write(batches, out, **options)


def read(format: str, source: BinaryIO, name: str) -> Iterator[bytes]:
    """Iterate over documents.

    Args:
        format: The format.
        source: Gives the bytes.
        name: What people call the file.

    Raises:
        UnusableFile: The file does not hold what it should.
        NotSupported: A library is missing.
    """
    found: Iterator[bytes] = _module(format).read(source, name)
    return found


def _module(format: str) -> Any:
    return import_module(f"{__name__}.{_MODULES[format]}")
