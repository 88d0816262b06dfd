"""Questions: yes or no, a line of text, a side; and the help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from versioned_collection.cli.lines import printable

Check = Callable[[str], str | None]
"""Returns what is wrong with an answer, None for nothing."""

_STYLE = """
    align: center middle;
    & > .box { width: 76; max-width: 95%; height: auto; max-height: 90%; padding: 1 2;
        border: round $accent; background: $surface; }
    & .wrong { color: $text-error; height: auto; }
"""


class Choose(ModalScreen[str | None]):
    """Asks for one of some keys.

    Args:
        question: What is about to happen.
        keys: The keys, and what each one stands for.
    """

    DEFAULT_CSS = f"Choose {{ {_STYLE} }}"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "Back")]

    def __init__(self, question: str, keys: dict[str, str]) -> None:
        super().__init__()
        self._question = printable(question)
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Show the question."""
        keys = "   ".join(f"{key} {meaning}" for key, meaning in self._keys.items())
        with Vertical(classes="box"):
            yield Static(Text(self._question), id="question")
            yield Static(Text(f"\n{keys}   esc back", style="bold"))

    def on_key(self, event: Key) -> None:
        """Answer."""
        if event.character in self._keys:
            event.stop()
            self.dismiss(event.character)


class Confirm(Choose):
    """Asks yes or no; the answer is ``"y"``, or something else.

    Args:
        question: What is about to happen.
    """

    DEFAULT_CSS = f"Confirm {{ {_STYLE} }}"

    def __init__(self, question: str) -> None:
        super().__init__(question, {"y": "yes", "n": "no"})


class Ask(ModalScreen[str | None]):
    """Asks for a line of text.

    Args:
        question: What is asked for.
        value: What stands there to begin with.
        check: What has to be right about it.
    """

    DEFAULT_CSS = f"Ask {{ {_STYLE} }}"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, question: str, value: str = "", check: Check | None = None) -> None:
        super().__init__()
        self._question = printable(question)
        self._value = value
        self._check = check

    def compose(self) -> ComposeResult:
        """Show the question, and a line to write on."""
        with Vertical(classes="box"):
            yield Static(Text(self._question), id="question")
            yield Input(self._value, id="answer", select_on_focus=False)
            yield Static("", classes="wrong", id="wrong")
            yield Static(Text("enter goes on   esc back", style="bold"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, unless something is wrong with it."""
        wrong = None if self._check is None else self._check(event.value)
        if wrong is None:
            self.dismiss(event.value)
        else:
            self.query_one("#wrong", Static).update(Text(printable(wrong)))


class Help(ModalScreen[None]):
    """Shows the keys.

    Args:
        keys: Each one with what it does.
    """

    DEFAULT_CSS = f"Help {{ {_STYLE} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss(None)", "Back")
    ]

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._text = "\n".join(f"{key:<18}{meaning}" for key, meaning in keys)

    def compose(self) -> ComposeResult:
        """Show them."""
        with VerticalScroll(classes="box"):
            yield Static(Text(self._text), id="keys")
