"""What all commands share: the session, the options of every command, the Python twin."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from versioned_collection.cli.completing import offering, profiles, with_names
from versioned_collection.cli.examples import EXAMPLES
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.session import Session
from versioned_collection.cli.settings import SETTINGS, variable

Function = Callable[..., Exit | None]
"""A command: gets the session and its arguments, returns an exit code or None for 0."""

_SETTINGS_PANEL = "Server and collection"
_OUTPUT_PANEL = "Output"
_SHARED = "shared_"
"""Keeps the names of shared options apart from those of a command's own arguments."""


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        words: The words that call it, such as ``config set``.
        panel: The heading under which the help lists it.
        twin: The Python call that does the same, None for what only a command line needs.
        keys: The keys of the object that ``--json`` prints.
        function: What it does.
        aliases: Other names, which the help leaves out.
    """

    words: str
    panel: str
    twin: str | None
    keys: tuple[str, ...]
    function: Function
    aliases: tuple[str, ...] = ()


GROUPS = {"config": "Show and change the settings."}
"""What the groups of commands are for."""

COMMANDS: list[Command] = []
"""All commands, in the order of the help."""


def _flag(name: str, metavar: str, *others: str) -> Any:
    return Annotated[
        str | None,
        typer.Option(
            f"--{name}",
            *others,
            metavar=metavar,
            help=f"{SETTINGS[name]} ({variable(name)})",
            rich_help_panel=_SETTINGS_PANEL,
            show_default=False,
        ),
    ]


def _completed(flag: Any) -> Any:
    return Annotated[flag.__origin__, with_names(flag.__metadata__[0], profiles)]


OPTIONS: dict[str, Any] = {
    "profile": _completed(_flag("profile", "NAME")),
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
            help="Configuration file, TOML or JSON. (VC_CONFIG)",
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
    words: str,
    *,
    panel: str,
    twin: str | None,
    keys: tuple[str, ...],
    aliases: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Make a function a command of the program; see `Command`."""

    def add(function: Function) -> Function:
        COMMANDS.append(Command(words, panel, twin, keys, function, aliases))
        return function

    return add


def install(app: typer.Typer) -> None:
    """Add all commands to the program."""
    groups: dict[str, typer.Typer] = {"": app}
    for one in COMMANDS:
        group, _, name = one.words.rpartition(" ")
        if group not in groups:
            groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS[group])
            app.add_typer(groups[group], name=group, rich_help_panel=one.panel)
        callback = _as_command(one.words, one.function)
        groups[group].command(
            name,
            rich_help_panel=one.panel if not group else None,
            epilog=_epilog(one.words),
        )(callback)
        for alias in one.aliases:
            groups[group].command(alias, hidden=True)(callback)


def _epilog(words: str) -> str | None:
    return f"Example: {EXAMPLES[words]}" if words in EXAMPLES else None


def _as_command(words: str, function: Function) -> Callable[..., None]:
    """Return a function that Typer can call: with the shared options, without the session."""

    def run(**arguments: Any) -> None:
        context: typer.Context = arguments.pop("context")
        session: Session = context.find_root().obj
        session.adopt(taken(arguments))
        code = function(session, **arguments)
        if code:
            raise typer.Exit(int(code))

    own = [
        offering(words, parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if name != "session"
    ]
    parameters = [_parameter("context", typer.Context, inspect.Parameter.empty), *own]
    parameters += [shared(name, hidden=name not in ("json",)) for name in OPTIONS]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__, run.__doc__ = function.__name__, unwrapped(function.__doc__)
    return run


def unwrapped(text: str | None) -> str:
    """Return a docstring with each paragraph on one line, for a terminal to wrap."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def shared(name: str, hidden: bool = False) -> inspect.Parameter:
    """Return the parameter of an option of `OPTIONS`."""
    annotation = OPTIONS[name]
    if hidden:
        kind, option = annotation.__origin__, annotation.__metadata__[0]
        flags = [option.default, *(option.param_decls or ())]
        hidden_option = typer.Option(*flags, hidden=True, help=option.help)
        hidden_option.autocompletion = option.autocompletion
        annotation = Annotated[kind, hidden_option]
    default = False if name in ("json", "quiet") else None
    return _parameter(_SHARED + name, annotation, default)


def command_at(words: Sequence[str]) -> int:
    """Return where the command stands in a command line: behind options of `OPTIONS`."""
    takes = {
        flag
        for option in OPTIONS.values()
        for flag in option.__metadata__[0].param_decls or (option.__metadata__[0].default,)
        if option.__origin__ is not bool
    }
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in takes else 1
    return at


def taken(arguments: dict[str, Any]) -> dict[str, Any]:
    """Take the values of the shared options out of a command's arguments."""
    return {name: arguments.pop(_SHARED + name) for name in OPTIONS}


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
