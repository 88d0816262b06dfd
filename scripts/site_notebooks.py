"""A hook of MkDocs: notebooks in docs are run, and become pages that show what they print.

A notebook is stored without outputs, so that nothing in it can be out of date. Its cells are plain
Python, so they are run as a program here: a notebook server, its kernel and what they bring along
would take longer to install than all the rest. As in a notebook, the value of a cell's last
expression is shown, by its ``_repr_html_`` where it has one. A cell that fails fails the build.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_LINK = re.compile(r"\]\(([^)#:]+)\.ipynb\)")
_DOWNLOAD = '<p><a href="{name}" download>Download this page as a notebook</a></p>\n'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of each notebook; the notebook itself can be downloaded."""
    for file in [one for one in files if one.src_uri.endswith(".ipynb")]:
        path = Path(str(file.abs_src_path))
        text = page(path.read_text(encoding="utf-8")) + _DOWNLOAD.format(name=path.name)
        files.append(File.generated(config, _page_of(file.src_uri), content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to notebooks lead to their pages."""
    return _LINK.sub(r"](\1.md)", markdown)


def _page_of(notebook: str) -> str:
    return notebook.removesuffix(".ipynb") + ".md"


@functools.lru_cache
def page(notebook: str) -> str:
    """Return a notebook as Markdown, with what its cells show.

    Args:
        notebook: The text of the file.
    """
    names: dict[str, Any] = {}
    parts = []
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts += [f"```python\n{source}\n```", run(source, names)]
    return "\n\n".join(part for part in parts if part) + "\n\n"


def run(source: str, names: dict[str, Any]) -> str:
    """Run a cell; return what it shows, as HTML."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    shown = _plain(printed.getvalue()) + _rich(value)
    return f'<div class="output">{shown}</div>' if shown else ""


def _rich(value: Any) -> str:
    if value is None:
        return ""
    drawn = getattr(value, "_repr_html_", None)
    return str(drawn()) if callable(drawn) else _plain(repr(value))


def _plain(text: str) -> str:
    return f"<pre>{escape(text)}</pre>" if text else ""
