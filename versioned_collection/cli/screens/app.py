"""The program on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import App

from versioned_collection.cli.screens.base import Base
from versioned_collection.trackers import lease

_LONGEST_END = 10.0
"""Seconds for which a read may go on behind the end while it holds a lease."""


class Screens(App[None]):
    """Shows a screen, and those that open from it.

    Args:
        first: The screen.
        secrets: What must not be shown.
    """

    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False
    CSS = """
    #said { height: 1; padding: 0 1; }
    .side { width: 1fr; }
    .part { border: round $panel; padding: 0 1; }
    """

    def __init__(self, first: Base, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self.secrets = list(secrets)
        self._first = first

    def on_mount(self) -> None:
        """Show the first screen."""
        self.push_screen(self._first)

    def show(self, headless: bool = False) -> None:
        """Run until the person leaves.

        What is being read then is given up, but for a lease: others would wait for its expiry.

        Args:
            headless: Do without a terminal, for tests.

        Raises:
            Exception: Whatever went wrong without being shown on the screen.
        """
        self.run(headless=headless)
        self._first.abandon()
        lease.wait_for_all(_LONGEST_END)
        if self._exception is not None:
            raise getattr(self._exception, "error", self._exception)

    def _fatal_error(self) -> None:
        """End without the values of variables, which Textual would print: some are secrets."""
        self._close_messages_no_wait()
