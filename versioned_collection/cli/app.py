"""The program ``vc``: its commands, and what happens when one fails."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from versioned_collection.cli import gitwords, streams
from versioned_collection.cli.command import (
    OPTIONS,
    command_at,
    install,
    shared,
    taken,
    unwrapped,
)
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import USAGE, Failure, describe
from versioned_collection.cli.redact import redact
from versioned_collection.cli.session import Session

_UsageError: Any = typer.BadParameter.__mro__[1]
"""Typer's base of what is wrong with arguments, wherever this release of it keeps the class."""


class Program(TyperGroup):
    """The root of the commands, which turns every error into a message and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command line and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        session = Session()
        # Known before anything is parsed, so that what is wrong with it is reported so too.
        session.json = "--json" in arguments
        begin = command_at(arguments)
        arguments = gitwords.accepted(arguments, begin)
        code: Any = Exit.FAILED
        try:
            with streams.writing():  # help, which no command prints
                code = super().main(
                    arguments, prog_name or "vc", complete_var, False, obj=session, **extra
                )
        except _UsageError as error:
            code = _usage(session, error, gitwords.hint(arguments, begin))
        except (typer.Abort, KeyboardInterrupt):
            code = Exit.INTERRUPTED
        except SystemExit as end:
            # how Typer and Rich put up with a reader that has gone away
            gone = isinstance(end.__context__, BrokenPipeError)
            code = Exit.READER_GONE if gone else end.code
        except streams.Unwritten as error:
            failure = describe(error)
            session.fail(failure)
            code = failure.exit
        if code == Exit.READER_GONE:
            streams.silence(sys.stdout)
        if code == Exit.INTERRUPTED:
            session.fail(Failure(Exit.INTERRUPTED, "interrupted", "interrupted"))
        sys.exit(int(code or 0))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was parsed."""
        session: Session = ctx.obj
        try:
            with contextlib.closing(session):
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _UsageError):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            failure = describe(error)
            if os.environ.get("VC_DEBUG"):
                sys.stderr.write(redact(traceback.format_exc(), session.secrets()))
            session.fail(failure)
            raise typer.Exit(int(failure.exit)) from error


def _usage(session: Session, error: Any, meant: str | None) -> Exit:
    """Report what is wrong with the arguments, and the command that may be meant."""
    context, message = error.ctx, error.format_message()
    if not message:  # no arguments at all, to which Typer has answered with the help
        return Exit.USAGE
    if context is not None and not session.json:
        usage = redact(context.get_usage(), session.secrets())
        with streams.telling():
            sys.stderr.write(f"{usage}\nTry '{context.command_path} --help' for help.\n")
    if meant is not None:
        message = f"that is how git calls it: did you mean {meant!r}?"
    session.fail(Failure(Exit.USAGE, USAGE, message))
    return Exit.USAGE


app = typer.Typer(
    name="vc",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from versioned_collection import __version__

        typer.echo(f"vc {__version__}")
        raise typer.Exit


def _root(context: typer.Context, version: bool, **options: Any) -> None:
    """Git-like versions of a MongoDB collection.

    Options of this page stand before the command or behind it. What no option says comes
    from the environment (VC_URI, VC_DB, VC_COLLECTION ...), then from the configuration file
    ('vc config'). With no server configured an embedded one is used. Try 'vc demo'.
    """
    context.obj.adopt(taken(options))


_version = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ],
)
_context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
_parameters = [_context, _version, *(shared(name) for name in OPTIONS)]
_root.__signature__ = inspect.Signature(_parameters)  # type: ignore[attr-defined]
_root.__doc__ = unwrapped(_root.__doc__)
_root.__annotations__ = {one.name: one.annotation for one in _parameters}
app.callback()(_root)

for _module in (
    "tracking",
    "merging",
    "rewriting",
    "conflicts",
    "looking",
    "browsing",
    "comparing",
    "past",
    "searching",
    "views",
    "thinning",
    "references",
    "worktrees",
    "sharing",
    "remotes",
    "exporting",
    "stashing",
    "undoing",
    "guarding",
    "care",
    "erasing",
    "preferences",
    "shell",
    "demo",
):
    importlib.import_module(f"versioned_collection.cli.{_module}")
install(app)


def main() -> None:
    """Run ``vc``."""
    streams.prepare()
    app()
