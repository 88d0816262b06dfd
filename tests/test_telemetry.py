"""What OpenTelemetry is told about verbs: spans and numbers, and nothing of documents."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pytest
from api_support import edit, grown, step, tracked, untracked
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pymongo import AsyncMongoClient, MongoClient

from versioned_collection import (
    AsyncVersionedCollection,
    VersionedCollection,
    errors,
    telemetry,
)
from versioned_collection.trackers.lease import LeaseCollection

SECRET = "zanzibar"
DELTA = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)


class Told:
    """What was told so far; each look forgets it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader(preferred_temporality=DELTA)
        self.metering = MeterProvider([self.reader])

    def spans(self) -> list[ReadableSpan]:
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found

    def span(self, verb: str) -> ReadableSpan:
        """Return the only span of a verb."""
        (found,) = [one for one in self.spans() if one.attributes["db.operation.name"] == verb]
        return found

    def points(self) -> dict[str, list[Any]]:
        """Return the numbers since the last look, by instrument."""
        data = self.reader.get_metrics_data()
        return {
            metric.name.removeprefix("versioned_collection."): list(metric.data.data_points)
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        }

    def numbers(self, name: str, label: str, points: dict[str, list[Any]]) -> dict[Any, Any]:
        return {one.attributes[label]: one.value for one in points.get(name, ())}

    def forget(self) -> None:
        self.spans()
        self.points()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Have the library tell these, and not what the process may have set up."""
    found = Told()
    monkeypatch.setattr(trace, "get_tracer", found.tracing.get_tracer)
    monkeypatch.setattr(metrics, "get_meter", found.metering.get_meter)
    telemetry._api.cache_clear()
    yield found
    telemetry._api.cache_clear()
    found.tracing.shutdown()
    found.metering.shutdown()


def by_verb(spans: list[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {one.attributes["db.operation.name"]: one for one in spans}


def is_in(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    """Tell whether a span is a child of another one."""
    return (
        inner.parent is not None
        and inner.parent.span_id == outer.context.span_id
        and inner.context.trace_id == outer.context.trace_id
    )


def test_a_register_of_ten_documents(db, told):
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": n, "n": 0} for n in range(30)])
    bands.init()
    bands.update_many({"_id": {"$lt": 10}}, {"$inc": {"n": 1}})
    told.forget()
    begun = time.monotonic()
    bands.register("ten")
    took = time.monotonic() - begun
    spans = told.spans()
    assert [one.name for one in spans] == ["register bands"]
    (span,) = spans
    assert span.parent is None
    assert span.kind is trace.SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "db.system.name": "mongodb",
        "db.namespace": db.name,
        "db.collection.name": "bands",
        "db.operation.name": "register",
        "versioned_collection.documents.recorded": 10,
        "versioned_collection.bytes.recorded": 10 * len(bson.encode({"_id": 1, "n": 1})),
    }
    assert span.instrumentation_scope.name == "versioned_collection"
    points = told.points()
    assert points.keys() == {"verbs", "duration", "documents", "bytes"}
    assert told.numbers("verbs", "db.operation.name", points) == {"register": 1}
    assert told.numbers("documents", "versioned_collection.phase", points) == {"recorded": 10}
    (duration,) = points["duration"]
    assert duration.count == 1
    assert 0 < duration.sum <= took  # spans have another clock
    assert max(duration.explicit_bounds) >= 1800


@pytest.mark.usefixtures("small_limits")
def test_a_large_change_is_counted_once_in_each_phase(db, told):
    bands = tracked(db)
    bands.update_many({}, {"$set": {"n": 1}})
    told.forget()
    bands.register("three")
    bands.checkout("main~1")
    points = told.points()
    assert {
        (
            one.attributes["db.operation.name"],
            one.attributes["versioned_collection.phase"],
        ): one.value
        for one in points["documents"]
    } == {("register", "recorded"): 3, ("register", "written"): 3, ("checkout", "written"): 3}


def test_what_is_copied_and_exported_is_counted(db, told, tmp_path):
    bands = untracked(db)
    size = sum(len(bson.encode(one)) for one in bands.find())
    told.forget()
    bands.init()
    assert told.span("init").attributes["versioned_collection.bytes.copied"] == size
    written = bands.export(tmp_path / "bands.bson").bytes
    span = told.span("export")
    assert span.attributes["versioned_collection.documents.documents"] == 3
    assert span.attributes["versioned_collection.bytes.documents"] == written == size


def test_a_verb_that_fails_gives_its_code_and_no_more(db, told):
    bands = tracked(db)
    step(bands, 1)
    edit(bands, SECRET)
    told.forget()
    with pytest.raises(errors.InvalidOperation):
        bands.checkout("main~1")
    span = told.span("checkout")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.attributes["error.type"] == "invalid_operation"
    assert not span.events
    points = told.points()
    assert told.numbers("failures", "error.type", points) == {"invalid_operation": 1}
    assert [one.attributes["error.type"] for one in points["duration"]] == ["invalid_operation"]


def test_an_error_that_is_not_ours_gives_its_class(db, told):
    class Odd(Exception):
        code = 11000

    def progress(phase: str, count: int) -> None:
        raise Odd(SECRET)

    bands = tracked(db)
    edit(bands, 1)
    told.forget()
    with pytest.raises(Odd):
        bands.register("odd", progress=progress)
    assert told.span("register").attributes["error.type"].endswith("Odd")


@pytest.fixture
def there(db):
    """Another database."""
    other = db.client[f"{db.name}_there"]
    yield other
    db.client.drop_database(other.name)


def test_parts_of_verbs_are_child_spans_and_are_not_counted(db, there, told):
    here = tracked(db)
    here.push(there)
    copy = VersionedCollection(there, "bands")
    step(copy, "theirs")
    edit(here, "ours", 2)
    here.register("ours")
    told.forget()
    assert here.pull(copy)
    spans = by_verb(told.spans())
    assert is_in(spans["merge"], spans["pull"])
    label = "versioned_collection.documents.recorded"
    assert spans["merge"].attributes[label] == spans["pull"].attributes[label] == 1
    points = told.points()
    assert told.numbers("verbs", "db.operation.name", points) == {"pull": 1}
    assert told.numbers("versions", "db.operation.name", points) == {"pull": 1}


def test_what_a_push_does_at_the_remote_is_a_part_of_it(db, there, told):
    here = tracked(db)
    here.push(there)
    step(here, 1)
    told.forget()
    assert here.push(there)
    pushes = {
        one.attributes["db.namespace"]: one
        for one in told.spans()
        if one.attributes["db.operation.name"] == "push"
    }
    assert is_in(pushes[there.name], pushes[db.name])
    assert pushes[db.name].attributes["versioned_collection.versions.versions"] == 1
    assert pushes[db.name].attributes["versioned_collection.documents.changes"] == 1
    label = "versioned_collection.documents.written"
    assert pushes[there.name].attributes[label] == pushes[db.name].attributes[label] == 1
    points = told.points()
    assert told.numbers("verbs", "db.namespace", points) == {db.name: 1}


def test_a_remote_of_the_same_name_on_another_server(db, standalone_server, told):
    here = tracked(db)
    with MongoClient(standalone_server.uri) as away:
        here.push(away[db.name])
        step(here, 1)
        told.forget()
        assert here.push(away[db.name])
        pushes = [one for one in told.spans() if one.name == "push bands"]
        away.drop_database(db.name)
    assert is_in(*pushes)  # the inner one was over first


def test_a_clone_is_one_verb(db, there, told):
    tracked(db)
    told.forget()
    VersionedCollection.clone(db["bands"], there)
    assert told.numbers("verbs", "db.operation.name", told.points()) == {"clone": 1}
    own = [one for one in told.spans() if one.attributes["db.namespace"] == there.name]
    assert [one.attributes["db.operation.name"] for one in own] == ["clone"]


def test_verbs_are_parts_of_the_program_s_own_spans(db, told):
    bands = tracked(db)
    told.forget()
    with told.tracing.get_tracer("program").start_as_current_span("job") as job:
        bands.has_changes()
        inside = trace.get_current_span()
        assert inside is job  # a verb that is over has left nothing behind
    spans = told.exporter.get_finished_spans()
    (verb,) = [one for one in spans if one.name == "has_changes bands"]
    assert is_in(verb, job)


def test_what_runs_in_threads_is_a_part_of_the_verb(db, told, monkeypatch):
    """Programs may have the driver tell about its commands; those of a verb are in its span."""
    from versioned_collection.trackers.delta_store import DeltaStore

    bands, seen = tracked(db), []
    appending = DeltaStore.appending

    def noted(*args: Any) -> Callable[[], int]:
        store = appending(*args)

        def run() -> int:
            seen.append(trace.get_current_span())
            return store()

        return run

    edit(bands, 1)
    monkeypatch.setattr(DeltaStore, "appending", noted)
    told.forget()
    bands.register("one")
    assert [one.context.span_id for one in seen] == [told.span("register").context.span_id]


def test_looking_on_without_the_lease_is_no_failure(db, told, monkeypatch):
    def refuse(*args: Any) -> None:
        raise errors.PermissionDenied("readers may not write")

    bands = tracked(db)
    monkeypatch.setattr(LeaseCollection, "acquire", refuse)
    told.forget()
    assert bands.has_changes() is False
    assert "error.type" not in told.span("has_changes").attributes
    assert "failures" not in told.points()


# -- verbs that iterate ----------------------------------------------------------------------


def test_what_is_done_between_two_items_is_no_part_of_the_verb(db, told):
    bands = grown(db)
    other = tracked(db, "others")
    told.forget()
    for _ in bands.history(1):
        assert trace.get_current_span() is trace.INVALID_SPAN
        other.has_changes()
    spans = told.spans()
    (verb,) = [one for one in spans if one.name == "history bands"]
    others = [one for one in spans if one.name == "has_changes others"]
    assert len(others) == 4
    assert all(one.parent is None for one in others)
    assert verb.parent is None


def test_who_has_seen_enough_is_no_failure(db, told):
    bands = grown(db)
    told.forget()
    found = bands.history(1)
    next(found)
    found.close()
    span = told.span("history")
    assert "error.type" not in span.attributes
    assert told.points().keys() == {"verbs", "duration"}


# -- awaited ---------------------------------------------------------------------------------


def test_awaited_verbs_are_parts_of_the_task_s_span(db, told):
    host, port = db.client.address
    tracer = told.tracing.get_tracer("program")

    async def inside() -> None:
        async with AsyncMongoClient(host, port, directConnection=True) as client:
            bands = AsyncVersionedCollection(client[db.name], "bands")

            async def work(n: int) -> None:
                with tracer.start_as_current_span(f"job {n}"):
                    await bands.has_changes()
                    assert [one.op async for one in bands.changes()] == ["update"]

            await bands.insert_many([{"_id": n, "n": 0} for n in range(3)])
            await bands.init()
            await bands.update_one({"_id": 1}, {"$set": {"n": 1}})
            told.forget()
            await asyncio.gather(*(work(n) for n in range(3)))

    asyncio.run(inside())
    spans = told.spans()
    jobs = {one.context.span_id: one for one in spans if one.name.startswith("job")}
    verbs = [one for one in spans if one.context.span_id not in jobs]
    assert sorted(one.name for one in verbs) == ["changes bands"] * 3 + ["has_changes bands"] * 3
    assert len({one.parent.span_id for one in verbs}) == 3
    assert all(is_in(one, jobs[one.parent.span_id]) for one in verbs)


# -- what is not told ------------------------------------------------------------------------


def test_nothing_of_documents_ids_addresses_or_messages_is_told(server, db, there, told):
    address = server.uri.replace("://", f"://{SECRET}:{SECRET}@", 1)
    bands = VersionedCollection(db, "bands")
    bands.insert_many([{"_id": f"{SECRET}{n}", SECRET: SECRET} for n in range(5)])
    bands.init(SECRET, author={"name": SECRET}, metadata={SECRET: SECRET})
    bands.update_many({}, {"$set": {"n": SECRET}})
    bands.register(SECRET)
    bands.tag(SECRET)
    bands.checkout("main@0")
    bands.checkout(branch="main")
    assert list(bands.history(f"{SECRET}1"))
    assert list(bands.find_versions({SECRET: SECRET}))
    bands.push(there)
    with pytest.raises(errors.VersioningError):
        bands.push(address)
    with pytest.raises(errors.VersioningError):
        bands.blame(f"{SECRET}9")
    with pytest.raises(errors.VersioningError):
        bands.checkout(SECRET * 2)
    with pytest.raises(errors.VersioningError):
        bands.register(SECRET, only=[f"{SECRET}1", {SECRET: object()}])
    bands.update_one({"_id": f"{SECRET}1"}, {"$set": {"n": 1}})
    bands.stash(name=SECRET, push=True)
    bands.purge([f"{SECRET}2"], reason=SECRET)
    spans, data = told.spans(), told.reader.get_metrics_data()
    texts = [one.to_json() for one in spans]
    assert {json.loads(text)["name"] for text in texts} >= {"register bands", "purge bands"}
    assert {one.attributes.get("error.type") for one in spans} > {None, "invalid_argument"}
    assert all(SECRET not in text for text in texts)
    assert "purge" in data.to_json()
    assert SECRET not in data.to_json()


# -- without it ------------------------------------------------------------------------------

WITHOUT = """
import sys
{before}
from pymongo import MongoClient
from versioned_collection import VersionedCollection
bands = VersionedCollection(MongoClient("{uri}")["{db}"], "bands")
bands.insert_one({{"_id": 1}})
bands.init()
{after}
bands.insert_one({{"_id": 2}})
print(bands.register("two"), "opentelemetry" in sys.modules)
{at_last}
"""


def run(db: Any, **parts: str) -> list[str]:
    host, port = db.client.address
    parts = {"before": "", "after": "", "at_last": "", **parts}
    program = WITHOUT.format(uri=f"mongodb://{host}:{port}/", db=db.name, **parts)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_without_the_package(db):
    assert run(db, before="sys.modules['opentelemetry'] = None") == ["True", "True"]


def test_an_interface_that_is_older_than_ours(db):
    older = """
from opentelemetry.metrics import _internal
new = _internal._ProxyMeter.create_histogram
def create_histogram(self, name, unit="", description=""):
    return new(self, name, unit, description)
_internal._ProxyMeter.create_histogram = create_histogram
"""
    assert run(db, before=older) == ["True", "True"]


def test_without_an_sdk_nothing_comes_of_it(db):
    assert run(db, at_last="print('opentelemetry.sdk' in sys.modules)") == [
        "True",
        "True",
        "False",
    ]


def test_an_sdk_may_be_set_up_after_the_first_verb(db):
    set_up = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
seen = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(seen))
"""
    names = "print(*(one.attributes['db.operation.name'] for one in seen.get_finished_spans()))"
    assert run(db, after=set_up, at_last=names) == ["True", "True", "register"]
