"""What a program may import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import versioned_collection
from versioned_collection import VersionedCollection, embedded, errors

VERBS = {
    # the established ones
    "version", "branch", "version_tree", "is_tracked", "has_changes", "has_conflicts", "has_stash",
    "is_detached", "status", "init", "register", "create_branch", "checkout", "branches",
    "get_log", "diff", "discard_changes", "stash", "stash_apply", "stash_discard",
    "delete_version_subtree", "rename", "drop",
    # ours
    "resolve", "log", "tag", "tags", "delete_tag", "delete_branch", "rename_branch", "changes",
    "verify", "size", "gc", "capture_mode", "listen",
}  # fmt: skip


def test_all_matches():
    names = versioned_collection.__all__
    assert len(names) == len(set(names))
    assert {"VersionedCollection", "Version", "DocumentId", "embedded", "errors"} <= set(names)
    assert all(hasattr(versioned_collection, name) for name in names)
    listed = [name for name in dir(versioned_collection) if not name.startswith("__")]
    assert listed == sorted(names)


def test_star_import():
    space = {}
    exec("from versioned_collection import *", space)
    assert set(versioned_collection.__all__) <= set(space)


def test_modules():
    assert inspect.ismodule(embedded)
    assert inspect.ismodule(errors)
    assert callable(embedded.start)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", versioned_collection.__version__)


def test_every_verb_is_there_and_documented():
    for name in sorted(VERBS):
        member = inspect.getattr_static(VersionedCollection, name)
        assert inspect.getdoc(member), name


def test_arguments_of_the_established_verbs():
    expected = {
        "init": ["message"],
        "register": ["message", "branch_name"],
        "create_branch": ["name"],
        "checkout": ["version", "branch"],
        "get_log": ["branch"],
        "diff": ["version", "branch", "deep", "direction"],
        "stash": ["overwrite"],
        "delete_version_subtree": ["version", "branch"],
        "resolve": ["revision"],
        "log": ["revision", "limit", "document", "author", "since", "until"],
        "tag": ["name", "revision", "message"],
        "changes": ["a", "b"],
        "rename_branch": ["old", "new"],
    }
    for name, arguments in expected.items():
        parameters = inspect.signature(getattr(VersionedCollection, name)).parameters
        assert list(parameters)[1 : len(arguments) + 1] == arguments, name
        rest = list(parameters.values())[len(arguments) + 1 :]
        assert all(one.kind is one.KEYWORD_ONLY for one in rest), name
    for name in ("init", "register"):
        parameters = inspect.signature(getattr(VersionedCollection, name)).parameters
        assert {"author", "metadata"} <= set(parameters)


def test_import_is_quiet_and_leaves_heavy_libraries_alone():
    code = (
        "import sys, versioned_collection; "
        "heavy = ('deepdiff', 'typer', 'rich', 'motor', 'opentelemetry'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
