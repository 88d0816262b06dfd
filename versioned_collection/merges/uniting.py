"""Two sides of a branch made one version: what a pull does where they have diverged.

The version stands on the remote's tip, so that the branch stays what others pulled; for
conflicts and resolvers our side is ours all the same. HEAD need not be on the branch, as long
as nothing has to be decided.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from versioned_collection.committing.commit import Commit
from versioned_collection.committing.elsewhere import needed_elsewhere
from versioned_collection.core.graph import ancestors_of, merge_base
from versioned_collection.core.merging import MergeContext, MergePolicy
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import Version, VersionId
from versioned_collection.history.containing import containing
from versioned_collection.history.labels import stamp
from versioned_collection.history.versions import entry_of, merge_context
from versioned_collection.merges.rebase_plan import Plan, ended
from versioned_collection.merges.rebasing import Rebasing, describe_all
from versioned_collection.merges.replaying import Step
from versioned_collection.observing import Progress
from versioned_collection.repository.hold import Hold
from versioned_collection.working.setting_aside import set_aside_and_move


class Uniting(Rebasing):
    """Joins the versions of a branch here to those of a remote; see `Rebasing`."""

    def run(self, policy: MergePolicy) -> Version:
        """Make the version that joins both sides, and bring branch, HEAD and documents there.

        Returns:
            The new tip of the branch.

        Raises:
            AutoMergeFailedError: Conflicts wait for decisions.
            InvalidOperation: There are conflicts, and the branch is not checked out.
        """
        plan, recording = self._plan, self._chain.recording()
        mine = entry_of(self._repository, plan.tip)
        words = f"Merge {plan.branch} of {plan.remote}"
        nobody: dict[str, Any] = {"stored_author": None, "stored_metadata": {}}
        joint = replace(mine, message=words, parents=(plan.onto, plan.tip), **nobody)
        conflicts = self._replay(joint, recording, policy)
        if conflicts:
            raise self._wait_for_decisions(joint, recording, 0, conflicts)
        self._chain.add(recording, joint, (plan.tip,))
        return self._finish()

    def _step(self, version: Version) -> Step:
        plan = self._plan
        tree = containing(self._repository, self._tree, plan.onto, plan.tip)
        base = merge_base(tree, plan.onto, plan.tip)
        step = self._step_from(base, self._tree.path(base, plan.tip))
        return step._replace(swapped=True)

    def _stopped_by(self, original: Version) -> str:
        return f"the merge of {self._plan.branch} with that of {self._plan.remote}"

    def _further(self, turn: int) -> str:
        return ""

    def _context(self, version: Version) -> MergeContext:
        ours, theirs = version, self._chain.tip
        return merge_context(self._repository, ours.timestamp, theirs.timestamp)


def take_theirs(hold: Hold, plan: Plan, progress: Progress | None) -> None:
    """Let a branch be as it is at the remote, and drop the versions that were only here."""
    repository = hold.repository
    tree = repository.log.tree()
    labels, _ = plan.labels(repository)
    doomed = _only_here(hold, tree, plan)
    commit = Commit(
        state={**ended(plan, plan.onto), **stamp(labels)},
        path=tree.path(hold.state.head, plan.onto),
        branches={plan.branch: plan.onto},
        labels=labels,
        forgotten=sorted(doomed),
    )
    describe_all(hold, commit, plan)
    set_aside_and_move(hold, commit, progress)


def _only_here(hold: Hold, tree: VersionTree, plan: Plan) -> set[VersionId]:
    """Return the versions of a branch that neither the remote nor anything else here needs."""
    repository = hold.repository
    tips = {name: tip for name, tip in repository.branches.all().items() if name != plan.branch}
    needed = [plan.onto, *tips.values(), *needed_elsewhere(hold)]
    needed += [tag["version"] for tag in repository.tags.documents().values()]
    needed += [tip for remote in repository.remotes.all() for tip in remote.tips.values()]
    kept = ancestors_of(tree, *(version for version in needed if version in tree))
    doomed = ancestors_of(tree, plan.tip) - kept
    grown = [
        node.id
        for node in tree.nodes.values()
        if node.id not in doomed and doomed.intersection(node.parents)
    ]
    return doomed - ancestors_of(tree, *grown)
