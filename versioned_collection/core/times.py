"""Times as they are compared, and as people read them."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(time: datetime) -> datetime:
    """Return a time in UTC, with a zone; one without is taken for UTC, as PyMongo does."""
    return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)


def utc_text(time: datetime, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time for people, whatever zone it has."""
    return f"{utc(time).strftime(form)} UTC"
