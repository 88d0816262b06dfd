"""Large changes among clients that write to the same documents all the time."""

from __future__ import annotations

import pytest
from api_support import problems, raws, untracked
from bson.int64 import Int64

from versioned_collection import committer


@pytest.fixture
def contended(monkeypatch, small_limits):
    """Have each batch of several documents taken back at once, and only single ones written."""
    monkeypatch.setattr(committer, "_MOST_ATTEMPTS", 0)
    monkeypatch.setattr(committer, "is_small", lambda *_: False)


def test_steps_become_smaller_until_they_succeed(db, contended):
    bands = untracked(db)
    bands.insert_many([{"_id": float(n), "n": n} for n in range(10, 30)])
    bands.init("start")
    first = raws(bands)
    bands.update_many({}, {"$set": {"mark": 1}})
    bands.delete_many({"_id": {"$in": [12, 13]}})
    bands.insert_many([{"_id": 12}, {"_id": Int64(13)}])  # twins of what was there
    bands.register("second")
    second = raws(bands)
    assert bands.checkout("main~1")
    assert raws(bands) == first
    assert bands.checkout(branch="main")
    assert raws(bands) == second
    bands.update_many({}, {"$inc": {"mark": 1}})
    assert bands.stash()
    assert raws(bands) == second
    assert bands.stash_apply()
    assert bands.discard_changes()
    assert raws(bands) == second
    assert problems(bands) == []
