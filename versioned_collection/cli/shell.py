"""The command that opens a Python prompt."""

from __future__ import annotations

import linecache
import sys
import traceback
from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import INTERNAL, Failure, describe
from versioned_collection.cli.redact import redact
from versioned_collection.cli.session import Session
from versioned_collection.cli.streams import fitting

_SOURCE = "--execute"
"""What tracebacks call the code."""

Execute = Annotated[
    str | None,
    typer.Option(
        "--execute",
        "-e",
        metavar="CODE",
        help="Run this instead of asking for input.",
        show_default=False,
    ),
]


@command("shell", panel="Set up", twin=None, keys=("collection",))
def shell(session: Session, execute: Execute = None) -> Exit | None:
    """Open a Python prompt with the collection.

    There are "collection", "db" and "client", and what the package exports: "Retention", say.
    IPython is used where it is installed. A mistake in the code of --execute is shown by Python's
    traceback, and the exit code is 1. With --json the answer follows on what the code prints.
    """
    names = _names(session)
    ended = None
    if execute is not None:
        ended = _execute(session, execute, names)
    else:
        _ask(session, names)
    if session.json and not ended:
        session.emit({"collection": session.collection.full_name})
    return ended


def _execute(session: Session, text: str, names: dict[str, Any]) -> Exit | None:
    """Run code; errors that have a code of their own are reported as those of any command."""
    lines = text.splitlines(keepends=True)
    linecache.cache[_SOURCE] = (len(text), None, lines, _SOURCE)  # for tracebacks to quote
    try:
        exec(compile(text, _SOURCE, "exec"), names)
    except Exception as error:
        failure = describe(error)
        if failure.code != INTERNAL:
            raise
        _show_mistake(session, error)
        return Exit.NOTHING
    return None


def _show_mistake(session: Session, error: Exception) -> None:
    """Show where in the code a mistake is, without the frames of this program."""
    ours = error.__traceback__
    found = traceback.format_exception(type(error), error, ours and ours.tb_next)
    trace = redact("".join(found), session.secrets())
    if session.json:
        message, facts = trace.splitlines()[-1], {"traceback": trace}
        session.fail(Failure(Exit.NOTHING, "python", message, facts))
    else:
        sys.stderr.write(fitting(trace, sys.stderr))


def _ask(session: Session, names: dict[str, Any]) -> None:
    """Open a prompt."""
    banner = (
        f"collection: {session.collection.full_name}, db, client; "
        "help(collection) lists what there is. Ctrl-D ends it."
    )
    try:
        from IPython import start_ipython
    except ImportError:
        _prompt(banner, names)
    else:
        typer.echo(banner, err=True)
        start_ipython(argv=["--no-banner", "--no-confirm-exit"], user_ns=names)


def _names(session: Session) -> dict[str, Any]:
    import versioned_collection

    exported = {
        name: getattr(versioned_collection, name)
        for name in versioned_collection.__all__
        if not name.startswith("Async")
    }
    return {
        **exported,
        "collection": session.collection,
        "db": session.database,
        "client": session.client,
        "__name__": "__console__",
    }


def _prompt(banner: str, names: dict[str, Any]) -> None:
    import code
    import contextlib

    with contextlib.suppress(ImportError):  # editing of lines, where Python was built with it
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner, local=names, exitmsg="")
