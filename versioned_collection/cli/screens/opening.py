"""What has to be there before a screen opens."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.failures import UsageFailure
from versioned_collection.extras import how_to_get

if TYPE_CHECKING:
    from versioned_collection.cli.session import Session


def require_screen(session: Session, instead: str) -> None:
    """Make sure that there is a terminal, and what draws on it.

    Args:
        session: The run.
        instead: The command that does the same with lines of text.

    Raises:
        UsageFailure: There is no terminal, or JSON was asked for.
        NotSupported: The extra is not installed.
    """
    if session.json:
        raise UsageFailure(f"a full screen has no --json; {instead} has")
    if not _is_installed("textual"):
        from versioned_collection.errors import NotSupported

        raise NotSupported(f"full screens take Textual: {how_to_get('tui')}", library="textual")
    # Textual draws on standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageFailure(f"a full screen takes a terminal; {instead} needs none")


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ValueError:  # what a test, or a frozen program, put in its place
        return False


def browse(session: Session, start: Any) -> None:
    """Show the history until the person leaves.

    Args:
        session: The run.
        start: The version whose ancestors are shown; None shows all branches.
    """
    from versioned_collection.cli.screens.app import Screens
    from versioned_collection.cli.screens.log import LogScreen
    from versioned_collection.cli.screens.reading import History

    Screens(LogScreen(History(session.tracked, start)), session.secrets()).show()


def resolve(session: Session, author: Any) -> int:
    """Show the conflicts that wait until the person leaves.

    Args:
        session: The run.
        author: Who registers the outcome.

    Returns:
        How many conflicts were settled.
    """
    from versioned_collection.cli.screens.app import Screens
    from versioned_collection.cli.screens.resolver import ResolverScreen

    screen = ResolverScreen(session.tracked, author)
    Screens(screen, session.secrets()).show()
    return screen.settled
