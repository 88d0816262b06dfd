"""Names that a shell offers while a command is typed: branches, tags, remotes, profiles.

Whatever goes wrong, nothing is offered and nothing is said. Nothing is started or written, nobody
is asked, and it takes about a second at most.
"""

from __future__ import annotations

import copy
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Annotated, Any

import typer

from versioned_collection.cli.configuration import ConfigurationFile
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.session import Session
from versioned_collection.cli.settings import SETTINGS

Offer = Callable[["Looker", str], Iterable[str]]
"""Returns names, given what was typed of one."""

_SECONDS = 1.0
_LABELS = 20
"""Labels of a branch that are offered: those of its latest versions."""

_PLAIN = re.compile(r"[\w.,/@+-]+")
"""Names that mean themselves in every shell. Others are not offered: a name such as ``$(...)``,
which may come from somebody else's branch, would be run as soon as the line is."""


class Looker(Session):
    """A session that starts nothing, asks nobody and says nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""

    @cached_property
    def file(self) -> ConfigurationFile:
        """The configuration file.

        Raises:
            UsageFailure: Others can read it, which a command repairs and warns of.
        """
        found = super().file
        path = found.path
        if sys.platform != "win32" and path.exists() and path.stat().st_mode & 0o077:
            raise UsageFailure(f"others can read {path}")
        return found

    def bound(self) -> None:
        """Have the server found soon or not at all.

        Raises:
            UsageFailure: A setting stands in the keyring, which may ask for its password.
        """
        for name in ("uri", "password"):
            if "${keyring:" in (self.settings.value(name) or ""):
                raise UsageFailure("the keyring may ask")
        seconds = min(_SECONDS, self.settings.seconds("timeout"))
        self.flags["timeout"] = str(seconds)
        del self.settings

    def _embedded(self) -> str:
        from versioned_collection._embedded.running import running_uri

        uri = running_uri(self.data_directory)
        if uri is None:
            raise UsageFailure("no embedded server runs")
        return uri


def branches(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of branches."""
    return sorted(session.tracked.branches())


def tags(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of tags."""
    return sorted(session.tracked.tags())


def remotes(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of remotes."""
    return sorted(one.name for one in session.tracked.remotes())


def revisions(session: Looker, typed: str) -> Iterator[str]:
    """Return names of versions; behind an ``@`` the labels of a branch's latest versions."""
    branch, at, _ = typed.rpartition("@")
    if at and branch in session.tracked.branches():
        latest = session.tracked.resolve(branch)
        if latest.branch == branch:
            for number in range(latest.number, max(-1, latest.number - _LABELS), -1):
                yield f"{branch}@{number}"
    yield from branches(session, typed)
    yield from tags(session, typed)
    yield from ("HEAD", "@")
    for remote in session.tracked.remotes():
        yield from sorted(f"{remote.name}/{name}" for name in remote.branches)


def profiles(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of profiles."""
    return sorted(session.file.profiles())


def settings(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of settings."""
    return SETTINGS


def resolvers(session: Looker, typed: str) -> Iterable[str]:
    """Return the names of what settles conflicts."""
    from versioned_collection.core.merging.resolvers import RESOLVERS

    return RESOLVERS


_WITHOUT_SERVER = (profiles, settings, resolvers)

_BY_METAVAR: dict[str, Offer] = {
    **dict.fromkeys(("REVISION", "A", "B", "FIRST", "LAST", "GOOD", "BAD"), revisions),
    **dict.fromkeys(("BRANCH", "OLD"), branches),
    "REMOTE": remotes,
    "PROFILE": profiles,
}
_BY_COMMAND: dict[tuple[str, str], Offer | None] = {
    ("delete-branch", "NAME"): branches,
    ("delete-tag", "NAME"): tags,
    ("remove-remote", "NAME"): remotes,
    **{(f"config {verb}", "NAME"): settings for verb in ("set", "get", "unset")},
    ("worktree", "--new-branch"): None,
    ("register", "--branch"): None,  # a new one
    ("clone", "--branch"): None,  # of the other side
}


def offering(words: str, parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter of a command, with the names that are offered for it.

    Args:
        words: The words that call the command.
        parameter: The parameter, annotated with Typer's option or argument.
    """
    offer = _offer(words, parameter.annotation.__metadata__[0])
    if offer is None:
        return parameter
    annotation = parameter.annotation
    info = with_names(annotation.__metadata__[0], offer)
    return parameter.replace(annotation=Annotated[annotation.__origin__, info])


def _offer(words: str, info: Any) -> Offer | None:
    flags = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    for name in (*flags, info.metavar):
        if (words, name) in _BY_COMMAND:
            return _BY_COMMAND[words, name]
    if "--resolver" in flags:
        return resolvers
    if "--branch" in flags:
        return branches
    return _BY_METAVAR.get(info.metavar)


def with_names(info: Any, offer: Offer) -> Any:
    """Return Typer's option or argument, with the names that are offered for it."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return _names(ctx, offer, incomplete)
        except Exception:  # whatever it is, the next command says so
            return []

    info = copy.copy(info)
    info.autocompletion = complete
    return info


def _names(ctx: Any, offer: Offer, typed: str) -> list[str]:
    session = Looker()
    for one in _from_root(ctx):
        session.adopt(
            {
                name.removeprefix("shared_"): value
                for name, value in one.params.items()
                if name.startswith("shared_")
            }
        )
    if offer in _WITHOUT_SERVER:
        found = list(offer(session, typed))
    else:
        import pymongo

        session.bound()
        with pymongo.timeout(_SECONDS):
            try:
                found = list(offer(session, typed))
            finally:
                session.close()
    fitting = (one for one in found if one.startswith(typed) and _PLAIN.fullmatch(one))
    return list(dict.fromkeys(fitting))


def _from_root(ctx: Any) -> list[Any]:
    return [] if ctx is None else [*_from_root(ctx.parent), ctx]
