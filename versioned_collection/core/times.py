"""Times as they are compared, and as people read them."""

from __future__ import annotations

from datetime import MAXYEAR, datetime, timedelta, timezone

_EARLIEST, _LATEST = (one.replace(tzinfo=timezone.utc) for one in (datetime.min, datetime.max))


def utc(time: datetime) -> datetime:
    """Return a time in UTC, with a zone; one without is taken for UTC, as PyMongo does."""
    if time.tzinfo is None:
        return time.replace(tzinfo=timezone.utc)
    try:
        return time.astimezone(timezone.utc)
    except OverflowError:  # in UTC the calendar has ended, or not begun
        return _LATEST if time.year == MAXYEAR else _EARLIEST


def ago(age: timedelta, now: datetime) -> datetime:
    """Return the time, in UTC, that was so long ago; the first one there is, if it was before."""
    try:
        return utc(now) - age
    except OverflowError:
        return _EARLIEST


def utc_text(time: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time for people, whatever zone it has."""
    return f"{utc(time).strftime(form)} UTC"
