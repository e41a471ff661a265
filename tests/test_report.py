"""The report: what its files say, what its page holds, and how it behaves in a browser."""

import base64
import json
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from cli.deep import cli as deep_cli
from cli.proxytools import cli
from deep import curves, presets
from proxytools import decode, io, pipeline, synthetic
from proxytools.errors import InputError
from proxytools.evaluate import CrossFit
from proxytools.metrics.bar import bar_metrics
from proxytools.metrics.span import span_metrics
from proxytools.report import blocks, gallery, html, measures, refits, runs, scored, source
from proxytools.types import SoftLabels, SpanDataset, Spans, Windows

T = 60
HOSTILE = '</script><img src=x onerror="alert(1)">'
CLASS = "<b>up</b> & 'down'"
CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update"]
QUICK = ("--features", "directionless", "--folds", "3", "--threads", "1", "--quiet")


def call(command, *words, expect=0):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == expect, done.output
    return done


def windows(n=36, seed=2):
    """Planted windows with hostile names, of which the last two were not looked at."""
    data = synthetic.planted(n, preset="easy", seed=seed, n_bars=T).data
    ids = data.windows.ids.astype("<U60")
    ids[0], ids[1] = HOSTILE, '"quoted" \u2028 & <i>'
    seen = np.arange(n) < n - 2
    spans = data.spans.take(seen)
    spans = Spans(spans.window, spans.start, spans.stop, n)
    return replace(
        data, windows=replace(data.windows, ids=ids), spans=spans, labelled=seen, classes=(CLASS,)
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of every kind, and one page about all of them."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "windows.parquet"
    io.write(file, windows())
    data = ("--data", file)
    patch = pytest.MonkeyPatch()
    for name in ("validation", "gallery", "leaderboard"):  # pictures of another page
        patch.setattr(pipeline.plots, name, lambda *_, **__: None)
    patch.setattr(curves, "draw", lambda *_: None)
    small = replace(presets.PRESETS["jade"], hidden=4, members=1, epochs=2)
    patch.setitem(presets.PRESETS, "jade", small)
    for model in ("logistic", "formula"):
        call(cli, "fit", "--model", model, *data, "--out", folder / model, *QUICK)
    few = ("--permutations", 19, "--models", "formula")
    call(cli, "correlate", *few, *data, "--out", folder / "board", *QUICK)
    one = ("--preset", "jade", "--threads", 1, "--quiet")
    call(deep_cli, "train", *data, "--out", folder / "deep", *one)
    paths = [folder / name for name in ("logistic", "formula", "board", "deep")]
    out = folder / "all.html"
    call(cli, "report", *paths, "--out", out, "--learning-curve", "--threads", 1, "--quiet")
    patch.undo()
    return SimpleNamespace(folder=folder, file=file, paths=paths, out=out)


@pytest.fixture(scope="module")
def text(made):
    return made.out.read_text()


def scores(made, *names):
    read = runs.read_all([made.folder / name for name in names])
    return scored.score(read, source.read(read).data)


def block(text, name):
    """What a data script of the page holds."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def copied(made, name, folder):
    shutil.copytree(made.folder / name, folder / name)
    return folder / name


# What is read


def test_figures_are_those_of_the_runs(made):
    for own in scores(made, "logistic", "formula"):
        metrics = json.loads((own.run.path / "metrics.json").read_text())
        assert own.fitted.metrics["pearson_r"] == pytest.approx(metrics["pearson_r"], abs=1e-9)
        assert own.fitted.metrics["span_f1_50"] == metrics["span_f1_50"]
        assert own.folds == "outer folds"


def test_detector_leaves_what_it_measured_on_inner_folds(made):
    (own,) = scores(made, "deep")
    metrics = json.loads((own.run.path / "metrics.json").read_text())
    mask, spans = own.fitted.data.mask, own.fitted.data.spans
    found = {**bar_metrics(own.fitted.soft.prob, mask), **span_metrics(own.fitted.spans, spans)}
    assert metrics["evaluation"] == own.folds == "inner folds"
    for name in ("pearson_r", "brier", "span_f1_50", "n_pred", "start_error_signed"):
        assert found[name] == pytest.approx(metrics[name]), name


def test_only_labelled_windows_held_out_by_all_are_shown(made, tmp_path):
    path = copied(made, "formula", tmp_path)
    table = pq.read_table(path / "soft_labels.parquet")
    held = table["held_out"].to_pylist()
    held[3] = False
    column = table.schema.get_field_index("held_out")
    pq.write_table(
        table.set_column(column, "held_out", pa.array(held)), path / "soft_labels.parquet"
    )
    read = runs.read_all([made.folder / "logistic", path])
    ids = scored.score(read, source.read(read).data)[0].fitted.data.windows.ids.tolist()
    data = windows()
    assert ids == [name for i, name in enumerate(data.windows.ids) if i != 3 and data.labelled[i]]


def test_runs_of_one_model_are_told_apart(made, tmp_path):
    other = tmp_path / "deeper" / "formula"
    shutil.copytree(made.folder / "formula", other)
    third = tmp_path / "elsewhere"
    shutil.copytree(made.folder / "formula", third)
    labels = [run.label for run in runs.read_all([made.folder / "formula", other, third])]
    assert labels == ["formula 1", "formula 2", "formula (elsewhere)"]


def test_moved_data_are_found_where_they_are_said_to_be(made, tmp_path):
    path = copied(made, "formula", tmp_path)
    moved = tmp_path / "moved.parquet"
    shutil.copy(made.file, moved)
    record = json.loads((path / "run.json").read_text())
    was = record["config"]["data"]
    record["config"]["data"] = "/nowhere/windows.parquet"
    record["inputs"] = {"/nowhere/windows.parquet": record["inputs"][was]}
    (path / "run.json").write_text(json.dumps(record))
    read = runs.read_all([path, made.folder / "logistic"])  # it lay elsewhere, and is the same
    with pytest.raises(InputError, match=r"nowhere.*nothing there.*Give --data F"):
        source.read(read)
    assert len(source.read(read, data=moved).data) == len(windows())
    with pytest.raises(InputError, match=r"--spans.*no such file"):
        source.read(read, data=moved, spans=moved)
    io.write(moved, windows(seed=9))
    with pytest.raises(InputError, match=r"moved.*another content.*Give --data F"):
        source.read(read, data=moved)


def test_long_bars_are_cut_again_as_they_were(tmp_path):
    walk = 100 + np.random.default_rng(0).normal(0, 1, 800).cumsum()
    bars = pd.DataFrame({"t": np.arange(800), "open": walk, "close": walk})
    bars["high"], bars["low"] = walk + 1, walk - 1
    bars.to_csv(tmp_path / "es.csv", index=False)
    starts = np.arange(10, 780, 40)
    pd.DataFrame({"start": starts, "end": starts + 6}).to_csv(tmp_path / "marks.csv", index=False)
    words = ("--data", tmp_path / "es.csv", "--spans", tmp_path / "marks.csv", "--bars", 40)
    call(cli, "fit", "--model", "formula", *words, "--out", tmp_path / "run", *QUICK)
    read = source.read(runs.read_all([tmp_path / "run"]))
    assert read.data.n_bars == 40
    assert len(read.data.spans) == len(starts)
    assert [role for role, *_ in read.files] == ["data", "spans"]


def test_embedded_data_and_other_data(made, tmp_path):
    run = tmp_path / "default"
    call(cli, "correlate", "--models", "formula", "--permutations", 1, "--out", run, *QUICK)
    found = source.read(runs.read_all([run]))
    assert len(found.data) == 210
    assert found.files == []
    with pytest.raises(InputError, match="a run of other data"):
        source.read(runs.read_all([run, made.folder / "formula"]))
    out = tmp_path / "board.html"
    call(cli, "report", run, "--out", out)
    page = out.read_text()
    assert "leaderboard only" in page
    assert 'id="windows"' not in page


def break_spans(path, table):
    pd.DataFrame(table).to_csv(path / "spans.csv", index=False)


BROKEN = {
    "no soft labels": (
        lambda path: (path / "soft_labels.parquet").write_bytes(b"PAR1"),
        "damaged soft labels",
    ),
    "probability above 1": (
        lambda path: pq.write_table(
            pa.table({"window_id": ["a"], "prob": [[1.5, 0.0]], "held_out": [True]}),
            path / "soft_labels.parquet",
        ),
        "other numbers",
    ),
    "no spans": (lambda path: (path / "spans.csv").unlink(), "nothing there"),
    "unknown window": (
        lambda path: break_spans(
            path, {"window_id": ["?"], "start": [0], "stop": [2], "score": [1.0]}
        ),
        r"the window '\?'",
    ),
    "span outside": (
        lambda path: break_spans(
            path, {"window_id": ["w00003"], "start": [0], "stop": [T + 1], "score": [1.0]}
        ),
        "other numbers",
    ),
    "overlapping spans": (
        lambda path: break_spans(
            path,
            {"window_id": ["w00003"] * 2, "start": [0, 3], "stop": [5, 9], "score": [1.0, 1.0]},
        ),
        "overlapping spans",
    ),
    "text for numbers": (
        lambda path: break_spans(
            path, {"window_id": ["w00003"], "start": ["x"], "stop": [1], "score": [1.0]}
        ),
        "damaged text",
    ),
    "leaderboard": (
        lambda path: (path / "leaderboard.json").write_text('[{"model": "<b>"}]'),
        "rows of a leaderboard",
    ),
    "training": (
        lambda path: (path / "epoch_metrics.csv").write_text("run,epoch\n1,x"),
        "damaged text",
    ),
    "record": (
        lambda path: (path / "run.json").write_text('{"format": 1, "config": []}'),
        "run.json, config",
    ),
    "folds": (
        lambda path: (path / "run.json").write_text(
            (path / "run.json").read_text().replace('"folds": 3', '"folds": "3"')
        ),
        "run.json, folds",
    ),
    "format": (lambda path: (path / "run.json").write_text('{"format": 99}'), "a format up to"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_runs_are_refused(made, tmp_path, name):
    path = copied(made, "formula", tmp_path)
    damage, words = BROKEN[name]
    damage(path)
    with pytest.raises(InputError, match=words):
        runs.read_all([path])


def test_bad_usage_is_one_sentence_and_writes_nothing(made, tmp_path):
    run = made.folder / "formula"
    out = tmp_path / "new.html"
    done = call(cli, "report", run, run, "--out", out, expect=2)
    assert "the same run twice" in done.stderr
    call(cli, "report", tmp_path / "none", "--out", out, expect=2)
    assert list(tmp_path.iterdir()) == []
    out.write_text("mine")
    assert "an existing path" in call(cli, "report", run, "--out", out, expect=2).stderr
    assert out.read_text() == "mine"
    call(cli, "report", "--out", out, expect=2)


# What is measured


@st.composite
def scenes(draw):
    """Probabilities with ties, marks, and units."""
    n, n_bars = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    prob = rng.integers(0, 21, (n, n_bars)).astype(np.float32) / 20
    marks = decode.Decoder().spans((rng.random((n, n_bars)) < 0.4).astype(float))
    return prob, marks, rng.integers(0, 3, n)


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_calibration_is_what_counting_gives(scene):
    prob, marks, units = scene
    mask = marks.mask(prob.shape[1])
    found = measures.calibration(prob, mask, units)
    place = np.minimum((prob.astype(np.float64) * 10).astype(int), 9)
    bins = sorted(set(place.ravel().tolist()))
    for k, tenth in enumerate(bins):
        inside = place == tenth
        share = mask[inside].mean()
        residuals = [
            mask[units == u][inside[units == u]].sum() - share * inside[units == u].sum()
            for u in set(units.tolist())
        ]
        n = len(residuals)
        error = np.sqrt(np.sum(np.square(residuals)) * n / max(1, n - 1)) / inside.sum()
        assert found.count[k] == inside.sum()
        assert found.prob[k] == pytest.approx(prob[inside].mean(), abs=1e-6)
        assert (found.share[k], found.error[k]) == pytest.approx((share, error))
    assert len(found.count) == len(bins)


@settings(max_examples=30, deadline=None)
@given(scenes())
def test_threshold_curve_is_what_counting_gives(scene):
    prob, marks, _ = scene
    prob = prob.astype(np.float64)
    mask = marks.mask(prob.shape[1]) == 1
    curve = measures.threshold_curve(prob, marks)
    for k in range(0, len(measures.LEVELS), 7):
        said = prob >= measures.LEVELS[k]
        hits = (said & mask).sum()
        for values, whole in ((curve.precision, said.sum()), (curve.recall, mask.sum())):
            expected = hits / whole if whole else np.nan
            assert values[k] == pytest.approx(expected, nan_ok=True)
        runs_of_bars = decode.Decoder(measures.LEVELS[k], measures.LEVELS[k]).spans(prob)
        f1 = span_metrics(runs_of_bars, marks)["span_f1_50"]
        assert curve.span_f1[k] == pytest.approx(np.nan if f1 is None else f1, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(scenes(), scenes())
def test_boundary_errors_average_to_the_metrics(one, other):
    n = min(one[1].n_windows, other[1].n_windows)
    found, marks = one[1].take(np.arange(n)), other[1].take(np.arange(n))
    start, stop = measures.boundary_errors(found, marks)
    expected = span_metrics(found, marks)
    assert len(start) == len(stop) == expected["n_matched"]
    if len(start):
        assert start.mean() == pytest.approx(expected["start_error_signed"])
        assert np.abs(stop).mean() == pytest.approx(expected["stop_error_abs"])


def test_disagreement_and_error_of_each_window():
    probs = np.random.default_rng(0).random((3, 4, 5))
    mask = np.random.default_rng(1).random((4, 5)) < 0.5
    for w in range(4):
        spread = np.mean([max(bar) - min(bar) for bar in probs[:, w].T])
        assert measures.disagreement(probs)[w] == pytest.approx(spread)
        error = np.mean([(p - y) ** 2 for p, y in zip(probs[0, w], mask[w], strict=True)])
        assert measures.window_errors(probs[0], mask)[w] == pytest.approx(error)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_dealt_windows_all_change(n):
    order = refits._dealt(n, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(n))
    assert n == 1 or (order != np.arange(n)).all()


def test_importance_belongs_to_what_the_proxy_reads(made):
    (run,) = runs.read_all([made.folder / "formula"])
    task = refits.prepare(run, source.read([run]).data, threads=1)

    class Reads(type(task.proxy)):
        """The last feature alone, whatever it was fitted on."""

        def predict(self, features):
            values = features.values[..., -1]
            return ((values - values.min()) / np.ptp(values)).astype(np.float32)

    reads = Reads(task.proxy.form, name="formula")
    found, shown = refits.explain(replace(task, proxy=reads))
    named = {family.name: family for family in found}
    last = next(iter(refits.families([task.own.names[-1]])))
    for name, family in named.items():
        if name == last:
            assert family.low <= family.drop <= family.high
            assert family.drop != 0
        else:
            assert (family.drop, family.low, family.high) == (0, 0, 0)
    assert all(len(one.grid) == one.prob.shape[1] for one in shown)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(0, 6), min_size=2, max_size=25))
def test_nested_sets_are_nested_and_whole(seed, family):
    parents = np.array([f"p{k}" for k in family])
    ids = np.array([f"w{i}" for i in range(len(family))])
    ohlc = np.random.default_rng(0).random((len(family), 1, 1)) + np.ones((1, 4, 4))
    data = SpanDataset(
        Windows(ohlc, ids, parent=parents, offset=10 * np.arange(len(ids))),
        Spans.of([[]] * len(ids)),
        np.ones(len(ids), bool),
    )
    train = np.flatnonzero(np.random.default_rng(seed).random(len(ids)) < 0.8)
    if len(train) == 0:
        return
    before = set()
    for share in refits.SHARES:
        kept = refits.nested(data, train, share, seed)
        assert before <= set(kept.tolist())
        assert len(kept) >= round(share * len(train))
        out = set(parents[np.setdiff1d(train, kept)].tolist())
        assert not out & set(parents[kept].tolist())
        before = set(kept.tolist())
    assert before == set(train.tolist())


def test_learning_curve_ends_at_the_run_itself(made):
    (run,) = runs.read_all([made.folder / "formula"])
    task = refits.prepare(run, source.read([run]).data, threads=1)
    points = refits.learning_curve(task)
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert points[-1].r == pytest.approx(metrics["pearson_r"], abs=1e-6)
    assert [p.windows for p in points] == sorted(p.windows for p in points)
    assert points[0].windows < points[-1].windows


def test_searched_and_unknown_proxies_are_not_refitted(made):
    (run,) = runs.read_all([made.folder / "formula"])
    data = source.read([run]).data
    searched = replace(run, record={**run.record, "config": {**run.config, "search": "optuna"}})
    assert "searched" in refits.prepare(searched, data, 1)
    (deep,) = runs.read_all([made.folder / "deep"])
    assert "no proxy of single bars" in refits.prepare(deep, data, 1)


# What the page holds


def test_page_says_where_everything_comes_from(made, text):
    assert io.sha256(made.file) in text
    record = json.loads((made.folder / "formula" / "run.json").read_text())
    assert record["versions"]["numpy"] in text
    assert record["created"] in text
    assert escape(shlex.join(record["command"])) in text
    r = json.loads((made.folder / "logistic" / "metrics.json").read_text())["pearson_r"]
    assert f"{r:.3f}" in text
    for name in ("position-prior", "random", "constant", "inner folds", "outer folds"):
        assert name in text
    for verdict in (made.folder / "deep" / "verdict.txt").read_text().splitlines():
        assert escape(verdict.partition(": ")[2]) in text


def test_every_chart_is_drawn_from_legal_plotly_and_has_words(text):
    charts = block(text, "charts")
    for name in ("leaderboard", "calibration", "start-error", "learning", "training-0-share-loss"):
        assert name in charts
    for name, figure in charts.items():
        go.Figure(figure)
        label = re.search(rf'data-chart="{name}"[^>]*aria-label="([^"]+)"', text)[1]
        assert re.search(r"\d", label), name
    assert len(re.findall("data-chart=", text)) == len(charts)
    colors = set(re.findall(r'"(#[0-9a-f]{6})"', json.dumps(charts)))
    assert colors <= set(blocks.DARK), "colours that stay light in the dark"


def test_leaderboard_takes_the_p_value_of_a_correlate_run(made, text):
    board = json.loads((made.folder / "board" / "leaderboard.json").read_text())
    p = next(row["p_value"] for row in board if row["model"] == "formula")
    row = re.search(r'<th scope="row">formula</th>(.*?)</tr>', text[text.index('id="signal"') :])
    assert f"{p:.3f}" in row[1]
    assert "formula (board)" not in text


def test_gallery_data_are_what_was_measured(made, text):
    shown = block(text, "windows")
    own = scores(made, "logistic", "formula", "deep")
    data = own[0].fitted.data
    steps = np.frombuffer(base64.b64decode(shown["prices"]), "<u2").reshape(data.windows.ohlc.shape)
    low, scale = (np.array(shown[name])[:, None, None] for name in ("low", "scale"))
    prices = low + steps / 65535 * scale
    assert np.abs(prices - data.windows.ohlc).max() <= scale.max() / 65535
    for run, one in zip(shown["runs"], own, strict=True):
        prob = np.frombuffer(base64.b64decode(run["prob"]), "<u2").reshape(len(data), T) / 65535
        assert np.abs(prob - one.fitted.soft.prob).max() < 1e-5
        found = [(w, s, e) for w, spans in enumerate(run["found"]) for s, e, _ in spans]
        spans = one.fitted.spans
        assert found == list(zip(spans.window, spans.start, spans.stop, strict=True))


def test_flat_windows_pack():
    data = replace(windows(), labelled=np.ones(36, bool))
    flat = replace(data.windows, ohlc=np.full((36, T, 4), 7.0))
    steps = gallery.packed((flat.ohlc - 7.0) / 1.0)
    assert set(base64.b64decode(steps)) == {0}


def test_page_is_alone_and_escaped(text):
    assert HOSTILE not in text
    assert "onerror=" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=", text)
    policy = unescape(re.search('Content-Security-Policy" content="([^"]+)"', text)[1])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == text.count("<script>") == 4


def test_hostile_model_is_only_text(made, tmp_path):
    path = copied(made, "formula", tmp_path)
    table = pq.read_table(path / "soft_labels.parquet")
    about = {**table.schema.metadata, b"source": HOSTILE.encode()}
    pq.write_table(table.replace_schema_metadata(about), path / "soft_labels.parquet")
    call(cli, "report", path, "--out", tmp_path / "hostile.html", "--threads", 1)
    page = (tmp_path / "hostile.html").read_text()
    assert HOSTILE not in page
    assert str(escape(HOSTILE)) in page
    assert json.dumps(HOSTILE) not in json.dumps(block(page, "charts"))
    assert blocks.tagless(HOSTILE) in json.dumps(block(page, "charts")).replace('\\"', '"')


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("</script>&\u2028'\"\\a!-[")) | st.text())
def test_embedded_data_never_end_their_script(content):
    text = html.embedded({"x": content})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"x": content}


def test_thousand_windows_stay_within_a_few_megabytes():
    n = 1000
    rng = np.random.default_rng(0)
    ohlc = np.sort(rng.random((n, 105, 4)), axis=-1)[..., [1, 3, 0, 2]]
    ids = np.array([f"w{i}" for i in range(n)])
    spans = Spans.of([[(3, 9)]] * n)
    data = SpanDataset(Windows(ohlc, ids), spans, np.ones(n, bool))
    soft = SoftLabels(rng.random((n, 105), np.float32), "x", np.ones(n, bool), ids, 0)
    fitted = CrossFit(data, soft, spans, np.arange(n), 0.0)
    run = SimpleNamespace(label="x")
    payload = gallery.payload([scored.Scored(run, fitted, "outer folds", k) for k in range(3)])
    assert len(html.embedded(payload)) < 3e6


# In a browser


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


def visit(browser, made, **options):
    """Open the page, and note whatever the console says and the page asks for."""
    page = browser.new_page(reduced_motion="reduce", **options)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(made.out.as_uri())
    return page


@pytest.fixture(scope="module")
def page(browser, made):
    page = visit(browser, made, viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield page
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def shown(page):
    return page.locator(".card h3").all_text_contents()


def chosen(page, **values):
    """Set the controls, all at once, and tell the last of them."""
    for name in ("sort", "show", "run"):
        page.evaluate(f"document.getElementById('{name}').value = '{values.get(name, 0)}'")
    page.fill("#find", values.get("find", "") or " ")
    page.locator("#gallery").focus()


def test_every_chart_draws_when_it_comes_into_view(page):
    drawn = page.locator(".chart .main-svg")
    assert page.locator("[data-chart]:not([data-drawn])").count() > 5  # far below: not yet
    for plot in page.locator("[data-chart]").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()
    assert page.locator("[data-chart]:not([data-drawn])").count() == 0
    assert drawn.count() >= page.locator("[data-chart]").count()


def test_gallery_pages_by_button_and_key(page, made):
    chosen(page)
    ids = scores(made, "logistic", "formula", "deep")[0].fitted.data.windows.ids.tolist()
    assert shown(page) == ids[:4]
    assert page.locator("#previous").is_disabled()
    page.click("#next")
    assert shown(page) == ids[4:8]
    page.locator(".card .main-svg").first.wait_for()
    page.locator("#gallery").focus()
    page.keyboard.press("ArrowRight")
    assert shown(page) == ids[8:12]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    assert shown(page)[-1] == ids[-1]
    assert page.locator("#next").is_disabled()
    page.keyboard.press("Home")
    assert page.locator("#where").text_content() == f"1\u20134 of {len(ids)}, page 1 of 9"
    page.focus("#find")
    page.keyboard.press("ArrowRight")  # moves in the text, turns no page
    assert shown(page) == ids[:4]


def test_gallery_sorts_and_filters(page, made):
    own = scores(made, "logistic", "formula", "deep")
    data = own[0].fitted.data
    ids = data.windows.ids
    second = own[1].fitted
    error = measures.window_errors(second.soft.prob, data.mask)
    spread = measures.disagreement(np.stack([one.fitted.soft.prob for one in own]))
    peak = second.soft.prob.max(axis=1)
    for sort, key in ((1, -error), (2, error), (3, -peak), (4, peak), (5, -spread)):
        chosen(page, sort=sort, run=1)
        assert shown(page) == ids[np.argsort(key.round(5), kind="stable")[:4]].tolist(), sort
    missed = [
        name
        for i, name in enumerate(ids)
        if span_metrics(second.spans.take([i]), data.spans.take([i]))["span_recall_50"] == 0
    ]
    chosen(page, show=1, run=1)
    assert shown(page) == missed[:4]
    chosen(page, find="W00007")
    assert shown(page) == ["w00007"]
    chosen(page, find="no such window")
    assert page.locator(".card").count() == 0
    assert page.locator(".empty").text_content() == "No window is like that."


def test_hostile_names_are_only_text(page):
    chosen(page, find="onerror")
    assert shown(page) == [HOSTILE]
    assert page.locator("img").count() == 0
    page.locator(".card .main-svg").first.wait_for()
    assert CLASS in page.locator(".facts").text_content()


def test_theme_follows_the_button(page):
    page.locator('[data-chart="leaderboard"]').scroll_into_view_if_needed()
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('[data-chart=leaderboard] .xtick text')).fill"
    light = page.evaluate(ground), page.evaluate(ink)
    page.click("#theme")
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    dark = page.evaluate(ground), page.evaluate(ink)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    page.click("#theme")
    assert (page.evaluate(ground), page.evaluate(ink)) == light


def test_page_is_one_a_screen_reader_can_walk(page):
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("figure:not([aria-labelledby])").count() == 0
    assert page.locator("[role=img]:not([aria-label])").count() == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    own = [name for name in ids if not re.match(r"(clip|g|legend|cl|x|y|bg)[-0-9a-f]*", name)]
    assert len(own) == len(set(own))
    links = page.evaluate("[...document.querySelectorAll('nav ol a')].map(a => a.hash.slice(1))")
    assert set(links) <= set(ids)
    for name in ("main", "nav", "header"):
        assert page.locator(name).count() >= 1


def test_narrow_dark_and_on_paper(browser, made):
    """One more visit: a phone that prefers the dark, then its printer."""
    phone = visit(browser, made, viewport={"width": 360, "height": 800}, color_scheme="dark")
    phone.keyboard.press("Tab")
    assert phone.evaluate("document.activeElement.className") == "skip"
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert phone.locator("#theme").get_attribute("aria-pressed") == "true"
    wide = "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, svg, .plot')"
    wide += (
        " && e.getBoundingClientRect().right > 361 && !e.matches('.unseen')).map(e => e.outerHTML)"
    )
    assert phone.evaluate(wide) == []
    phone.evaluate("dispatchEvent(new Event('beforeprint'))")
    phone.emulate_media(media="print", color_scheme="dark")
    assert phone.locator("[data-chart]:not([data-drawn])").count() == 0
    ink = "getComputedStyle(document.querySelector('[data-chart=leaderboard] .xtick text')).fill"
    assert phone.evaluate(ink) == "rgb(29, 39, 51)"
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    phone.set_viewport_size({"width": 720, "height": 1000})  # a sheet between its margins
    assert phone.evaluate("document.documentElement.scrollWidth") == 720
    assert not phone.locator("#theme").is_visible()
    assert phone.said == []
    phone.close()
