"""Remotes behind access control, TLS, or nothing at all."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote_plus

import pytest
from api_support import everything, grown, problems, raws, step
from pymongo import MongoClient
from pymongo import errors as driver
from pymongo.database import Database

from versioned_collection import VersionedCollection, embedded, errors
from versioned_collection.remotes.reaching import reaching
from versioned_collection.repository.hold import Hold

PASSWORD = "s3cret/:@"
PATIENCE = 10.0
"""Seconds that a remote which cannot be reached may take, far more than it is given."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[embedded.Server]:
    """A server with access control, and a user who may only read."""
    with embedded.start(auth=True, durable=False) as server:
        with MongoClient(server.uri) as root:
            for user, role in (("writer", "readWrite"), ("reader", "read")):
                roles = [{"role": role, "db": "music"}]
                root.admin.command("createUser", user, pwd=PASSWORD, roles=roles)
        yield server


@pytest.fixture
def music(guarded) -> Iterator[Database[Any]]:
    """The database as its writer sees it."""
    with MongoClient(guarded.uri_for("writer", PASSWORD)) as client:
        yield client["music"]
    with MongoClient(guarded.uri) as root:
        root.drop_database("music")


def url_for(server: embedded.Server, user: str, password: str = "${BANDS_PASSWORD}") -> str:
    """Return where the remote is, with a reference in the place of the password."""
    query = f"replicaSet=rs0&authSource=admin&serverSelectionTimeoutMS={int(PATIENCE * 1000)}"
    return f"mongodb://{user}:{password}@{server.address}/music.bands?{query}"


def test_reading_is_enough_to_fetch_clone_and_pull(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", PASSWORD)
    away = grown(music)
    before = everything(music)
    bands = VersionedCollection.clone(url_for(guarded, "reader"), db)
    assert bands == away
    assert everything(music) == before
    step(away, 4)
    before = everything(music)
    assert bands.fetch().versions == 1
    assert bands.pull()
    assert raws(bands) == raws(away)
    assert problems(bands) == []
    assert everything(music) == before
    # what is kept about the remote holds no secret
    kept = str(everything(db))
    assert PASSWORD not in kept
    assert quote_plus(PASSWORD) not in kept
    assert "${BANDS_PASSWORD}" in kept


def test_a_push_of_a_reader_says_what_is_missing(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", PASSWORD)
    away = grown(music)
    bands = VersionedCollection.clone(url_for(guarded, "reader"), db)
    assert bands.push()  # there is nothing to bring
    step(bands, 4)
    before, mine = everything(music), everything(db)
    with pytest.raises(errors.PermissionDenied, match="readWrite") as caught:
        bands.push()
    assert caught.value.action
    assert caught.value.action in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert everything(music) == before
    assert everything(db) == mine
    assert bands.push(dry_run=True).versions == 1
    with pytest.raises(errors.PermissionDenied):
        bands.push(branch="side", delete=True)
    # the same with the right to write
    writer = VersionedCollection(music.client["music"], "bands")
    assert bands.push(writer)
    assert away == bands


def test_the_role_that_is_enough_to_read_a_remote_is_named(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", PASSWORD)
    grown(music)
    bands = grown(db)
    with MongoClient(guarded.uri) as root:
        root.admin.command("createUser", "stranger", pwd=PASSWORD, roles=[])
    url = url_for(guarded, "stranger")
    for verb in (bands.fetch, bands.pull, bands.push):
        with pytest.raises(errors.PermissionDenied, match="the role read on") as caught:
            verb(url)
        assert caught.value.action == "find"
    with (
        MongoClient(guarded.uri_for("stranger", PASSWORD)) as client,
        pytest.raises(errors.PermissionDenied, match="readWrite"),
    ):
        VersionedCollection(client["music"], "bands").register("mine")


def test_a_first_push_of_a_reader_says_what_is_missing(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", PASSWORD)
    bands = grown(db)
    with pytest.raises(errors.PermissionDenied, match="readWrite"):
        bands.push(url_for(guarded, "reader"))
    assert music.list_collection_names() == []
    assert problems(bands) == []


def test_read_write_is_enough_to_push(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", PASSWORD)
    bands = grown(db)
    bands.add_remote("origin", url_for(guarded, "writer"))
    assert bands.push(all=True, tags=True)
    step(bands, 4)
    assert bands.push()
    away = VersionedCollection(music, "bands")
    assert away == bands
    assert raws(away) == raws(bands)
    assert problems(away) == []


def test_a_wrong_password_is_not_repeated(guarded, music, db, monkeypatch):
    monkeypatch.setenv("BANDS_PASSWORD", "not" + PASSWORD)
    grown(music)
    bands = grown(db)
    before = everything(db)
    with pytest.raises(errors.PermissionDenied, match="refused the login") as caught:
        bands.fetch(url_for(guarded, "writer"))
    assert guarded.address in str(caught.value)
    assert "not" + PASSWORD not in str(caught.value)
    assert everything(db) == before
    monkeypatch.delenv("BANDS_PASSWORD")
    with pytest.raises(errors.InvalidArgument, match="BANDS_PASSWORD"):
        bands.fetch(url_for(guarded, "writer"))


def test_a_name_that_leads_nowhere(db):
    bands = grown(db)
    url = "mongodb+srv://ada:s3cret@nowhere.invalid/music"
    with pytest.raises(errors.RemoteUnreachable) as caught:
        bands.push(url)
    assert caught.value.remote == "nowhere.invalid/music"
    assert "s3cret" not in str(caught.value)


def test_a_file_of_its_uri_that_is_not_there(db):
    bands = grown(db)
    with pytest.raises(errors.InvalidArgument, match="tlscertificatekeyfile"):
        bands.push("mongodb://127.0.0.1:1/music?tlsCertificateKeyFile=/nonexist")


def test_this_side_that_cannot_be_reached_is_not_taken_for_the_remote():
    hosts = ("mongodb://127.0.0.1:1/", "mongodb://127.0.0.1:2/")
    here, there = (MongoClient(one, serverSelectionTimeoutMS=100) for one in hosts)
    with here, there:
        with pytest.raises(driver.ServerSelectionTimeoutError), reaching("there", there, here):
            here.admin.command("ping")
        with pytest.raises(errors.RemoteUnreachable), reaching("there", there, here):
            there.admin.command("ping")


def test_a_transaction_that_was_given_up_is_not_taken_for_the_remote(db, client, monkeypatch):
    bands = grown(db)
    away = VersionedCollection.clone(bands, client[f"{db.name}_away"])
    bands.tag("late")
    given_up = driver.NetworkTimeout("Transaction has been aborted")
    given_up.__cause__ = driver.OperationFailure("Transaction has been aborted", 251)
    monkeypatch.setattr(Hold, "transaction", Mock(side_effect=given_up))
    with pytest.raises(driver.NetworkTimeout):
        away.fetch(bands)
    monkeypatch.undo()
    away.fetch(bands)
    assert "late" in away.tags()
    client.drop_database(away.database)


@pytest.mark.parametrize("act", ["fetch", "push", "pull", "clone"])
def test_a_host_that_cannot_be_reached(db, act):
    bands = grown(db)
    before, begun = everything(db), time.monotonic()
    nowhere = "mongodb://ada:s3cret@127.0.0.1:1/music.bands?serverSelectionTimeoutMS=200"
    asks = {"clone": lambda where: VersionedCollection.clone(where, db.client["into"])}
    with pytest.raises(errors.RemoteUnreachable) as caught:
        asks.get(act, getattr(bands, act, None))(nowhere)
    assert caught.value.remote == "127.0.0.1:1/music"
    assert "s3cret" not in str(caught.value)
    assert time.monotonic() - begun < PATIENCE
    assert everything(db) == before
    assert problems(bands) == []


# -- TLS -----------------------------------------------------------------------------------


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for this host; return it with its key, and alone."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, alone, both = (directory / name for name in ("key.pem", "ca.pem", "server.pem"))
    subprocess.run(
        [
            *(tool, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(alone)),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + alone.read_bytes())
    return both, alone


def test_a_remote_behind_tls(tmp_path, db):
    both, alone = certificate(tmp_path)
    # the embedded server asks its own mongod without TLS
    arguments = ("--tlsMode", "preferTLS", "--tlsCertificateKeyFile", str(both))
    with embedded.start(durable=False, extra_args=arguments) as server:
        base = f"mongodb://{server.address}/music.bands?replicaSet=rs0&tls=true"
        url = f"{base}&tlsCAFile={quote_plus(str(alone))}"
        bands = grown(db)
        bands.add_remote("origin", url)
        assert bands.push(all=True)
        step(bands, 4)
        assert bands.push()
        with MongoClient(server.uri) as client:
            away = VersionedCollection(client["music"], "bands")
            assert raws(away) == raws(bands)
            assert problems(away) == []
            step(away, 5)
            assert bands.pull()
            assert raws(away) == raws(bands)
        with pytest.raises(errors.RemoteUnreachable):
            bands.fetch(f"{base}&serverSelectionTimeoutMS=500")  # nobody vouches for the server
        assert problems(bands) == []
