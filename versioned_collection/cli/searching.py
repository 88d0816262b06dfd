"""Commands that look for versions."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP, document_of
from versioned_collection.cli.command import command
from versioned_collection.cli.comparing import From, To, write_array
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.lines import dump, plain
from versioned_collection.cli.looking import Limit
from versioned_collection.cli.past import Start
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import Appearance, Comparison

_LOOK = "Look"

Wanted = Annotated[
    str,
    typer.Argument(
        metavar="FILTER",
        help='Which documents: a filter of MongoDB as JSON, such as \'{"price": {"$lt": 0}}\'.',
    ),
]


@command(
    "find-versions", panel=_LOOK, twin="VersionedCollection.find_versions", keys=("versions",)
)
def find_versions(
    session: Session, filter_: Wanted, start: Start = None, limit: Limit = None
) -> None:
    """List the versions in which documents began, or ceased, to match a filter, newest first.

    With --json each has version, and the ids under appeared and disappeared.
    """
    wanted = _filter(filter_)
    collection = session.tracked
    with session.working("find-versions") as progress:
        begin = revision(collection, start)
        later = collection.find_versions(wanted, begin, limit, progress=progress)
        first = list(islice(later, 1))  # before which all changes are looked at
    found = chain(first, later)
    if session.json:
        write_array(session, "versions", map(_appearance_facts, found))
        return
    for one in found:
        session.show(f"{one.version.label}  {one.version.subject}")
        session.show(*(f"  + {dump(id_)}" for id_ in one.appeared))
        session.show(*(f"  - {dump(id_)}" for id_ in one.disappeared))


def _filter(text: str) -> dict[str, Any]:
    found = document_of(text, "the filter")
    if found is None:
        raise UsageFailure("which documents? Give a filter of MongoDB as JSON")
    return found


def _appearance_facts(one: Appearance) -> dict[str, Any]:
    return {
        "version": facts(one.version),
        "appeared": plain(one.appeared),
        "disappeared": plain(one.disappeared),
    }


Good = Annotated[
    str, typer.Argument(metavar="GOOD", help=f"A version that is good. {REVISION_HELP}")
]
Bad = Annotated[str, typer.Argument(metavar="BAD", help="A later version that is bad.")]


@command("bisect", panel=_LOOK, twin="VersionedCollection.bisect", keys=("version",))
def bisect(session: Session, good: Good, bad: Bad, filter_: Wanted) -> None:
    """Find the first version between a good and a bad one in which a document matches a filter.

    Few versions are looked at: the versions between are halved each time.
    """
    collection = session.tracked
    with session.working("bisect") as progress:
        first, last = revision(collection, good), revision(collection, bad)
        found = collection.bisect(first, last, _filter(filter_), progress=progress)
    told = f"{found.label} is the first bad version: {found.subject}"
    session.answer({"version": facts(found)}, told)


Samples = Annotated[
    int, typer.Option("--samples", min=0, metavar="N", help="How many ids to list of each kind.")
]


@command(
    "compare",
    panel=_LOOK,
    twin="VersionedCollection.compare",
    keys=("a", "b", "inserted", "updated", "deleted", "samples", "fields"),
)
def compare(session: Session, a: From = None, b: To = None, samples: Samples = 10) -> None:
    """Count what differs between two versions, and list some of the documents.

    With --json "fields" tells in how many updated documents each field differs.
    """
    collection = session.tracked
    first = "HEAD" if a is None else revision(collection, a)
    with session.working("compare") as progress:
        found = collection.compare(first, revision(collection, b), samples, progress=progress)
    session.answer(_comparison_facts(found), *_comparison_lines(found))


def _comparison_facts(found: Comparison) -> dict[str, Any]:
    return {
        "a": found.a.label,
        "b": None if found.b is None else found.b.label,
        **found.counts,
        "samples": plain(found.samples),
        "fields": dict(found.fields),
    }


def _comparison_lines(found: Comparison) -> list[Any]:
    from versioned_collection.cli.render import change_line, stats_text

    if found.equal:
        return ["nothing differs"]
    lines: list[Any] = [stats_text(found.counts)]
    lines += [f"  {name}: {count:,}" for name, count in found.fields.most_common()]
    for (op, ids), count in zip(found.samples.items(), found.counts.values(), strict=True):
        lines += [change_line(op, id_) for id_ in ids]
        if count > len(ids):
            lines.append(f"  and {count - len(ids):,} more")
    return lines
