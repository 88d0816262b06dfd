"""Settling one conflict: by a side, by a value, in an editor, in a merge tool."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.clashes import SIDES, place_text, shortened, side_text
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import load, printable

if TYPE_CHECKING:
    from versioned_collection import Conflict

Decide = Callable[["Conflict"], Any]
"""Returns what shall stand in a conflict's place, `UNRESOLVED` to leave the conflict."""

_COMMENT = "//"


def side(name: str) -> Any:
    """Return what takes the value of one side."""
    from versioned_collection import Side

    return Side(name)


def edited(conflict: Conflict) -> Any:
    """Have a person edit the value of a conflict.

    Returns:
        The value; `UNRESOLVED` when the file comes back empty.

    Raises:
        UsageFailure: The editor failed, or what was written is no JSON; it is kept in a file.
    """
    from versioned_collection import UNRESOLVED

    with _directory() as directory:
        file = directory / "conflict.json"
        file.write_text(_question(conflict), encoding="utf-8", errors="surrogateescape")
        _run_editor(file)
        written = file.read_text(encoding="utf-8", errors="surrogateescape")
        lines = [line for line in written.split("\n") if not line.startswith(_COMMENT)]
        text = "\n".join(lines).strip()
        return _value(conflict, text, written) if text else UNRESOLVED


def _question(conflict: Conflict) -> str:
    """Return what the editor shows: the three values as comments, ours to begin with."""
    lines = [f"document {shortened(conflict.document_id)}, {printable(place_text(conflict))}"]
    lines[0] += f": {conflict.kind}"
    for name in SIDES:
        text = side_text(conflict, name)
        lines += ["", f"{name}:", *("(nothing)" if text is None else text).split("\n")]
    lines += [
        "",
        "Edit the value below; it is Extended JSON. Lines that start with // do not count.",
        "Leave nothing to leave the conflict; 'vc resolve-conflict --remove' settles it by",
        "removing what is there.",
    ]
    comments = [f"{_COMMENT} {line}".rstrip() for line in lines]
    return "\n".join([*comments, side_text(conflict, "ours") or "", ""])


def _run_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(editor, posix=os.name != "nt")
        code = subprocess.run([*words, str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageFailure(
            f"the editor {editor!r} cannot be started ({reason}); set VISUAL or EDITOR"
        ) from error
    if code:
        raise UsageFailure(f"the editor {editor!r} ended with {code}; the conflict stays")


def _value(conflict: Conflict, text: str, written: str) -> Any:
    """Return the value of a text; a side's own text stands for that side's bytes."""
    for name in ("ours", "theirs", "base"):
        if text == side_text(conflict, name):
            return side(name)
    try:
        return load(text)
    except ValueError as error:
        kept = _kept(written)
        raise UsageFailure(
            f"what was written is not JSON, so the conflict stays: {error}; the text is in {kept}"
        ) from error


def _kept(written: str) -> str:
    handle, name = tempfile.mkstemp(prefix="vc-conflict-", suffix=".json")
    with open(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(written)
    return name


def tool(template: str) -> Decide:
    """Return what hands conflicts to a three-way merge tool.

    Args:
        template: A command line for the shell that uses ``$BASE``, ``$LOCAL``, ``$REMOTE`` and
            ``$MERGED``, as ``mergetool.<tool>.cmd`` of git. The four are names of files. A
            file without content stands for no value.

    Raises:
        UsageFailure: It has no place for the result.
    """
    if "MERGED" not in template:
        raise UsageFailure(
            "--tool takes a command with $BASE, $LOCAL, $REMOTE and $MERGED, such as "
            '\'meld --output "$MERGED" "$LOCAL" "$BASE" "$REMOTE"\''
        )
    return lambda conflict: _by_tool(template, conflict)


def _by_tool(template: str, conflict: Conflict) -> Any:
    from versioned_collection import MISSING, UNRESOLVED

    names = {"BASE": "base", "LOCAL": "ours", "REMOTE": "theirs", "MERGED": "ours"}
    with _directory() as directory:
        files = {name: directory / f"{name}.json" for name in names}
        for name, file in files.items():
            text = side_text(conflict, names[name])
            file.write_text(
                "" if text is None else f"{text}\n", encoding="utf-8", errors="surrogateescape"
            )
        env = {**os.environ, **{name: str(file) for name, file in files.items()}}
        if subprocess.run(template, shell=True, env=env, check=False).returncode:
            return UNRESOLVED
        try:
            written = files["MERGED"].read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            written = ""
        return _value(conflict, written.strip(), written) if written.strip() else MISSING


@contextmanager
def _directory() -> Iterator[Path]:
    """Give a directory that nobody else may read, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="vc-") as name:
        yield Path(name)
