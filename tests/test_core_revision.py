"""Revision texts: what they mean, and which names would be mistaken for one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from bson.objectid import ObjectId
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from versioned_collection.core.revision import check_name, parse, resolve
from versioned_collection.errors import (
    AmbiguousRevision,
    InvalidArgument,
    InvalidCollectionVersion,
)

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)

IDS = [ObjectId(f"{number:024x}") for number in range(5)]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


LABELS = {
    ("main", 0): IDS[0],
    ("main", 1): IDS[1],
    ("main", 2): IDS[2],
    ("b", 0): IDS[3],
    ("gone", 0): IDS[4],
}
TIPS = {"main": IDS[2], "b": IDS[3], "new": IDS[1], "both": IDS[0]}
TAGS = {"v1": IDS[1], "both": IDS[2], "deadbeef": IDS[3]}
PARENTS = {IDS[2]: IDS[1], IDS[1]: IDS[0], IDS[3]: IDS[1], IDS[4]: IDS[0]}
MERGED = {IDS[2]: (IDS[3],)}
CHECKSUMS = {IDS[0]: "abcd1", IDS[1]: "abcd2", IDS[2]: "deadbeef", IDS[3]: "1234567"}


class History:
    """main@0, main@1, main@2, which merged ``b`` from main@1, and an unborn branch ``new``."""

    def head(self) -> ObjectId:
        return IDS[3]

    def tip(self, branch: str) -> ObjectId | None:
        return TIPS.get(branch)

    def labelled(self, branch: str, number: int) -> ObjectId | None:
        return LABELS.get((branch, number))

    def at_time(self, branch: str, time: datetime) -> ObjectId | None:
        found = [i for i in range(3) if START + timedelta(days=i) <= time]
        return IDS[found[-1]] if found and branch in ("main", "HEAD") else None

    def tagged(self, tag: str) -> ObjectId | None:
        return TAGS.get(tag)

    def known(self, version: ObjectId) -> bool:
        return version in IDS

    def with_checksum(self, prefix: str) -> Sequence[ObjectId]:
        return [id_ for id_, text in CHECKSUMS.items() if text.startswith(prefix)]

    def ancestor(self, version: ObjectId, generations: int) -> ObjectId | None:
        current: ObjectId | None = version
        for _ in range(generations):
            current = PARENTS.get(current) if current else None
        return current

    def parent(self, version: ObjectId, which: int) -> ObjectId | None:
        parents = (PARENTS.get(version), *MERGED.get(version, ()))
        return parents[which - 1] if which <= len(parents) else None

    def borrowed_tip(self, branch: str) -> ObjectId | None:
        return TIPS.get(branch) if branch in ("new", "both") else None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("HEAD", 3),
        ("main", 2),
        ("b", 3),
        ("new", 1),
        ("v1", 1),
        ("both", 0),  # a branch wins over a tag
        ("main@0", 0),
        ("main@2", 2),
        ("b@0", 3),
        ("gone@0", 4),  # labels outlive the name of their branch
        ("new@-1", 1),
        ("main~", 1),
        ("main~1", 1),
        ("main~2", 0),
        ("main~~", 0),
        ("main~0", 2),
        ("main~1~1", 0),
        ("main~~0~", 0),
        ("main@2~1", 1),
        ("main^", 1),
        ("main^1", 1),
        ("main^0", 2),
        ("main^^", 0),
        ("main^2", 3),
        ("main^2^", 1),
        ("main^2~1^0", 1),
        ("main~0^2~", 1),
        ("HEAD^", 1),
        ("@", 3),
        ("@~1", 1),
        ("@^^", 0),
        ("@{2026-01-02}", 1),
        ("@{2026-01-02}^", 0),
        ("HEAD~", 1),
        ("v1~1", 0),
        (str(IDS[4]), 4),
        (f"{IDS[2]}~2", 0),
        ("1234", 3),
        ("1234567", 3),
        ("deadbeef", 3),  # a tag wins over a checksum
        ("deadbee", 2),
        ("deadbee~2", 0),
        ("main@{2026-01-01}", 0),
        ("main@{2026-01-02T12:00}", 1),
        ("main@{2026-01-02T00:30+01:00}", 0),
        ("main@{2027-01-01T00:00:00Z}", 2),
        ("main@{2026-01-03}~1", 1),
        ("HEAD@{2026-01-02}", 1),
    ],
)
def test_revisions_name_versions(text: str, number: int) -> None:
    assert resolve(text, History()) == IDS[number]


@pytest.mark.parametrize(
    "text",
    [
        "nowhere",
        "main@3",
        "main@-1",  # not unborn
        "b@-2",
        "new@0",
        "gone",
        "main~3",
        "HEAD~99",
        "head",
        "MAIN",
        " main",
        "abc",  # too short for a checksum
        "ABCD1",
        "ffff",
        "f" * 24,
        "main@{2025-12-31}",
        "nowhere@{2026-01-01}",
        "main@x",
        "main@",
        "@0",
        "main^3",
        "main^2^2",
        "main^^^",
        "main^x",
        "^main",
        "@x",
        "@@",
        "main~x",
        "main~-1",
        "main@٣",  # a digit, but not one of ours
        "main~٣",
        "$where",
        ".*",
    ],
)
def test_revisions_that_name_nothing(text: str) -> None:
    with pytest.raises(InvalidCollectionVersion):
        resolve(text, History())


@pytest.mark.parametrize(
    "text", ["", "~", "~1", "^", "^2", "main@{}", "main@{yesterday}", "main@{2026-13}"]
)
def test_texts_that_are_no_revisions(text: str) -> None:
    with pytest.raises(InvalidArgument):
        resolve(text, History())


@pytest.mark.parametrize("text", ["HEAD@{1}", "main@{0}", "@{-1}", "@{2}~1"])
def test_places_in_a_reflog_are_not_counted(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"reflog\(\).*undo\(\)"):
        resolve(text, History())


def test_an_ambiguous_prefix_names_its_candidates() -> None:
    with pytest.raises(AmbiguousRevision) as caught:
        resolve("abcd", History())
    assert caught.value.candidates == [str(IDS[0]), str(IDS[1])]


@quick
@given(st.text(max_size=30))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    try:
        found = resolve(text, History())
    except (InvalidArgument, InvalidCollectionVersion):
        return
    assert found in IDS


@quick
@given(st.text(max_size=12), st.integers(0, 10**9), st.lists(st.integers(0, 50), max_size=3))
def test_a_checked_name_is_read_as_itself(name: str, number: int, ups: list[int]) -> None:
    try:
        check_name(name)
    except InvalidArgument:
        assume(False)
    assert parse(name).base == name
    assert parse(name).steps == ()
    suffix = "".join(f"~{up}" for up in ups)
    parsed = parse(f"{name}@{number}{suffix}")
    assert (parsed.base, parsed.number) == (name, number)
    assert [(1, up) for up in ups] == list(parsed.steps)


@pytest.mark.parametrize(
    "name",
    ["main", "a/b", "a--b", "a.b", "a b", "ü", "v1.0", "$x", "a@b", "0", "feature#1", "x" * 200],
)
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a ",
        "__a",
        "HEAD",
        "@",
        "a~1",
        "a^",
        "a@1",
        "a@-1",
        "a@{x}",
        "-a",
        "a\nb",
        "a\0b",
        "a:b",
        "a?",
        "a*",
        "a[0]",
        "a\\b",
        "x" * 201,
        None,
        1,
        b"a",
    ],
)
def test_bad_names(name: object) -> None:
    with pytest.raises(InvalidArgument):
        check_name(name)
    with pytest.raises(InvalidArgument):
        check_name(name, "tag")


def test_reserved_names_say_why() -> None:
    with pytest.raises(InvalidArgument, match="Branch names cannot start with '__'"):
        check_name("__x")
