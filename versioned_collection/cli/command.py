"""What all commands share: the session, the options of every command, the Python twin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from versioned_collection.cli.exits import Exit
from versioned_collection.cli.session import Session
from versioned_collection.cli.settings import SETTINGS, variable

Function = Callable[..., Exit | None]
"""A command: gets the session and its arguments, returns an exit code or None for 0."""

_SETTINGS_PANEL = "Server and collection"
_OUTPUT_PANEL = "Output"


@dataclass(frozen=True)
class Entry:
    """What the reference says of a command beside its help.

    Attributes:
        twin: The Python call that does the same, None for what only a command line needs.
        keys: The keys of the object that ``--json`` prints.
    """

    twin: str | None
    keys: tuple[str, ...]


ENTRIES: dict[str, Entry] = {}
"""The entries by the words of the command, such as ``config set``."""


def _flag(name: str, metavar: str, *others: str) -> Any:
    return Annotated[
        str | None,
        typer.Option(
            f"--{name}",
            *others,
            metavar=metavar,
            help=f"{SETTINGS[name]} [env: {variable(name)}]",
            rich_help_panel=_SETTINGS_PANEL,
            show_default=False,
        ),
    ]


OPTIONS: dict[str, Any] = {
    "uri": _flag("uri", "URI"),
    "data": _flag("data", "DIRECTORY"),
    "db": _flag("db", "NAME"),
    "collection": _flag("collection", "NAME", "-c"),
    "username": _flag("username", "NAME"),
    "capture": _flag("capture", "MODE"),
    "timeout": _flag("timeout", "SECONDS"),
    "wait": _flag("wait", "SECONDS"),
    "config": Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Configuration file, TOML or JSON. [env: VC_CONFIG]",
            rich_help_panel=_SETTINGS_PANEL,
            show_default=False,
        ),
    ],
    "json": Annotated[
        bool,
        typer.Option(
            "--json", help="Print the answer as one JSON object.", rich_help_panel=_OUTPUT_PANEL
        ),
    ],
    "quiet": Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=_OUTPUT_PANEL),
    ],
}
"""The options that stand before the command or behind it."""


def command(
    app: typer.Typer,
    name: str,
    *,
    panel: str,
    twin: str | None,
    keys: tuple[str, ...],
    group: str = "",
    hidden: bool = False,
) -> Callable[[Function], Function]:
    """Add a function to the program as a command.

    Args:
        app: The program, or a group of its commands.
        name: The command's name.
        panel: The heading under which the help lists it.
        twin: The Python call that does the same.
        keys: The keys of the object that ``--json`` prints.
        group: The name of the group that `app` is.
        hidden: Whether it is another name of a command, which the help leaves out.
    """

    def add(function: Function) -> Function:
        if not hidden:
            ENTRIES[f"{group} {name}".strip()] = Entry(twin, keys)
        app.command(name, rich_help_panel=panel, hidden=hidden)(_as_command(function))
        return function

    return add


def _as_command(function: Function) -> Callable[..., None]:
    """Return a function that Typer can call: with the shared options, without the session."""

    def run(**arguments: Any) -> None:
        context: typer.Context = arguments.pop("context")
        session: Session = context.find_root().obj
        session.adopt({name: arguments.pop(name) for name in OPTIONS})
        code = function(session, **arguments)
        if code:
            raise typer.Exit(int(code))

    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "session"
    ]
    parameters = [_parameter("context", typer.Context, inspect.Parameter.empty), *own]
    parameters += [shared(name, hidden=name not in ("json",)) for name in OPTIONS]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return run


def shared(name: str, hidden: bool = False) -> inspect.Parameter:
    """Return the parameter of an option of `OPTIONS`."""
    annotation = OPTIONS[name]
    if hidden:
        kind, option = annotation.__origin__, annotation.__metadata__[0]
        flags = [option.default, *(option.param_decls or ())]
        annotation = Annotated[kind, typer.Option(*flags, hidden=True, help=option.help)]
    default = False if name in ("json", "quiet") else None
    return _parameter(name, annotation, default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
