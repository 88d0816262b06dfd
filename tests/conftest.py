"""Fixtures that every test may use: servers, clients, and a database of one's own."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import api_support
import mongomock
import pytest
import remote_support
from cli_support import Cli
from harness.trap import shrink_limits
from hypothesis import settings
from pymongo import MongoClient
from pymongo.database import Database
from surfaces import Loop
from surfaces import surface as surface_of

from versioned_collection import embedded
from versioned_collection.doubles import adopted

Document = dict[str, Any]

# Machines are shared and noisy: how long an example takes says nothing about it. A default run
# tries the same examples each time, so that what it says is about the change; sweeps try others.
settings.register_profile("sweep", deadline=None)
settings.register_profile("default", deadline=None, derandomize=True)

IN_MEMORY = "/dev/shm"
ROOM = 8 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    """Choose what Hypothesis tries, where servers keep their files, and what processes reuse."""
    settings.load_profile("default" if config.option.markexpr == "not sweep" else "sweep")
    _keep_files_in_memory()
    # Hundreds of child processes would each compile the package anew, which takes half a second.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _keep_files_in_memory() -> None:
    """Have temporary servers keep their files in memory, where there is plenty of it.

    Hundreds of tests create and drop dozens of collections each, a third of whose time is
    that of the disk. What tests write as files of their own stays on the disk.
    """
    if "TMPDIR" in os.environ or not os.path.isdir(IN_MEMORY):
        return
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if min(free, shutil.disk_usage(IN_MEMORY).free) > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY


ON_EVERY_SURFACE = frozenset(
    f"test_{name}.py"
    for name in (
        "branches",
        "changes",
        "checkout",
        "checks",
        "codecs",
        "compare",
        "delete_subtree",
        "diff",
        "discard",
        "init",
        "log",
        "maintenance",
        "merge",
        "pull",
        "purge",
        "push",
        "rebase",
        "register",
        "register_part",
        "rename_drop",
        "revisions",
        "rewriting",
        "squash",
        "stash",
        "stashes",
        "status",
        "tags",
        "undo",
        "verify",
    )
)
"""Files whose tests also run through the asynchronous class, over PyMongo Async and Motor."""

REPLICA_SET_BY_DEFAULT = ON_EVERY_SURFACE | frozenset(
    f"test_{name}.py"
    for name in (
        "at",
        "bad_input",
        "bundle",
        "capture",
        "erasure",
        "exactness",
        "export",
        "find_versions",
        "history",
        "long_paths",
        "merge_races",
        "passthrough",
        "purge_remotes",
        "purge_worktrees",
        "restore",
        "thin_out",
        "views",
        "worktrees",
    )
)
"""Files whose tests meet the standalone server in sweeps only.

What differs there, how changes are noticed and carried out, has tests of its own; the state
machine drives all verbs there, and `test_crash` kills every kind of verb.
"""

ON_DOUBLES = ON_EVERY_SURFACE | frozenset(
    f"test_{name}.py"
    for name in (
        "at",
        "bundle",
        "export",
        "find_versions",
        "history",
        "restore",
        "thin_out",
        "worktrees",
    )
)
"""Files whose tests meet mongomock in the place of a server, too."""

BEYOND_DOUBLES = frozenset(
    f"test_{name}"
    for name in (
        # collations
        "an_uncommitted_delete_under_another_id_of_the_collation",
        "applying_over_what_the_collation_takes_for_the_same_ids",
        "case_insensitive_collation",
        "every_kind_of_write_is_noticed",
        "ids_that_the_collation_takes_for_the_id_of_the_version",
        "ids_that_the_collation_takes_for_one",
        "ids_that_the_collation_takes_for_one_by_a_rule",
        "ids_that_the_collation_takes_for_the_same",
        "ids_that_a_collation_takes_for_equal",
        "ids_that_a_collation_takes_for_equal_go_together",
        "ids_of_the_version_that_a_collation_takes_for_the_same",
        # validators and other options of collections
        "a_moderate_validator_lets_unique_values_be_settled",
        "a_moderate_validator_lets_unique_values_change_places",
        "a_moderate_validator_refuses_what_passed_before",
        "a_validator_does_not_stand_in_the_way",
        "a_validator_is_bypassed_where_earlier_documents_do_not_pass",
        "documents_that_todays_validator_refuses",
        "dropped_collection_comes_back_with_its_options",
        "indexes_and_options_of_the_collection_stay",
        "options_and_indexes_come_along",
        "options_validator_and_indexes_travel",
        "the_validator_judges_documents_with_only_some_fields_restored",
        "the_validator_judges_the_merged_state",
        "the_validator_judges_what_is_settled",
        "the_validator_refuses",
        "the_validator_refuses_some_of_many_that_are_settled",
        "the_validator_waits_for_the_last_conflict_of_a_document",
        "what_a_version_has_is_settled_past_the_validator",
        # documents that Python cannot hold
        "large_and_odd_documents",
        "a_validator_in_the_way_of_a_document_that_is_put_anew",
        "every_type_comes_back_from_bson_to_the_byte",
        "every_type_travels_to_the_byte",
        "exact_bytes_of_what_was_decided_and_taken_back",
        # an address
        "a_branch_that_has_the_name_of_one_of_a_remote",
        "a_copy_of_a_side_does_not_get_the_names_of_its_remotes",
        "a_remote_that_gets_a_name_later",
        "a_remote_whose_branches_would_pass_for_those_here",
        "a_side_that_knows_something_else_under_the_name_of_a_remote",
        "clone",
        "names_of_remotes_do_not_come_along",
        "remotes",
        "the_same_collection",
        "what_a_remote_may_be",
        "what_is_below_a_branch_is_pulled_later",
        "what_was_fetched_from_a_remote_that_was_removed",
        # views, indexes, queries and commands that only a server has
        "a_clustered_collection_stays_one",
        "a_worktree_of_a_clustered_collection_is_one",
        "dropped_collection_comes_back_as_it_was_when_head_moved",
        "dropped_collection_comes_back_as_it_was_with_any_verb",
        "a_worktree_that_is_removed_leaves_nothing",
        "an_index_that_refuses_the_version",
        "checks_that_cannot_be",
        "choices_that_cannot_be",
        "it_always_says_what_reading_each_version_says",
        "refused_arguments_change_nothing",
        "size_counts_large_images",
        "what_is_checked_out_or_stashed_on_or_shown_stays",
        "what_is_uncommitted_or_set_aside",
    )
)
"""Tests in these files that ask for what mongomock does not have."""

BEYOND_DOUBLES_OF_MOTOR = frozenset({"test_codecs.py"})
"""Files that ask for codec options, which the double of Motor refuses."""

PARTS = {
    "test_aio.py": 2,
    "test_at_queries.py": 2,
    "test_benchmarks.py": 3,
    "test_bundle.py": 2,
    "test_capture.py": 4,
    "test_crash.py": 6,
    "test_long_paths.py": 2,
    "test_lost_changes.py": 3,
    "test_purge_remotes.py": 3,
    "test_purge_worktrees.py": 2,
    "test_register_part.py": 2,
    "test_resolving.py": 2,
    "test_revisions.py": 2,
    "test_transfer_crash.py": 6,
    "test_transfer_hostile.py": 3,
    "test_a_history_that_begins_under_the_new_name_meanwhile": 3,
    "test_a_process_that_dies_while_it_turns_back": 2,
    "test_a_stream_goes_on_while_many_others_wait_for_its_lease": 4,
    "test_a_stream_goes_on_while_many_verbs_wait_for_its_lease": 4,
    "test_a_value_that_is_given_back_is_exact": 4,
    "test_back_again": 2,
    "test_deltas_that_are_not_stored": 3,
    "test_documents_that_a_cache_holds_one_at_a_time": 3,
    "test_dropped_collection_comes_back_as_it_was_with_any_verb": 2,
    "test_edited_documents_are_told_one_by_one": 3,
    "test_every_value_becomes_another": 2,
    "test_labels_of_a_pull_that_waited_are_given_back": 3,
    "test_late_owner_in_a_worktree": 2,
    "test_late_owner_leaves_the_conflicts_of_another_merge": 2,
    "test_more_than_can_be_noted_at_once": 2,
    "test_odd_documents_there_and_back": 2,
    "test_refused_arguments_change_nothing": 2,
    "test_sides_that_are_too_large_together": 4,
    "test_the_collection_does_what_the_model_does": 2,
    "test_usage": 3,
    "test_what_a_write_chooses_by_its_options": 3,
    "test_what_is_told": 2,
    "test_what_was_fetched_has_the_labels_of_the_remote_once_the_branch_has_it": 2,
}
"""Files, and tests, of many cases of the same: of so many parts, one is for default runs."""

ASYNC_BY_DEFAULT = frozenset(f"test_{name}.py" for name in ("log", "tags"))
"""Those of them that a default run takes through PyMongo Async; the others are for sweeps."""


ON_DOUBLES_BY_DEFAULT = frozenset(f"test_{name}.py" for name in ("branches", "log", "tags"))
"""Those of `ON_DOUBLES` that a default run takes there."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the tests of public verbs run on every surface."""
    is_blocking = metafunc.definition.get_closest_marker("blocking") is not None
    if metafunc.definition.path.name in ON_EVERY_SURFACE and not is_blocking:
        metafunc.parametrize("surface", ["sync", "async", "motor"], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what a default run tries in one of several ways to the sweeps in the others."""
    items[:] = [item for item in items if not _is_beyond_doubles(item)]
    for item in items:
        call = getattr(item, "callspec", None)
        if call is not None and _is_left_to_sweeps(item, call):
            item.add_marker(pytest.mark.sweep)
        if item.get_closest_marker("sweep") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))  # on a busy machine, too


def _is_beyond_doubles(item: pytest.Item) -> bool:
    """Tell whether a test is to run on mongomock, and is not made for it."""
    call = getattr(item, "callspec", None)
    if call is None or "mongomock" not in call.params.values():
        return False
    is_beyond = getattr(item, "originalname", None) in BEYOND_DOUBLES
    surface = call.params.get("surface", "sync")
    is_without_double = surface == "async" or (
        surface == "motor" and item.path.name in BEYOND_DOUBLES_OF_MOTOR
    )
    return item.path.name not in ON_DOUBLES or is_beyond or is_without_double


def _is_left_to_sweeps(item: pytest.Item, call: Any) -> bool:
    file = item.path.name
    surface = call.params.get("surface", "sync")
    return (
        surface == "motor"
        or (surface == "async" and file not in ASYNC_BY_DEFAULT)
        or ("standalone" in call.params.values() and file in REPLICA_SET_BY_DEFAULT)
        or ("mongomock" in call.params.values() and file not in ON_DOUBLES_BY_DEFAULT)
        or call.indices.get("limits", _way_by_default(item)) != _way_by_default(item)
        or (file == "test_transfer_hostile.py" and "clone]" in item.name)
        or _part(item.nodeid, PARTS.get(getattr(item, "originalname", file), PARTS.get(file, 1)))
        > 0
    )


def _way_by_default(item: pytest.Item) -> int:
    """Return which of two ways a default run takes a test: with usual limits, or with small ones.

    Half of the tests go each way; sweeps go the other one, too.
    """
    return _part(item.nodeid.partition("[")[0], 2)


def _part(name: str, parts: int) -> int:
    return zlib.crc32(name.encode()) % parts


@pytest.fixture(scope="session")
def running_loop(server: embedded.Server, standalone_server: embedded.Server) -> Iterator[Loop]:
    """An event loop in a thread of its own, with its clients; it ends before the servers do."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True)  # as pytest forgets what is only added when tests are generated
def surface(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another class in the place of `VersionedCollection`; see `surfaces`."""
    kind = getattr(request, "param", "sync")
    if kind == "sync":
        return
    other = surface_of(kind, request.getfixturevalue("running_loop"))
    for module in (request.module, api_support, remote_support):
        if hasattr(module, "VersionedCollection"):
            monkeypatch.setattr(module, "VersionedCollection", other)


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.Server]:
    """A replica set of one node, one for each worker process.

    Do not stop, kill or restart it: start a server of your own for that.
    """
    # Nothing here outlives the run, so writes need not wait for the disk.
    # What is dropped stays open as long as snapshots of it are kept: five minutes, without this.
    window = ["--setParameter", "minSnapshotHistoryWindowInSeconds=120"]
    with embedded.start(durable=False, cache_gb=1.5, extra_args=window) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: embedded.Server) -> Iterator[MongoClient[Document]]:
    """A client of `server`."""
    with MongoClient(server.uri) as connected:
        yield connected


@pytest.fixture
def db(client: MongoClient[Document]) -> Iterator[Database[Document]]:
    """An empty database on the replica set, dropped after the test."""
    yield from _fresh_database(client)


@pytest.fixture(scope="session")
def standalone_server() -> Iterator[embedded.Server]:
    """A server that is no replica set: no transactions, no change streams."""
    with embedded.start(replica_set=False) as running:
        yield running


@pytest.fixture(scope="session")
def standalone_client(standalone_server: embedded.Server) -> Iterator[MongoClient[Document]]:
    """A client of `standalone_server`."""
    with MongoClient(standalone_server.uri) as connected:
        yield connected


@pytest.fixture
def standalone_db(standalone_client: MongoClient[Document]) -> Iterator[Database[Document]]:
    """An empty database on the standalone server, dropped after the test."""
    yield from _fresh_database(standalone_client)


@pytest.fixture(params=["replica_set", "standalone", "mongomock"])
def anydb(request: pytest.FixtureRequest) -> Database[Document]:
    """An empty database: on the replica set, on the standalone server, and of mongomock."""
    if request.param == "mongomock":
        doubled: Database[Document] = adopted(mongomock.MongoClient()["music"])
        return doubled
    name = "db" if request.param == "replica_set" else "standalone_db"
    database: Database[Document] = request.getfixturevalue(name)
    return database


@pytest.fixture
def there(anydb: Database[Document]) -> Iterator[Database[Document]]:
    """Another empty database on the same server."""
    yield from _fresh_database(anydb.client)


@pytest.fixture
def cli(tmp_path: Path, server: embedded.Server, db: Database[Document]) -> Cli:
    """The command line, set up for the collection ``bands`` of `db`."""
    env = {"VC_URI": server.uri, "VC_DB": db.name, "VC_COLLECTION": "bands"}
    return Cli(tmp_path / "home", env)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have more than two documents take the way of a large change."""
    shrink_limits(monkeypatch.setattr)


def _fresh_database(client: MongoClient[Document]) -> Iterator[Database[Document]]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    yield client[name]
    client.drop_database(name)
