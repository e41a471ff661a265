"""The benchmarks others rest on: they run, resume, and put methods in the order they should."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    change_points,
    curve_tables,
    curves,
    detector_tables,
    growth,
    labels,
    many,
    methods,
    peers,
    speed_commands,
    speed_proxies,
    tuning,
)
from benchmarks.bars import bars
from benchmarks.record import Cells
from benchmarks.structured import StructuredBoosting
from deep import presets
from proxytools import features, synthetic
from proxytools.errors import InputError
from proxytools.metrics.bar import pearson
from proxytools.proxies.formula import grid
from proxytools.proxies.scoring import scores
from proxytools.types import Proxy, Spans

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def data():
    return synthetic.planted(40, preset="easy", seed=400, n_bars=60).data


def test_the_quick_benchmark_puts_methods_in_order_and_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "labels.json"
    quick = ["--quick", "--labels", "60", "--threads", "1", "--out", out]
    words = [sys.executable, "-m", "benchmarks.labels", *quick]
    limits = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    words += ["--models", "constant,random,position-prior,formula,lightgbm"]
    runs = [subprocess.run(words, cwd=ROOT, env=limits, capture_output=True) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr.decode()
    assert b"'seed': 1" in runs[0].stdout
    assert b"'seed': 1" not in runs[1].stdout  # measured once
    lines = {row["model"]: row for row in json.loads(out.read_text())["summary"]}
    r = {model: line["pearson_r"] for model, line in lines.items()}
    assert abs(r["random"]) < 0.03
    assert r["constant"] == 0
    assert r["constant"] < r["position-prior"] < r["formula"] < r["lightgbm"] < 1
    for line in lines.values():
        low, high = line["r_interval"]
        assert low <= line["pearson_r"] <= high
        assert line["of_ceiling"] == pytest.approx(line["pearson_r"] / line["ceiling"])


def rows(**r):
    names = ("constant", "random", "position-prior", "formula", "lightgbm")
    usual = dict(zip(names, (0.0, 0.01, 0.2, 0.5, 0.6), strict=True)) | r
    return [{"data": "a", "labels": 20, "model": m, "pearson_r": v} for m, v in usual.items()]


@pytest.mark.parametrize(
    "off", [{"formula": 0.1}, {"formula": 0.7}, {"random": 0.3, "formula": 0.5}, {"random": -0.1}]
)
def test_disorder_is_named(off):
    assert labels.disorder(rows()) == []
    assert labels.disorder(rows(**off))


def test_what_more_labels_give_is_paired_by_seed():
    found = [
        {"data": "a", "seed": seed, "labels": n, "model": "m", "pearson_r": 0.1 * seed + gain}
        for seed in (1, 2, 3)
        for n, gain in ((20, 0.0), (50, 0.25))
    ]
    (line,) = labels.gains([*found, {**found[0], "seed": 4}])  # which has nothing to be paired with
    assert (line["from"], line["to"]) == (20, 50)
    assert line["r_gain"] == pytest.approx([0.25, 0.25, 0.25])
    assert not labels.gains(found[:4])  # of two seeds an interval says nothing


def test_saccades_hold_out_one_person(monkeypatch):
    planted = synthetic.planted(30, preset="easy", seed=5).data
    parent = np.repeat(["a", "b", "c"], 10)
    data = replace(planted, windows=replace(planted.windows, parent=parent))
    monkeypatch.setattr(methods.saccades, "load", lambda: data)
    for seed, person in enumerate("abc", 1):
        source = methods.source_of("saccades", seed)
        assert set(source.test.windows.parent) == {person}
        assert len(source.train) == 20
        assert person not in source.train.windows.parent
        assert len(set(source.train.windows.parent[:8])) == 2  # shuffled


def test_no_more_labels_are_taken_than_there_are(tmp_path, monkeypatch):
    planted = synthetic.planted(30, preset="easy", seed=5).data
    train, test = planted.take(range(20)), planted.take(range(20, 30))
    source = methods.Source("saccades", 1, train, test, None)
    monkeypatch.setattr(labels, "source_of", lambda *_: source)
    out = tmp_path / "labels.json"
    words = ["--models", "constant", "--labels", "5,20,50", "--data", "saccades"]
    monkeypatch.setattr(sys, "argv", ["labels", *words, "--out", str(out)])
    labels.drawn.cache_clear()
    labels.main()
    labels.drawn.cache_clear()
    rows = json.loads(out.read_text())["rows"]
    assert {row["labels"] for row in rows} == {5, 20}
    assert rows[0]["of_ceiling"] is None


def test_cells_are_measured_once_or_anew_and_a_row_stays_until_it_is_replaced(tmp_path):
    out, key = tmp_path / "a" / "cells.json", ("n", "m")
    plan = [(1, "a"), (2, "a")]
    cells = Cells(out, key, lambda rows: {"rows": [], "sum": sum(row["x"] for row in rows)})
    for n, m in cells.missing(plan):
        cells.add({"n": n, "m": m, "x": 10 * n}, {"n": n, "m": "b", "x": 1})  # a twin found with it
    assert json.loads(out.read_text())["sum"] == 32
    later = Cells(out, key, lambda _: {}, again=[(1, "b"), (2, "b")])
    assert list(later.missing([*plan, (1, "b"), (3, "a")])) == [(1, "b"), (3, "a")]
    later.add({"n": 1, "m": "b", "x": 5})
    kept = json.loads(out.read_text())
    assert [row["x"] for row in kept["rows"]] == [10, 5, 20, 1]
    assert list(later.missing([(1, "b")])) == []
    assert kept["machine"]["cores"] == os.cpu_count()


@pytest.mark.parametrize("name", ["unet", "label-studio-lstm", "ruptures", "lightgbm-segmental"])
def test_every_peer_is_a_proxy_that_finds_something(name, data, monkeypatch):
    for recipe in peers.RECIPES:
        small = {**peers.RECIPES[recipe].__dict__, "epochs": 8, "members": 1}
        monkeypatch.setitem(peers.RECIPES, recipe, peers.Recipe(**small))
    proxy = methods.make(name, seed=1, threads=1)
    assert isinstance(proxy, Proxy)
    own = methods.Computed(data)[proxy.feature_set]
    first, rest = np.arange(25), np.arange(25, 40)
    fitted = proxy.fit(own.take(first), data.take(first))
    prob = fitted.predict(own.take(rest))
    assert prob.shape == (15, 60)
    assert pearson(prob, data.take(rest).mask) > 0.25
    assert len(fitted.detect(own.take(rest)))
    again = methods.make(name, seed=1, threads=1).fit(own.take(first), data.take(first))
    np.testing.assert_array_equal(again.predict(own.take(rest)), prob)


def test_peers_read_bars_in_any_unit_and_at_any_level(data):
    ohlc = data.windows.ohlc
    own = bars(ohlc).values
    np.testing.assert_allclose(bars(7 * ohlc - 3e4).values, own, atol=1e-4)
    flat = bars(np.full((1, 9, 4), 5.0)).values
    assert not flat.any()
    proxy = change_points.Ruptures().fit(bars(ohlc), data)
    assert isinstance(proxy.detect(bars(np.full((1, 60, 4), 5.0))), Spans)


def test_structure_needs_marks(data):
    own = features.compute(data.windows.ohlc, "full")
    with pytest.raises(InputError, match="marks"):
        StructuredBoosting().fit(own, data, target=data.mask)


def grown(n_seeds):
    """Rows of two methods that learn, on one set with a ceiling and one without."""
    return [
        {
            **dict.fromkeys((*methods.METRICS, "seconds"), 0.1),
            "data": data,
            "seed": seed,
            "labels": n,
            "model": model,
            "pearson_r": 0.1 * place + n / 1000 + seed / 100,
            "r_interval": [0.0, 1.0],
            "f1_interval": [0.0, 1.0],
            "ceiling": ceiling,
            "of_ceiling": ceiling and 0.5,
        }
        for data, ceiling in (("planted hard", 0.6), ("saccades", None))
        for seed in range(n_seeds)
        for n in (168, 500)
        for place, model in enumerate(("lightgbm", "segmental"))
    ]


def test_curves_are_drawn_and_say_what_more_labels_give(tmp_path):
    found = grown(3)
    report = {"summary": labels.summary(found), "gains": labels.gains(found)}
    sentences = curve_tables.said(report)
    assert [text.split(":")[0] for text in sentences] == ["planted hard", "saccades"]
    assert all("segmental gains r +0.332" in text for text in sentences)
    curves.draw(report, tmp_path / "labels.png")
    assert (tmp_path / "labels.png").stat().st_size > 10_000


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_tables_show_every_method_best_first(n_seeds):
    found = grown(n_seeds)
    report = {"summary": labels.summary(found), "machine": {"date": "2026-01-01", "cores": 2}}
    text = curve_tables.labels(report)
    assert text.index("| segmental") < text.index("| lightgbm")
    assert text.count("| segmental") == 2
    assert "of the ceiling, 0.600" in text


def test_a_pretrained_detector_gets_the_windows_not_labelled_yet(monkeypatch):
    small = replace(presets.PRESETS["segmental"], hidden=4, members=1, epochs=2, pretrain_epochs=1)
    monkeypatch.setitem(presets.PRESETS, "segmental", small)
    planted = synthetic.planted(30, preset="easy", seed=5, n_bars=60).data
    source = methods.Source("a", 1, planted.take(range(20)), planted.take(range(20, 30)), None)
    computed = [methods.Computed(data) for data in (source.train, source.test)]
    seen = []
    fit = methods.SpanDetector.fit

    def spied(self, own, data):
        seen.append(data)
        return fit(self, own, data)

    monkeypatch.setattr(methods.SpanDetector, "fit", spied)
    for name in ("segmental", "segmental+masked"):
        row = methods.measure(source, 12, methods.make(name, 1, 1), *computed)
        assert row["model"] == name
    alone, ahead = seen
    assert (len(alone), len(ahead), ahead.labelled.sum()) == (12, 20, 12)
    assert (ahead.spans.window < 12).all()  # their marks are not there to be read


def test_changes_of_defaults_are_paired_by_cell():
    def row(change, fold_seed, r):
        cell = {"change": change, "data": "a", "set": 1, "fold_seed": fold_seed}
        return {**cell, **dict.fromkeys(tuning.METRICS, r)}

    found = [row("none", 0, 0.5), row("none", 1, 0.75), row("b", 0, 0.625), row("b", 1, 0.875)]
    plain, changed = tuning.summary(found)
    assert "gain" not in plain
    assert changed["gain"]["pearson_r"] == pytest.approx((0.125, 0.125, 0.125))
    assert "| b | +0.125 (+0.125 to +0.125) |" in detector_tables.tuning(
        {"summary": [plain, changed]}
    )


def test_few_labels_are_a_share_of_many():
    def row(labels, seed, r):
        cell = {"data": "planted medium", "seed": seed, "labels": labels, "ceiling": 0.8}
        return {**cell, **dict.fromkeys(many.METRICS, r)}

    found = [row(many.FEW, 1, 0.5), row(many.MANY, 1, 0.625), row(many.FEW, 2, 0.9)]
    (line,) = many.summary(found)  # of the seed that has both
    assert line["seeds"] == 1
    assert line["pearson_r"] == {"few": 0.5, "many": 0.625, "share": 0.8}
    report = {"summary": [line], "few": many.FEW, "many": many.MANY}
    assert "| planted medium, r | 1 | 0.500 | 0.625 | 80.0% |" in detector_tables.many(report)


def test_the_rivals_of_the_formula_search_find_the_same():
    rng = np.random.default_rng(0)
    bars, marks = np.abs(rng.normal(size=(400, 3))), (rng.random(400) < 0.1).astype(float)
    sets = grid("classic")
    ours = scores(bars, marks, sets)
    np.testing.assert_allclose(speed_proxies.searched_scores(bars, marks, sets), ours, atol=1e-12)
    np.testing.assert_allclose(speed_proxies.numpy_scores(bars.T, marks, sets), ours, atol=1e-12)


def test_labelling_and_starting_are_timed():
    lines = speed_commands.label_lines(2_100, repeats=1) + speed_commands.start_lines(repeats=1)
    assert all(line["value"] > 0 for line in lines)
    assert len(lines) == 4


def test_growth_measures_a_job_in_a_process_of_its_own(tmp_path):
    out, figure = tmp_path / "growth.json", tmp_path / "growth.png"
    job = ["--jobs", "features classic", "--largest", "10000"]
    words = [sys.executable, "-m", "benchmarks.growth", *job, "--out", out, "--figure", figure]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    report = json.loads(out.read_text())
    (row,) = report["rows"]
    assert 0 < row["core_seconds"] < 10
    assert 50 < row["peak_mb"] < growth.peak_mb() * 3
    assert figure.exists()
    assert "| features classic | " in curve_tables.growth(report)
