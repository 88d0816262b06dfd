"""What errors of the library say, in the words of the command line."""

from __future__ import annotations

import re

PHRASES = {
    "do_checkout=False": "--no-checkout",
    "overwrite=True replaces": "--overwrite replaces",
    "pass overwrite=True": "pass --overwrite",
    "give the new one a name or push=True": "give the new one a name (--name), or --push",
    "with relaxed=True": "with --relaxed",
    "replace=True lets": "--replace lets",
    "with force=True": "with --force",
    "with branches=[...], and with since=... what": "with --branch, and with --since what",
    "with since=... one of": "with --since one of",
    "branches and since choose": "--branch and --since choose",
    "relaxed is about JSON": "--relaxed is about JSON",
    "format is one of": "--format is one of",
    "with parent=1 (what was merged into) or parent=2": (
        "with --parent 1 (what was merged into) or --parent 2"
    ),
    "register(message, branch_name=...)": "'vc register --branch NAME'",
    "register() without `only`": (
        "'vc register' without --only-id, --only-filter and --only-field"
    ),
    "clone(remote, into, name)": "--collection NAME",
    ", an object with a method resolve(conflict, context), or a function of these two": "",
    "(a list of stages) or a function": "(a JSON array of stages)",
    "a Side, or MISSING for none": "a side, or --remove for none",
    "or by MISSING": "or by --remove",
    "settle with MISSING": "settle with --remove",
    "resolve_conflicts() without a resolver": "'vc resolve-conflicts --as-they-are'",
    "as a tuple, ('a', 'b.c')": 'as a JSON array, ["a", "b.c"]',
    "with delete_version_subtree": "with 'vc delete-version-subtree'",
    "resolver='ours'": "--ours",
    "resolver='theirs'": "--theirs",
    "get_log()": "'vc log'",
    "read again, or call prepare(whole=True) first, which makes a copy that is not bound to a "
    "moment": "read again",
    "use aggregate with $group, or call prepare(whole=True) first, which makes a copy on one "
    "shard": "use --aggregate with $group",
    "connect to it, stop it, or start both with share=True": "connect to it, or stop it",
}
"""What stands in messages for those who call Python, and what to say to those who type commands.

Calls are left out where the command has the same name.
"""

_CALL = re.compile(r"(?<![.\w])([a-z][a-z_]+)\((?:'([^'()]*)')?\)")


def in_commands(message: str) -> str:
    """Return a message that names calls and arguments of Python with commands and options."""
    for phrase, words in PHRASES.items():
        message = message.replace(phrase, words)
    return _CALL.sub(_command, message)


def _command(call: re.Match[str]) -> str:
    words = ["vc", call[1].strip("_").replace("_", "-"), *([call[2]] if call[2] else [])]
    return f"'{' '.join(words)}'"
