"""Arguments that several commands take, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import load_document
from versioned_collection.cli.session import Session

T = TypeVar("T")

REVISION_HELP = (
    "A number on the branch, or a revision: main, main@3, main~2, HEAD~1, HEAD^2, a tag, "
    "main@{2026-01-31}, a version id, the beginning of a checksum."
)

Branch = Annotated[
    str | None,
    typer.Option("--branch", metavar="NAME", help="The branch.", show_default=False),
]
Author = Annotated[
    str | None,
    typer.Option(
        "--author",
        metavar="TEXT",
        help="Who does it: a text, or a JSON object such as "
        '\'{"name": ..., "email": ...}\'. (VC_AUTHOR)',
        show_default=False,
    ),
]
Metadata = Annotated[
    str | None,
    typer.Option(
        "--metadata",
        metavar="JSON",
        help="Facts to record: a JSON object (Extended JSON).",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def author_of(session: Session, text: str | None) -> Any:
    """Return the author: the option, else the setting.

    Raises:
        UsageFailure: It looks like a JSON object and is none.
    """
    text = text or session.settings.value("author")
    if text and text.lstrip().startswith("{"):
        return document_of(text, "--author")
    return text


def document_of(text: str | None, option: str) -> dict[str, Any] | None:
    """Return the object of a JSON text, None for none.

    Raises:
        UsageFailure: It is no JSON object.
    """
    return None if text is None else _read(lambda: load_document(text, option))


def time_of(text: str | None, option: str) -> datetime | None:
    """Return the time of an ISO 8601 text, None for none.

    Raises:
        UsageFailure: It is none.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise UsageFailure(
            f"{option} takes a time such as 2026-01-31 or 2026-01-31T12:00+00:00, not {text!r}"
        ) from None


def _read(reading: Callable[[], T]) -> T:
    try:
        return reading()
    except ValueError as error:
        raise UsageFailure(str(error)) from error
