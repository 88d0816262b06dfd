"""The command that thins history out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from versioned_collection.cli.arguments import Yes
from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import counted, printable
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from versioned_collection.verbs.thin_out import ThinnedOut

_AGE = re.compile(r"(\d{1,6})([hdw]?)", re.ASCII)
_UNITS = {"h": "hours", "d": "days", "": "days", "w": "weeks"}
_MOST_SHOWN = 20

KeepLast = Annotated[
    int | None,
    typer.Option(
        "--keep-last",
        min=1,
        metavar="N",
        help="Keep the latest N on the way to each branch's tip.",
        show_default=False,
    ),
]
DropTags = Annotated[
    bool, typer.Option("--drop-tags", help="Let versions with tags go too, and the tags.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would go.")]


def _age(option: str, kept: str) -> object:
    words = f"Of versions older than AGE (12h, 30d, 8w), keep the last of each {kept}."
    return typer.Option(option, metavar="AGE", help=words, show_default=False)


Hourly = Annotated[str | None, _age("--hourly-after", "hour")]
Daily = Annotated[str | None, _age("--daily-after", "day")]
Weekly = Annotated[str | None, _age("--weekly-after", "week")]
Monthly = Annotated[str | None, _age("--monthly-after", "month")]
Yearly = Annotated[str | None, _age("--yearly-after", "year")]


@command(
    "thin-out",
    panel="Care",
    twin="VersionedCollection.thin_out",
    keys=("versions", "kept", "tags", "dry_run"),
)
def thin_out(
    session: Session,
    keep_last: KeepLast = None,
    hourly_after: Hourly = None,
    daily_after: Daily = None,
    weekly_after: Weekly = None,
    monthly_after: Monthly = None,
    yearly_after: Yearly = None,
    drop_tags: DropTags = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Exit | None:
    """Remove old versions; what they changed stays in the next version that is kept.

    Tips, the first version, what is checked out or stashed on, and where branches part and meet
    stay in any case. Without a rule all do.
    """
    from versioned_collection.core.retention import Retention

    retention = Retention(
        keep_last,
        _age_of(hourly_after, "--hourly-after"),
        _age_of(daily_after, "--daily-after"),
        _age_of(weekly_after, "--weekly-after"),
        _age_of(monthly_after, "--monthly-after"),
        _age_of(yearly_after, "--yearly-after"),
        keep_tags=not drop_tags,
    )
    collection = session.tracked
    with session.working("thin-out") as progress:
        found = collection.thin_out(retention, dry_run=dry_run or not yes, progress=progress)
    if dry_run or yes or not found.versions:
        _answer(session, found, dry_run)
        return None if found.versions else Exit.NOTHING
    count = counted(len(found.versions), "version")
    if not session.confirm(f"Remove {count} of {collection.full_name}?", yes):
        session.answer(
            {
                "versions": [],
                "kept": len(found.versions) + found.kept,
                "tags": [],
                "dry_run": False,
            }
        )
        return Exit.NOTHING
    with session.working("thin-out", {"versions": len(found.versions)}) as progress:
        done = collection.thin_out(retention, progress=progress)
    _answer(session, done, dry_run)
    return None


def _answer(session: Session, found: ThinnedOut, dry_run: bool) -> None:
    verb = "would go" if dry_run else "went"
    session.answer(
        {
            "versions": list(found.versions),
            "kept": found.kept,
            "tags": list(found.tags),
            "dry_run": dry_run,
        },
        f"{counted(len(found.versions), 'version')} {verb}, {found.kept:,} are left",
        *_names("versions", found.versions),
        *_names("tags", found.tags),
    )


def _names(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = "" if len(names) <= _MOST_SHOWN else f" and {len(names) - _MOST_SHOWN:,} more"
    return [f"{what}: {', '.join(map(printable, names[:_MOST_SHOWN]))}{more}"]


def _age_of(text: str | None, option: str) -> timedelta | None:
    if text is None:
        return None
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise UsageFailure(f"{option} takes an age such as 12h, 30d or 8w, not {text!r}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
