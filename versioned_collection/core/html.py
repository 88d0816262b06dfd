"""Versions, logs and differences as HTML, for notebooks and for pages of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from bson import json_util

from versioned_collection.core.diff import Pair, aligned
from versioned_collection.core.drawing import arrange, draw
from versioned_collection.core.tree import VersionTree
from versioned_collection.core.version import Version, author_text

STYLE = """
.vc { font: 13px/1.45 system-ui, sans-serif; }
.vc pre, .vc td.c { font: 12px/1.45 ui-monospace, Menlo, Consolas, monospace; margin: 0; }
.vc table { border-collapse: collapse; margin: 4px 0 12px; }
.vc table.side { width: 100%; table-layout: fixed; }
.vc th { text-align: left; font-weight: 600; padding: 1px 10px 1px 4px; }
.vc td { text-align: left; vertical-align: top; padding: 1px 10px 1px 4px; }
.vc td.c { white-space: pre-wrap; overflow-wrap: anywhere; }
.vc .add { background: rgba(46, 160, 67, .18); }
.vc .del { background: rgba(248, 81, 73, .18); }
.vc .gap, .vc .dim { opacity: .6; }
.vc .ref { font-weight: 600; color: #b8860b; }
.vc summary { cursor: pointer; font-weight: 600; margin: 6px 0 2px; }
""".strip()

_LINES = (("---", "dim"), ("+++", "dim"), ("@@", "gap"), ("+", "add"), ("-", "del"))


def fragment(*parts: str) -> str:
    """Return parts as a notebook shows them, with their style."""
    return f'<style>{STYLE}</style><div class="vc">{"".join(parts)}</div>'


def page(title: str, *parts: str) -> str:
    """Return parts as a page that needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head>\n<body>"
        f"{fragment(f'<h1>{escape(title)}</h1>', *parts)}</body></html>\n"
    )


# -- versions ------------------------------------------------------------------------------


def version_table(version: Version) -> str:
    """Return what is known about a version."""
    facts = {
        "version": version.label,
        "checksum": version.checksum[:12],
        "author": author_text(version.author),
        "date": f"{version.timestamp:%Y-%m-%d %H:%M:%S} UTC",
        "changes": ", ".join(f"{count:,} {kind}" for kind, count in version.stats.items()),
        "message": version.message,
        **{name: text(value) for name, value in version.metadata.items()},
    }
    rows = (
        f'<tr><th>{escape(name)}</th><td class="c">{escape(value)}</td></tr>'
        for name, value in facts.items()
        if value
    )
    return f"<table>{''.join(rows)}</table>"


def log_graph(versions: Sequence[Version]) -> str:
    """Return versions, which are in order, drawn one on a line."""
    by_id = {version.id: version for version in versions}
    parents = {
        version.id: [parent for parent in version.parents if parent in by_id]
        for version in versions
    }
    described = {version.id: _line(version) for version in versions}
    return _graph(by_id, parents, described)


def tree_graph(tree: VersionTree) -> str:
    """Return all versions of a tree, drawn one on a line."""
    parents = tree.edges()
    described = {
        one: f'<span class="ref">{escape(node.label)}</span>' for one, node in tree.nodes.items()
    }
    return _graph(arrange(parents, lambda one: one), parents, described)


def _graph(
    order: Iterable[Any], parents: Mapping[Any, Sequence[Any]], described: Mapping[Any, str]
) -> str:
    lines = (
        f"{escape(drawing)} {described[one]}" if one is not None else escape(drawing)
        for drawing, one in draw(order, parents)
    )
    return f"<pre>{chr(10).join(lines)}</pre>"


def _line(version: Version) -> str:
    who = author_text(version.author)
    facts = f"{version.timestamp:%Y-%m-%d}{f' {who}' if who else ''}"
    return (
        f'<span class="ref">{escape(version.label)}</span> {escape(version.subject)}'
        f'  <span class="dim">{escape(facts)}</span>'
    )


# -- differences ---------------------------------------------------------------------------


def unified(diff: str) -> str:
    """Return a unified diff with colours."""
    lines = []
    for line in diff.split("\n"):
        kind = next((kind for start, kind in _LINES if line.startswith(start)), "")
        lines.append(f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line))
    return f"<pre>{chr(10).join(lines)}</pre>"


def documents(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Return differences of documents, each with its heading, that can be folded."""
    for heading, body in found:
        yield f"<details open><summary>{escape(heading)}</summary>{body}</details>"


def side_by_side(old: bytes | None, new: bytes | None) -> str:
    """Return two documents beside one another, where they differ."""
    rows = "".join(map(_row, aligned(old, new)))
    return f'<table class="side">{rows}</table>'


def _row(pair: Pair | None) -> str:
    if pair is None:
        return '<tr class="gap"><td class="c">…</td><td class="c">…</td></tr>'
    left, right = pair
    differ = left != right
    return (
        f"<tr>{_cell(left, 'del' if differ else '')}{_cell(right, 'add' if differ else '')}</tr>"
    )


def _cell(line: str | None, kind: str) -> str:
    if line is None:
        return '<td class="c"></td>'
    return f'<td class="c {kind}">{escape(line)}</td>'


def text(value: Any) -> str:
    """Return a value as Extended JSON."""
    try:
        return json_util.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # what no decoder has made
        return json.dumps(repr(value))
