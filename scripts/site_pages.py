"""A hook of MkDocs: what pages leave to the build.

What they say about the asynchronous class is taken from the class itself, what they say to the
tests is left out, and a bar in a table's cell, which has to be escaped, is a bar.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from pymongo.collection import Collection

from versioned_collection import AsyncVersionedCollection

_VERBS = "<!-- the verbs -->"
_CELL = re.compile(r"<td>.*?</td>", re.DOTALL)
_FOR_TESTS = re.compile(r"^[ ]*<!-- (?:given|not run): .*? -->\n", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table of the verbs in its place, and leave out what is said to tests."""
    if _VERBS in markdown:
        markdown = markdown.replace(_VERBS, verbs())
    return _FOR_TESTS.sub("", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take the escapes off bars in cells, which Markdown leaves there in code."""
    return _CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)


def verbs() -> str:
    """Return a table of the verbs of the asynchronous class, by how they are used."""
    awaited, iterated, facts = [], [], []
    for name in vars(AsyncVersionedCollection):
        if name.startswith("_") or hasattr(Collection, name):
            continue
        member = getattr(AsyncVersionedCollection, name)
        if isinstance(member, property):
            facts.append(name)
        else:
            (awaited if inspect.iscoroutinefunction(member) else iterated).append(name)
    return "\n".join(
        (
            "| used so | names |",
            "|---|---|",
            f"| `await bands.verb(...)` | {_listed(awaited)} |",
            f"| `async for one in bands.verb(...)` | {_listed(iterated)} |",
            f"| `await bands.name` | {_listed(facts)} |",
        )
    )


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
