"""One run of the program: its settings and its server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.configuration import (
    ConfigurationFile,
    directory,
    locate,
    overlaid,
)
from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.output import Output
from versioned_collection.cli.redact import references_in, secrets_of
from versioned_collection.cli.settings import DEFAULT, Settings, is_reference

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

    from versioned_collection import VersionedCollection
    from versioned_collection.embedded import Server

EMBEDDED_DATABASE = "vc"


class Session(Output):
    """What a command works with. Nothing is read or connected before it is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.flags: dict[str, str] = {}
        self.chosen_file: str | None = None
        self._concealed: list[str] = []
        self._open = ExitStack()

    def adopt(self, options: Mapping[str, Any]) -> None:
        """Take over the options that every command has; later ones count.

        Args:
            options: ``json``, ``quiet``, ``config`` and the settings that have a flag.
        """
        self.json = self.json or bool(options.get("json"))
        self.quiet = self.quiet or bool(options.get("quiet"))
        self.chosen_file = options.get("config") or self.chosen_file
        for name, value in options.items():
            if name not in ("json", "quiet", "config") and value is not None:
                self.flags[name] = str(value)

    def close(self) -> None:
        """Disconnect, and leave the embedded server."""
        self._open.close()

    # -- settings ------------------------------------------------------------------------

    @cached_property
    def file(self) -> ConfigurationFile:
        """The configuration file."""
        chosen = self.chosen_file or os.environ.get("VC_CONFIG")
        return ConfigurationFile(locate(chosen, os.environ), self.warn)

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold.

        Raises:
            UsageFailure: The configuration file that was named, or the profile, does not exist.
        """
        chosen = self.chosen_file or os.environ.get("VC_CONFIG")
        if chosen and not self.file.exists():
            raise UsageFailure(f"there is no configuration file {self.file.path}")
        if self.profile is not None and self.profile not in self.file.profiles():
            raise UsageFailure(
                f"there is no profile {self.profile!r} in {self.file.path}; 'vc config profiles' "
                "lists them, and 'vc --profile NAME --uri ... --db ... use COLLECTION' makes one"
            )
        return self.effective()

    @property
    def profile(self) -> str | None:
        """The profile that is chosen: by an option, the environment, or 'vc use'."""
        return self._named_profile or self.file.read().get("profile")

    @property
    def names_profile(self) -> bool:
        """Whether an option or the environment chooses the profile."""
        return self._named_profile is not None

    @property
    def _named_profile(self) -> str | None:
        return self.flags.get("profile") or os.environ.get("VC_PROFILE") or None

    def stored_in(self, name: str) -> str | None:
        """Return the profile that says what a setting is, None where none does."""
        there = self.profile is not None and name in self.file.read(self.profile)
        return self.profile if there else None

    def effective(self) -> Settings:
        """Return the settings that hold, whether or not there is a configuration file."""
        stored = self.file.read()
        if self.profile is not None:
            stored = overlaid(stored, self.file.read(self.profile))
        return Settings(self.flags, os.environ, stored)

    def secrets(self) -> list[str]:
        """Return what must not be printed."""
        try:
            stored = [self.file.read(), *self.file.profiles().values()]
        except Exception:  # the error that is being reported says so
            stored = []
        sources: list[Mapping[str, str | None]] = [
            *stored,
            {name: os.environ.get(f"VC_{name.upper()}") for name in ("uri", "password")},
            self.flags,
        ]
        found: list[str] = []
        for source in sources:
            found += secrets_of(source.get("uri"), source.get("password"))
        return sorted({*found, *self._concealed}, key=len, reverse=True)

    def conceal(self, uri: str | None) -> None:
        """Keep the login of a connection string, and what it refers to, out of all output."""
        from versioned_collection.remotes.address import path_of

        if uri is not None and path_of(uri) is None:
            self._concealed += secrets_of(uri, None)
            for variable in references_in(uri):
                self._concealed += secrets_of(None, os.environ.get(variable))

    # -- the server ----------------------------------------------------------------------

    @cached_property
    def client(self) -> MongoClient[Any]:
        """The connected client of the server, which is started where none is configured."""
        uri = self._looked_up("uri")
        if uri is None:
            return self.connect(self._embedded())
        password = self._looked_up("password")
        return self.connect(uri, username=self.settings.value("username"), password=password)

    def _looked_up(self, name: str) -> str | None:
        """Return a setting with what it refers to: ``${NAME}`` or ``${keyring:SERVICE:USER}``."""
        value = self.settings.value(name)
        if value is None or "${" not in value:
            return value
        from urllib.parse import unquote_plus

        from versioned_collection.remotes.address import with_secrets

        if name == "uri":
            found = with_secrets(value)
            self._concealed += secrets_of(found, None)
            return found
        if not is_reference(value):
            return value  # a password may have any characters
        # connection strings hold them encoded
        found = unquote_plus(with_secrets(value, f"the {name}"))
        self._concealed += secrets_of(None, found)
        return found

    def connect(self, uri: str, **login: str | None) -> MongoClient[Any]:
        """Return a client that is closed with the session.

        Args:
            uri: The connection string.
            **login: Name and password, where they do not stand in it.

        Raises:
            UsageFailure: The connection string is malformed, or names a file that is not there.
            ConnectionFailure: Its name leads to no hosts.
        """
        from versioned_collection.cli.connecting import connected

        given = {name: value for name, value in login.items() if value}
        client = connected(uri, {**self._options(uri), **given}, self.warn)
        return self._open.enter_context(client)

    def _options(self, uri: str) -> dict[str, Any]:
        # JSON has a form of its own for UUIDs, and MongoDB years beyond Python's
        options: dict[str, Any] = {
            "tz_aware": True,
            "uuidRepresentation": "unspecified",
            "datetime_conversion": "DATETIME_AUTO",
            "appname": "vc",
        }
        timeout = self.settings.get("timeout")
        own = timeout is not None and timeout.source == DEFAULT
        for option in ("serverSelectionTimeoutMS", "connectTimeoutMS"):
            if not (own and option.lower() in uri.lower()):
                options[option] = max(1, int(self.settings.seconds("timeout") * 1000))
        return options

    @property
    def data_directory(self) -> str:
        """Where the embedded server keeps its data."""
        path = self.settings.value("data") or directory("data", os.environ)
        return os.path.expanduser(path)

    def _embedded(self) -> str:
        from versioned_collection import embedded

        with self.working("starting the embedded server"):
            server = embedded.start(
                self.data_directory, share=True, linger=self.settings.seconds("linger")
            )
        return self.hold(server).uri

    def hold(self, server: Server) -> Server:
        """Return a server that is left when the session closes."""
        return self._open.enter_context(server)

    @cached_property
    def collection(self) -> VersionedCollection:
        """The collection, tracked or not."""
        from versioned_collection import VersionedCollection

        name = self.settings.value("collection")
        if name is None:
            raise UsageFailure(
                "which collection? Name it with --collection or VC_COLLECTION, "
                "or for good with 'vc use NAME'"
            )
        return VersionedCollection(self.database, name, **self.collection_options())

    def collection_options(self) -> dict[str, Any]:
        """Return the options with which collections are opened."""
        options: dict[str, Any] = {}
        if self.settings.get("wait"):
            options["lease_wait_seconds"] = self.settings.seconds("wait")
        if self.settings.get("capture"):
            options["capture"] = self.settings.value("capture")
        return options

    @property
    def database(self) -> Database[Any]:
        """The database of the collection.

        Raises:
            UsageFailure: No setting names it.
        """
        return self.client[self._database()]

    @property
    def tracked(self) -> VersionedCollection:
        """The collection, which has a history.

        Raises:
            CollectionNotTracked: It has none.
        """
        from versioned_collection.errors import CollectionNotTracked

        if not self.collection.is_tracked():
            name = self.collection.full_name
            raise CollectionNotTracked(
                f"the collection {name!r} has no history; init() starts one", collection=name
            )
        return self.collection

    def _database(self) -> str:
        if self.settings.value("uri") is None:
            return self.settings.database(None) or EMBEDDED_DATABASE
        from pymongo.errors import ConfigurationError

        try:
            in_uri = self.client.get_default_database().name
        except ConfigurationError:
            in_uri = None
        name = self.settings.database(in_uri)
        if name is None:
            raise UsageFailure(
                "which database? Name it with --db or VC_DB, or in the connection string"
            )
        return name
