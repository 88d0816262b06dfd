"""The exit codes of ``vc``."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended; `meaning` says it in words."""

    OK = 0
    NOTHING = 1
    USAGE = 2
    NOT_TRACKED = 3
    STATE = 4
    NOT_FOUND = 5
    BUSY = 6
    DENIED = 7
    UNREACHABLE = 8
    CORRUPT = 9
    FAILED = 10
    CONFLICTS = 11
    INTERRUPTED = 130
    READER_GONE = 141

    @property
    def meaning(self) -> str:
        """What the code says to a script."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "Done, or there was an answer to print.",
    Exit.NOTHING: (
        "There was nothing to do: nothing to register, nothing to stash, no stash, a question "
        "answered with no, no such check, nothing to pull because the remote is "
        "not tracked, a setting that is not set. With `--exit-code`: there are differences. Of "
        "`vc shell --execute`: a mistake in the code."
    ),
    Exit.USAGE: "An option, an argument, a setting or a name that cannot be right.",
    Exit.NOT_TRACKED: "The collection has no history; `vc init` starts one.",
    Exit.STATE: (
        "The command does not fit the present state: uncommitted changes, a stash or a history "
        "that is there already, a merge that waits, a check that fails, a document or collection "
        "that the server refuses."
    ),
    Exit.NOT_FOUND: "There is no such version, branch, tag or remote, or several fit.",
    Exit.BUSY: "Another process is at work on the collection; try again.",
    Exit.DENIED: (
        "The server, here or at the remote, refused the login, or the user lacks a privilege."
    ),
    Exit.UNREACHABLE: (
        "The server, here or at the remote, cannot be reached, or the embedded one cannot start."
    ),
    Exit.CORRUPT: (
        "`vc verify` found problems, the history cannot be read, what a remote sent is not what "
        "it announced, or a file is not what it should be (or is there already)."
    ),
    Exit.FAILED: "Anything else, such as a refusal by the server that has no code of its own.",
    Exit.CONFLICTS: (
        "Conflicts wait for decisions: after `vc merge`, `vc pull` and their like, and where `vc "
        "resolve-conflict` or `vc resolve-conflicts` leaves some. `vc conflicts` lists them."
    ),
    Exit.INTERRUPTED: "Interrupted with Ctrl-C.",
    Exit.READER_GONE: (
        "Nobody reads standard output any more, as with `vc log | head`; what a shell says of a "
        "program that SIGPIPE ended."
    ),
}
