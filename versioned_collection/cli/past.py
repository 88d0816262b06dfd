"""Commands that read earlier versions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP, DryRun, document_of
from versioned_collection.cli.command import command
from versioned_collection.cli.comparing import write_array
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import facts, revision
from versioned_collection.cli.lines import dump, load, load_id, plain
from versioned_collection.cli.looking import Limit
from versioned_collection.cli.policies import places_of
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection import DocumentVersion, PastCollection, VersionedCollection

_LOOK = "Look"

Where = Annotated[str, typer.Argument(metavar="REVISION", help=REVISION_HELP)]
FilterText = Annotated[
    str | None,
    typer.Argument(
        metavar="FILTER",
        help="Which documents: a filter of MongoDB as JSON; all of them.",
        show_default=False,
    ),
]
ProjectionText = Annotated[
    str | None,
    typer.Option(
        "--projection",
        metavar="JSON",
        help="The fields, such as '{\"name\": 1}'.",
        show_default=False,
    ),
]
SortText = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="JSON", help="The order, such as '{\"name\": -1}'.", show_default=False
    ),
]
Skip = Annotated[int, typer.Option("--skip", min=0, metavar="N", help="Pass over so many.")]
CountOnly = Annotated[bool, typer.Option("--count", help="Only count the documents.")]
DistinctOf = Annotated[
    str | None,
    typer.Option(
        "--distinct", metavar="FIELD", help="List the values of a field.", show_default=False
    ),
]
PipelineText = Annotated[
    str | None,
    typer.Option(
        "--aggregate",
        metavar="JSON",
        help="Run an aggregation pipeline on the documents.",
        show_default=False,
    ),
]


@command(
    "at",
    panel=_LOOK,
    twin="VersionedCollection.at",
    keys=("documents", "count", "values"),
)
def at(
    session: Session,
    text: Where,
    filter_: FilterText = None,
    projection: ProjectionText = None,
    sort: SortText = None,
    skip: Skip = 0,
    limit: Limit = None,
    count: CountOnly = False,
    distinct: DistinctOf = None,
    aggregate: PipelineText = None,
) -> None:
    """Read the documents of a version, without checking it out.

    One document a line, as Extended JSON. With --json "documents" lists them; "count" takes its
    place with --count, "values" with --distinct.
    """
    if sum((count, distinct is not None, aggregate is not None)) > 1:
        raise UsageFailure("give one of --count, --distinct and --aggregate")
    collection = session.tracked
    view = collection.at(revision(collection, text))
    query = document_of(filter_, "the filter") or {}
    if count:
        found = view.count_documents(query)
        session.answer({"count": found}, f"{found:,}")
    elif distinct is not None:
        values = view.distinct(distinct, query)
        session.answer({"values": plain(values)}, *map(dump, values))
    elif aggregate is not None:
        _list(session, _aggregated(view, aggregate, query))
    else:
        cursor = view.find(
            query,
            document_of(projection, "--projection"),
            skip,
            limit or 0,
            sort=document_of(sort, "--sort"),
        )
        _list(session, iter(()) if limit == 0 else cursor)


def _aggregated(view: PastCollection, text: str, query: dict[str, Any]) -> Iterator[Any]:
    try:
        pipeline = load(text)
    except ValueError as error:
        raise UsageFailure(f"--aggregate is not JSON: {error}") from error
    if not isinstance(pipeline, list):
        raise UsageFailure("--aggregate is a JSON array of stages")
    return view.aggregate([*([{"$match": query}] if query else []), *pipeline])


def _list(session: Session, found: Iterator[Any]) -> None:
    if session.json:
        write_array(session, "documents", found)
        return
    for document in found:
        session.show(dump(document))


DocumentText = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The _id of the document: Extended JSON such as 7, '\"7\"' or "
        "'{\"$oid\": ...}'; what is no JSON is a text.",
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--revision", "-r", metavar="REVISION", help="Where to start; HEAD.", show_default=False
    ),
]
Documents = Annotated[
    bool, typer.Option("--documents", help="Show the document as each version left it, too.")
]


@command("history", panel=_LOOK, twin="VersionedCollection.history", keys=("versions",))
def history(
    session: Session,
    text: DocumentText,
    start: Start = None,
    limit: Limit = None,
    documents: Documents = False,
) -> None:
    """List the versions that changed a document, newest first.

    A document that never was is an error, as with "blame". With --json each has version, op and
    document (null where the version deleted it).
    """
    from bson.raw_bson import RawBSONDocument

    from versioned_collection.core.version import author_text

    id_ = load_id(text)
    collection = session.tracked
    begin = revision(collection, start)
    found = _known(collection, collection.history(id_, begin, limit), id_, begin)
    if session.json:
        write_array(session, "versions", map(_history_facts, found))
        return
    for one in found:
        label, words = one.version.label, one.version.subject
        who = author_text(one.version.author)
        time = one.version.timestamp.strftime("%Y-%m-%d %H:%M")
        session.show(f"{label}  {time}  {one.op}  {words}{f' ({who})' if who else ''}")
        if documents and one.raw is not None:
            session.show(f"    {dump(RawBSONDocument(one.raw))}")


def _known(
    collection: VersionedCollection,
    found: Iterator[DocumentVersion[Any]],
    id_: Any,
    begin: Any,
) -> Iterator[DocumentVersion[Any]]:
    """Return what was found of a document, as far as there ever was one.

    Raises:
        InvalidArgument: No version has it, or had.
    """
    from versioned_collection.errors import InvalidArgument

    first = next(found, None)
    if first is not None:
        return chain([first], found)
    version = collection.resolve(begin)
    ever = next(collection.history(id_, version, 1), None)
    if ever is None:
        raise InvalidArgument(
            f"no version up to {version.label} has, or had, a document with _id {id_!r}",
            document_id=id_,
            version=version.id,
        )
    return iter(())


def _history_facts(one: DocumentVersion) -> dict[str, Any]:
    from bson.raw_bson import RawBSONDocument

    document = None if one.raw is None else plain(RawBSONDocument(one.raw))
    return {"version": facts(one.version), "op": one.op, "document": document}


@command("blame", panel=_LOOK, twin="VersionedCollection.blame", keys=("fields",))
def blame(session: Session, text: DocumentText, start: Start = None) -> None:
    """Show which version gave each field of a document its value, and who made it.

    With --json each field has path, value, version, author and timestamp.
    """
    from versioned_collection.cli.render import table
    from versioned_collection.core.version import author_text

    collection = session.tracked
    found = collection.blame(load_id(text), revision(collection, start))
    listed = [
        {
            "path": list(one.path),
            "value": plain(one.value),
            "version": one.version.label,
            "author": one.version.author,
            "timestamp": one.version.timestamp,
        }
        for one in found
    ]
    rows = [
        (
            one.field,
            one.version.label,
            author_text(one.version.author),
            one.version.timestamp.strftime("%Y-%m-%d %H:%M"),
            dump(one.value),
        )
        for one in found
    ]
    session.answer(
        {"fields": listed}, table(("field", "version", "author", "time", "value"), rows)
    )


DocumentTexts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...", help="The _id of a document, as JSON or text.", show_default=False
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--revision", "-r", metavar="REVISION", help="The version; HEAD.", show_default=False
    ),
]
Chosen = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="The documents of the version that match a filter of MongoDB.",
        show_default=False,
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="PATTERN",
        help="Only these places, such as address.city or items.*.price.",
        show_default=False,
    ),
]


@command(
    "restore",
    panel="Set aside",
    twin="VersionedCollection.restore",
    keys=("inserted", "updated", "deleted", "document_ids", "kept", "dry_run"),
)
def restore(
    session: Session,
    texts: DocumentTexts = None,
    source: Source = None,
    filter_: Chosen = None,
    fields: Places = None,
    dry_run: DryRun = False,
) -> Exit | None:
    """Bring documents, or fields of them, back to what they were in a version.

    Documents that are named by id and that the version does not have are deleted. What is
    restored is uncommitted. "kept" lists what another client changed meanwhile.
    """
    from versioned_collection import Only
    from versioned_collection.cli.render import outcome_lines

    if not texts and filter_ is None:
        raise UsageFailure("restore what? Give the _id of documents, or --filter")
    ids = [load_id(text) for text in texts] if texts else None
    only = Only(ids, document_of(filter_, "--filter"), places_of(fields))
    collection = session.tracked
    with session.working("restore") as progress:
        found = collection.restore(
            only, revision(collection, source), dry_run=dry_run, progress=progress
        )
    listed = {"document_ids": plain(found.document_ids), "kept": plain(found.kept)}
    facts = {**found.counts, **listed, "dry_run": dry_run}
    session.answer(facts, *outcome_lines(found, dry_run))
    return None if found.document_ids else Exit.NOTHING
