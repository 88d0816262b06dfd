"""The configuration file: flat names and values in TOML or JSON, for its owner only.

TOML is edited line by line, so that comments stay; JSON is written anew.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_NAME = "versioned-collection"
_PRIVATE = 0o600
_TABLE = re.compile(r"^\s*\[")


class ProfileError(Exception):
    """The configuration file cannot be used; the message says why and what to do."""


def directory(kind: str, environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the platform's directory for a user's ``config`` or ``data``."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        return home / "Library" / "Application Support" / _NAME
    if platform == "win32":
        variable = "APPDATA" if kind == "config" else "LOCALAPPDATA"
        return Path(environ.get(variable) or home) / _NAME
    variable, fallback = {
        "config": ("XDG_CONFIG_HOME", home / ".config"),
        "data": ("XDG_DATA_HOME", home / ".local" / "share"),
    }[kind]
    return Path(environ.get(variable) or fallback) / _NAME


def locate(chosen: str | None, environ: Mapping[str, str]) -> Path:
    """Return the file to use: the chosen one, or ``config.toml`` or ``config.json`` in place."""
    if chosen:
        return Path(chosen).expanduser()
    place = directory("config", environ)
    written = place / "config.json"
    return written if written.exists() else place / "config.toml"


class Profile:
    """The configuration file.

    Args:
        path: Where it is, or would be.
        warn: Told about a file that others could read, which is repaired.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return self.path.exists()

    def read(self) -> dict[str, str]:
        """Return the settings; none when there is no file.

        Raises:
            ProfileError: The file cannot be read, is malformed, or others can read it and
                that cannot be changed.
        """
        try:
            self._protect()
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"{self.path} cannot be read: {_reason(error)}") from error
        return self._parse(text)

    def set(self, changes: Mapping[str, str | None]) -> None:
        """Store settings, and remove those whose value is None.

        Raises:
            ProfileError: The file cannot be read or written.
        """
        merged = {**self.read(), **changes}
        wanted = {name: value for name, value in merged.items() if value is not None}
        try:
            if self.path.suffix == ".json":
                text = json.dumps(wanted, indent=2) + "\n"
            else:
                text = self.path.read_text(encoding="utf-8") if self.exists() else ""
                for name, value in changes.items():
                    text = _edited(text, name, value)
            if self._parse(text) != wanted:
                raise ProfileError(f"{self.path} has a form that has to be edited by hand")
            _write(Path(os.path.realpath(self.path)), text)
        except OSError as error:
            raise ProfileError(f"{self.path} cannot be written: {_reason(error)}") from error

    def _protect(self) -> None:
        """Make sure that only the owner can read the file.

        Raises:
            ProfileError: It belongs to somebody else, or its mode cannot be changed.
        """
        facts = self.path.stat()
        if sys.platform == "win32" or not stat.S_IMODE(facts.st_mode) & 0o077:
            return
        mode = f"{stat.S_IMODE(facts.st_mode):04o}"
        try:
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
                raise PermissionError("it is not a file of yours")
            self.path.chmod(_PRIVATE)
        except PermissionError as error:
            raise ProfileError(
                f"others can read {self.path} (mode {mode}) and this cannot be changed: "
                f"{_reason(error)}. Use a file of your own with mode 0600"
            ) from error
        self._warn(
            f"others could read {self.path} (mode {mode}); its mode is 0600 now. "
            "If it holds a password, consider changing that"
        )

    def _parse(self, text: str) -> dict[str, str]:
        try:
            found = json.loads(text) if self.path.suffix == ".json" else _toml(text)
        except ValueError as error:
            # The parser's own words may quote the file, and so a password.
            place = re.search(r"\(?(?:at )?line \d+,? column \d+", str(error))
            where = f" ({place[0].strip('(')})" if place else ""
            raise ProfileError(f"{self.path} is malformed{where}") from None
        if not isinstance(found, dict):
            raise ProfileError(f"{self.path} has to hold names and values")
        return {str(name): self._value(name, value) for name, value in found.items()}

    def _value(self, name: Any, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ProfileError(f"{self.path}: {name} has to be a text or a number")
        return str(value)


def _toml(text: str) -> Any:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        parser = importlib.import_module(name)
    except ImportError:
        raise ProfileError(
            "reading TOML takes Python 3.11 or `pip install tomli`; or use a JSON file"
        ) from None
    return parser.loads(text)


def _edited(text: str, name: str, value: str | None) -> str:
    """Return a TOML text with one setting replaced, added before the first table, or removed."""
    lines = text.splitlines()
    top = next((k for k, line in enumerate(lines) if _TABLE.match(line)), len(lines))
    key = re.compile(rf"^\s*(?:{name}|\"{name}\"|'{name}')\s*=")
    found = [k for k, line in enumerate(lines[:top]) if key.match(line)]
    new = [] if value is None else [f"{name} = {_quoted(value)}"]
    if found:
        lines[found[0] : found[0] + 1] = new
    else:
        lines[top:top] = new
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
