"""Commands that care for the trackers: verify, size, gc, listen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.session import Session
from versioned_collection.cli.wording import in_commands

_CARE = "Care"

Interval = Annotated[
    float, typer.Option("--interval", min=0, metavar="SECONDS", help="The time between two looks.")
]
Count = Annotated[
    int | None,
    typer.Option(
        "--count", min=1, metavar="N", help="End after so many looks.", show_default=False
    ),
]


@command("verify", panel=_CARE, twin="VersionedCollection.verify", keys=("ok", "problems"))
def verify(session: Session) -> Exit | None:
    """Check everything on disk: checksums, and that every version can be restored."""
    with session.working("verify") as progress:
        problems = list(session.tracked.verify(progress=progress))
    listed = [
        {"kind": one.kind, "message": in_commands(one.message), "facts": one.facts}
        for one in problems
    ]
    lines = [in_commands(str(one)) for one in problems] or ["no problems"]
    session.answer({"ok": not problems, "problems": listed}, *lines)
    return Exit.CORRUPT if problems else None


PerBranch = Annotated[
    bool, typer.Option("--per-branch", help="Tell what the changes on each branch take.")
]


@command("size", panel=_CARE, twin="VersionedCollection.size", keys=("size",))
def size(session: Session, per_branch: PerBranch = False) -> None:
    """Show the bytes on disk of each tracker.

    With --per-branch the bytes of the changes that each branch's versions made, before
    compression.
    """
    from versioned_collection.cli.lines import printable
    from versioned_collection.cli.render import table

    per: Literal["tracker", "branch"] = "branch" if per_branch else "tracker"
    found = session.tracked.size(per)
    rows = [(printable(name), f"{count:,}") for name, count in found.items()]
    session.answer({"size": found}, table((per, "#bytes"), rows))


@command("gc", panel=_CARE, twin="VersionedCollection.gc", keys=("removed",))
def gc(session: Session) -> None:
    """Remove what no version needs any more."""
    with session.working("gc") as progress:
        found = session.tracked.gc(progress=progress)
    lines = [f"{name.replace('_', ' ')}: {count:,} removed" for name, count in found.items()]
    session.answer({"removed": found}, *lines)


@command("listen", panel=_CARE, twin="VersionedCollection.listen", keys=("looks",))
def listen(session: Session, interval: Interval = 1.0, count: Count = None) -> None:
    """Keep note of what changes, until Ctrl-C.

    Optional: it only shortens the next command, and protects against a short oplog.
    """
    collection = session.tracked
    once = threading.Event()
    once.set()
    looks = 0
    with _interrupted() as stop:
        while not stop.is_set() and (count is None or looks < count):
            if looks and stop.wait(interval):
                break
            looks += collection.listen(interval, once)
    session.answer({"looks": looks}, f"looked {looks:,} times")


@contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C, so that a look is not torn; a second one tears it."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
