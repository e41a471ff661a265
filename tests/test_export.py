"""``deep export``: what onnxruntime computes is what torch computes."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli.deep import cli
from deep import export as room
from deep import jobs, presets
from proxytools import features, io, synthetic
from proxytools.errors import InputError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

T = 40
HEADS = {"segmental": "segmental", "mask": "single", "tasks": "jade"}
MEMBERS = {"segmental": 2, "mask": 1, "tasks": 1}
SMALL = ("--threads", "1", "--quiet")


def call(*words, expect=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == expect, done.output
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    path = folder / "windows.parquet"
    io.write(path, synthetic.planted(24, preset="easy", seed=0, n_bars=T).data)
    with pytest.MonkeyPatch.context() as patch:
        for name, preset in HEADS.items():
            small = replace(presets.PRESETS[preset], hidden=4, members=MEMBERS[name], epochs=2)
            patch.setitem(presets.PRESETS, preset, small)
            call("train", "--data", path, "--preset", preset, "--out", folder / name, *SMALL)
    return folder


@pytest.mark.parametrize("head", HEADS)
def test_scores_are_those_of_torch(head, runs, tmp_path):
    out = tmp_path / "model.onnx"
    printed = json.loads(call("export", runs / head, "--onnx", out, "--json").stdout)
    assert 0 <= printed["max_abs_difference"] < 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(out)

    model = jobs.load_model(runs / head)
    detector = model.proxy
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    for n_windows, n_bars in [(1, T), (7, T), (3, 2 * T), (2, 1)]:
        ohlc = synthetic.planted(n_windows, seed=n_bars, n_bars=max(n_bars, T)).data.windows.ohlc
        own = features.compute(ohlc[:, :n_bars], detector.feature_set)
        got = dict(
            zip(printed["outputs"], session.run(None, {"features": own.values}), strict=True)
        )
        with torch.no_grad():
            scores = detector.ensemble_(torch.from_numpy(own.values)).numpy()
        np.testing.assert_allclose(got["scores"], scores, atol=1e-5)
        if head == "segmental":
            table, log_ratio = detector.ensemble_.length()
            np.testing.assert_array_equal(got["length_table"], table.detach())
            np.testing.assert_array_equal(got["length_log_ratio"], log_ratio.detach())
        else:
            np.testing.assert_allclose(got["prob"], detector.predict(own), atol=1e-5)


@pytest.mark.parametrize("head", ["segmental", "mask"])
def test_the_file_says_what_it_reads(head, runs, tmp_path):
    out = tmp_path / "model.onnx"
    call("export", runs / head, "--onnx", out, "--quiet")
    said = {p.key: json.loads(p.value) for p in onnx.load(out).metadata_props}
    model = jobs.load_model(runs / head)
    detector, n_features = model.proxy, len(model.proxy.feature_names_)
    number, place = detector.ensemble_.number, detector.ensemble_.place
    assert all((x is not None) == (head == "segmental") for x in (number, place))
    assert said == {
        "proxytools.number": None if number is None else number.tolist(),
        "proxytools.place": None if place is None else place.tolist(),
        "proxytools.name": "deep",
        "proxytools.head": head,
        "proxytools.feature_set": detector.feature_set,
        "proxytools.feature_names": list(detector.feature_names_),
        "proxytools.reader": asdict(detector.reader_),
        "proxytools.n_bars": T,
        "proxytools.classes": ["expansion"],
        "proxytools.lookback_bars": model.lookback_bars,
        "proxytools.lookahead_bars": model.lookahead_bars,
    }
    shapes = json.loads(call("export", runs / head, "--onnx", tmp_path / "b", "--json").stdout)
    assert shapes["inputs"] == {"features": ["N", "T", n_features]}
    n_scores = detector.ensemble_(torch.zeros(1, T, n_features)).shape[2]
    assert shapes["outputs"]["scores"] == ["N", "T", n_scores]


@pytest.mark.parametrize("shift", [1e-3, float("nan")])
def test_a_wrong_graph_never_gets_its_name(shift, runs, tmp_path, monkeypatch):
    write = room._write

    def wrong(network, values, path):
        bias = network.ensemble.members[0].head.bias
        right = bias.clone()
        bias += shift
        write(network, values, path)
        bias.copy_(right)

    monkeypatch.setattr(room, "_write", wrong)
    with pytest.raises(InputError, match="differ from torch"):
        room.export(jobs.load_model(runs / "mask"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra(runs, tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(room, "import_module", absent)
    done = call("export", runs / "mask", "--onnx", tmp_path / "m.onnx", expect=2)
    assert "pip install 'proxytools-spans[onnx]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_bad_usage_exits_2(runs, tmp_path):
    out = tmp_path / "model.onnx"
    assert "nothing there" in call("export", tmp_path / "no", "--onnx", out, expect=2).stderr
    done = call("export", runs / "mask", "--onnx", tmp_path / "a" / "b", expect=2)
    assert "no such directory" in done.stderr
    out.write_text("mine")
    assert "existing path" in call("export", runs / "mask", "--onnx", out, expect=2).stderr
    assert out.read_text() == "mine"
