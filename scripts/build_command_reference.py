"""Write docs/commands.md from the commands themselves.

python scripts/build_command_reference.py           writes the file
python scripts/build_command_reference.py --check   fails when it is not current
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from versioned_collection.cli.app import app
from versioned_collection.cli.command import COMMANDS, Command
from versioned_collection.cli.examples import EXAMPLES
from versioned_collection.cli.exits import Exit
from versioned_collection.cli.failures import EXITS
from versioned_collection.cli.gitwords import ACCEPTED, HINTS
from versioned_collection.cli.settings import DEFAULTS, SETTINGS, variable

TARGET = Path(__file__).resolve().parent.parent / "docs" / "commands.md"

INTRODUCTION = """\
# The commands of `vc`

Written by `scripts/build_command_reference.py` from the commands' own help; do not edit.

`vc demo` shows everything at work on a server and data of its own. A first session:

<!-- given: import pathlib; pathlib.Path("albums.jsonl").write_text('{"_id": 1, "albums": 12}') -->
```console
vc --uri mongodb://localhost --db music use bands   # or leave --uri out: an embedded server
vc init -m "first import"
vc import albums.jsonl                              # or write with any other program
vc status
vc diff
vc register -m "new albums"
vc log --graph
vc checkout main~1
```

With somebody else ([Working together](remotes.md)):

```console
vc --db mine clone 'mongodb://ada:${PASSWORD}@host/music.bands'
vc --db mine use bands
vc push --dry-run
vc push                                             # where it is refused, pull first
vc pull --resolve stats.plays=sum_of_changes        # merges; exit code 11: conflicts wait
vc fetch && vc log origin/main --oneline
```

Every verb of `VersionedCollection` is a command of the same name with dashes. `get-log` is
another name of `log`, and `vc help COMMAND` shows what `vc COMMAND --help` does.

Where a command takes a revision, digits alone are a number on the branch that is checked out, or
on that of `--branch`. Where it has no version of that number, they are what any other text may be:
a branch, a tag, the beginning of a checksum. Where it has one, and a branch or tag has the same
name, that is an error (`ambiguous_revision`): `main@1` is the number, `1~0` the branch or tag.
"""

GIT_TEXT = """\
## Words of git

Most commands have the name that git has for them. For the others `vc` says what to type
instead; {accepted} are understood.

{table}
"""

SETTINGS_TEXT = """\
## Settings

An option counts more than an environment variable, that more than the configuration file.
With neither `uri` nor `data` an embedded server runs on the user's data directory; it stays
for a moment, so that the next command finds it running. Its database is `vc` by default.

{table}

The options stand before the command or behind it. `-c` is short for `--collection`. A
password has no option, because others can see the arguments of a process; `--uri` accepts one that
stands in it, and `${{NAME}}` in its place stands for an environment variable. A connection string
that names a database is enough without `--db`. A login in the configuration file is used for
the server of the configuration file only.

The configuration file is `config.toml` or `config.json` in the platform's directory
(`~/.config/versioned-collection` on Linux), or the one that `--config` or `VC_CONFIG` names: one
setting per line, such as `collection = "bands"`; any other name is an error. Only its owner may
read it (mode 0600): a wider mode is repaired with a warning, and the file refused where that is
not possible. No output and no error shows credentials.
"""

OUTPUT_TEXT = """\
## Output

Answers go to standard output; progress, questions, warnings and errors to standard error.
Progress is shown on a terminal only.

With `--json` the answer is one JSON object, with the keys that each command names below.
Later releases may add keys. Values are relaxed [Extended JSON][ejson], so
`bson.json_util.loads` gives back documents, ids and times. A version is an object with `id`,
`label`, `number`, `branch`, `parents`, `timestamp`, `message`, `author`, `metadata`, `stats`,
`fingerprint` and `checksum`; `log` and `resolve` add `head`, `branches` and `tags`.

An error with `--json` is an object on standard error:
`{{"error": {{"code": ..., "message": ..., "exit": ..., "facts": {{...}}}}}}`. Questions are
shown on a terminal only then; `--yes` answers them.

[ejson]: https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/

## Exit codes

{exits}

Each error of the library has a code of its own, which is printed with it, and the exit code of
its family:

{errors}

Further codes are `python` (1), `usage` (2), `login_failed` (7), `server_unreachable` (8),
`server_refused`, `unreadable_document`, `output_failed`, `driver` and `internal` (10). With
`VC_DEBUG=1` an error shows where it came from.
"""


def build() -> str:
    """Return the reference."""
    parts = [
        INTRODUCTION,
        SETTINGS_TEXT.format(table=_table(("setting", "option", "variable", ""), _settings())),
        OUTPUT_TEXT.format(
            exits=_table(("code", "meaning"), ((int(one), one.meaning) for one in Exit)),
            errors=_table(("error", "exit code"), _errors()),
        ),
    ]
    parts.append(
        GIT_TEXT.format(
            table=_table(
                ("git", "vc"), ((f"`{git}`", f"`{ours}`") for git, ours in HINTS.items())
            ),
            accepted=", ".join(f"`{git}`" for git in ACCEPTED),
        )
    )
    for panel, commands in itertools.groupby(COMMANDS, lambda one: one.panel):
        parts.append(f"## {panel}\n")
        parts += [_command(command) for command in commands]
    return "\n".join(parts)


def _settings() -> Iterator[tuple[Any, ...]]:
    options = {option for parameter in _root().params for option in parameter.opts}
    for name, text in SETTINGS.items():
        option = f"`--{name}`" if f"--{name}" in options else ""
        default = f" Default: {DEFAULTS[name]}." if name in DEFAULTS else ""
        yield f"`{name}`", option, f"`{variable(name)}`", text + default


def _errors() -> list[tuple[str, int]]:
    rows = [(f"`{kind.code}`", int(code)) for kind, code in EXITS.items()]
    return sorted(rows, key=lambda row: (row[1], row[0]))


@functools.cache
def _root() -> Any:
    return typer.main.get_command(app)


def find(words: str) -> Any:
    """Return the command that some words call."""
    found = _root()
    for word in words.split():
        found = found.commands[word]
    return found


def visible(command: Command) -> tuple[list[Any], list[Any]]:
    """Return a command's own arguments and options."""
    found = [one for one in find(command.words).params if not getattr(one, "hidden", False)]
    arguments = [one for one in found if one.param_type_name == "argument"]
    options = [one for one in found if one.param_type_name == "option"]
    return arguments, [one for one in options if "--json" not in one.opts]


def _command(command: Command) -> str:
    arguments, options = visible(command)
    usage = [f"vc {command.words}"]
    usage += [_usage(one, one.metavar) for one in arguments]
    usage += [_usage(one, _option(one)) for one in options if one.required]
    if any(not one.required for one in options):
        usage.append("[OPTIONS]")
    lines = [f"### vc {command.words}\n", f"```\n{' '.join(usage)}\n```\n"]
    lines.append(f"{find(command.words).help}\n")
    lines.append(f"Example: `{EXAMPLES[command.words]}`\n")
    rows = [(f"`{one.metavar}`", one.help) for one in arguments]
    rows += [(f"`{_names(one)}`", _help(one)) for one in options]
    if rows:
        lines.append(f"{_table(('', ''), rows)}\n")
    keys = ", ".join(f"`{key}`" for key in command.keys)
    twin = f" Python: `{command.twin}`." if command.twin else ""
    lines.append(f"`--json`: {keys}.{twin}\n")
    return "\n".join(lines)


def _usage(parameter: Any, text: str) -> str:
    return text if parameter.required else f"[{text}]"


def _option(option: Any) -> str:
    return f"{option.opts[0]} {option.metavar}"


def _names(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {option.metavar}"


def _help(option: Any) -> str:
    shown = option.show_default and not option.is_flag and not option.required
    return f"{option.help} Default: {option.default}." if shown else str(option.help)


def _table(headings: tuple[str, ...], rows: Any) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/commands.md")
    parser.add_argument("--check", action="store_true", help="only tell whether it is current")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    text = build()
    if options.check:
        current = options.output.exists() and options.output.read_text(encoding="utf-8") == text
        if not current:
            print(f"{options.output} is not current: run this script", file=sys.stderr)
        return 0 if current else 1
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
