"""The tree of errors: documented, stable, complete, picklable."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import re

import pytest
from api_support import edit, tracked

import versioned_collection
from versioned_collection import VersionedCollection, errors

CODES = {
    "VersioningError": "versioning",
    "InvalidArgument": "invalid_argument",
    "InvalidType": "invalid_type",
    "CollectionAlreadyInitialised": "already_initialised",
    "CollectionNotTracked": "not_tracked",
    "InvalidOperation": "invalid_operation",
    "WorkingCopyChanged": "working_copy_changed",
    "NotSupported": "not_supported",
    "InvalidCollectionVersion": "no_such_version",
    "AmbiguousRevision": "ambiguous_revision",
    "BranchNotFound": "no_such_branch",
    "TagNotFound": "no_such_tag",
    "RemoteNotFound": "no_such_remote",
    "RemoteUnreachable": "remote_unreachable",
    "InvalidCollectionState": "invalid_state",
    "HistoryPurged": "history_purged",
    "AutoMergeFailedError": "auto_merge_failed",
    "LeaseHeld": "lease_held",
    "LeaseLost": "lease_lost",
    "PermissionDenied": "permission_denied",
    "SnapshotUnavailable": "snapshot_unavailable",
    "DocumentRejected": "document_rejected",
    "TransferRefused": "transfer_refused",
    "UnusableFile": "unusable_file",
    "FormatMismatch": "format_mismatch",
    "CorruptHistory": "corrupt_history",
    "EmbeddedServerError": "embedded_server",
}
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, BaseException)
]


def test_codes_are_stable_and_unique():
    found = {one.__name__: one.code for one in CLASSES}
    assert {name: found.get(name) for name in CODES} == CODES
    assert len(set(found.values())) == len(found)
    assert all("code" in vars(one) for one in CLASSES)


def test_all_derive_from_one():
    assert all(issubclass(one, errors.VersioningError) for one in CLASSES)
    assert issubclass(errors.InvalidArgument, ValueError)
    assert issubclass(errors.InvalidType, TypeError)


def test_the_documented_tree_is_the_real_one():
    drawn = re.findall(r"[A-Z]\w+", errors.__doc__.split("\n\n")[1])
    named = {name for name in drawn if hasattr(errors, name)}
    assert named == {one.__name__ for one in CLASSES}
    assert all(one.__doc__ for one in CLASSES)


def test_the_package_raises_no_error_from_elsewhere():
    for module in pkgutil.walk_packages(versioned_collection.__path__, "versioned_collection."):
        if ".cli" not in module.name:
            importlib.import_module(module.name)

    def below(one):
        yield one
        for child in one.__subclasses__():
            yield from below(child)

    ours = [one for one in below(errors.VersioningError) if "versioned" in one.__module__]
    internal = {
        "_Contended",
        "TooLarge",
        "TooLargeBesideDeltas",
        "UniqueClash",
        "ValidatorInTheWay",
    }  # caught within
    strays = {one.__name__ for one in ours if one not in CLASSES and ".cli" not in one.__module__}
    assert strays <= internal


@pytest.mark.parametrize("one", CLASSES)
def test_facts_are_attributes(one):
    error = one("what happened", branch="main", number=3)
    assert str(error) == "what happened"
    assert (error.message, error.branch, error.number) == ("what happened", "main", 3)
    assert error.facts == {"branch": "main", "number": 3}
    with pytest.raises(AttributeError):
        _ = error.other


@pytest.mark.parametrize("one", CLASSES)
def test_pickle_and_copy(one):
    error = one("what happened", branch="main")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is one
        assert str(again) == "what happened"
        assert again.facts == {"branch": "main"}
        assert again.branch == "main"
        assert again.code == one.code


def test_real_errors_can_be_pickled(db, client):
    bands = tracked(db)
    edit(bands, 1)
    wrong = [
        lambda: bands.init(),
        lambda: bands.checkout(),
        lambda: bands.checkout(0.5),
        lambda: bands.checkout(object()),
        lambda: bands.checkout(9),
        lambda: bands.checkout(branch="nope"),
        lambda: bands.delete_tag("nope"),
        lambda: bands.create_branch("__x"),
        lambda: bands.register(5),
        lambda: bands.log(author=client),
        lambda: bands < 5,
        lambda: bands < client,
        lambda: bands < VersionedCollection(db, "other"),
        lambda: VersionedCollection(client, "bands"),
        lambda: VersionedCollection(db, "other").resolve("HEAD"),
    ]
    for verb in wrong:
        with pytest.raises(errors.VersioningError) as caught:
            verb()
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is type(caught.value)
        assert str(again) == str(caught.value)
        assert set(again.facts) == set(caught.value.facts)
