"""What OpenTelemetry is told about verbs: a span for each, and numbers.

Only its API is used, and only where a program has installed it; whether anything becomes of what
is told, and where it goes, is settled by the SDK that the program sets up. Names of databases,
collections and verbs, numbers and codes are told, and nothing else: no part of a document, no id,
no address, and no message, as an error's may quote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

NAME = "versioned_collection"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Bounds of the buckets of durations: from a look at the state to the import of a large file."""

_COUNTED = {"settled": "conflicts", "steps": "steps", "versions": "versions"}
"""What is counted in phases that do not count documents."""


@dataclass
class Outcome:
    """What a verb did.

    Attributes:
        seconds: How long it took.
        counts: How many things were done, by phase.
        sizes: How many bytes they had, by phase.
        error: Why it failed, None where it did not.
    """

    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    error: BaseException | None = None


@contextmanager
def told(
    verb: str, database: str, collection: str, outcome: Outcome, *, inner: bool
) -> Iterator[None]:
    """Tell about a verb: what runs meanwhile in this context is a part of its span.

    Args:
        verb: Its name.
        database: The database.
        collection: The collection.
        outcome: What it did; complete when the block ends.
        inner: Whether it is a part of another verb. Such a one has a span, and is not counted.
    """
    api = _api()
    if api is None:
        yield
        return
    facts = {
        "db.system.name": "mongodb",
        "db.namespace": database,
        "db.collection.name": collection,
        "db.operation.name": verb,
    }
    with api.span(f"{verb} {collection}", facts) as span:
        try:
            yield
        finally:
            if span.is_recording():
                api.describe(span, outcome)
            if not inner:
                api.count(facts, outcome)


def error_type(error: BaseException) -> str:
    """Return what kind of error it is: the code of one of ours, else the name of its class."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__qualname__


class _Api:
    """The tracer, and the instruments."""

    def __init__(self, trace: Any, metrics: Any) -> None:
        version = import_module(NAME).__version__  # by name: arrows point the other way
        self._trace = trace
        self._tracer = trace.get_tracer(NAME, version)
        meter = metrics.get_meter(NAME, version)
        self._verbs = meter.create_counter(f"{NAME}.verbs", "{verb}", "Verbs that are over.")
        self._failures = meter.create_counter(
            f"{NAME}.failures", "{verb}", "Verbs that failed, by the code of the error."
        )
        self._duration = _duration(meter)
        self._bytes = meter.create_counter(f"{NAME}.bytes", "By", "Bytes of what verbs moved.")
        self._counts = {
            what: meter.create_counter(f"{NAME}.{what}", f"{{{unit}}}", f"{what.title()} moved.")
            for what, unit in (
                ("documents", "document"),
                ("versions", "version"),
                ("conflicts", "conflict"),
                ("steps", "step"),
            )
        }

    def span(self, name: str, facts: Mapping[str, str]) -> Any:
        """Begin a span.

        Its kind is internal: it is made of many commands, and whoever wants a span for each of
        those has the driver tell about them.
        """
        return self._tracer.start_as_current_span(
            name, attributes=facts, record_exception=False, set_status_on_exception=False
        )

    def describe(self, span: Any, outcome: Outcome) -> None:
        """Tell in a span what became of its verb."""
        for phase, count in outcome.counts.items():
            span.set_attribute(f"{NAME}.{_counted_in(phase)}.{_word(phase)}", count)
        for phase, size in outcome.sizes.items():
            span.set_attribute(f"{NAME}.bytes.{_word(phase)}", size)
        if outcome.error is not None:
            span.set_attribute("error.type", error_type(outcome.error))
            span.set_status(self._trace.StatusCode.ERROR)

    def count(self, facts: Mapping[str, str], outcome: Outcome) -> None:
        """Count a verb, and what it did."""
        self._verbs.add(1, facts)
        timed = facts
        if outcome.error is not None:
            timed = {**facts, "error.type": error_type(outcome.error)}
            self._failures.add(1, timed)
        self._duration.record(outcome.seconds, timed)
        for phase, count in outcome.counts.items():
            in_phase = {**facts, f"{NAME}.phase": _word(phase)}
            self._counts[_counted_in(phase)].add(count, in_phase)
        for phase, size in outcome.sizes.items():
            self._bytes.add(size, {**facts, f"{NAME}.phase": _word(phase)})


def _duration(meter: Any) -> Any:
    what = (f"{NAME}.duration", "s", "How long verbs took.")
    try:
        return meter.create_histogram(*what, explicit_bucket_boundaries_advisory=_SECONDS)
    except TypeError:  # before 1.30, which a program may have for reasons of its own
        return meter.create_histogram(*what)


@cache
def _api() -> _Api | None:
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    return _Api(trace, metrics)


def _counted_in(phase: str) -> str:
    return _COUNTED.get(phase, "documents")


def _word(phase: str) -> str:
    return phase.replace(" ", "_")
