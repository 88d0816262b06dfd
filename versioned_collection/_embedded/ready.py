"""From a mongod that listens to one that takes writes: replica set and root user."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from versioned_collection._embedded.home import Home
from versioned_collection._embedded.options import HOST, REPLICA_SET, Options, until
from versioned_collection.errors import EmbeddedServerError

ROOT = "root"

AUTHENTICATION_FAILED = 18
ALREADY_INITIALIZED = 23
UNAUTHORIZED = 13


def make_ready(home: Home, options: Options, port: int, deadline: float) -> None:
    """Bring a mongod that listens to where it takes writes, with its root user.

    Args:
        home: The directory, with the credentials.
        options: What was asked for.
        port: Where it listens.
        deadline: When it has to be ready, on the monotonic clock.

    Raises:
        EmbeddedServerError: It refuses, or is not ready in time.
    """
    try:
        with contextlib.closing(_connect(port, deadline)) as anonymous:
            client, known = anonymous, False
            if options.auth and home.read_credentials():
                client, known = _log_in(home, anonymous, port, deadline)
            with contextlib.closing(client):
                if options.replica_set:
                    _initiate(client, port, options.durable)
                if not until(lambda: _takes_writes(client), deadline):
                    raise too_slow(home, options)
                if options.auth and not known:
                    _create_root(home, client)
    except PyMongoError as error:
        raise EmbeddedServerError(
            f"{options.mongod} started but could not be set up: {error}",
            mongod=str(options.mongod),
        ) from error


def _connect(port: int, deadline: float, **login: Any) -> MongoClient[dict[str, Any]]:
    """Connect to one node, whatever it thinks of its replica set."""
    patience = max(1, int((deadline - time.monotonic()) * 1000))
    return MongoClient(
        HOST, port, directConnection=True, serverSelectionTimeoutMS=patience, **login
    )


def _log_in(
    home: Home, anonymous: MongoClient[dict[str, Any]], port: int, deadline: float
) -> tuple[MongoClient[dict[str, Any]], bool]:
    """Connect as root, if the root user was made before.

    Returns:
        The client to go on with, and whether it is root.
    """
    credentials = home.read_credentials()
    client = _connect(
        port, deadline, username=credentials["user"], password=credentials["password"]
    )
    try:
        client.admin.command("ping")
    except OperationFailure as error:
        client.close()
        if error.code != AUTHENTICATION_FAILED:
            raise
        # The first start ended between writing the password down and making the user.
        return anonymous, False
    return client, True


def _initiate(client: MongoClient[dict[str, Any]], port: int, durable: bool) -> None:
    """Make the node a replica set, or bring an older one's configuration up to date."""
    wanted: dict[str, Any] = {
        "_id": REPLICA_SET,
        "members": [{"_id": 0, "host": f"{HOST}:{port}"}],
        "writeConcernMajorityJournalDefault": durable,
    }
    try:
        client.admin.command("replSetInitiate", wanted)
        return
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        return  # access control is new here: before there is a root user nobody may look
    changed = {**config, **wanted, "version": config["version"] + 1}
    if (
        config["members"][0]["host"] != wanted["members"][0]["host"]
        or config.get("writeConcernMajorityJournalDefault", True) != durable
    ):
        # The port is another one than last time: the node does not find itself any more,
        # is no primary, and only takes a configuration by force.
        client.admin.command("replSetReconfig", changed, force=True)


def _takes_writes(client: MongoClient[dict[str, Any]]) -> bool:
    return bool(client.admin.command("hello").get("isWritablePrimary"))


def _create_root(home: Home, client: MongoClient[dict[str, Any]]) -> None:
    """Make the first user, which mongod allows a local connection to do unidentified."""
    credentials = home.read_credentials() or {
        "user": ROOT,
        "password": secrets.token_urlsafe(24),
    }
    home.write_credentials(credentials)
    client.admin.command(
        "createUser",
        credentials["user"],
        pwd=credentials["password"],
        roles=["root"],
        mechanisms=["SCRAM-SHA-256"],
    )


def too_slow(home: Home, options: Options) -> EmbeddedServerError:
    """Say that the start took too long.

    Args:
        home: The directory, with the log.
        options: What was asked for.

    Returns:
        The error to raise.
    """
    return EmbeddedServerError(
        f"{options.mongod} was not ready after {options.startup_timeout:g} seconds; "
        f"it said last: {home.log_tail(600).strip()[-500:]}",
        mongod=str(options.mongod),
        timeout=options.startup_timeout,
    )
