"""Verbs near HEAD cost the same however long the history is."""

from __future__ import annotations

from itertools import islice

from api_support import labels, problems, step, tracked
from harness.transfers import lengthen, line_to

from versioned_collection import VersionedCollection

FEW, MANY = 200, 1_200

VERBS = {
    "status": lambda bands: bands.status(),
    "log": lambda bands: list(bands.log(limit=20)),
    "begun log": lambda bands: list(islice(bands.log(), 20)),
    "resolve": lambda bands: bands.resolve("main~5"),
    "diff": lambda bands: bands.diff("main~3"),
    "changes": lambda bands: list(bands.changes("main~3", "main~1")),
    "at": lambda bands: list(bands.at("main~2").find()),
    "checkout": lambda bands: bands.checkout("main~4"),
    "checkout back": lambda bands: bands.checkout(branch="main"),
    "register": lambda bands: step(bands, "more"),
    "revert": lambda bands: bands.revert("HEAD"),
    "reset": lambda bands: bands.reset("HEAD~2", hard=True),
    "undo": lambda bands: bands.undo(),
}


def costs(server, db) -> dict[str, tuple[int, int]]:
    """Return, for each verb, how many commands it sends and how many log entries it reads."""
    with line_to(server.uri) as (client, line):
        bands = VersionedCollection(client[db.name], "bands")
        found = {}
        for name, verb in VERBS.items():
            line.clear()
            verb(bands)
            found[name] = (line.total, line.returned["__log_bands"])
        return found


def test_verbs_near_head_read_no_more_of_a_longer_log(server, db):
    bands = tracked(db)
    lengthen(bands, FEW)
    few = costs(server, db)
    lengthen(bands, MANY)
    many = costs(server, db)
    for name, (commands, entries) in many.items():
        assert entries <= few[name][1] + 5, (name, few[name], many[name])
        assert commands <= few[name][0] + 5, (name, few[name], many[name])
    assert problems(bands) == []


def test_a_log_is_read_to_its_end(db):
    bands = tracked(db)
    lengthen(bands, 700)
    assert labels(bands.log()) == [f"main@{number}" for number in range(700, -1, -1)]
    assert labels(bands.get_log()) == labels(bands.log())
    assert bands.resolve("main~700").label == "main@0"
    assert bands.checkout(350)
    assert bands.find_one({"_id": 1})["mark"] == 349
