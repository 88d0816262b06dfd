"""The configuration file: names and values in TOML or JSON, for its owner only.

What stands in ``[profiles.NAME]`` holds where that profile is chosen. TOML is edited line by
line, so that comments stay; JSON is written anew.
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

from versioned_collection.cli.settings import SETTINGS, no_such_setting

_NAME = "versioned-collection"
_PRIVATE = 0o600
_TABLE = re.compile(r"^\s*\[")
_PROFILES = "profiles"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_OF_A_SERVER = ("uri", "data", "db", "username", "password")
"""What goes together: a profile that names a server takes nothing of these from elsewhere."""


class ConfigurationError(Exception):
    """The configuration file cannot be used; the message says why and what to do."""


def directory(kind: str, environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return the platform's directory for a user's ``config`` or ``data``.

    Raises:
        ConfigurationError: Neither the environment nor the system knows the user's home.
    """
    if platform == "darwin":
        return _home(environ) / "Library" / "Application Support" / _NAME
    if platform == "win32":
        variable = "APPDATA" if kind == "config" else "LOCALAPPDATA"
        return Path(environ.get(variable) or _home(environ)) / _NAME
    variable, fallback = {
        "config": ("XDG_CONFIG_HOME", ".config"),
        "data": ("XDG_DATA_HOME", ".local/share"),
    }[kind]
    return Path(environ.get(variable) or _home(environ) / fallback) / _NAME


def _home(environ: Mapping[str, str]) -> Path:
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        raise ConfigurationError("the user has no home directory; HOME can name one") from None


def locate(chosen: str | None, environ: Mapping[str, str]) -> Path:
    """Return the file to use: the chosen one, or ``config.toml`` or ``config.json`` in place.

    Raises:
        ConfigurationError: It would be in the home of a user who has none.
    """
    if chosen:
        try:
            return Path(chosen).expanduser()
        except RuntimeError:
            raise ConfigurationError(f"there is no such home directory: {chosen}") from None
    place = directory("config", environ)
    written = place / "config.json"
    return written if written.exists() else place / "config.toml"


def check_profile_name(name: str) -> str:
    """Return the name of a profile after checking it.

    Raises:
        ConfigurationError: It is none.
    """
    if not _PROFILE_NAME.fullmatch(name):
        raise ConfigurationError(
            f"the name of a profile consists of letters, digits, '-' and '_', not {name!r}"
        )
    return name


def overlaid(top: Mapping[str, str], profile: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that hold where a profile is chosen.

    Args:
        top: Those outside profiles.
        profile: Those of the profile, which go first.
    """
    elsewhere = _OF_A_SERVER if "uri" in profile or "data" in profile else ()
    kept = {name: value for name, value in top.items() if name not in elsewhere}
    return {**kept, **profile}


class _Malformed(ConfigurationError):
    """A text is not TOML, or not JSON."""


class ConfigurationFile:
    """The configuration file.

    Args:
        path: Where it is, or would be.
        warn: Told about a file that others could read, which is repaired.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn
        self._found: dict[str, dict[str, str]] | None = None

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return self.path.exists()

    def read(self, profile: str | None = None) -> dict[str, str]:
        """Return the settings; none when there is no file.

        Args:
            profile: The profile whose settings are read; those outside profiles without one.

        Raises:
            ConfigurationError: The file cannot be read, is malformed, or others can read it and
                that cannot be changed.
        """
        return self._known().get(profile or "", {})

    def profiles(self) -> dict[str, dict[str, str]]:
        """Return the settings of each profile, by its name."""
        return {name: values for name, values in self._known().items() if name}

    def _known(self) -> dict[str, dict[str, str]]:
        """Return what the file holds, which is read once until it is written."""
        if self._found is None:
            self._found = self._read()
        return self._found

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            self._protect()
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self.path} cannot be read: {_reason(error)}") from error
        return self._parse(text)

    def set(self, changes: Mapping[str, str | None], profile: str | None = None) -> None:
        """Store settings, and remove those whose value is None.

        Args:
            changes: The settings.
            profile: The profile to which they belong, which is made where there is none.

        Raises:
            ConfigurationError: The file cannot be read or written.
        """
        place = "" if profile is None else check_profile_name(profile)
        found = self._read()
        merged = {**found.get(place, {}), **changes}
        found[place] = {name: value for name, value in merged.items() if value is not None}

        def edited(text: str) -> str:
            for name, value in changes.items():
                text = _edited(text, place, name, value)
            return text

        self._replace(found, edited)

    def remove(self, profile: str) -> None:
        """Remove a profile with all its settings.

        Raises:
            ConfigurationError: The file cannot be read or written.
        """
        found = self._read()
        found.pop(profile, None)
        self._replace(found, lambda text: _without(text, profile))

    def _replace(self, wanted: dict[str, dict[str, str]], edit: Callable[[str], str]) -> None:
        try:
            if self.path.suffix == ".json":
                text = json.dumps(_nested(wanted), indent=2) + "\n"
            else:
                text = edit(self._text() if self.exists() else "")
            if not self._says(text, wanted):
                raise ConfigurationError(f"{self.path} has a form that has to be edited by hand")
            _write(Path(os.path.realpath(self.path)), text)
            self._found = None
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be written: {_reason(error)}") from error
        except UnicodeEncodeError as error:
            raise ConfigurationError("a setting is a text that UTF-8 can hold") from error

    def _text(self) -> str:
        """Return what the file holds, with its ends of lines as they are."""
        with self.path.open(encoding="utf-8", newline="") as file:
            return file.read()

    def _says(self, text: str, wanted: dict[str, dict[str, str]]) -> bool:
        """Tell whether a text that was edited holds what is wanted, and nothing else."""
        try:
            return _filled(self._parse(text)) == _filled(wanted)
        except _Malformed:
            return False

    def _protect(self) -> None:
        """Make sure that only the owner can read the file.

        Raises:
            ConfigurationError: It belongs to somebody else, or its mode cannot be changed.
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
            raise ConfigurationError(
                f"others can read {self.path} (mode {mode}) and this cannot be changed: "
                f"{_reason(error)}. Use a file of your own with mode 0600"
            ) from error
        self._warn(
            f"others could read {self.path} (mode {mode}); its mode is 0600 now. "
            "If it holds a password, consider changing that"
        )

    def _parse(self, text: str) -> dict[str, dict[str, str]]:
        """Return the settings by profile, those outside under an empty name."""
        try:
            found = json.loads(text) if self.path.suffix == ".json" else _toml(text)
        except ValueError as error:
            # The parser's own words may quote the file, and so a password.
            place = re.search(r"\(?(?:at )?line \d+,? column \d+", str(error))
            where = f" ({place[0].strip('(')})" if place else ""
            raise _Malformed(f"{self.path} is malformed{where}") from None
        top = dict(self._table(found))
        profiles = self._table(top.pop(_PROFILES, {}))
        tables = {
            "": top,
            **{check_profile_name(str(name)): one for name, one in profiles.items()},
        }
        return {
            name: {str(key): self._value(key, value) for key, value in self._table(one).items()}
            for name, one in tables.items()
        }

    def _table(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{self.path} has to hold names and values")
        return value

    def _value(self, name: Any, value: Any) -> str:
        if name not in SETTINGS:
            raise ConfigurationError(f"{self.path}: {no_such_setting(str(name), [_PROFILES])}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ConfigurationError(f"{self.path}: {name} has to be a text or a number")
        return str(value)


def _nested(found: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    profiles = {name: values for name, values in found.items() if name}
    return {**found.get("", {}), **({_PROFILES: profiles} if profiles else {})}


def _filled(found: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    return {name: values for name, values in found.items() if values}


def _toml(text: str) -> Any:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        parser = importlib.import_module(name)
    except ImportError:
        raise ConfigurationError(
            "reading TOML takes Python 3.11 or `pip install tomli`; or use a JSON file"
        ) from None
    return parser.loads(text)


def _edited(text: str, profile: str, name: str, value: str | None) -> str:
    """Return a TOML text with one setting replaced, added at the end of its table, or removed."""
    lines, newline = _lines(text)
    begin, end = _table_in(lines, profile)
    key = re.compile(rf"^\s*(?:{name}|\"{name}\"|'{name}')\s*=")
    found = [k for k in range(begin, end) if key.match(lines[k])]
    new = [] if value is None else [f"{name} = {_quoted(value)}{newline}"]
    if found:
        lines[found[0] : found[0] + 1] = new
    elif new:
        if profile and begin == end == len(lines) and not _is_header(lines, profile):
            header = f"[{_PROFILES}.{profile}]{newline}"
            lines += [newline, header] if lines else [header]
            end = len(lines)
        while end > begin and not lines[end - 1].strip():
            end -= 1  # before the empty lines in front of the next table
        lines[end:end] = new
    return "".join(lines)


def _without(text: str, profile: str) -> str:
    """Return a TOML text without the table of a profile."""
    lines, _ = _lines(text)
    begin, end = _table_in(lines, profile)
    if begin and _is_header(lines[:begin], profile):
        del lines[begin - 1 : end]
    return "".join(lines)


def _lines(text: str) -> tuple[list[str], str]:
    """Return the lines of a TOML text, and what ends them: in TOML nothing else does."""
    newline = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += newline
    return re.findall(r".*\n", text), newline


def _table_in(lines: list[str], profile: str) -> tuple[int, int]:
    """Return where the settings of a table begin and end; the end of the text where none is."""
    begin = 0
    if profile:
        header = _header(profile)
        begin = next((k + 1 for k, line in enumerate(lines) if header.match(line)), len(lines))
    ends = (k for k in range(begin, len(lines)) if _TABLE.match(lines[k]))
    return begin, next(ends, len(lines))


def _is_header(lines: list[str], profile: str) -> bool:
    return bool(lines) and _header(profile).match(lines[-1]) is not None


def _header(profile: str) -> re.Pattern[str]:
    name = re.escape(profile)
    return re.compile(
        rf"^\s*\[\s*{_PROFILES}\s*\.\s*(?:{name}|\"{name}\"|'{name}')\s*\]\s*(?:#.*)?$"
    )


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
