"""What notebooks show, and pages of differences."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from api_support import edit, grown, step, tracked, untracked

from versioned_collection.core import html
from versioned_collection.core.diff import aligned
from versioned_collection.core.document import build

VOID = {"meta"}


class Shape(HTMLParser):
    """Checks that tags are closed in turn, and collects the text outside the style."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag != "script"
        assert all(name in ("class", "lang", "charset", "open") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def shown(thing: Any) -> str:
    return Shape(thing._repr_html_()).words


def test_a_version(db):
    bands = tracked(db)
    step(bands, 1, author={"name": "<Ada>", "email": "ada@x.org"}, metadata={"ticket": [7]})
    words = shown(bands.resolve("HEAD"))
    for part in ("main@1", "<Ada> <ada@x.org>", "1 updated", "v1", "ticket", "[7]"):
        assert part in words


def test_logs_and_trees_are_drawn(db):
    bands = grown(db)
    edit(bands, "m", 2)
    bands.register("<b>bold</b>")
    bands.merge("side", resolver="ours")
    words = shown(bands.get_log())
    assert words.splitlines()[1].split()[:3] == ["*", "main@4", "<b>bold</b>"]
    assert [line[0] for line in words.splitlines()] == ["*"] * 6
    tree = shown(bands.version_tree)
    assert {word for word in tree.split() if "@" in word} == {
        *(f"main@{number}" for number in range(6)),
        "side@0",
        "side@1",
    }
    assert "|/" in tree
    assert shown(untracked(db, "fresh").get_log()) == ""


@pytest.mark.parametrize("deep", [False, True])
def test_differences(db, deep):
    bands = tracked(db)
    bands.update_one({"_id": 1}, {"$set": {"name": "<i>"}})
    found = bands.diff(deep=deep)
    assert found == dict(found)
    assert "<i>" in shown(found)
    assert shown(bands.diff("main", deep=deep)).startswith("1")
    assert "update 1" in shown(next(bands.changes()))


def test_a_page_stands_alone():
    source = html.page("a & b", *html.documents([("<1>", html.unified("-a\n+b"))]))
    shape = Shape(source)
    assert source.startswith("<!doctype html>")
    assert ("a & b" in shape.words, "<1>" in shape.words) == (True, True)
    assert "http" not in source


def test_what_nothing_decodes_is_shown():
    undecodable = build(b"\x02a\0\x02\0\0\0\xff\0")
    assert "<undecodable>" in Shape(html.side_by_side(undecodable, None)).words


def test_lines_stand_beside_those_that_they_replace():
    old = build(*(b"\x10%c\0\x01\0\0\0" % name for name in b"abcdefghijklmnop"))
    new = old.replace(b"\x10a\0\x01", b"\x10a\0\x02").replace(b"\x10p\0\x01", b"\x10p\0\x03")
    pairs = list(aligned(old, new, context=1))
    assert pairs == [
        ("{", "{"),
        ('  "a": 1,', '  "a": 2,'),
        ('  "b": 1,', '  "b": 1,'),
        None,
        ('  "o": 1,', '  "o": 1,'),
        ('  "p": 1', '  "p": 3'),
        ("}", "}"),
    ]
    assert list(aligned(None, build())) == [(None, "{}")]
