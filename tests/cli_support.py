"""Running the command line in this process."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import json_util
from typer import testing
from typer.main import get_command

from versioned_collection.cli.app import app

# The runner puts the program together for each command, which takes longer than most commands.
testing._get_command = functools.cache(get_command)


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What ``--json`` printed, with the types that Extended JSON stands for."""
        return json_util.loads(self.out)

    @property
    def error(self) -> Any:
        """The error that ``--json`` printed."""
        return json.loads(self.err)["error"]


@dataclass
class Cli:
    """Runs commands with an environment of its own."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str | None]:
        """The environment of each command: nothing of the user's own."""
        names = ("URI", "DATA", "DB", "COLLECTION", "USERNAME", "PASSWORD", "AUTHOR", "CONFIG")
        empty = {f"VC_{name}": None for name in names}
        places = {"XDG_CONFIG_HOME": f"{self.home}/config", "XDG_DATA_HOME": f"{self.home}/data"}
        return {**empty, **places, "HOME": str(self.home), "VC_LINGER": "0", **self.env}

    def __call__(
        self, *words: str, stdin: str = "", code: int | None = 0, traced: bool = False
    ) -> Outcome:
        """Run a command; check its exit code unless that is None, and tracebacks."""
        result = testing.CliRunner().invoke(app, list(words), input=stdin, env=self.environment)
        outcome = Outcome(result.exit_code, result.stdout, result.stderr)
        assert traced == ("Traceback" in outcome.err)
        assert code is None or outcome.code == code, (words, outcome)
        return outcome
