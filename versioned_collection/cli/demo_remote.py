"""vc demo --remote: shows how two databases with one collection diverge and meet."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from versioned_collection.cli import showing
from versioned_collection.cli.meeting import COPY_DATABASE, Meeting
from versioned_collection.cli.replay import COLLECTION, DATABASE, Replay
from versioned_collection.cli.session import Session

if TYPE_CHECKING:
    from pymongo import MongoClient

    from versioned_collection import VersionedCollection

_RELEASES = 3
_LOOKS = ("log --graph", "remotes", "branches --remotes", "status")


def show(
    session: Session, replay: Replay, client: MongoClient[dict[str, object]], uri: str
) -> VersionedCollection:
    """Go through all steps; return the copy.

    Args:
        session: Where to show them.
        replay: Measures them.
        client: The client of the server.
        uri: Where the server is.
    """
    meeting = Meeting(_record(session, replay, client))
    where = uri.replace("/?", f"/{DATABASE}.{COLLECTION}?", 1)
    with replay.step(f"clone {DATABASE} into {COPY_DATABASE}") as step:
        step.detail = meeting.clone(where, client[COPY_DATABASE])
    with replay.step("edit the copy, push") as step:
        step.detail = meeting.share()
    _diverge(session, replay, meeting)
    _meet(session, replay, meeting)
    with replay.step("verify", "every version of both, in both directions"):
        replay.verify(meeting.original)
        replay.verify(meeting.copy)
    return meeting.copy


def _record(
    session: Session, replay: Replay, client: MongoClient[dict[str, object]]
) -> VersionedCollection:
    from versioned_collection import VersionedCollection, demo_data

    original = VersionedCollection(client[DATABASE], COLLECTION)
    for release in islice(demo_data.releases(), _RELEASES):
        showing.say(session, f"mime-db {release.version}, {len(release.documents):,} documents")
        replay.record(original, release)
    return original


def _diverge(session: Session, replay: Replay, meeting: Meeting) -> None:
    """Work on both sides; a push is refused then."""
    with replay.step("edit and register on both sides") as step:
        step.detail = meeting.diverge()
    with replay.step("push") as step:
        step.detail = meeting.refused_push()
    showing.say(session, f"\nvc push: {step.detail}")
    showing.graph(session, meeting.original, f"{DATABASE}: log --graph")
    showing.graph(session, meeting.copy, f"{COPY_DATABASE}: log --graph")


def _meet(session: Session, replay: Replay, meeting: Meeting) -> None:
    """Pull, settle what clashes, push."""
    with replay.step("pull") as step:
        found = meeting.pull()
        step.detail = f"{len(found)} conflict waits"
    showing.conflicts(session, found)
    with replay.step("settle it, register the merge") as step:
        step.detail = meeting.settle(found[0])
    with replay.step("push the merge") as step:
        step.detail = meeting.push_back()
    with replay.step("compare both sides") as step:
        step.detail = meeting.compare()
    showing.graph(session, meeting.original, f"{DATABASE}, {COPY_DATABASE}: log --graph")


def go_on(session: Session, keep: str | None) -> None:
    """Show how to look around in what was kept."""
    showing.go_on(session, keep, COPY_DATABASE, _LOOKS)
