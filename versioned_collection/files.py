"""Files that people name: written as a whole or not at all, read with clear errors."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from versioned_collection.errors import InvalidArgument, InvalidType, UnusableFile

FileLike = str | os.PathLike[str] | BinaryIO
"""A path, or an object that reads or writes bytes."""


def unusable(file: str, reason: str, words: str) -> UnusableFile:
    """Return the error for a file that is not as it must be.

    Args:
        file: The file, as people know it.
        reason: See `UnusableFile`.
        words: What is wrong with it, and what to do.
    """
    return UnusableFile(f"{file}: {words}", file=file, reason=reason)


def name_of(file: FileLike) -> str:
    """Return what people call a file."""
    if isinstance(file, (str, os.PathLike)):
        return os.fspath(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else f"<{type(file).__name__}>"


def format_of(file: FileLike, wanted: str | None, endings: Mapping[str, str]) -> str:
    """Return the format of a file: the one that is asked for, else that of its ending.

    Args:
        file: The file.
        wanted: The format that was asked for.
        endings: The formats by ending.

    Raises:
        InvalidArgument: There is no such format, or the ending says nothing.
    """
    formats = ", ".join(sorted(set(endings.values())))
    if wanted is not None:
        if wanted not in endings.values():
            raise InvalidArgument(f"format is one of {formats}, not {wanted!r}", format=wanted)
        return wanted
    ending = ending_of(file)
    if ending not in endings:
        raise InvalidArgument(
            f"the ending of {name_of(file)!r} names no format: format is one of {formats}",
            file=name_of(file),
        )
    return endings[ending]


def ending_of(file: FileLike) -> str:
    """Return the ending of a file's name, such as ``.bson``; empty where it has none."""
    return os.path.splitext(name_of(file))[1].lower()


@contextmanager
def written(file: FileLike, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Write a file, which has its name only once all of it is on the disk.

    Only its owner may read a new file, as it holds whole documents; one that is overwritten
    keeps its mode.

    Args:
        file: A path, or an object that takes bytes, which is left open.
        overwrite: Whether a file that exists may be replaced.

    Yields:
        What takes the bytes.

    Raises:
        UnusableFile: It exists already, or the system refuses.
        InvalidArgument: No file can have the name.
        InvalidType: It is neither a path nor takes bytes.
    """
    if not isinstance(file, (str, os.PathLike)):
        yield _checked(file, "write")
        return
    _refuse_impossible(file)
    path = os.path.realpath(file)
    try:
        _refuse_existing(path, name_of(file), overwrite)
        directory, name = os.path.split(path)
        number, part = tempfile.mkstemp(".part", f".{name[:40]}.", directory)
    except OSError as error:
        raise refused(name_of(file), error) from error
    try:
        with os.fdopen(number, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        _refuse_existing(path, name_of(file), overwrite)
        with suppress(FileNotFoundError):
            shutil.copymode(path, part)
        os.replace(part, path)
        _settle(directory)
    except OSError as error:
        raise refused(name_of(file), error) from error
    finally:
        with suppress(OSError):
            os.unlink(part)


def _refuse_impossible(file: str | os.PathLike[str]) -> None:
    try:
        possible = b"\0" not in os.fsencode(file)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InvalidArgument(f"no file can have the name {name_of(file)!r}", file=name_of(file))


def _refuse_existing(path: str, name: str, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise unusable(name, "exists", "the file exists; overwrite=True replaces it")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise unusable(name, "exists", "that is no ordinary file, so it is not replaced")


def _settle(directory: str) -> None:
    """Have a new name on the disk, where the system can do that for directories."""
    with suppress(OSError):
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def read(file: FileLike) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Args:
        file: A path, or an object that gives bytes, which is left open.

    Raises:
        UnusableFile: There is none, or the system refuses.
        InvalidArgument: No file can have the name.
        InvalidType: It is neither a path nor gives bytes.
    """
    if not isinstance(file, (str, os.PathLike)):
        yield _checked(file, "read")
        return
    _refuse_impossible(file)
    try:
        source = open(file, "rb")  # noqa: SIM115  # what the block raises is not about opening
    except OSError as error:
        raise refused(name_of(file), error) from error
    with source:
        yield source


def refused(name: str, error: OSError) -> UnusableFile:
    """Return the error for a file that the system refuses."""
    reason = "missing" if isinstance(error, FileNotFoundError) else "system"
    return unusable(name, reason, error.strerror or str(error))


def _checked(file: Any, method: str) -> BinaryIO:
    if isinstance(file, io.TextIOBase) or not callable(getattr(file, method, None)):
        raise InvalidType(
            f"a file is a path or an object with {method}() for bytes, such as open(path, "
            f"'{method[0]}b'), not {type(file).__name__}",
            file=type(file).__name__,
        )
    found: BinaryIO = file
    return found
