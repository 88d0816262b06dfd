"""Which settings hold: a flag, else the environment, else the configuration file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

FLAG, ENVIRONMENT, FILE, DEFAULT = "flag", "environment", "file", "default"
_RANKS = (FLAG, ENVIRONMENT, FILE, DEFAULT)
_PLACES = {
    FLAG: "the option --{0} says so",
    ENVIRONMENT: "the variable {1} says so",
    FILE: "the configuration file says so: 'vc config set {0}' corrects it",
}
"""Where a setting comes from, for an error: with its name, and that of its variable."""

SETTINGS = {
    "profile": "Profile of the configuration file: a server, database and collection by one name.",
    "uri": "Connection string of the server.",
    "data": "Directory of the embedded server, which is used when no server is configured.",
    "db": "Database; by default the one in the connection string.",
    "collection": "Collection.",
    "username": "User to log in as.",
    "password": "Password; on the command line it has no flag, where others could see it.",
    "author": "Who registers versions.",
    "capture": "How changes are noticed: auto, change_stream, write_through or scan.",
    "timeout": "Seconds to look for the server.",
    "wait": "Seconds to wait for another process that is at work on the collection.",
    "linger": "Seconds that the embedded server stays for the next command.",
}
_OTHER_WORDS = {"database": "db", "user": "username", "host": "uri", "server": "uri"}
DEFAULTS = {"timeout": "5", "linger": "15"}
SECRETS = frozenset(("password",))
_NO_SERVER = (
    "there is no uri, and the embedded server wants no login; 'vc config set uri' sets one"
)
_OTHER_SERVER = "it is for the server of the configuration file, and another one is used"
_SECONDS = frozenset(("timeout", "wait", "linger"))
_CREDENTIALS = ("username", "password")
_NAMES = {
    "db": ("database", ("\0", " ", ".", "$", "/", "\\", '"'), 63),
    "collection": ("collection", ("\0", "$", ".."), 255),
}
"""What the names of MongoDB never hold, and how many bytes they take at most."""


class SettingsError(Exception):
    """A setting that cannot be right."""


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from.

    Attributes:
        value: The value.
        source: ``flag``, ``environment``, ``file`` or ``default``.
    """

    value: str
    source: str

    @property
    def rank(self) -> int:
        """0 for a flag; the lower, the stronger."""
        return _RANKS.index(self.source)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"VC_{name.upper()}"


def is_reference(value: str) -> bool:
    """Tell whether a password stands elsewhere: in a variable, or in the keyring."""
    return value.startswith("${") and value.endswith("}")


def check_name(name: str) -> None:
    """Make sure that there is a setting of a name.

    Raises:
        SettingsError: There is none.
    """
    if name not in SETTINGS:
        raise SettingsError(no_such_setting(name))


def check(name: str, value: str) -> str:
    """Return a setting's value after checking it.

    Raises:
        SettingsError: There is no such setting, or the value cannot be right.
    """
    check_name(name)
    if name in _NAMES:
        _check_namespace(name, value)
    if name == "data":
        place = os.path.expanduser(value)
        if place.startswith("~"):
            raise SettingsError(f"there is no such home directory: data is {value!r}")
        return os.path.abspath(place)  # wherever the next command runs
    if name in _SECONDS:
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= 86_400:
            raise SettingsError(f"{name} is a number of seconds from 0 to 86400, not {value!r}")
    return value


def _check_namespace(setting: str, value: str) -> None:
    """Make sure that a name can be that of a database or a collection.

    Raises:
        SettingsError: MongoDB, or the driver, never takes it.
    """
    what, refused, longest = _NAMES[setting]
    if not value:
        raise SettingsError(f"the name of a {what} is not empty")
    found = next((one for one in refused if one in value), None)
    if found is not None:
        raise SettingsError(f"the name of a {what} holds no {found!r}: {setting} is {value!r}")
    if not _is_whole(value):
        raise SettingsError(f"the name of a {what} is a text in UTF-8: {setting} is {value!r}")
    if value.startswith(".") or value.endswith("."):
        raise SettingsError(f"the name of a {what} has no '.' at an end: {setting} is {value!r}")
    if len(value.encode()) > longest:
        raise SettingsError(
            f"the name of a {what} takes at most {longest} bytes: {setting} is {value[:40]!r}..."
        )


def _is_whole(value: str) -> bool:
    """Tell whether a text came without bytes that are no characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def no_such_setting(name: str, more: Iterable[str] = ()) -> str:
    """Return what to say of a name that no setting has.

    Args:
        name: The name.
        more: Other names that may be meant.
    """
    near = get_close_matches(name.lower(), [*SETTINGS, *more], n=1)
    meant = _OTHER_WORDS.get(name.lower()) or next(iter(near), None)
    question = f" (did you mean {meant!r}?)" if meant else ""
    return f"there is no setting {name!r}{question}; there are {', '.join(SETTINGS)}"


def _checked(name: str, value: str, source: str) -> str:
    try:
        return check(name, value)
    except SettingsError as error:
        raise SettingsError(f"{error} ({_PLACES[source].format(name, variable(name))})") from None


class Settings:
    """All settings of one run.

    Args:
        flags: Options of the command line.
        environ: The environment.
        stored: The configuration file.

    Raises:
        SettingsError: A value cannot be right.
    """

    def __init__(
        self, flags: Mapping[str, str], environ: Mapping[str, str], stored: Mapping[str, str]
    ) -> None:
        self._values: dict[str, Setting] = {}
        self._idle: dict[str, str] = {}
        for name in SETTINGS:
            for value, source in (
                (flags.get(name), FLAG),
                (environ.get(variable(name)), ENVIRONMENT),
                (stored.get(name), FILE),
                (DEFAULTS.get(name), DEFAULT),
            ):
                if value:
                    self._values[name] = Setting(_checked(name, value, source), source)
                    break
        self._choose_server()

    def _choose_server(self) -> None:
        """Keep the stronger one of connection string and embedded server, and its login."""
        uri, data = self.get("uri"), self.get("data")
        if uri and data:
            if uri.rank == data.rank:
                raise SettingsError(
                    f"uri and data exclude each other, and both come from the same place "
                    f"({uri.source})"
                )
            del self._values["uri" if data.rank < uri.rank else "data"]
        uri = self.get("uri")
        for name in _CREDENTIALS:
            found = self.get(name)
            # The embedded server wants no login; and what the file holds is meant for the
            # file's server, not for another one.
            if found and (uri is None or (found.source == FILE and uri.source != FILE)):
                del self._values[name]
                self._idle[name] = _NO_SERVER if uri is None else _OTHER_SERVER

    def idle(self, name: str) -> str | None:
        """Return why a setting does not hold that is set, None where it holds or is not set."""
        return self._idle.get(name)

    def get(self, name: str) -> Setting | None:
        """Return a setting, None where it is not set."""
        return self._values.get(name)

    def value(self, name: str) -> str | None:
        """Return a setting's value, None where it is not set."""
        found = self.get(name)
        return found.value if found else None

    def seconds(self, name: str) -> float:
        """Return a setting that is a number of seconds and has a default."""
        return float(self._values[name].value)

    def database(self, in_uri: str | None) -> str | None:
        """Return the database: the strongest of the setting and the connection string's."""
        named, uri = self.get("db"), self.get("uri")
        if named and (not in_uri or uri is None or named.rank <= uri.rank):
            return named.value
        return in_uri

    def items(self) -> list[tuple[str, Setting]]:
        """Return the settings that are set, in the order of `SETTINGS`."""
        return [(name, self._values[name]) for name in SETTINGS if name in self._values]
