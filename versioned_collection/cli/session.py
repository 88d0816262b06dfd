"""One run of the program: its settings, its server, and its output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.failures import Failure, UsageFailure
from versioned_collection.cli.lines import dump, printable
from versioned_collection.cli.profile import Profile, directory, locate
from versioned_collection.cli.redact import redact, secrets_of
from versioned_collection.cli.settings import DEFAULT, Settings

if TYPE_CHECKING:
    from pymongo import MongoClient
    from rich.console import Console, RenderableType

    from versioned_collection import VersionedCollection
    from versioned_collection.cli.progress import Progress
    from versioned_collection.embedded import Server

EMBEDDED_DATABASE = "vc"
_WIDTH_WITHOUT_TERMINAL = 160


class Session:
    """What a command works with. Nothing is read or connected before it is needed."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.flags: dict[str, str] = {}
        self.chosen_file: str | None = None
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
    def profile(self) -> Profile:
        """The configuration file."""
        chosen = self.chosen_file or os.environ.get("VC_CONFIG")
        return Profile(locate(chosen, os.environ), self.warn)

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold.

        Raises:
            UsageFailure: The configuration file that was named does not exist.
        """
        chosen = self.chosen_file or os.environ.get("VC_CONFIG")
        if chosen and not self.profile.exists():
            raise UsageFailure(f"there is no configuration file {self.profile.path}")
        return self.effective()

    def effective(self) -> Settings:
        """Return the settings that hold, whether or not there is a configuration file."""
        return Settings(self.flags, os.environ, self.profile.read())

    def secrets(self) -> list[str]:
        """Return what must not be printed."""
        try:
            stored = self.profile.read()
        except Exception:  # the error that is being reported says so
            stored = {}
        found: list[str] = []
        for source in (
            stored,
            {name: os.environ.get(f"VC_{name.upper()}") for name in ("uri", "password")},
            self.flags,
        ):
            found += secrets_of(source.get("uri"), source.get("password"))
        return sorted(set(found), key=len, reverse=True)

    # -- the server ----------------------------------------------------------------------

    @cached_property
    def client(self) -> MongoClient[Any]:
        """The connected client of the server, which is started where none is configured."""
        uri = self.settings.value("uri")
        return self.connect(self._embedded() if uri is None else uri)

    def connect(self, uri: str) -> MongoClient[Any]:
        """Return a client that is closed with the session.

        Raises:
            UsageFailure: The connection string is malformed.
        """
        from pymongo import MongoClient
        from pymongo.errors import ConfigurationError

        try:
            client: MongoClient[Any] = MongoClient(uri, **self._options(uri))
        except (ConfigurationError, ValueError) as error:
            raise UsageFailure(_malformed(uri, error)) from None
        return self._open.enter_context(client)

    def _options(self, uri: str) -> dict[str, Any]:
        options: dict[str, Any] = {"tz_aware": True, "appname": "vc"}
        timeout = self.settings.get("timeout")
        own = timeout is not None and timeout.source == DEFAULT
        for option in ("serverSelectionTimeoutMS", "connectTimeoutMS"):
            if not (own and option.lower() in uri.lower()):
                options[option] = max(1, int(self.settings.seconds("timeout") * 1000))
        for name in ("username", "password"):
            if self.settings.value(name):
                options[name] = self.settings.value(name)
        return options

    def _embedded(self) -> str:
        from versioned_collection import embedded

        path = self.settings.value("data") or directory("data", os.environ)
        with self.working("starting the embedded server"):
            server = embedded.start(
                os.path.expanduser(path), share=True, linger=self.settings.seconds("linger")
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
        options: dict[str, Any] = {}
        if self.settings.get("wait"):
            options["lease_wait_seconds"] = self.settings.seconds("wait")
        if self.settings.get("capture"):
            options["capture"] = self.settings.value("capture")
        return VersionedCollection(self.client[self._database()], name, **options)

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

    # -- output --------------------------------------------------------------------------

    @cached_property
    def out(self) -> Console:
        """Where answers go."""
        return _console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Where everything else goes."""
        return _console(stderr=True)

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print an answer as one JSON object."""
        self.write(dump(value, indent=2 if sys.stdout.isatty() else None))

    def write(self, text: str, end: str = "\n") -> None:
        """Print a text as it is."""
        sys.stdout.write(text + end)
        sys.stdout.flush()

    def show(self, *items: RenderableType) -> None:
        """Print for people: texts are not wrapped, and colours are left out of files."""
        for item in items:
            self.out.print(printable(item) if isinstance(item, str) else item, soft_wrap=True)

    def answer(self, value: Mapping[str, Any], *items: RenderableType) -> None:
        """Print an answer: the object with ``--json``, the items for people."""
        if self.json:
            self.emit(value)
        else:
            self.show(*items)

    def warn(self, message: str) -> None:
        """Print a warning."""
        self.err.print(f"warning: {redact(printable(message))}", style="yellow", soft_wrap=True)

    def fail(self, failure: Failure) -> None:
        """Print an error, with its code."""
        secrets = self.secrets()
        message = redact(failure.message, secrets)
        if self.json:
            facts = {name: redact(dump(fact), secrets) for name, fact in failure.facts.items()}
            error = {"code": failure.code, "message": message, "exit": int(failure.exit)}
            sys.stderr.write(dump({"error": {**error, "facts": facts}}) + "\n")
            return
        from rich.text import Text

        text = Text(f"error[{failure.code}]: ", style="bold red")
        text.append(printable(message), style="default not bold")
        self.err.print(text, soft_wrap=True)

    @contextmanager
    def working(self, what: str) -> Iterator[Progress]:
        """Show progress on the terminal while the block runs, if it takes long."""
        from versioned_collection.cli.progress import reporting

        with reporting(self.err, what, not self.quiet and not self.json) as progress:
            yield progress

    def confirm(self, question: str, yes: bool) -> bool:
        """Ask before something that cannot be undone.

        Args:
            question: What is about to happen.
            yes: Whether the answer was given beforehand.

        Raises:
            UsageFailure: There is nobody to ask.
        """
        if yes:
            return True
        sys.stderr.write(f"{printable(question)} [y/N] ")
        sys.stderr.flush()
        reply = sys.stdin.readline()
        if not reply:
            sys.stderr.write("\n")
            raise UsageFailure("this cannot be undone: answer the question, or pass --yes")
        return reply.strip().lower() in ("y", "yes")


def _console(stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def _malformed(uri: str, error: Exception) -> str:
    """Return what is wrong with a connection string, without quoting a login."""
    if "@" in uri:
        return (
            "the connection string cannot be read; percent-encode the user name and the "
            "password in it, or pass them as VC_USERNAME and VC_PASSWORD"
        )
    return f"the connection string cannot be read: {error}"
