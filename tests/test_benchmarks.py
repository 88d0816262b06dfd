"""The benchmarks run; how fast they are is not a matter of tests."""

import json
import math

import bson
import pytest
from pymongo import MongoClient

from benchmarks import report
from benchmarks.__main__ import arguments, chosen, measure
from benchmarks.cases import CASES, HEAVY
from benchmarks.data import document
from benchmarks.harness import Aim, Bench, Result
from benchmarks.roundtrips import CALLS, Recorder, record


@pytest.fixture
def bench(client, server):
    return Bench(client, server.uri, scale=0.0005, repeat=2)


BY_DEFAULT = ("register", "checkout", "merge", "push")
CHOSEN = [
    pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.sweep) for name in CASES
]


@pytest.mark.parametrize("name", CHOSEN)
def test_each_case_gives_numbers(bench, name):
    results = list(CASES[name](bench))
    assert results
    for result in results:
        assert math.isfinite(result.ratio), result
        assert result.ratio > 0 or name == "disk-versions", result
        assert result.unit


def test_the_file_holds_what_the_table_shows(bench, tmp_path):
    results = measure(bench, ["small-register"])
    report.write(tmp_path / "numbers.json", bench, results)
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert [line["case"] for line in written["results"]] == [one.case for one in results]
    assert written["where"]["scale"] == bench.scale
    assert report.table(results).row_count == len(results)


@pytest.mark.parametrize("name", CALLS)
def test_each_call_shows_its_roundtrips(server, capsys, name):
    recorder = Recorder()
    with MongoClient(server.uri, event_listeners=[recorder]) as listened:
        record(listened, recorder, name, scale=0.001)
    assert "round trips" in capsys.readouterr().out
    assert recorder.roundtrips


def test_heavy_cases_run_only_when_asked_for():
    assert not HEAVY & set(chosen(None, heavy=False))
    assert set(chosen(None, heavy=True)) == set(CASES)
    assert chosen(["memory"], heavy=False) == ["memory"]


def test_unknown_cases_are_refused():
    with pytest.raises(SystemExit):
        arguments(["--only", "nothing"])


def test_documents_are_as_large_as_the_table_says():
    sizes = [len(bson.encode(document(number))) for number in range(0, 100_000, 997)]
    assert 420 < min(sizes) <= max(sizes) < 480
    assert document(5) == document(5)


def test_an_aim_is_met_on_its_side_of_the_limit():
    result = Result("case", "s", [1.0, 2.0, 9.0], [1.0, 1.0, 1.0], Aim(2))
    assert (result.ratio, result.is_met) == (2.0, True)
    assert not Result("case", "s", [3.0], [1.0], Aim(2)).is_met
    assert Result("case", "1/s", [3.0], [1.0], Aim(3, "ours", at_least=True)).is_met
