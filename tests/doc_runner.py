"""Runs the examples of a page, as its reader would: one after the other, on one server."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli_support import Cli
from doc_pages import CODE, COMMANDS, OUTPUT, Block, agrees, agrees_folded
from pymongo import MongoClient

from versioned_collection import embedded

PASSWORD = "moon-safari"
USER = "ada"
SHARED = "music"
"""The database at other people's servers, where ``ada`` has a login."""

_URI = re.compile(
    r"mongodb://(?P<login>[^@/'\"\s]+@)?(?:localhost|central|host)(?::\d+)?"
    r"(?:/(?P<path>[^?'\"\s]*))?(?:\?[^'\"\s]*)?"
)
"""Servers by the names that pages give them: all of them are the one that runs."""

_PROMPT = "$ "
_BREAKS = frozenset((";", "&&"))


class Lent:
    """A server that a page starts and stops, though it goes on for the next page.

    Args:
        server: The server.
        path: Where the page keeps its data; what it keeps nowhere goes when it stops the server.
    """

    def __init__(self, server: embedded.Server, path: Any = None, **_: Any) -> None:
        self._server = server
        self._is_kept = path is not None
        with MongoClient[Any](server.uri) as client:
            self._before = set(client.list_database_names())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def __enter__(self) -> Lent:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the server as it was."""
        if not self._is_kept:
            with MongoClient[Any](self._server.uri) as client:
                for name in set(client.list_database_names()) - self._before:
                    client.drop_database(name)


@dataclass
class Runner:
    """Runs blocks, and tells what a page shows that is not so.

    Attributes:
        server: The server.
        cli: Runs commands.
        names: What the Python of the page has defined.
    """

    server: embedded.Server
    cli: Cli
    names: dict[str, Any] = field(default_factory=dict)
    _printed: str = ""
    _code: int = 0

    def run(self, blocks: Iterable[Block]) -> None:
        """Run the blocks of a page.

        Raises:
            AssertionError: Something else is printed than the page shows.
        """
        try:
            for block in blocks:
                self._run(block)
            assert not self._printed, f"the page does not show what is printed:\n{self._printed}"
        finally:
            self._close()

    def _run(self, block: Block) -> None:
        if block.language in OUTPUT and not block.skipped:
            assert agrees(self._printed, block.text), _differ(block, self._printed, block.text)
            self._printed = ""
            return
        if block.skipped or block.language not in (CODE, COMMANDS):
            return
        assert not self._printed, f"not shown before line {block.line}:\n{self._printed}"
        if block.given:
            self._execute(block.given, block.line)
        if block.language == CODE:
            self._printed = self._execute(block.text, block.line)
        else:
            self._type(block)

    # -- Python --------------------------------------------------------------------------

    def _execute(self, text: str, line: int) -> str:
        printed = io.StringIO()
        code = compile("\n" * line + self._reachable(text), "the page", "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)
        return printed.getvalue()

    def _close(self) -> None:
        client = self.names.get("client")
        if client is not None:
            client.close()

    # -- commands ------------------------------------------------------------------------

    def _type(self, block: Block) -> None:
        if not any(line.startswith(_PROMPT) for line in block.text.splitlines()):
            for line in block.text.splitlines():
                printed = self._commands(line)
                assert self._code == 0, f"line {block.line}: {line} ended so:\n{printed}"
            return
        for command, shown in _dialogue(block.text):
            printed = self._commands(command)
            assert agrees_folded(printed, shown), _differ(block, printed, shown, command)

    def _commands(self, line: str) -> str:
        """Run the commands of a line; return what they print."""
        return "".join(self._command(words) for words in _commands_in(self._reachable(line)))

    def _command(self, words: list[str]) -> str:
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, self.cli.env[name] = words.pop(0).partition("=")
        if not words:
            return ""
        if words == ["echo", "$?"]:
            return f"{self._code}\n"
        if words[0] == "echo" and words[-2] == ">":
            Path(words[-1]).write_text(f"{' '.join(words[1:-2])}\n", encoding="utf-8")
            return ""
        if words[0] != "vc":
            return ""
        outcome = self.cli(*words[1:], code=None)
        self._code = outcome.code
        return outcome.out + outcome.err

    def _reachable(self, text: str) -> str:
        """Return a text with the server's address in the place of those that pages name."""

        def address(found: re.Match[str]) -> str:
            login, path = found["login"] or "", found["path"] or ""
            return f"mongodb://{login}{self.server.address}/{path}?replicaSet=rs0"

        return _URI.sub(address, text)


def _differ(block: Block, printed: str, shown: str, command: str = "") -> str:
    return f"line {block.line}: {command}\n-- printed:\n{printed}-- shown:\n{shown}"


def _dialogue(text: str) -> Iterator[tuple[str, str]]:
    """Iterate over the commands of a block and what is shown below each."""
    command, shown = "", ""
    for line in text.splitlines():
        if line.startswith(_PROMPT):
            if command:
                yield command, shown
            command, shown = line.removeprefix(_PROMPT), ""
        elif command.endswith("\\"):
            command = command.removesuffix("\\") + line.removeprefix("> ")
        else:
            shown += f"{line}\n"
    yield command, shown


def _commands_in(line: str) -> Iterator[list[str]]:
    """Iterate over the words of each command in a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in _BREAKS:
            yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words
