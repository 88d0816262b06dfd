"""docs/commands.md is current, and every command is documented and has a Python twin."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from api_support import own_members

from versioned_collection import VersionedCollection
from versioned_collection.cli import app as program
from versioned_collection.cli.command import COMMANDS, OPTIONS, Command
from versioned_collection.cli.examples import EXAMPLES

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "build_command_reference.py"
WITHOUT_TWIN = {
    **dict.fromkeys(
        (
            "use", "config set", "config get", "config list", "config unset", "config profiles",
            "config delete-profile",
        ),
        "a program passes its settings",
    ),
    "demo": "shows the others at work",
    "shell": "is Python",
    "show": "is `resolve`, and `changes` since its parent",
}  # fmt: skip
"""Commands that no method of `VersionedCollection` is a twin of, and why."""

WITHOUT_COMMAND = {
    **dict.fromkeys(
        ("is_tracked", "is_detached", "has_stash", "has_conflicts", "has_changes"),
        "`vc status` tells",
    ),
    "get_log": "is another name of `vc log`",
    "with_options": "is about the object, not about the collection",
}
"""Public methods without a command of their own, and why."""

every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.words)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_command_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current(script: ModuleType, tmp_path: Path) -> None:
    assert script.main(["--check"]) == 0, "run scripts/build_command_reference.py"
    other = tmp_path / "commands.md"
    assert script.main(["--check", "--output", str(other)]) == 1
    assert script.main(["--output", str(other)]) == 0
    assert other.read_text() == script.TARGET.read_text()


@every_command
def test_every_command_has_help(script: ModuleType, command: Command) -> None:
    found = script.find(command.words)
    assert found.help
    assert found.help.split("\n")[0].endswith(".")
    arguments, options = script.visible(command)
    for parameter in (*arguments, *options):
        assert parameter.help, parameter.name
        assert parameter.help.rstrip(")").endswith((".", "VC_AUTHOR")), parameter.name
    assert command.keys


@every_command
def test_every_command_has_a_python_twin(command: Command) -> None:
    if command.twin is None:
        assert command.words in WITHOUT_TWIN
        return
    assert command.words not in WITHOUT_TWIN
    owner, name = command.twin.split(".")
    assert owner == VersionedCollection.__name__
    assert callable(getattr(VersionedCollection, name))
    assert name.rstrip("_").replace("_", "-") in (command.words, f"create-{command.words}")


def test_every_method_is_a_command() -> None:
    members = own_members()
    methods = {name for name, value in members.items() if not isinstance(value, property)}
    twins = {one.twin.split(".")[1] for one in COMMANDS if one.twin is not None}
    assert methods - twins == WITHOUT_COMMAND.keys()


def test_the_exceptions_are_commands_and_methods() -> None:
    assert {one.words for one in COMMANDS} >= WITHOUT_TWIN.keys()
    assert {alias for one in COMMANDS for alias in one.aliases} == {"get-log"}


@every_command
def test_every_command_has_an_example(script: ModuleType, command: Command) -> None:
    example = EXAMPLES[command.words]
    assert command.words in example
    assert example in script.find(command.words).epilog
    program, *words = shlex.split(example)
    assert program == "vc"
    while words and words[0].startswith("--"):  # options of every command
        assert words[0][2:] in OPTIONS
        words = words[2:]
    size = len(command.words.split())
    assert words[:size] == command.words.split()
    script.find(command.words).make_context(command.words, words[size:])  # parses, and no more


def test_there_are_no_other_examples() -> None:
    assert {one.words for one in COMMANDS} == EXAMPLES.keys()


@every_command
def test_every_command_is_registered_once(command: Command) -> None:
    assert [one.words for one in COMMANDS].count(command.words) == 1
    assert program.app is not None
