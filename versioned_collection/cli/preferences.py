"""Commands for the settings: config and use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.redact import HIDDEN, redact
from versioned_collection.cli.session import Session
from versioned_collection.cli.settings import (
    SECRETS,
    SETTINGS,
    check,
    check_name,
    is_reference,
)

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
CollectionName = Annotated[
    str | None,
    typer.Argument(
        metavar="COLLECTION",
        help="The collection; that of the profile where one is chosen and this is left out.",
        show_default=False,
    ),
]
ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="The profile.")]


def _shown(session: Session, name: str, value: str) -> str:
    return HIDDEN if name in SECRETS else redact(value, session.secrets())


@command("use", panel=_SETTINGS, twin=None, keys=("file", "collection", "db", "profile"))
def use(session: Session, collection: CollectionName = None) -> None:
    """Work on this collection from now on; on this server and database, with their options.

    So "vc --uri mongodb://localhost --db music use bands" stores all three. With --profile they
    are stored under its name, which is the default from now on; "vc --profile NAME use" goes
    back to them, "vc config unset profile" to those without a profile. A profile is changed
    only where the line, or VC_PROFILE, names it.
    """
    wanted = session.flags.get("profile")
    changes: dict[str, str | None] = {}
    if collection is not None:
        changes["collection"] = check("collection", collection)
    for name, other in (("uri", "data"), ("data", "uri"), ("db", None), ("username", None)):
        if name in session.flags:
            changes[name] = check(name, _refuse_secret(name, session.flags[name]))
            if other:
                changes[other] = None
    if collection is None and (wanted is None or wanted not in session.file.profiles()):
        raise UsageFailure(
            "name the collection, or with --profile one of those that 'vc config profiles' lists"
        )
    if changes:
        _refuse_unnamed(session, changes)
        session.file.set(changes, session.profile)
    if wanted is not None:
        session.file.set({"profile": wanted})
    _used(session, changes)


def _refuse_unnamed(session: Session, changes: Mapping[str, str | None]) -> None:
    """Refuse to change a profile that is only the default.

    Which one that is was said in an earlier line, and who types this one may not think of it.

    Raises:
        UsageFailure: A profile is the default, and would become another.
    """
    profile = session.profile
    if profile is None or session.names_profile:
        return
    there = session.file.read(profile)
    if any(there.get(name) != value for name, value in changes.items()):
        raise UsageFailure(
            f"the profile {profile} is the default, and would be changed: 'vc --profile {profile} "
            "use ...' changes it, 'vc --profile NAME use ...' makes another one, and 'vc config "
            "unset profile' leaves it"
        )


def _used(session: Session, changes: Mapping[str, str | None]) -> None:
    """Say what is used from now on, and which of it something else goes before."""
    settings = session.effective()
    db, collection = settings.value("db"), settings.value("collection")
    where = f"{db}.{collection}" if db else str(collection)
    profile = "" if session.profile is None else f"profile {session.profile}: "
    lines = [f"using {profile}{where} (in {session.file.path})"]
    if "profile" in session.flags:
        lines.append(
            "this profile is the default from now on; 'vc config unset profile' leaves it"
        )
    session.answer(
        {
            "file": str(session.file.path),
            "collection": collection,
            "db": db,
            "profile": session.profile,
        },
        *lines,
    )
    found, wanted = settings.get("collection"), changes.get("collection")
    if found is not None and wanted is not None and found.value != wanted:
        session.warn(f"the {found.source} says {found.value!r}, which goes first")


@command("config set", panel=_SETTINGS, twin=None, keys=("file", "name", "profile"))
def set_(session: Session, name: Name, value: Value = None) -> None:
    """Store a setting in the configuration file, which only its owner can read.

    In the profile, if one is chosen. A password, or a connection string that holds one, is asked
    for or read from standard input: others can see the arguments of a program. ${NAME} in a
    connection string or password stands for an environment variable, ${keyring:SERVICE:USER} for
    an entry of the keyring.
    """
    check_name(name)
    text = _asked(name) if value is None else _refuse_secret(name, value)
    if not text:
        raise UsageFailure(f"{name} would be empty; 'vc config unset {name}' removes it")
    profile = _profile_of(session, name)
    session.file.set({name: check(name, text)}, profile)
    where = _place(session, profile)
    path = str(session.file.path)
    session.answer({"file": path, "name": name, "profile": profile}, f"{name} is set in {where}")


def _refuse_secret(name: str, value: str) -> str:
    """Return a value that was passed as an argument, which holds no password.

    Raises:
        UsageFailure: It does.
        InvalidArgument: It is no connection string.
    """
    from versioned_collection.remotes.address import INSTEAD_OF_A_PASSWORD, holds_secret

    if name in SECRETS and not is_reference(value):
        raise UsageFailure(
            f"others can see the arguments of a program: leave the {name} out and it is asked "
            f"for, or read from standard input ('vc config set {name} < FILE'); or write what "
            "leads to it, '${NAME}' or '${keyring:SERVICE:USER}'"
        )
    if name == "uri" and holds_secret(value):
        raise UsageFailure(
            "others can see the arguments of a program, and the file would hold the password: "
            f"{INSTEAD_OF_A_PASSWORD}; or let 'vc config set uri < FILE' read it"
        )
    return value


def _profile_of(session: Session, name: str) -> str | None:
    """Return the profile in which a setting is stored; which one is chosen is in none."""
    return None if name == "profile" else session.profile


def _place(session: Session, profile: str | None) -> str:
    path = str(session.file.path)
    return path if profile is None else f"profile {profile} of {path}"


def _asked(name: str) -> str:
    """Return a value that is typed in, or one line of standard input."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{name}: ") if name in SECRETS else input(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")


@command("config get", panel=_SETTINGS, twin=None, keys=("name", "value", "source"))
def get(session: Session, name: Name) -> Exit | None:
    """Show a setting that holds, wherever it comes from; credentials are hidden."""
    check_name(name)
    settings = session.effective()
    found, idle = settings.get(name), settings.idle(name)
    if found is None:
        words = "is not set" if idle is None else f"is set, and does not hold: {idle}"
        session.answer({"name": name, "value": None, "source": None}, f"{name} {words}")
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
    state = "" if session.file.exists() else " (not there yet)"
    session.answer(
        {"file": str(session.file.path), "settings": found},
        table(("setting", "~value", "from"), rows),
        f"\nfile: {session.file.path}{state}",
    )


@command("config unset", panel=_SETTINGS, twin=None, keys=("file", "name", "removed", "profile"))
def unset(session: Session, name: Name) -> Exit | None:
    """Remove a setting from the configuration file; from the profile, if one is chosen."""
    check_name(name)
    profile = _profile_of(session, name)
    there = name in session.file.read(profile)
    if there:
        session.file.set({name: None}, profile)
    where = _place(session, profile)
    session.answer(
        {"file": str(session.file.path), "name": name, "removed": there, "profile": profile},
        f"{name} is gone from {where}" if there else f"{name} is not set in {where}",
    )
    return None if there else Exit.NOTHING


@command("config profiles", panel=_SETTINGS, twin=None, keys=("file", "profile", "profiles"))
def profiles(session: Session) -> None:
    """List the profiles of the configuration file; credentials are hidden."""
    from versioned_collection.cli.render import table

    found = {
        profile: {name: _shown(session, name, value) for name, value in settings.items()}
        for profile, settings in session.file.profiles().items()
    }
    rows = [
        (
            "*" if profile == session.profile else "",
            profile,
            one.get("uri") or one.get("data") or "",
            ".".join(one[name] for name in ("db", "collection") if name in one),
        )
        for profile, one in found.items()
    ]
    session.answer(
        {"file": str(session.file.path), "profile": session.profile, "profiles": found},
        table(("", "profile", "~server", "collection"), rows) if rows else "there are no profiles",
    )


@command("config delete-profile", panel=_SETTINGS, twin=None, keys=("file", "profile"))
def delete_profile(session: Session, profile: ProfileName) -> None:
    """Remove a profile from the configuration file, with all its settings."""
    if profile not in session.file.profiles():
        raise UsageFailure(f"there is no profile {profile!r} in {session.file.path}")
    session.file.remove(profile)
    if session.file.read().get("profile") == profile:
        session.file.set({"profile": None})
    path = str(session.file.path)
    session.answer({"file": path, "profile": profile}, f"profile {profile} is gone from {path}")
