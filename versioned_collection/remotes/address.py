"""From what a person passes as a remote to the remote itself; secrets stay references."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pymongo import errors as driver
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from versioned_collection.core.revision import check_name
from versioned_collection.errors import (
    InvalidArgument,
    InvalidOperation,
    InvalidType,
    RemoteNotFound,
)
from versioned_collection.observing import Progress
from versioned_collection.remotes.base import Remote
from versioned_collection.remotes.bundle import BundleRemote, read_only
from versioned_collection.remotes.checked import UNREADABLE
from versioned_collection.remotes.mongo import MongoRemote, address_of
from versioned_collection.remotes.reaching import connected, reaching
from versioned_collection.repository import Repository
from versioned_collection.trackers.base import storable
from versioned_collection.trackers.metadata import Metadata

DEFAULT = "origin"

_BUNDLE = ".bundle"
_PATHS = ("./", "../")

_SCHEMES = ("mongodb://", "mongodb+srv://")
_REFERENCE = re.compile(r"\$\{([^{}]+)\}")
_SECRETS = (
    "password",
    "tlscertificatekeyfilepassword",
    "sslpempassphrase",
    "proxypassword",
    "authmechanismproperties",  # may hold a session's token
)
_CREDENTIALS = re.compile(r"//[^@/]*@")

INSTEAD_OF_A_PASSWORD = (
    "write ${NAME} in its place, which stands for an environment variable, or "
    "${keyring:SERVICE:USER} for an entry of the keyring"
)
"""What to do where a password cannot stand."""

RemoteLike = Repository | Database[Any] | str | os.PathLike[str] | None
"""The trackers of a collection, a database, a URI, the path of a bundle, the name of a remote, or
None for origin."""


def check_remote_name(name: Any) -> str:
    """Return the name of a remote after checking it.

    Raises:
        InvalidArgument: It is malformed.
    """
    check_name(name, "remote")
    if "/" in name:
        raise InvalidArgument("the name of a remote holds no '/'", name=name)
    return str(name)


def check_url(url: Any) -> str:
    """Return where a remote is after checking it; the path of a bundle is made absolute.

    Raises:
        InvalidType: It is no text.
        InvalidArgument: It is no MongoDB URI with a database, or holds a password.
    """
    path = path_of(url)
    if path is not None:
        return path
    if not isinstance(url, str):
        raise InvalidType("a remote is a text such as 'mongodb://host/database'", url=type(url))
    if not url.startswith(_SCHEMES):
        raise InvalidArgument(
            "a remote begins with mongodb:// or mongodb+srv://, or is the path of a bundle, such "
            "as ./backup.bundle"
        )
    _check_place(_without_references(url))
    if holds_secret(url):
        raise InvalidArgument(f"a password is never stored: {INSTEAD_OF_A_PASSWORD}")
    return url


def holds_secret(url: str) -> bool:
    """Tell whether a MongoDB URI holds a password itself, and no reference to one.

    Raises:
        InvalidArgument: It is no MongoDB URI.
    """
    login = _CREDENTIALS.search(url)
    password = login[0][2:-1].partition(":")[2] if login else ""
    options = _without_references(url)["options"]
    return bool(_REFERENCE.sub("", password)) or any(one.lower() in _SECRETS for one in options)


def path_of(remote: Any) -> str | None:
    """Return the absolute path of a remote that is a bundle, None for any other.

    A text is a path where it ends with ``.bundle``, or begins like one: no name of a remote
    holds a ``/``, and ``host/database`` is more likely a URI that lacks its beginning.

    Raises:
        InvalidArgument: No text can hold the path.
    """
    if isinstance(remote, os.PathLike):
        remote = os.fspath(remote)
    elif not _is_path(remote):
        return None
    if not isinstance(remote, str) or not storable(remote):
        raise InvalidArgument("the path of a bundle is a text that UTF-8 can hold", path=remote)
    return os.path.abspath(remote)


def _is_path(remote: Any) -> bool:
    if not isinstance(remote, str) or "://" in remote:
        return False
    return remote.endswith(_BUNDLE) or remote.startswith(_PATHS) or os.path.isabs(remote)


def _without_references(url: str) -> dict[str, Any]:
    return _parsed(_REFERENCE.sub("reference", url))


def _check_place(parsed: dict[str, Any]) -> None:
    """Make sure that a URI names a database, and no collection that cannot be.

    Raises:
        InvalidArgument: It does not.
    """
    if not parsed["database"]:
        raise InvalidArgument("name the database as well: mongodb://host/database")
    collection = parsed["collection"] or ""
    if "$" in collection or ".." in collection or collection.strip(".") != collection:
        raise InvalidArgument(f"a collection cannot be called {collection!r}", name=collection)


def _parsed(url: str) -> dict[str, Any]:
    if url.startswith(_SCHEMES[1]):  # its hosts would be looked up
        url = url.replace(_SCHEMES[1], _SCHEMES[0], 1)
    try:
        return dict(parse_uri(url, validate=False, warn=False))
    except (driver.InvalidURI, driver.ConfigurationError, ValueError) as error:
        # the driver's words may quote a part of a password
        reason = "what stands before the last @ has to be percent-encoded" if "@" in url else error
        raise InvalidArgument(f"that is no MongoDB URI: {reason}") from None


def with_secrets(text: str, what: str = "the connection string") -> str:
    """Return a URI, or a password, with its references looked up.

    Args:
        text: What holds them.
        what: What that is, for the error.

    Raises:
        InvalidArgument: One leads nowhere.
    """
    return _REFERENCE.sub(lambda found: _looked_up(found[1], what), text)


def _looked_up(reference: str, what: str) -> str:
    from urllib.parse import quote_plus

    if reference.startswith("keyring:"):
        return quote_plus(_from_keyring(what, *reference.split(":", 2)[1:]))
    value = os.environ.get(reference)
    if value is None:
        raise InvalidArgument(
            f"{what} refers to the environment variable {reference}, which is not set",
            variable=reference,
        )
    return quote_plus(value)


def _from_keyring(what: str, service: str = "", user: str = "") -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise InvalidArgument(
            f"{what} refers to the keyring, which takes `pip install keyring`"
        ) from None
    try:
        value = keyring.get_password(service, user)
    except KeyringError as error:  # there is none, or it stays locked
        raise InvalidArgument(
            f"{what} refers to the keyring, which cannot be read ({error}); an environment "
            "variable would do instead: ${NAME}"
        ) from error
    if value is None:
        raise InvalidArgument(f"the keyring has no entry for {user!r} of {service!r}")
    return str(value)


def stored_url(remote: Any) -> str | None:
    """Return a URI or path as it may be kept, None where it holds a password, or is none."""
    try:
        return check_url(remote)
    except (InvalidArgument, InvalidType):
        return None


def collection_in(remote: str | os.PathLike[str]) -> str | None:
    """Return the collection that a URI names behind its database, or that a bundle holds."""
    path = path_of(remote)
    if path is not None:
        with BundleRemote(path) as bundle:
            return str(bundle.collection)
    found = _parsed(_REFERENCE.sub("reference", str(remote)))["collection"]
    return None if found is None else str(found)


def redacted(url: str) -> str:
    """Return a URI as it may be shown: without what stands in a password's place."""
    return re.sub(r"(//[^:@/]*):[^@/]*@", r"\1:***@", url)


@contextmanager
def opened(
    repository: Repository,
    wanted: RemoteLike,
    progress: Progress | None = None,
    *,
    giving: bool = False,
) -> Iterator[tuple[str, Remote]]:
    """Open a remote, and close what had to be opened for it.

    Args:
        repository: The trackers on this side.
        wanted: What the person passes.
        progress: Told how many documents were written at the remote.
        giving: Whether the remote is to take something in.

    Yields:
        The name by which its branches are tracked, and the remote.

    Raises:
        RemoteNotFound: There is no remote of that name.
        RemoteUnreachable: There is no connection to it, or it broke; also while it is in use.
        PermissionDenied: It refused the login.
        InvalidArgument: It names another collection, or is no address.
        InvalidOperation: It is this very collection, or a bundle that begins after versions
            which are not here.
        InvalidType: It is nothing that a remote can be.
        UnusableFile: It is a file that is no whole bundle.
        NotSupported: It is a bundle, and is to take something in.
    """
    name, path = _bundle(repository, wanted)
    if path is not None:
        if giving:
            raise read_only(path)
        with BundleRemote(path) as bundle:
            _check_since(repository, bundle)
            yield name or _known_name(repository, path), bundle
        return
    with ExitStack() as stack:
        other, name = stack.enter_context(_found(repository, wanted))
        here, there = repository.db.client, other.db.client
        stack.enter_context(reaching(address_of(other), there, here))
        if not isinstance(wanted, Repository):
            other.find_home()
        stack.enter_context(other.deltas.fresh.kept())
        known, remote = _named(repository, other, progress)
        yield name or known, remote


def _bundle(repository: Repository, wanted: RemoteLike) -> tuple[str | None, str | None]:
    """Return the name by which a bundle was asked for, if by one, and its path, if it is one."""
    name = wanted or DEFAULT if isinstance(wanted, str) or wanted is None else None
    known = None if name is None or "://" in name else repository.remotes.get(name)
    if known is not None and known.url is not None:
        return name, path_of(known.url)
    return None, path_of(wanted)


def _check_since(repository: Repository, bundle: BundleRemote) -> None:
    """Make sure that the versions are here on which a bundle builds.

    Raises:
        InvalidOperation: They are not.
    """
    known = repository.log.among(bundle.since)
    lacking = [label for version, label in bundle.since.items() if version not in known]
    if lacking:
        raise InvalidOperation(
            f"{bundle.address} holds what came after {', '.join(lacking)}, which "
            f"{'is' if len(lacking) == 1 else 'are'} not here; bring the bundle before it first, "
            "or one that was exported without since",
            remote=bundle.address,
            lacking=lacking,
        )


@contextmanager
def _found(repository: Repository, wanted: RemoteLike) -> Iterator[tuple[Repository, str | None]]:
    """Yield the trackers of a remote, and the name by which it was asked for, if by one."""
    if isinstance(wanted, Repository):
        yield wanted, None
    elif isinstance(wanted, Database):
        yield Repository(wanted, repository.home), None
    elif wanted is None or isinstance(wanted, str):
        with _opened_at(repository, DEFAULT if wanted is None else wanted) as found:
            yield found
    else:
        raise InvalidType(
            "a remote is a VersionedCollection, a Database, a mongodb:// URI, the path of a "
            f"bundle or the name of a remote, not {type(wanted).__name__}"
        )


@contextmanager
def _opened_at(repository: Repository, wanted: str) -> Iterator[tuple[Repository, str | None]]:
    url, name = wanted, None
    if "://" in wanted and not wanted.startswith(_SCHEMES):
        raise InvalidArgument("the URI of a remote begins with mongodb:// or mongodb+srv://")
    if not wanted.startswith(_SCHEMES):
        known = repository.remotes.get(wanted)
        if known is None or known.url is None:
            raise RemoteNotFound(
                f"there is no remote {wanted!r}; remotes() lists them, add_remote() adds one",
                remote=wanted,
            )
        url, name = known.url, wanted
    url = with_secrets(url)
    parsed = _parsed(url)
    _check_place(parsed)
    options: dict[str, Any] = {}
    if "serverselectiontimeoutms" not in {one.lower() for one in parsed["options"]}:
        patience = repository.db.client.options.server_selection_timeout
        options["serverSelectionTimeoutMS"] = int(patience * 1000)
    with connected(url, parsed["password"], **options) as client:
        other = Repository(
            client[parsed["database"]],
            parsed["collection"] or repository.home,
            lease_seconds=repository.lease_seconds,
            lease_wait_seconds=repository.lease_wait_seconds,
        )
        yield other, name


def _named(
    repository: Repository, other: Repository, progress: Progress | None
) -> tuple[str, MongoRemote]:
    if other.home != repository.home:
        raise InvalidArgument(
            f"the remote is the collection {other.home!r}, this one is {repository.home!r}; both "
            "sides have the same name",
            names=(repository.home, other.home),
        )
    remote = MongoRemote(other, progress)
    if _is_same(repository, other):
        raise InvalidOperation(
            "the collection and the remote are the same; name another database or server",
            address=remote.address,
        )
    return _known_name(repository, remote.address), remote


def _is_same(repository: Repository, other: Repository) -> bool:
    if repository.db.name != other.db.name:
        return False
    if repository.db.client is other.db.client:
        return True
    here, there = repository.metadata.read_main(), _state(other)
    if here is not None and there is not None:
        return bool(here.uuid is not None and here.uuid == there.uuid)
    return address_of(repository) == address_of(other)


def _state(other: Repository) -> Metadata | None:
    """Return the state at the other side, None also where it cannot be read; see `refs`."""
    try:
        return other.metadata.read_main()
    except UNREADABLE:
        return None


def _known_name(repository: Repository, address: str) -> str:
    """Return the name of the remote with this address, or the address itself."""
    for known in repository.remotes.all():
        if known.url is not None and address_in(known.url) == address:
            return known.name
    return address


def address_in(url: str) -> str:
    """Return the address of a remote, of whose URI no reference is looked up, or its path."""
    path = path_of(url)
    if path is not None:
        return path
    parsed = _parsed(_REFERENCE.sub("reference", url))
    hosts = sorted(f"{host}:{port}" for host, port in parsed["nodelist"])
    return f"{','.join(hosts)}/{parsed['database']}"
