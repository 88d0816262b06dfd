"""docs/commands.md is current, and every command is documented and has a Python twin."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest
from api_support import own_members

from versioned_collection import VersionedCollection
from versioned_collection.cli import app as program
from versioned_collection.cli.command import COMMANDS, Command

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "build_command_reference.py"
ONLY_HERE = {
    "use", "config set", "config get", "config list", "config unset", "config profiles",
    "config delete-profile", "demo", "shell", "show", "browse",
}  # fmt: skip
NO_VERBS = {"with_options"}

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
        assert command.words in ONLY_HERE
        return
    owner, name = command.twin.split(".")
    assert owner == VersionedCollection.__name__
    assert callable(getattr(VersionedCollection, name))
    assert name.rstrip("_").replace("_", "-") in (command.words, f"create-{command.words}")


def test_every_verb_is_a_command() -> None:
    verbs = {
        name.rstrip("_").replace("_", "-")
        for name, value in own_members().items()
        if inspect.isfunction(value)
        and not name.startswith(("_", "is_", "has_"))
        and name not in NO_VERBS
        and "write" not in (value.__doc__ or "").split("\n")[0].lower()
    }
    words = {one.words for one in COMMANDS} | {a for one in COMMANDS for a in one.aliases}
    assert verbs <= words


@every_command
def test_every_command_is_registered_once(command: Command) -> None:
    assert [one.words for one in COMMANDS].count(command.words) == 1
    assert program.app is not None
