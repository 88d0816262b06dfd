"""Why a mongod did not start, from its exit status and the end of its log."""

from __future__ import annotations

import json
import re
from typing import Any

MISSING_LIBRARY = re.compile(
    r"error while loading shared libraries: ([^:\s]+)|Library not loaded: (\S+)"
)
PACKAGES = {
    "libcurl.": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.": "liblzma5",
    "libgssapi": "libgssapi-krb5-2",
    "libsasl": "libsasl2-2",
}
"""Debian and Ubuntu packages of the libraries that MongoDB's builds load."""

ADDRESS_IN_USE = "Address already in use"
ILLEGAL_INSTRUCTION = 128 + 4


def explain_exit(status: int, log: str) -> tuple[str, dict[str, Any]]:
    """Put into words why mongod ended before it was ready.

    Args:
        status: The exit status, 128 plus the number for a signal.
        log: The end of what it wrote.

    Returns:
        A sentence without the final stop, and the facts for the error.
    """
    if match := MISSING_LIBRARY.search(log):
        return _missing_library((match[1] or match[2]).rsplit("/", 1)[-1])
    if match := re.search(r"version `(GLIBC\w*_[\d.]+)' not found", log):
        return f"it needs a newer C library ({match[1]}), so a newer system", {"missing": match[1]}
    if status == ILLEGAL_INSTRUCTION:
        return "the processor lacks an instruction it needs (MongoDB 5 and later need AVX)", {}
    if ADDRESS_IN_USE in log:
        return "its port is in use", {"address_in_use": True}
    lines = _complaints(log) or [line for line in log.splitlines() if line.strip()][-3:]
    said = "; ".join(lines) if lines else "nothing"
    return f"it exited with status {status}, saying: {said}", {"status": status}


def explain_refusal(mongod: str, reason: str) -> str:
    """Put into words why the system would not execute a file.

    Args:
        mongod: The file.
        reason: The system's own words.

    Returns:
        A sentence without the final stop.
    """
    return (
        f"the system does not run {mongod}: {reason} "
        "(is it a mongod built for this system and processor?)"
    )


def _missing_library(library: str) -> tuple[str, dict[str, Any]]:
    """Name a library and the package it comes in."""
    package = next((p for prefix, p in PACKAGES.items() if library.startswith(prefix)), None)
    if package is None:
        return f"the shared library {library} is missing on this system", {"missing": library}
    hint = f"apt-get install {package}"
    return (
        f"the shared library {library} is missing on this system; on Debian and Ubuntu: {hint}",
        {"missing": library, "hint": hint},
    )


def _complaints(log: str) -> list[str]:
    """The messages of the log's errors, the last three."""
    complaints = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("s") in ("E", "F"):
            detail = entry.get("attr", {})
            reason = detail.get("error") or detail.get("message") or detail.get("msg")
            complaints.append(f"{entry.get('msg')}: {reason}" if reason else str(entry.get("msg")))
    return complaints[-3:]
