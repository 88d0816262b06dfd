"""The benchmarks run; how fast they are is not a matter of tests."""

import json
import math

import bson
import pytest
from pymongo import MongoClient

from benchmarks import report, scaling
from benchmarks.__main__ import arguments, chosen, measure
from benchmarks.cases import CASES, HEAVY
from benchmarks.data import document
from benchmarks.harness import Aim, Bench, Result
from benchmarks.roundtrips import CALLS, Recorder, record
from benchmarks.trend import trend


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


def test_a_line_is_prolonged():
    found = trend({10: [7.0, 9.0, 7.0], 100: [52.0], 1000: [502.0]})
    assert not found.flat
    assert found.at(100_000) == pytest.approx(50_002)
    assert found.residual == pytest.approx(0, abs=1e-9)


def test_the_residual_is_the_worst_distance():
    found = trend({100: [100.0], 200: [260.0], 400: [400.0]})
    assert 0.1 < found.residual < 0.4
    assert found.clear
    assert not trend({100: [100.0], 200: [900.0], 400: [400.0], 800: [800.0]}).clear


def test_nothing_costs_less_than_nothing():
    found = trend({100: [10.0], 1000: [200.0]})
    assert found.fixed == 0
    assert found.at(0) == 0


def test_what_concerns_all_documents_is_never_flat():
    found = trend({100: [1.0], 1000: [1.0], 10_000: [1.1]}, may_be_flat=False)
    assert found.at(10**6) > 10


def test_a_growth_within_the_noise_is_none():
    assert trend({100: [1.0, 4.0, 2.0], 1000: [3.0]}).flat
    assert not trend({100: [1.0, 1.1, 0.9], 1000: [3.0]}).flat


@pytest.mark.parametrize("last", [1.0, 1.4, 0.8])
def test_what_hardly_grows_is_flat(last):
    found = trend({100: [1.0], 1000: [1.0], 10_000: [last]})
    assert found.flat
    assert found.at(10**8) == 1.0


@pytest.mark.sweep
def test_growing_sizes_give_a_table(client, server):
    bench = Bench(client, server.uri, repeat=1)
    results = scaling.measure(bench, [40, 80], 20)
    heading, *rows = scaling.table(results, 1_000)
    lines = [row[0] for row in rows]
    for line in ("init", "first push", "register 10", "register 20", "checkout over 20", "verify"):
        assert line in lines
    assert {len(row) for row in rows} == {len(heading)}
    said = scaling.report(results, 1_000, 1e9, as_markdown=True)
    assert said.startswith("|  | 40 | 80 | grows | off by | 1,000 |\n| --- | ---: |")
    assert "the trackers take" in said
    alone = {line: {40: values[40]} for line, values in results.items()}
    assert "40" in scaling.report(alone, 1_000, 1e9, as_markdown=False)
    assert not [name for name in client.list_database_names() if name.startswith("bench_")]


def test_the_largest_size_is_the_last_one():
    options = scaling.arguments(["--sizes", "30000", "1000000", "--largest", "300000"])
    assert scaling.sizes_of(options) == [30_000, 300_000]
    with pytest.raises(SystemExit):
        scaling.arguments(["--sizes", "100"])
