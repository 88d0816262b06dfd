"""Commands for the settings: config and use."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.redact import HIDDEN, redact
from versioned_collection.cli.session import Session
from versioned_collection.cli.settings import SECRETS, SETTINGS, check

_SETTINGS = "Set up"

Name = Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(SETTINGS)}.")]
Value = Annotated[
    str | None,
    typer.Argument(
        metavar="VALUE",
        help="The value; without one it is asked for, or read from standard input.",
        show_default=False,
    ),
]
CollectionName = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection.")]


def _shown(session: Session, name: str, value: str) -> str:
    return HIDDEN if name in SECRETS else redact(value, session.secrets())


@command("use", panel=_SETTINGS, twin=None, keys=("file", "collection", "db"))
def use(session: Session, collection: CollectionName) -> None:
    """Work on this collection from now on; on this server and database, with their options.

    So "vc --uri mongodb://localhost --db music use bands" stores all three.
    """
    changes: dict[str, str | None] = {"collection": collection}
    for name, other in (("uri", "data"), ("data", "uri"), ("db", None), ("username", None)):
        if name in session.flags:
            changes[name] = check(name, session.flags[name])
            if other:
                changes[other] = None
    session.profile.set(changes)
    settings = session.effective()
    db = settings.value("db")
    where = f"{db}.{collection}" if db else collection
    session.answer(
        {"file": str(session.profile.path), "collection": collection, "db": db},
        f"using {where} (in {session.profile.path})",
    )
    found = settings.get("collection")
    if found is not None and found.value != collection:
        session.warn(f"the {found.source} says {found.value!r}, which goes first")


@command("config set", panel=_SETTINGS, twin=None, keys=("file", "name"))
def set_(session: Session, name: Name, value: Value = None) -> None:
    """Store a setting in the configuration file, which only its owner can read."""
    check(name, "0")
    text = _asked(name) if value is None else value
    if not text:
        raise UsageFailure(f"{name} would be empty; 'vc config unset {name}' removes it")
    session.profile.set({name: check(name, text)})
    path = session.profile.path
    session.answer({"file": str(path), "name": name}, f"{name} is set in {path}")


def _asked(name: str) -> str:
    """Return a value that is typed in, or one line of standard input."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{name}: ") if name in SECRETS else input(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")


@command("config get", panel=_SETTINGS, twin=None, keys=("name", "value", "source"))
def get(session: Session, name: Name) -> Exit | None:
    """Show a setting that holds, wherever it comes from; credentials are hidden."""
    check(name, "0")
    found = session.effective().get(name)
    if found is None:
        session.answer({"name": name, "value": None, "source": None}, f"{name} is not set")
        return Exit.NOTHING
    value = _shown(session, name, found.value)
    session.answer({"name": name, "value": value, "source": found.source}, value)
    return None


@command("config list", panel=_SETTINGS, twin=None, keys=("file", "settings"))
def list_(session: Session) -> None:
    """List the settings that hold, and where they come from; credentials are hidden."""
    from versioned_collection.cli.render import table

    found: dict[str, dict[str, Any]] = {
        name: {"value": _shown(session, name, setting.value), "source": setting.source}
        for name, setting in session.effective().items()
    }
    rows = [(name, one["value"], one["source"]) for name, one in found.items()]
    state = "" if session.profile.exists() else " (not there yet)"
    session.answer(
        {"file": str(session.profile.path), "settings": found},
        table(("setting", "value", "from"), rows),
        f"\nfile: {session.profile.path}{state}",
    )


@command("config unset", panel=_SETTINGS, twin=None, keys=("file", "name", "removed"))
def unset(session: Session, name: Name) -> Exit | None:
    """Remove a setting from the configuration file."""
    check(name, "0")
    there = name in session.profile.read()
    if there:
        session.profile.set({name: None})
    path = session.profile.path
    words = f"{name} is gone from {path}" if there else f"{name} is not set in {path}"
    session.answer({"file": str(path), "name": name, "removed": there}, words)
    return None if there else Exit.NOTHING
