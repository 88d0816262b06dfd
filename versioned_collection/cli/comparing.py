"""vc diff and vc show: what differs between two states, what a version changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP, Branch
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import facts, names, revision
from versioned_collection.cli.lines import dump
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from rich.text import Text

    from versioned_collection import VersionedCollection

DIRECTIONS = ("from", "to", "bidirectional")
_PRESENT = "working copy"

From = Annotated[
    str | None,
    typer.Argument(metavar="A", help=f"The version; HEAD. {REVISION_HELP}", show_default=False),
]
To = Annotated[
    str | None,
    typer.Argument(
        metavar="B", help="Another version; the present documents.", show_default=False
    ),
]
Deep = Annotated[bool, typer.Option("--deep", help="Print the structures of DeepDiff.")]
Direction = Annotated[
    str,
    typer.Option(
        "--direction",
        metavar="|".join(DIRECTIONS),
        help="'from' reads from A to B, 'to' the reverse, 'bidirectional' prints both.",
    ),
]
SideBySide = Annotated[
    bool, typer.Option("--side-by-side", "-y", help="Print old and new beside one another.")
]
Html = Annotated[
    bool, typer.Option("--html", help="Print a page of HTML that needs nothing else.")
]
Stat = Annotated[bool, typer.Option("--stat", help="Only count the documents.")]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 1 when there are differences.")
]


@command("diff", panel="Look", twin="VersionedCollection.diff", keys=("a", "b", "stat", "diff"))
def diff(
    session: Session,
    a: From = None,
    b: To = None,
    branch: Branch = None,
    deep: Deep = False,
    direction: Direction = "from",
    stat: Stat = False,
    side_by_side: SideBySide = False,
    html: Html = False,
    exit_code: ExitCode = False,
) -> Exit | None:
    """Show what differs between a version and the present documents, or two versions.

    Two versions may be written as A..B, too.

    With --json "diff" lists the documents, each with document_id, op, and the text or
    DeepDiff structure under "from" and "to", as far as the direction asks for them.
    """
    if direction not in DIRECTIONS:
        raise UsageFailure(f"--direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
    if sum((deep, stat, side_by_side, html)) > 1:
        raise UsageFailure("give one of --deep, --stat, --side-by-side and --html")
    if b is not None and branch is not None:
        raise UsageFailure("give two revisions, or one with --branch")
    collection = session.tracked
    if a is not None and b is None and branch is None:
        a, b = _both_ends(collection, a)
    first = collection.resolve("HEAD")
    if a is not None or branch is not None:
        first = collection.resolve(revision(collection, a, branch))
    second = None if b is None else collection.resolve(revision(collection, b))
    labels = (first.label, _PRESENT if second is None else second.label)
    comparison = Comparison(labels, deep, direction)
    with session.working("diff") as progress:
        changes = list(collection.changes(first, second, progress=progress))
    count = _counted(changes)
    if session.json:
        shown = [] if stat else [comparison.facts(change) for change in changes]
        session.emit({"a": labels[0], "b": labels[1], "stat": count, "diff": shown})
    elif stat:
        _show_stat(session, changes, count)
    elif html:
        page = _page(f"{labels[0]} to {labels[1]}", changes)
        session.write(page, escapes="xmlcharrefreplace")
    elif side_by_side:
        session.show(*(part for change in changes for part in _beside(change)))
    else:
        for change in changes:
            session.show(*comparison.texts(change))
    return Exit.NOTHING if exit_code and changes else None


def _both_ends(collection: VersionedCollection, text: str) -> tuple[str, str | None]:
    """Return the two revisions of ``a..b``, as git writes them, unless one has that name."""
    from versioned_collection.errors import InvalidCollectionVersion

    a, dots, b = text.partition("..")
    if not dots or b.startswith("."):
        return text, None
    try:
        collection.resolve(text)
    except InvalidCollectionVersion:
        return a or "HEAD", b or "HEAD"
    return text, None


Shown = Annotated[str, typer.Argument(metavar="REVISION", help=f"The version. {REVISION_HELP}")]


@command("show", panel="Look", twin=None, keys=("version", "stat", "diff"))
def show(session: Session, text: Shown = "HEAD", stat: Stat = False) -> None:
    """Show a version, and what it changed: the difference to its first parent.

    Of the first version, which has none, only what was said about it.
    """
    from versioned_collection.cli import render

    collection = session.tracked
    version = collection.resolve(revision(collection, text))
    changes: list[Any] = []
    labels = (version.label, version.label)
    if version.parent is not None:
        parent = collection.resolve(version.parent)
        labels = (parent.label, version.label)
        with session.working("show") as progress:
            changes = list(collection.changes(parent, version, progress=progress))
    comparison, count = Comparison(labels, False, "from"), _counted(changes)
    pointing = names(collection)
    if session.json:
        shown = [] if stat else [comparison.facts(change) for change in changes]
        session.emit({"version": facts(version, pointing), "stat": count, "diff": shown})
        return
    session.show(render.version_text(version, pointing.of(version.id)))
    if stat:
        _show_stat(session, changes, count)
        return
    for change in changes:
        session.show(*comparison.texts(change))


def _counted(changes: Iterable[Any]) -> dict[str, int]:
    """Return how many documents were inserted, updated and deleted."""
    from versioned_collection.core.sums import COUNTED, no_changes

    count = no_changes()
    for change in changes:
        count[COUNTED[change.op]] += 1
    return count


class Comparison:
    """How the differences of two states are written.

    Args:
        labels: The names of the two states.
        deep: Whether as structures of DeepDiff.
        direction: One of `DIRECTIONS`.
    """

    def __init__(self, labels: tuple[str, str], deep: bool, direction: str) -> None:
        self._labels = labels
        self._deep = deep
        self._ways = ("from", "to") if direction == "bidirectional" else (direction,)

    def facts(self, change: Any) -> dict[str, Any]:
        """Return a changed document as ``--json`` prints it."""
        found = {way: self._difference(change, way) for way in self._ways}
        return {"document_id": change.document_id, "op": change.op, **found}

    def texts(self, change: Any) -> Iterator[Text]:
        """Return a changed document for people."""
        from rich.text import Text

        from versioned_collection.cli.render import change_heading, diff_text

        yield change_heading(change.op, change.document_id)
        for way in self._ways:
            found = self._difference(change, way)
            yield diff_text(found) if isinstance(found, str) else Text(dump(found, indent=2))
        yield Text()

    def _difference(self, change: Any, way: str) -> Any:
        from versioned_collection.core.diff import deep_diff, text_diff

        old, new, before, after = change.old, change.new, *self._labels
        if way == "to":
            old, new, before, after = new, old, after, before
        if self._deep:
            return dict(deep_diff(old, new))
        return text_diff(old, new, before, after)


def _page(title: str, changes: list[Any]) -> str:
    from versioned_collection.core import html

    found = ((change.heading, change.side_by_side()) for change in changes)
    return html.page(title, *html.documents(found)).rstrip("\n")


def _beside(change: Any) -> Iterator[Any]:
    from versioned_collection.cli.render import beside, change_heading

    yield change_heading(change.op, change.document_id)
    yield beside(change.old, change.new)


def _show_stat(session: Session, changes: list[Any], count: dict[str, int]) -> None:
    from versioned_collection.cli.render import change_line, stats_text

    session.show(*(change_line(change.op, change.document_id) for change in changes))
    session.show(stats_text(count))


def change_facts(change: Any) -> dict[str, Any]:
    """Return a change as ``vc changes --json`` prints it."""
    from versioned_collection.core.diff import plain

    return {
        "document_id": change.document_id,
        "op": change.op,
        "old": None if change.old is None else plain(change.old),
        "new": None if change.new is None else plain(change.new),
        "rows": [row.to_bson() for row in change.rows],
    }


def write_array(session: Session, key: str, items: Iterable[dict[str, Any]]) -> int:
    """Print an object with one array, item by item, and return the number of items."""
    count = 0
    session.write(f'{{"{key}": [', end="")
    for item in items:
        session.write((", " if count else "") + dump(item), end="")
        count += 1
    session.write("]}")
    return count
