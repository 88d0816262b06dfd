"""Where a mongod is: an explicit path, `$MONGOD`, PATH, or the wheel of our extra."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from versioned_collection.errors import EmbeddedServerError
from versioned_collection.extras import how_to_get

INSTALL_HINT = how_to_get("embedded")


def find_mongod(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Find the mongod to run.

    A place that was named (the argument, `$MONGOD`) has to hold one; the others are tried
    in turn.

    Args:
        explicit: The binary to use, if the caller knows.

    Returns:
        An executable file.

    Raises:
        EmbeddedServerError: There is no mongod, or the named file cannot be run.
    """
    if explicit is not None:
        return _named(Path(explicit), "mongod=")
    if from_environment := os.environ.get("MONGOD"):
        return _named(Path(from_environment), "$MONGOD")
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    if in_wheel := _wheel_binary():
        return _runnable(in_wheel)
    raise EmbeddedServerError(
        "no mongod found: looked at the `mongod` argument, $MONGOD, PATH and the "
        f"installed packages. Get one with: {INSTALL_HINT}",
        missing="mongod",
        hint=INSTALL_HINT,
    )


def _named(path: Path, source: str) -> Path:
    """Check a file that somebody named."""
    path = Path(os.path.expanduser(path)).absolute()
    if not path.is_file():
        raise EmbeddedServerError(
            f"{source} names {path}, which is not a file", missing="mongod", mongod=str(path)
        )
    if not os.access(path, os.X_OK):
        raise EmbeddedServerError(
            f"{source} names {path}, which is not executable (chmod +x)", mongod=str(path)
        )
    return path


def _wheel_binary() -> Path | None:
    """Locate the binary in the wheel without importing the package around it."""
    try:
        spec = importlib.util.find_spec("fiftyone")
    except (ImportError, ValueError):
        return None
    name = "mongod.exe" if sys.platform == "win32" else "mongod"
    for location in (spec and spec.submodule_search_locations) or ():
        candidate = Path(location, "db", "bin", name)
        if candidate.is_file():
            return candidate
    return None


def _runnable(path: Path) -> Path:
    """Set the run bit, which the wheel lacks; copy the file where it cannot be set."""
    if os.access(path, os.X_OK):
        return path
    try:
        path.chmod(path.stat().st_mode | 0o755)
    except OSError:  # installed by another user, or on a read-only file system
        return _cached_copy(path)
    return path


def _cached_copy(path: Path) -> Path:
    """Keep a copy with the run bit in the user's cache directory."""
    facts = path.stat()
    name = f"mongod-{facts.st_size:x}-{facts.st_mtime_ns:x}"
    problem: Exception = FileNotFoundError("the user has no home directory")
    for directory in _cache_directories():
        copy = directory / name
        if os.access(copy, os.X_OK) and copy.stat().st_size == facts.st_size:
            return copy
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _copy_atomically(path, copy)
        except OSError as error:
            problem = error
            continue
        return copy
    raise EmbeddedServerError(
        f"{path} is not executable and no copy of it could be made: {problem}. "
        f"Set its run bit: chmod +x {path}",
        mongod=str(path),
    )


def _cache_directories() -> list[Path]:
    """Directories that only we write: a shared one could hold somebody else's binary."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    fallback = Path(tempfile.gettempdir(), f"mongo-versioned-collection-{_user_id()}")
    own = [cache / "mongo-versioned-collection"] if cache.is_absolute() else []
    return [*own, *([fallback] if _is_ours(fallback) else [])]


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_ours(directory: Path) -> bool:
    """Whether a directory in a shared place is absent, or belongs to us alone."""
    try:
        facts = directory.lstat()
    except FileNotFoundError:
        return True
    return facts.st_uid == _user_id() and (facts.st_mode & 0o777) == 0o700


def _copy_atomically(source: Path, target: Path) -> None:
    """Copy, so that another process sees the whole file or none."""
    handle, name = tempfile.mkstemp(dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, name)
        os.chmod(name, 0o700)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
