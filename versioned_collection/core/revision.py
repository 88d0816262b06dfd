"""Revision texts: parse what a person writes, resolve it with look-ups given by the caller.

Grammar::

    revision = base { "~" [number] | "^" [number] }
    base     = "HEAD" | "@" | branch | branch "@" number | [ branch ] "@{" time "}"
             | tag | version id | checksum prefix (at least 4 hexadecimal digits)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from bson.objectid import ObjectId

from versioned_collection.core.times import utc
from versioned_collection.core.version import UNBORN, VersionId
from versioned_collection.errors import (
    AmbiguousRevision,
    InvalidArgument,
    InvalidCollectionVersion,
    InvalidType,
)

_SUFFIX = re.compile(r"(?:[~^]\d{0,18})+$", re.ASCII)
_STEP = re.compile(r"([~^])(\d*)", re.ASCII)
_NUMBERED = re.compile(r"^(?P<branch>.+)@(?P<number>-?\d{1,18})$", re.ASCII | re.DOTALL)
_TIMED = re.compile(r"^(?P<branch>.*)@\{(?P<time>[^{}]*)\}$", re.DOTALL)
_COUNT = re.compile(r"^[+-]?\d+$", re.ASCII)
_HEXADECIMAL = re.compile(r"^[0-9a-f]{4,64}$")
_RESERVED_CHARACTERS = frozenset("~^:?*[\\{}")
_MAXIMUM_NAME_LENGTH = 200

HEAD = "HEAD"
_SHORT_HEAD = "@"


class Step(NamedTuple):
    """A step up from a version.

    Attributes:
        parent: Which parent to go to, counted from 1; the first one leads up the tree.
        times: How often.
    """

    parent: int
    times: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A parsed revision text.

    Attributes:
        base: The text without what is below.
        number: The number behind ``@``, None where there is none.
        time: The time behind ``@``, None where there is none.
        steps: How to go up from there, in this order.
        text: The text as it was written.
    """

    base: str
    number: int | None = None
    time: datetime | None = None
    steps: tuple[Step, ...] = ()
    text: str = ""


class RevisionSource(Protocol):
    """What a repository answers while a revision is resolved. Each returns None for "no"."""

    def head(self) -> VersionId:
        """Return the version that is checked out."""
        ...

    def tip(self, branch: str) -> VersionId | None:
        """Return a branch's tip."""
        ...

    def labelled(self, branch: str, number: int) -> VersionId | None:
        """Return the version of a label."""
        ...

    def at_time(self, branch: str, time: datetime) -> VersionId | None:
        """Return the last version on the way to a branch's tip that is not later."""
        ...

    def tagged(self, tag: str) -> VersionId | None:
        """Return the version that a tag names."""
        ...

    def known(self, version: VersionId) -> bool:
        """Tell whether a version exists."""
        ...

    def with_checksum(self, prefix: str) -> Sequence[VersionId]:
        """Return the versions whose checksum begins with a prefix."""
        ...

    def ancestor(self, version: VersionId, generations: int) -> VersionId | None:
        """Return the ancestor so many first parents up."""
        ...

    def parent(self, version: VersionId, which: int) -> VersionId | None:
        """Return a parent, counted from 1."""
        ...

    def borrowed_tip(self, branch: str) -> VersionId | None:
        """Return a branch's tip where that is a version of another branch."""
        ...


def parse(text: str) -> Revision:
    """Parse a revision text.

    Raises:
        InvalidArgument: The text is empty or the time cannot be read.
    """
    base = text
    steps: tuple[Step, ...] = ()
    suffix = _SUFFIX.search(text)
    if suffix:
        base = text[: suffix.start()]
        steps = tuple(_step(*found) for found in _STEP.findall(suffix.group()))
    if not base:
        raise InvalidArgument(
            f"{text!r} is not a revision; write for example 'main', 'main@3' or 'HEAD~1'",
            revision=text,
        )
    timed = _TIMED.match(base)
    if timed:
        return Revision(timed["branch"] or HEAD, None, _time(timed["time"]), steps, text)
    numbered = _NUMBERED.match(base)
    if numbered:
        return Revision(numbered["branch"], int(numbered["number"]), None, steps, text)
    return Revision(base, None, None, steps, text)


def _step(sign: str, digits: str) -> Step:
    number = int(digits or 1)
    if sign == "~" or number == 0:  # ^0 is the version itself
        return Step(1, number)
    return Step(number, 1)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        if _COUNT.match(text.strip()):
            raise InvalidArgument(
                f"'@{{{text}}}' does not count earlier places of a name: a time stands between "
                "the braces, as in main@{2026-01-31}; reflog() lists with their ids the versions "
                "that HEAD and branches were on, and undo() takes the latest step back",
                time=text,
            ) from None
        raise InvalidArgument(
            f"{text!r} is not a time; write it like 2026-01-31 or 2026-01-31T12:00+00:00",
            time=text,
        ) from None
    return utc(time)


def resolve(text: str, source: RevisionSource) -> VersionId:
    """Return the version that a revision text names.

    A branch wins over a tag, a tag over an id, an id over a checksum prefix.

    Raises:
        InvalidArgument: The text is not a revision.
        InvalidCollectionVersion: It names nothing.
        AmbiguousRevision: A prefix fits several versions.
    """
    revision = parse(text)
    version = _base(revision, source)
    for step in revision.steps:
        version = None if version is None else _up(version, step, source)
    if version is None:
        raise InvalidCollectionVersion(
            f"there is no version {text!r}; log() lists the versions, branches() the branches",
            revision=text,
        )
    return version


def _up(version: VersionId, step: Step, source: RevisionSource) -> VersionId | None:
    if step.parent == 1:
        return source.ancestor(version, step.times) if step.times else version
    return source.parent(version, step.parent)


def _base(revision: Revision, source: RevisionSource) -> VersionId | None:
    branch = revision.base
    if revision.number is not None:
        return _numbered(branch, revision.number, source)
    if revision.time is not None:
        return source.at_time(branch, revision.time)
    if branch == HEAD:
        return source.head()
    found = source.tip(branch) or source.tagged(branch)
    if found is not None:
        return found
    if branch == _SHORT_HEAD:
        return source.head()
    return _by_identity(branch, source)


def _numbered(branch: str, number: int, source: RevisionSource) -> VersionId | None:
    if number == UNBORN:
        return source.borrowed_tip(branch)
    return source.labelled(branch, number)


def _by_identity(text: str, source: RevisionSource) -> VersionId | None:
    if ObjectId.is_valid(text) and source.known(ObjectId(text)):
        return ObjectId(text)
    if not _HEXADECIMAL.match(text):
        return None
    fitting = source.with_checksum(text)
    if len(fitting) > 1:
        raise AmbiguousRevision(
            f"{text!r} is the beginning of {len(fitting)} checksums; write more of it",
            revision=text,
            candidates=[str(version) for version in fitting],
        )
    return fitting[0] if fitting else None


def check_text(name: object, what: str = "branch") -> str:
    """Return the name of something that is looked up, which may be there or not.

    Raises:
        InvalidType: It is no text.
    """
    if not isinstance(name, str):
        raise InvalidType(
            f"the name of a {what} is a text, not {type(name).__name__}", argument=name
        )
    return name


def check_name(name: object, what: str = "branch") -> str:
    """Return a branch's or tag's name after checking it.

    Raises:
        InvalidArgument: The name is empty, reserved, too long, or would be read as
            something else in a revision text.
    """
    kind = what.capitalize()
    if not isinstance(name, str) or not name or name != name.strip():
        raise InvalidArgument(
            f"{kind} names are texts without surrounding blanks, not {name!r}", name=name
        )
    if name.startswith("__"):
        plural = "Branch" if what == "branch" else kind
        raise InvalidArgument(f"{plural} names cannot start with '__'", name=name)
    reads_otherwise = name in (HEAD, _SHORT_HEAD) or _NUMBERED.match(name) or "@{" in name
    if reads_otherwise or name.startswith("-"):
        raise InvalidArgument(
            f"{name!r} would be read as a revision or an option; choose another {what} name",
            name=name,
        )
    if len(name) > _MAXIMUM_NAME_LENGTH or any(
        character in _RESERVED_CHARACTERS or not character.isprintable() for character in name
    ):
        raise InvalidArgument(
            f"{kind} names are at most {_MAXIMUM_NAME_LENGTH} printable characters and none of "
            f"{' '.join(sorted(_RESERVED_CHARACTERS))}",
            name=name,
        )
    return name
