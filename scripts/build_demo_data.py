"""Rebuild the data of ``versioned_collection.demo_data`` from npm tarballs of ``mime-db``.

Fetch the tarballs with the npm client, and build::

    python scripts/build_demo_data.py

Or build from tarballs that are already in a directory, with the names that ``npm pack`` gives
them (``mime-db-1.45.0.tgz`` and so on)::

    python scripts/build_demo_data.py path/to/tarballs

Two files are written to the package: ``mime-db.json.gz`` (the releases) and ``mime-db.LICENSE``
(the licence text of the newest release, as it is). The same tarballs give the same files; only
another zlib may compress the same content to other bytes. Run ``tests/test_demo_data.py``
afterwards: it compares the rebuilt releases with the digests that are taken here from the
original files.

Release dates come from the change log inside each tarball, because the times that a registry
mirror reports can be those of its own cache.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

PACKAGE = "mime-db"
VERSIONS = tuple(f"1.{minor}.0" for minor in range(45, 55))
OUTPUT = Path(__file__).resolve().parent.parent / "versioned_collection" / "demo_data"
FORMAT = 1

_HEADING = re.compile(r"^(\d+\.\d+\.\d+) / (\d{4}-\d{2}-\d{2})$", re.MULTILINE)

Entries = dict[str, dict[str, Any]]


class BuildError(Exception):
    """The tarballs cannot be turned into demo data."""


@dataclass(frozen=True)
class Source:
    """What one tarball holds.

    Attributes:
        version: The version number in ``package.json``.
        entries: The content of ``db.json``.
        history: Release dates by version, newest first, from ``HISTORY.md``.
        license_text: The content of ``LICENSE``.
    """

    version: str
    entries: Entries
    history: dict[str, str]
    license_text: bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the data files.

    Args:
        arguments: Command line arguments; those of the process if omitted.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description="Rebuild the demo data from npm tarballs.")
    parser.add_argument("tarballs", nargs="?", type=Path, help="directory of mime-db-*.tgz files")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory to write to")
    options = parser.parse_args(arguments)
    try:
        sources = collect(options.tarballs)
        write(sources, options.output)
    except (BuildError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def collect(directory: Path | None) -> list[Source]:
    """Read the tarballs, fetching them first if no directory is given.

    Args:
        directory: Where the tarballs are, or None to fetch them with the npm client.

    Returns:
        What they hold, oldest release first.
    """
    if directory is not None:
        return read_directory(directory)
    with tempfile.TemporaryDirectory() as temporary:
        fetch(Path(temporary))
        return read_directory(Path(temporary))


def fetch(directory: Path) -> None:
    """Download the tarballs with the npm client, which checks their integrity.

    Args:
        directory: Where to put them.
    """
    specifications = [f"{PACKAGE}@{version}" for version in VERSIONS]
    subprocess.run(["npm", "pack", "--silent", *specifications], cwd=directory, check=True)


def read_directory(directory: Path) -> list[Source]:
    """Read the tarballs of `VERSIONS` in a directory.

    Args:
        directory: Where the tarballs are.

    Returns:
        What they hold, oldest release first.
    """
    return [read_tarball(directory / f"{PACKAGE}-{version}.tgz") for version in VERSIONS]


def read_tarball(path: Path) -> Source:
    """Read the parts of a tarball that matter here.

    Args:
        path: The tarball.

    Returns:
        What it holds.

    Raises:
        BuildError: A member is missing, or it is another package or under another licence.
    """
    with tarfile.open(path) as archive:
        package = json.loads(_member(archive, "package.json"))
        if (package["name"], package["license"]) != (PACKAGE, "MIT"):
            raise BuildError(f"{path} is not {PACKAGE} under the MIT licence")
        return Source(
            version=package["version"],
            entries=json.loads(_member(archive, "db.json")),
            history=dict(_HEADING.findall(_member(archive, "HISTORY.md").decode())),
            license_text=_member(archive, "LICENSE"),
        )


def build(sources: Sequence[Source]) -> dict[str, Any]:
    """Turn releases into the content of the data file.

    Args:
        sources: Consecutive releases, oldest first.

    Returns:
        The first release in full and the later ones as differences, ready for JSON.

    Raises:
        BuildError: The releases are not consecutive, or lack a date or the expected order.
    """
    check_consecutive(sources)
    previous: Entries = {}
    steps = []
    for source in sources:
        steps.append(_step(previous, source))
        previous = source.entries
    return {"format": FORMAT, "package": PACKAGE, "releases": steps}


def check_consecutive(sources: Sequence[Source]) -> None:
    """Check the releases against the change log of the newest one.

    Args:
        sources: Releases, oldest first.

    Raises:
        BuildError: A release is missing from the change log, or one between two is left out.
    """
    oldest_first = list(reversed(sources[-1].history))
    expected = set(pairwise(oldest_first))
    for pair in pairwise(source.version for source in sources):
        if pair not in expected:
            raise BuildError(f"{pair[0]} and {pair[1]} are not consecutive releases")


def digest(entries: Entries) -> str:
    """Return the SHA-256 of entries as compact ASCII JSON, in their order.

    Args:
        entries: The content of a ``db.json``.

    Returns:
        The digest in hexadecimal.
    """
    return hashlib.sha256(json.dumps(entries, separators=(",", ":")).encode()).hexdigest()


def write(sources: Sequence[Source], output: Path) -> None:
    """Write the data file and the licence.

    Args:
        sources: Consecutive releases, oldest first.
        output: The directory to write to.
    """
    content = json.dumps(build(sources), separators=(",", ":")).encode()
    (output / f"{PACKAGE}.json.gz").write_bytes(_compress(content))
    (output / f"{PACKAGE}.LICENSE").write_bytes(sources[-1].license_text)


def _step(previous: Entries, source: Source) -> dict[str, Any]:
    """Return the difference between a release and the entries of the one before."""
    entries = source.entries
    _check_order(source)
    shared = entries.keys() & previous.keys()
    return {
        "version": source.version,
        "published": _published(source),
        "sha256": digest(entries),
        "added": {name: entry for name, entry in entries.items() if name not in shared},
        "changed": {
            name: entry
            for name, entry in entries.items()
            if name in shared and _fields(entry) != _fields(previous[name])
        },
        "removed": [name for name in previous if name not in shared],
    }


def _fields(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the fields of an entry in a form where order and JSON type count."""
    return [(field, json.dumps(value)) for field, value in entry.items()]


def _check_order(source: Source) -> None:
    """Refuse a release whose entries are not sorted, as the reader restores them by sorting."""
    if list(source.entries) != sorted(source.entries):
        raise BuildError(f"{source.version}: the entries are not ordered by MIME type")


def _published(source: Source) -> str:
    """Return the date of a release from its own change log."""
    if source.version not in source.history:
        raise BuildError(f"{source.version}: the change log has no date for this release")
    return source.history[source.version]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """Return the content of a file in an npm tarball."""
    try:
        file = archive.extractfile(f"package/{name}")
    except KeyError:
        file = None
    if file is None:
        raise BuildError(f"{archive.name!s} has no file {name}")
    return file.read()


def _compress(content: bytes) -> bytes:
    """Compress without a time stamp or a file name."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
