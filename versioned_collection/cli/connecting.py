"""From a connection string to a client, and what is wrong with the string in words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from versioned_collection.cli.failures import UsageFailure

if TYPE_CHECKING:
    from pymongo import MongoClient


def connected(uri: str, options: dict[str, Any], warn: Callable[[str], None]) -> MongoClient[Any]:
    """Return a client, which connects once it is used.

    Args:
        uri: The connection string.
        options: Further options of the client.
        warn: Told what the driver doubts.

    Raises:
        UsageFailure: The connection string is malformed, or names a file that cannot be read.
        ConnectionFailure: Its name leads to no hosts.
    """
    from pymongo import MongoClient
    from pymongo.errors import ConfigurationError, ConnectionFailure

    from versioned_collection.remotes.reaching import leads_nowhere

    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            client: MongoClient[Any] = MongoClient(uri, **options)
    except OSError as error:
        raise UsageFailure(
            f"a file that the connection string names cannot be used: {error.strerror or error}"
        ) from None
    except (ConfigurationError, ValueError) as error:
        if leads_nowhere(error):
            raise ConnectionFailure(str(error)) from None
        raise UsageFailure(_malformed(uri, error)) from None
    culprits = _doubted(uri)
    for text in dict.fromkeys(str(doubt.message) for doubt in doubts):
        names = ", ".join(culprits.get(text, ()))
        warn(f"{names} in the connection string: {text}" if names else text)
    return client


def _doubted(uri: str) -> dict[str, list[str]]:
    """Return the options of a connection string that the driver doubts, by what it says.

    It does not say which one it means, so each is looked at alone.
    """
    from pymongo.uri_parser import parse_uri

    found: dict[str, list[str]] = {}
    for option in filter(None, uri.partition("?")[2].replace(";", "&").split("&")):
        with warnings.catch_warnings(record=True) as doubts, suppress(Exception):
            warnings.simplefilter("always")
            parse_uri(f"mongodb://host/?{option}", warn=True)
        for text in {str(doubt.message) for doubt in doubts}:
            found.setdefault(text, []).append(option.partition("=")[0])
    return found


def _malformed(uri: str, error: Exception) -> str:
    """Return what is wrong with a connection string, without quoting a login."""
    if "@" in uri:
        return (
            "the connection string cannot be read; percent-encode the user name and the "
            "password in it, or pass them as VC_USERNAME and VC_PASSWORD"
        )
    return f"the connection string cannot be read: {error}"
