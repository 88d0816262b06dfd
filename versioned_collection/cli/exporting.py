"""Commands that write versions to files, and bring documents back from files."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.arguments import REVISION_HELP
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.history import revision
from versioned_collection.cli.lines import counted, plain, printable
from versioned_collection.cli.session import Session
from versioned_collection.cli.streams import writing
from versioned_collection.cli.transfers import Labels

if TYPE_CHECKING:
    from versioned_collection import Exported

_PANEL = "Files"
_STANDARD = "-"

Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="The file. Its ending says the format: .bson, .jsonl, .parquet or .bundle. With - "
        "standard output, and --format says it.",
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="The file. Its ending says the format: .bson, .jsonl or .parquet. With - standard "
        "input, and --format says it.",
    ),
]
Where = Annotated[
    str | None,
    typer.Argument(
        metavar="REVISION",
        help=f"The version, for a file of one; HEAD. {REVISION_HELP}",
        show_default=False,
    ),
]


def _format(names: str) -> Any:
    words = f"{names}; that of the file's ending."
    return typer.Option("--format", metavar="NAME", help=words, show_default=False)


Format = Annotated[str | None, _format("bson, jsonl, parquet or bundle")]
FormatOfDocuments = Annotated[str | None, _format("bson, jsonl or parquet")]
Branches = Annotated[
    list[str] | None,
    typer.Option(
        "--branch",
        metavar="NAME",
        help="A branch that goes into a bundle, several times for several; all of them.",
        show_default=False,
    ),
]
Since = Annotated[
    list[str] | None,
    typer.Option(
        "--since",
        metavar="REVISION",
        help="Leave this version, and all before it, out of a bundle: whoever gets it has them.",
        show_default=False,
    ),
]
Relaxed = Annotated[
    bool,
    typer.Option("--relaxed", help="Write JSON for people, which loses some types."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Also delete the documents that the file does not have."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")]


@command(
    "export",
    panel=_PANEL,
    twin="VersionedCollection.export",
    keys=("file", "format", "version", "documents", "versions", "branches", "tags", "bytes"),
)
def export(
    session: Session,
    target: Target,
    text: Where = None,
    format_: Format = None,
    branches: Branches = None,
    since: Since = None,
    relaxed: Relaxed = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the documents of a version to a file, or the whole history as a bundle.

    A bundle holds branches, tags and all versions: "vc clone FILE", "vc fetch FILE" and "vc pull
    FILE" bring them elsewhere. "version" is the one whose documents are in the file.
    """
    collection = session.tracked
    to_output = target == _STANDARD
    if to_output and session.json:
        raise UsageFailure("with --json the answer goes to standard output; name a file")
    file: Any = sys.stdout.buffer if to_output else target
    with session.working("export") as progress, writing() if to_output else nullcontext():
        done = collection.export(
            file,
            revision(collection, text),
            format_,  # type: ignore[arg-type]  # another one is refused by name
            branches=branches,
            since=None if since is None else [revision(collection, one) for one in since],
            relaxed=relaxed,
            overwrite=overwrite,
            progress=progress,
        )
        if to_output:
            sys.stdout.flush()
    if to_output:
        return
    labels = Labels(collection)
    version = None if done.version is None else labels.facts(done.version)
    session.answer(
        {
            "file": done.file,
            "format": done.format,
            "version": version,
            "documents": done.documents,
            "versions": done.versions,
            "branches": sorted(done.branches or ()),
            "tags": list(done.tags),
            "bytes": done.bytes,
        },
        *_exported_lines(done, labels),
    )


def _exported_lines(done: Exported, labels: Labels) -> list[str]:
    file = printable(done.file)
    if done.format != "bundle":
        label = labels.text(done.version)
        return [f"{file}: {counted(done.documents)} of {label}, {done.bytes:,} bytes"]
    lines = [f"{file}: {counted(done.versions, 'version')}, {done.bytes:,} bytes"]
    lines += [
        f"  {printable(name)}: {labels.text(tip)}"
        for name, tip in sorted((done.branches or {}).items())
    ]
    lines += [f"  tag {printable(tag)}" for tag in done.tags]
    if done.version is None:
        lines.append("it brings what is new to a copy that has the rest; nothing can be cloned")
    return lines


@command(
    "import",
    panel=_PANEL,
    twin="VersionedCollection.import_",
    keys=("documents", "inserted", "updated", "deleted", "kept", "dry_run"),
)
def import_(
    session: Session,
    source: Source,
    format_: FormatOfDocuments = None,
    replace: Replace = False,
    dry_run: DryRun = False,
) -> Exit | None:
    """Bring the documents of a file into the collection, uncommitted.

    Each takes the place of the document with its _id. A bundle is brought here by "vc clone", "vc
    fetch" or "vc pull". "kept" lists what another client changed meanwhile.
    """
    from versioned_collection.cli.render import outcome_lines

    if source == _STANDARD and format_ is None:
        raise UsageFailure("standard input has no ending that names a format: give it by --format")
    file: Any = sys.stdin.buffer if source == _STANDARD else source
    with session.working("import") as progress:
        done = session.tracked.import_(
            file,
            format_,  # type: ignore[arg-type]  # another one is refused by name
            replace=replace,
            dry_run=dry_run,
            progress=progress,
        )
    facts = {"documents": done.documents, **done.counts, "kept": plain(done.kept)}
    what, *kept = outcome_lines(done, dry_run)
    words = f"{counted(done.documents)}: {what}"
    session.answer({**facts, "dry_run": dry_run}, words, *kept)
    return None if any(done.counts.values()) else Exit.NOTHING
