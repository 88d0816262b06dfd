"""Errors of the driver on the way to a remote, in words that say which side is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo import errors as driver

from versioned_collection.errors import InvalidArgument, PermissionDenied, RemoteUnreachable

_LOGIN_REFUSED = frozenset((18, 8000))
_CONFIGURED = re.compile(r" \(configured timeouts:[^)]*\)")


@contextmanager
def reaching(address: str, there: MongoClient[Any], here: MongoClient[Any]) -> Iterator[None]:
    """Turn what the driver raises when a remote cannot be reached into errors of this library.

    What is known to concern this side alone stays as it is.

    Args:
        address: Where the remote is, without secrets.
        there: The client of the remote.
        here: The client of this side.

    Raises:
        RemoteUnreachable: No connection to the remote, or it broke.
        PermissionDenied: The remote refused the login.
    """
    try:
        yield
    except driver.ConnectionFailure as error:
        if _is_of_transaction(error) or (_names(error, here) and not _names(error, there)):
            raise
        raise RemoteUnreachable(
            f"the remote {address} cannot be reached: {reason_of(error)}. Try again once it can; "
            "what has arrived is not sent again",
            remote=address,
            reason=reason_of(error),
        ) from error
    except driver.OperationFailure as error:
        if error.code not in _LOGIN_REFUSED:
            raise
        raise PermissionDenied(
            f"the remote {address} refused the login; look at user, password and authSource of "
            "its URI",
            action="authenticate",
            namespace=address,
        ) from error


def _is_of_transaction(error: driver.ConnectionFailure) -> bool:
    """Tell whether the driver gave a transaction up that a server took back again and again."""
    return isinstance(error.__cause__, driver.OperationFailure)


def _names(error: driver.ConnectionFailure, client: MongoClient[Any]) -> bool:
    """Tell whether an error says that it is about one of a client's servers."""
    text = str(error)
    servers = client.topology_description.server_descriptions()
    return any(
        repr(address) in text or ":".join(map(str, filter(None, address))) in text
        for address in servers
    )


def reason_of(error: driver.ConnectionFailure) -> str:
    """Return what an error says, without the driver's picture of the deployment."""
    return _CONFIGURED.sub("", str(error).partition(", Timeout:")[0])


def leads_nowhere(error: Exception) -> bool:
    """Tell whether the driver could not look up the hosts behind a ``mongodb+srv://`` name.

    It does so when a client is made, and takes it for a mistake in the URI.
    """
    lookup = error.__cause__ or error.__context__  # the latter alone before PyMongo 4.16
    return type(lookup).__module__.partition(".")[0] == "dns"


def connected(url: str, password: str | None, **options: Any) -> MongoClient[Any]:
    """Return a client, which connects once it is used.

    Args:
        url: The URI.
        password: What errors must not repeat of it.
        **options: Further options of the client.

    Raises:
        InvalidArgument: The URI cannot be used.
        RemoteUnreachable: Its name leads to no hosts.
    """
    try:
        return MongoClient(url, **options)
    except (driver.PyMongoError, ValueError, OSError) as error:
        reason = str(error).replace(password, "***") if password else str(error)
        if leads_nowhere(error):
            address = _without_login(url)
            raise RemoteUnreachable(
                f"the remote {address} cannot be reached: {reason}", remote=address, reason=reason
            ) from None
        raise InvalidArgument(f"the URI of the remote cannot be used: {reason}") from None


def _without_login(url: str) -> str:
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]
