"""Where in a window spans start: learnt from windows alike, and left out everywhere else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli import models
from cli.deep import cli
from deep import checkpoint, jobs, place, series
from deep.detector import SpanDetector
from deep.presets import preset
from deep.settings import Settings
from deep.tasks import chain
from proxytools import features, io, rundir, synthetic
from proxytools.errors import InputError
from proxytools.metrics.bar import pearson
from tests import small

PLACED = Settings(
    directions=2, number=True, place=True, features="directed", hidden=4, members=2, epochs=3
)
ABOUT = {"command": ["deep"], "config": {}, "seed": 0, "inputs": {}}


def naive(start, n_bars):
    """Every width and share, a start at a time."""
    best, density = len(start) * np.log(1 / n_bars), np.full(n_bars, 1 / n_bars)
    for width in place.WIDTHS:
        for share in place.SHARES:

            def mixed(others, width=width, share=share):
                kernels = [np.exp(-0.5 * ((np.arange(n_bars) - s) / width) ** 2) for s in others]
                smooth = np.mean([k / k.sum() for k in kernels], axis=0)
                return (1 - share) * smooth + share / n_bars

            left_out = [np.delete(start, i) for i in range(len(start))]
            found = sum(np.log(mixed(o)[s]) for o, s in zip(left_out, start, strict=True))
            if found > best + 1e-9:
                best, density = found, mixed(start)
    return np.log(density * n_bars)


@given(st.lists(st.integers(0, 11), min_size=2, max_size=8))
def test_weights_are_those_of_the_naive_twin(start):
    weights = place.log_weights(np.array(start), 12)
    np.testing.assert_allclose(weights, naive(np.array(start), 12), atol=1e-5)
    assert abs(float(weights.exp().mean()) - 1) < 1e-5  # the rate of spans stays as it is


@pytest.mark.parametrize("start", [[], [5], list(range(30))])
def test_starts_that_say_nothing_weigh_nothing(start):
    assert place.log_weights(np.array(start, int), 30).abs().max() == 0


def test_weights_go_to_starts_alone():
    scores, weights = torch.randn(2, 5, 6), torch.randn(5)
    placed = place.placed(scores, weights)
    expected = scores.clone()
    expected[..., [1, 4]] += weights[:, None]
    torch.testing.assert_close(placed, expected)
    assert place.placed(scores, torch.randn(6)) is scores


@pytest.fixture(scope="module")
def fitted():
    data = small.planted(40, preset="medium", n_bars=105)
    own = features.compute(data.windows.ohlc, "directed")
    both = [
        SpanDetector(replace(PLACED, place=on), inner_folds=2).fit(own, data)
        for on in (True, False)
    ]
    return *both, own, data


def test_nothing_else_is_learnt_otherwise(fitted):
    with_it, without, own, _ = fitted
    np.testing.assert_array_equal(with_it.anywhere().predict(own), without.predict(own))
    assert with_it.held_out_["pearson_r_without_place"] == without.held_out_["pearson_r"]
    assert with_it.held_out_["pearson_r"] > without.held_out_["pearson_r"]
    assert "pearson_r_without_place" not in without.held_out_


def test_the_posterior_is_that_of_the_chain_with_the_weights(fitted):
    detector, _, own, _ = fitted
    model, values = detector.ensemble_, torch.from_numpy(own.values)
    with torch.no_grad():
        scores = model(values)
        scores[..., 1::3] += model.place[:, None]
        exact = chain(scores, model.length(), model.number).posterior()
    np.testing.assert_allclose(detector.predict(own), exact, atol=1e-6)


def test_it_helps_on_windows_cut_alike_only(fitted):
    with_it, without, _, _ = fitted
    test = synthetic.planted(60, preset="medium", seed=9).data
    own = features.compute(test.windows.ohlc, "directed")
    assert pearson(with_it.predict(own), test.mask) > pearson(without.predict(own), test.mask)
    shorter = features.compute(test.windows.ohlc[:, :70], "directed")
    np.testing.assert_array_equal(with_it.predict(shorter), without.predict(shorter))


def test_long_series_are_read_without_it(fitted, tmp_path):
    with_it, without, own, data = fitted
    bars = synthetic.planted(1, preset="easy", seed=4, n_bars=600, layout="several")
    io_bars = bars.data.windows.ohlc[0]
    path = tmp_path / "bars.csv"
    rows = [f"{60 * t},{','.join(map(str, bar))}" for t, bar in enumerate(io_bars)]
    path.write_text("t,open,high,low,close\n" + "\n".join(rows) + "\n")
    found = []
    for name, detector in (("with", with_it), ("without", without)):
        detector.reader_ = replace(detector.reader_, threshold=0.05)
        model = checkpoint.model_of(detector, data, own)
        series.detect(model, path, tmp_path / f"{name}.csv")
        found.append((tmp_path / f"{name}.csv").read_text())
    assert found[0] == found[1]
    assert found[0].count("\n") > 1


def test_it_is_kept_and_reported(fitted, tmp_path):
    with_it, _, own, data = fitted
    out = tmp_path / "run"
    with rundir.create(out, **ABOUT) as run:
        checkpoint.save(checkpoint.model_of(with_it, data, own), run)
    test = synthetic.planted(30, preset="medium", seed=9).data
    io.write(tmp_path / "test.parquet", test)
    again = jobs.load_model(out)
    read = features.compute(test.windows.ohlc, "directed")
    np.testing.assert_array_equal(again.proxy.predict(read), with_it.predict(read))
    words = ["evaluate", str(out), "--data", str(tmp_path / "test.parquet"), "--json"]
    said = json.loads(CliRunner().invoke(cli, words).stdout)
    flat = pearson(with_it.anywhere().predict(read), test.mask)
    assert said["pearson_r_without_place"] == pytest.approx(flat)
    assert said["pearson_r"] > said["pearson_r_without_place"]
    elsewhere = models.load(out, threads=1).proxy  # as `suggest` reads windows it cut itself
    np.testing.assert_array_equal(elsewhere.predict(read), with_it.anywhere().predict(read))


def test_outer_folds_tell_what_is_left_without_it(fitted, tmp_path):
    *_, data = fitted
    told = []
    for name, on in (("with", True), ("without", False)):
        detector = SpanDetector(replace(PLACED, place=on), inner_folds=2)
        with rundir.create(tmp_path / name, **ABOUT) as run:
            told.append(jobs.train(run, detector, data, n_folds=2))
    with_it, without = told
    assert with_it["evaluation"] == "outer folds"
    assert with_it["pearson_r_without_place"] == without["pearson_r"] < with_it["pearson_r"]
    assert with_it["span_f1_50_without_place"] == without["span_f1_50"]
    assert "pearson_r_without_place" not in without


def test_bars_by_themselves_have_no_place():
    with pytest.raises(InputError, match="place"):
        replace(preset("single"), place=True)
