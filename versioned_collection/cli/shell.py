"""The command that opens a Python prompt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from versioned_collection.cli.command import command
from versioned_collection.cli.session import Session

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
def shell(session: Session, execute: Execute = None) -> None:
    """Open a Python prompt with the collection.

    There are "collection", "db" and "client", and what the package exports: "Retention", say.
    IPython is used where it is installed.
    """
    names = _names(session)
    if execute is not None:
        exec(compile(execute, "--execute", "exec"), names)
        return
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
