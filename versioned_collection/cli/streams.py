"""The standard streams of the program: what they can show, and what is done where they fail."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

ESCAPES = "versioned_collection.json"
"""How a stream shows what its encoding lacks: as JSON does, so that JSON stays JSON."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPES, _escaped)


def prepare() -> None:
    """Make the standard streams such that anything can be written to them."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed; else the next file would get its number
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPES)


def fitting(text: str, stream: TextIO, escapes: str = ESCAPES) -> str:
    """Return a text that is read alike in UTF-8 and in the encoding of a stream.

    Args:
        text: The text.
        stream: Where it will be written.
        escapes: How what is not ASCII is escaped, where the encoding is another one.
    """
    if codecs.lookup(stream.encoding or "utf-8").name == "utf-8":
        return text
    return text.encode("ascii", escapes).decode("ascii")


class Unwritten(Exception):
    """Standard output cannot be written."""


@contextmanager
def writing() -> Iterator[None]:
    """Tell the errors of what is written to standard output from all others.

    Raises:
        Unwritten: It takes nothing more, although somebody reads it.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        reason = error.strerror or error
        raise Unwritten(f"standard output cannot be written: {reason}") from error


@contextmanager
def telling() -> Iterator[None]:
    """Go on where standard error cannot be written: the exit code still says what happened."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Throw away what a stream could not take, which Python would try again at its end."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
