"""What fetch and pull have in common: the versions of a remote enter the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from versioned_collection.core.tree import Node
from versioned_collection.core.version import VersionId
from versioned_collection.errors import InvalidCollectionState
from versioned_collection.observing import Progress
from versioned_collection.remotes.arrival import News, fetched
from versioned_collection.remotes.base import Refs, Remote
from versioned_collection.remotes.checked import check_refs
from versioned_collection.remotes.mongo import MongoRemote
from versioned_collection.remotes.purged import (
    Agreed,
    refuse_other_history,
    refuse_purged_below,
    refuse_purged_meanwhile,
)
from versioned_collection.remotes.transfer import missing, send
from versioned_collection.repository.repository import Repository
from versioned_collection.trackers.remotes import KnownRemote
from versioned_collection.working.recovery import holding


class Plan(NamedTuple):
    """What a transfer would bring.

    Attributes:
        refs: Where the other side's names point.
        branches: The tips of the branches that are asked for.
        nodes: The versions that are missing here, parents first.
        tags: The other side's tags at versions that are here once those have come.
        agreed: What both sides agree about.
    """

    refs: Refs
    branches: Mapping[str, VersionId]
    nodes: Sequence[Node]
    tags: Mapping[str, Mapping[str, Any]]
    agreed: Agreed


def plan_fetch(
    repository: Repository, remote: Remote, refs: Refs, branches: Sequence[str] | None
) -> Plan:
    """Find out what a remote has and this side lacks; nothing is written.

    Raises:
        BranchNotFound: The remote has no such branch.
        InvalidCollectionState: The histories begin with different versions.
        HistoryPurged: One of the sides was purged.
        TransferRefused: The remote tells another story about a version that is here.
    """
    refs = refs._replace(tags=check_refs(refs.branches, refs.tags))
    names = refs.branches if branches is None else branches
    tips = {name: refs.tip(name) for name in names}
    tagged = [tag["version"] for tag in refs.tags.values()]
    starts = [*tips.values(), *(tagged if branches is None else ())]
    here = MongoRemote(repository)
    agreed = refuse_other_history(here, remote, refs)
    nodes = missing(remote, starts, here.known)
    refuse_other_roots(nodes)
    if nodes:
        refuse_purged_below(here, remote, nodes, starts, agreed)
    there = here.known(tagged).union(node.id for node in nodes)
    tags = {name: tag for name, tag in refs.tags.items() if tag["version"] in there}
    return Plan(refs, tips, nodes, tags, agreed)


def refuse_other_roots(nodes: Sequence[Node]) -> None:
    """Refuse versions that one side has and the other one lacks, where a first one is among them.

    Raises:
        InvalidCollectionState: The histories begin with different versions.
    """
    if any(not node.parents for node in nodes):
        raise InvalidCollectionState(
            "the histories begin with different versions, so they have nothing in common; clone "
            "the remote into another database to get its history",
        )


@contextmanager
def brought(
    repository: Repository, remote: Remote, plan: Plan, progress: Progress
) -> Iterator[None]:
    """Bring what is missing here, out of sight; nobody else brings anything before the end.

    Raises:
        TransferRefused: What came is not what was announced.
        LeaseHeld: Another transfer brings versions for longer than we wait.
    """
    if not plan.nodes:
        yield
        return
    here = MongoRemote(repository)
    with here.inbox() as inbox:
        tips = [*plan.branches.values(), *(tag["version"] for tag in plan.tags.values())]
        refuse_purged_meanwhile(here, remote, plan.refs, plan.nodes, tips, plan.agreed)
        send(remote, inbox, [node.id for node in plan.nodes], progress)
        yield


def seen(known: KnownRemote | None, name: str, plan: Plan) -> News | None:
    """Return what is to be noted once a plan is carried out, None for nothing.

    Args:
        known: What is known of the remote so far.
        name: Its name.
        plan: The plan.
    """
    versions = [node.id for node in plan.nodes]
    earlier = {} if known is None else known.tips
    tips: dict[str, VersionId | None] = dict(plan.branches)
    if set(plan.branches) == set(plan.refs.branches):
        tips |= dict.fromkeys(earlier.keys() - plan.branches.keys())
    is_new = any(earlier.get(name) != tip for name, tip in tips.items())
    if versions or known is None or is_new or plan.tags:
        return News(name, versions, tips, plan.tags)
    return None


def carry_out_fetch(
    repository: Repository,
    remote: Remote,
    plan: Plan,
    news: News | None,
    progress: Progress | None,
) -> None:
    """Bring what is missing, and note where the remote's branches are, if that is new.

    Raises:
        TransferRefused: What came is not what was announced.
        LeaseHeld: Another transfer brings versions for longer than we wait.
    """
    if news is None:
        return
    with (
        repository.deltas.fresh.kept(),
        brought(repository, remote, plan, progress or (lambda *_: None)),
        holding(repository, "fetch") as hold,
    ):
        fetched(hold, news, progress)
