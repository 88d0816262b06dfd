"""Words of git: which command does the same, and those that are taken as they are."""

from __future__ import annotations

from collections.abc import Sequence

HINTS = {
    "add": "register",
    "annotate": "blame",
    "archive": "export",
    "branch -D": "delete-branch",
    "branch -d": "delete-branch",
    "branch -m": "rename-branch",
    "branch -r": "branches --remotes",
    "bundle": "export",
    "cat-file": "at",
    "cherry-pick --continue": "register",
    "clean": "discard-changes",
    "commit": "register",
    "filter-branch": "purge",
    "fsck": "verify",
    "merge --continue": "register",
    "mergetool": "resolve-conflict --tool",
    "prune": "gc",
    "remote": "remotes",
    "remote add": "add-remote",
    "remote remove": "remove-remote",
    "rev-parse": "resolve",
    "stash apply": "stash-apply",
    "stash drop": "stash-discard",
    "stash list": "stashes",
    "stash pop": "stash-apply",
    "stash push": "stash",
    "switch": "checkout",
    "tag -d": "delete-tag",
    "tag -l": "tags",
}
"""Commands of git that are none here, and the words of the one to type instead."""

ACCEPTED = {
    "merge --abort": "abort-merge",
    "cherry-pick --abort": "abort-merge",
    "revert --abort": "abort-merge",
}
"""Commands of git that are understood, and what they stand for."""

_HELP = "help"
_LONGEST = 2


def accepted(words: Sequence[str], begin: int) -> list[str]:
    """Return a command line with what it stands for, where that is understood.

    Args:
        words: The words of the command line.
        begin: Where the command stands among them.
    """
    before, command = list(words[:begin]), list(words[begin:])
    if command[:1] == [_HELP]:
        return [*before, *command[1:], "--help"]
    for size in range(_LONGEST, len(command) + 1):
        known = ACCEPTED.get(f"{command[0]} {command[size - 1]}")
        if known is not None:
            return [*before, known, *command[1 : size - 1], *command[size:]]
    return list(words)


def hint(words: Sequence[str], begin: int) -> str | None:
    """Return the command to type instead of one of git, None where it is none of these.

    Args:
        words: The words of the command line, which is not understood.
        begin: Where the command stands among them.
    """
    for size in range(_LONGEST, 0, -1):
        found = HINTS.get(" ".join(words[begin : begin + size]))
        if found is not None:
            return f"vc {found}"
    return None
