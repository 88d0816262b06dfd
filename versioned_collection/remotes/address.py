"""What a person writes for a remote: URIs, paths and names, in which secrets stay references."""

from __future__ import annotations

import os
import re
from typing import Any

from pymongo import errors as driver
from pymongo.uri_parser import parse_uri

from versioned_collection.core.revision import check_name
from versioned_collection.errors import InvalidArgument, InvalidType
from versioned_collection.remotes.bundle import BundleRemote
from versioned_collection.trackers.base import storable

DEFAULT = "origin"

_BUNDLE = ".bundle"
_PATHS = ("./", "../")

SCHEMES = ("mongodb://", "mongodb+srv://")
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
    if not url.startswith(SCHEMES):
        raise InvalidArgument(
            "a remote begins with mongodb:// or mongodb+srv://, or is the path of a bundle, such "
            "as ./backup.bundle"
        )
    place_in(_bare(url))
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
    options = _parsed(_bare(url))["options"]
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


def _bare(url: str) -> str:
    """Return a URI in which words stand for its references."""
    return _REFERENCE.sub("reference", url)


def place_in(url: str) -> dict[str, Any]:
    """Return the parts of a URI, as PyMongo's `parse_uri` does, without asking any name server.

    Raises:
        InvalidArgument: It names no database, or a collection that cannot be, or is no URI.
    """
    parsed = _parsed(url)
    if not parsed["database"]:
        raise InvalidArgument("name the database as well: mongodb://host/database")
    collection = parsed["collection"] or ""
    if "$" in collection or ".." in collection or collection.strip(".") != collection:
        raise InvalidArgument(f"a collection cannot be called {collection!r}", name=collection)
    return parsed


def _parsed(url: str) -> dict[str, Any]:
    if url.startswith(SCHEMES[1]):  # its hosts would be looked up
        url = url.replace(SCHEMES[1], SCHEMES[0], 1)
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
    found = _parsed(_bare(str(remote)))["collection"]
    return None if found is None else str(found)


def redacted(url: str) -> str:
    """Return a URI as it may be shown: without what stands in a password's place."""
    return re.sub(r"(//[^:@/]*):[^@/]*@", r"\1:***@", url)


def address_in(url: str) -> str:
    """Return the address of a remote, of whose URI no reference is looked up, or its path."""
    path = path_of(url)
    if path is not None:
        return path
    parsed = _parsed(_bare(url))
    hosts = sorted(f"{host}:{port}" for host, port in parsed["nodelist"])
    return f"{','.join(hosts)}/{parsed['database']}"
