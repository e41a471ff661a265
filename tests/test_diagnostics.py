"""What is recorded of a training, what is said of it, and that recording changes nothing."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from cli.deep import cli
from deep import curves, jobs, tables
from deep.detector import SpanDetector
from deep.device import limited, seeded
from deep.diagnostics import SAMPLE, Recorder
from deep.gradients import LayerNorms, pulls
from deep.losses import Objective
from deep.model import Ensemble, SpanModel
from deep.presets import PRESETS, preset
from deep.reading import BarReader, MatchReader
from deep.settings import Settings
from deep.soft import prior_of
from deep.train import Observer, Observers, train
from deep.training import Training
from deep.verdict import verdicts
from proxytools import features, rundir
from proxytools.errors import InputError
from proxytools.metrics.bar import bar_metrics
from tests import small

CPU = torch.device("cpu")
ABOUT = {"command": ["deep", "train"], "config": {}, "seed": 0, "inputs": {}}
SETTINGS = {
    "segmental": Settings(hidden=4, epochs=3),
    "deeper": Settings(hidden=4, layers=2, epochs=2, countdown=1.0),
    "mask": Settings(
        head="mask", directions=1, hidden=4, epochs=3, positive_weight=6.0, soft_edge=1
    ),
    "jade": replace(preset("jade"), hidden=6, epochs=3),
    "raw": replace(preset("jade"), hidden=6, epochs=2, countdown_target="raw"),
    "stones": replace(preset("stones"), hidden=5, epochs=2),
}
LEARNT, HELD = range(8), range(8, 12)


@pytest.fixture(autouse=True)
def _one_thread():
    with limited(1):
        yield


class Task:
    """A small training, ready to start."""

    def __init__(self, settings):
        self.settings, self.data = settings, small.planted(12, preset="medium")
        own = features.compute(self.data.windows.ohlc, settings.features)
        self.names, self.values = own.names, torch.from_numpy(own.values)
        spans, mask = self.data.spans, self.data.mask.astype(np.float32)
        self.objective = Objective.of(settings, [spans], mask, none=2, device=CPU)
        self.start = prior_of([spans], np.arange(12), 60, int(spans.length.max()))
        self.learnt, self.held = torch.tensor(LEARNT), torch.tensor(HELD)

    def training(self):
        model = SpanModel(self.values.shape[2], self.settings, *self.start)
        if self.settings.standardise:
            model.standardise(self.values)
        return Training(model, self.settings)

    def run(self, observer, held=True, run="fold 1"):
        with seeded((1,), CPU):
            training = self.training()
            self.go_on(training, observer, held, run)
            return training, torch.get_rng_state()

    def go_on(self, training, observer, held=True, run="fold 1"):
        held = self.held if held else None
        given = self.objective, self.values, self.learnt
        return train(training, *given, held=held, run=run, observer=observer)


@cache
def recorded(name, held=True):
    task = Task(SETTINGS[name])
    recorder = Recorder(task.names)
    return task, recorder, *task.run(recorder, held=held)


def last(recorder, table, **where):
    found = tables.of(recorder.rows)[table]
    for column, value in where.items():
        found = found[found[column] == value]
    return found.iloc[-1]


@pytest.mark.parametrize("name", SETTINGS)
def test_recording_moves_neither_weights_nor_draws(name):
    task, _, watched, drawn = recorded(name)
    alone, alone_drawn = task.run(Observer())
    assert torch.equal(drawn, alone_drawn)
    assert torch.equal(watched.order.get_state(), alone.order.get_state())
    assert watched.history == alone.history
    for part in ("model", "averaged", "best"):
        with_, without = (getattr(t, part).state_dict() for t in (watched, alone))
        assert all(torch.equal(with_[key], without[key]) for key in without), part
    slots = (t.optimizer.state_dict()["state"] for t in (watched, alone))
    for mine, theirs in zip(*(list(slot.values()) for slot in slots), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert not any(p.requires_grad for p in watched.averaged.parameters())


def test_columns_are_the_predecessors():
    _, recorder, *_ = recorded("jade")
    found = {name: list(table) for name, table in tables.of(recorder.rows).items()}
    five = ("mean", "std", "min", "max", "median")
    assert found["loss_components"] == [
        *("run", "epoch", "phase"),
        *("loss_type", "loss_ptr", "loss_span", "loss_countdown", "total_loss"),
    ]
    tasks = ("ptr", "type", "span", "countdown")
    names = {f"{what}_{task}" for what in ("sigma", "weight") for task in tasks}
    assert set(found["uncertainty_params"]) == names | {"run", "epoch"}
    assert found["probability_stats"] == [
        *("run", "epoch", "phase"),
        *(f"{side}_span_{name}" for side in ("in", "out") for name in five),
        "separation",
    ]
    assert found["feature_stats"] == ["run", "epoch", "phase", "feature_name", *five]
    assert found["gradient_stats"] == [
        *("run", "epoch", "total_grad_norm", "log_sigma", "encoder.0", "head"),
        *("others.whole.0", "others.kind", "others.pointers", "others.countdown"),
    ]
    shown = set(found["epoch_metrics"])
    assert {"epoch", "train_loss", "val_loss", "span_f1", "span_precision", "span_recall"} <= shown


@pytest.mark.parametrize("name", ["segmental", "mask", "jade"])
def test_held_out_rows_are_what_a_user_gets(name):
    task, recorder, training, _ = recorded(name)
    reader = MatchReader(9) if name == "segmental" else BarReader(task.settings.positive_weight)
    prob = reader.prob(Ensemble([training.averaged]), task.values[task.held])
    mask = task.data.take(np.array(HELD)).mask.astype(bool)
    row = last(recorder, "probability_stats", phase="val")
    for side, bars in (("in", prob[mask]), ("out", prob[~mask])):
        for statistic in ("mean", "std", "min", "max", "median"):
            expected = getattr(np, statistic)(bars.astype(float))
            assert row[f"{side}_span_{statistic}"] == pytest.approx(expected, rel=1e-5), statistic
    assert row["separation"] == pytest.approx(bar_metrics(prob, mask)["separation"], rel=1e-4)

    with torch.no_grad():
        outputs = training.averaged(task.values[task.held])
        losses = task.objective.losses(outputs, task.held)
        total = task.objective.total(training.averaged, losses)
    row = last(recorder, "loss_components", phase="val")
    for short, long in tables.TASKS.items():
        if long in losses:
            assert row[f"loss_{short}"] == pytest.approx(losses[long].item(), rel=1e-6)
        else:
            assert np.isnan(row[f"loss_{short}"])
    assert row["total_loss"] == pytest.approx(total.item(), rel=1e-6)
    metrics = last(recorder, "epoch_metrics")
    assert metrics["val_loss"] == row["total_loss"]
    assert metrics["held_out"] == training.history[-1].held_out
    f1 = naive_bar_f1(prob, mask)
    assert metrics["span_f1"] == pytest.approx(f1) or (np.isnan(metrics["span_f1"]) and f1 is None)


def naive_bar_f1(prob, mask):
    scores = []
    for p, y in zip(prob >= 0.5, mask, strict=True):
        if p.any() or y.any():
            scores.append(2 * sum(p & y) / (sum(p) + sum(y)))
    return np.mean(scores) if scores else None


def test_train_rows_are_what_was_minimised():
    _, recorder, training, _ = recorded("jade")
    rows = tables.of(recorder.rows)["loss_components"].query("phase == 'train'")
    assert rows["total_loss"].tolist() == [past.loss for past in training.history]
    assert rows["loss_ptr"].tolist() == [past.losses["pointers"] for past in training.history]
    assert len(recorder.watched.windows["train"]) == min(SAMPLE, len(LEARNT))


def test_learnt_uncertainties_and_their_weights():
    _, recorder, training, _ = recorded("jade")
    row = last(recorder, "uncertainty_params")
    sigma = training.averaged.log_sigma.exp().tolist()
    for task, expected in zip(("span", "type", "ptr", "countdown"), sigma, strict=True):
        assert row[f"sigma_{task}"] == pytest.approx(expected)
        assert row[f"weight_{task}"] == pytest.approx(1 / (2 * expected**2))
    fixed = last(recorded("stones")[1], "uncertainty_params")
    assert np.isnan(fixed["sigma_span"])
    assert fixed[["weight_span", "weight_countdown"]].tolist() == [1.0, 1.0]
    assert np.isnan(fixed["weight_type"])


class NaiveNorms(Observer):
    def __init__(self):
        self.total, self.head = [], []

    def batch(self, model):
        grads = {name: p.grad for name, p in model.named_parameters()}
        self.total.append(np.sqrt(sum(float((g.double() ** 2).sum()) for g in grads.values())))
        head = [float((g.double() ** 2).sum()) for n, g in grads.items() if n.startswith("head.")]
        self.head.append(np.sqrt(sum(head)))


def test_gradient_norms_are_means_over_the_batches_of_a_pass():
    task = Task(replace(SETTINGS["jade"], batch_size=3))  # three batches a pass
    recorder, naive = Recorder(task.names), NaiveNorms()
    task.run(Observers([naive, recorder]))
    rows = tables.of(recorder.rows)["gradient_stats"]
    for column, seen in (("total_grad_norm", naive.total), ("head", naive.head)):
        np.testing.assert_allclose(rows[column], np.reshape(seen, (3, 3)).mean(1), rtol=1e-5)


def test_layers_of_deep_encoders_stand_apart():
    names = LayerNorms(Task(SETTINGS["deeper"]).training().model).names
    assert {"encoder.0", "encoder.1", "head.scores", "head"} <= set(names)


@pytest.mark.parametrize("name", ["jade", "deeper"])
def test_pulls_are_norms_of_the_encoders_gradients(name):
    task = Task(SETTINGS[name])
    with seeded((0,), CPU):
        model = task.training().averaged
    windows = torch.tensor([1, 2, 5])
    found = pulls(model, task.objective, task.values[windows], windows)
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert model.encoder.dropout == (0.7 if name == "deeper" else 0.0)
    model.requires_grad_(True)
    for name, norm in found.items():
        model.zero_grad()
        task.objective.losses(model(task.values[windows]), windows)[name].backward()
        squares = [float((p.grad.double() ** 2).sum()) for p in model.encoder.parameters()]
        assert norm == pytest.approx(np.sqrt(sum(squares)), rel=1e-4), name


def test_pulls_are_looked_at_now_and_then(monkeypatch):
    monkeypatch.setattr("deep.diagnostics.PULLS_EVERY", 2)
    task = Task(SETTINGS["jade"])
    recorder = Recorder(task.names)
    task.run(recorder)
    shares = tables.of(recorder.rows)["task_shares"]
    assert shares["gradient_share_span"].notna().tolist() == [True, False, True]
    assert shares["loss_share_span"].notna().all()


@pytest.mark.parametrize("name", ["jade", "raw", "stones", "segmental"])
def test_shares_add_up_to_one(name):
    _, recorder, training, _ = recorded(name)
    table = tables.of(recorder.rows)["task_shares"]
    for what in ("loss_share", "gradient_share"):
        shares = table[[column for column in table if column.startswith(what)]]
        shares = shares.dropna(how="all")
        assert len(shares) == (len(table) if what == "loss_share" else 1)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
        assert (shares.notna().sum(axis=1) == len(training.history[0].losses)).all()


def test_the_raw_countdown_takes_the_loss():
    shares = [last(recorded(name)[1], "task_shares", epoch=1) for name in ("raw", "jade")]
    assert shares[0]["loss_share_countdown"] > 0.8 > 0.2 > shares[1]["loss_share_countdown"]


def test_base_loss_of_a_mask_is_that_of_the_best_constant():
    task, recorder, *_ = recorded("mask")
    target = task.objective.tasks["span"].target[task.held].double()
    m, w = target.mean(), task.settings.positive_weight
    p = w * m / (w * m + 1 - m)
    expected = -(w * m * p.log() + (1 - m) * (1 - p).log())
    base = last(recorder, "epoch_metrics")["base_span_loss"]
    assert base == pytest.approx(expected.item(), rel=1e-3)


def test_base_loss_of_a_chain_is_that_of_a_head_without_inputs():
    task, recorder, *_ = recorded("segmental")
    with seeded((1,), CPU):
        blind = task.training().averaged
    blind.head.scores.weight.zero_()
    with torch.no_grad():
        losses = task.objective.losses(blind(task.values[task.held]), task.held)
    base = last(recorder, "epoch_metrics")["base_span_loss"]
    assert base == pytest.approx(losses["span"].item(), rel=1e-6)


def test_features_are_summed_up_once():
    task, recorder, *_ = recorded("jade")
    rows = tables.of(recorder.rows)["feature_stats"]
    assert len(rows) == 2 * 12
    assert set(rows["epoch"]) == {1}
    bars = task.values[: len(LEARNT), :, 2].numpy().astype(float)
    row = rows[(rows["phase"] == "train") & (rows["feature_name"] == task.names[2])].iloc[0]
    for statistic in ("mean", "std", "min", "max", "median"):
        assert row[statistic] == pytest.approx(getattr(np, statistic)(bars), abs=1e-7), statistic


def test_without_held_out_windows_there_are_no_such_rows():
    _, recorder, *_ = recorded("segmental", held=False)
    found = tables.of(recorder.rows)
    assert set(found["loss_components"]["phase"]) == {"train"}
    assert found["epoch_metrics"][["val_loss", "span_f1", "held_out"]].isna().all(axis=None)
    assert found["epoch_metrics"]["best"].all()
    assert verdicts(found, SETTINGS["segmental"])


def test_the_held_out_windows_are_read_once():
    """The recorder takes the outputs that the loop has, and adds a pass over a sample."""
    task = Task(SETTINGS["jade"])
    counts = []
    for observer in (Observer(), Recorder(task.names)):
        with seeded((1,), CPU):
            training = task.training()
            calls = []

            def note(_, given, __, calls=calls):
                calls.append(len(given[0]))

            training.averaged.register_forward_hook(note)
            task.go_on(training, observer)
        counts.append(calls)
    assert counts == [[4, 4, 4], [4, 8, 8, 4, 8, 4, 8]]  # the second 8: the tasks' gradients


def test_a_recorder_goes_on_with_a_training():
    task, whole, *_ = recorded("jade")
    with seeded((1,), CPU):
        first, before = task.training(), Recorder(task.names)

        def stop(training):
            if len(training.history) == 2:
                raise KeyboardInterrupt

        given = task.objective, task.values, task.learnt
        with pytest.raises(KeyboardInterrupt):
            train(first, *given, held=task.held, run="fold 1", observer=before, keep=stop)
        state = first.state_dict(), json.loads(json.dumps(before.state_dict()))
    with seeded((2,), CPU):
        second, after = task.training(), Recorder(task.names)
        second.load_state_dict(state[0])
        after.load_state_dict(state[1])
        task.go_on(second, after)
    np.testing.assert_equal(after.rows, whole.rows)


def healthy():
    """Tables of two folds and a member, four passes each, in which all is well."""
    runs = [("fold 1", 4, True), ("fold 2", 4, True), ("member 1", 3, False)]
    rows = {name: [] for name in tables.COLUMNS}
    for run, n, held in runs:
        for epoch in range(1, n + 1):
            at = {"run": run, "epoch": epoch}
            spans = 0.3 - 0.05 * epoch
            for phase in ("train", "val") if held else ("train",):
                two = {"loss_span": spans, "loss_countdown": 0.1, "total_loss": spans + 0.1}
                rows["loss_components"].append({**at, "phase": phase, **two})
                five = dict(zip(tables.STATISTICS, (0.4, 0.1, 0.1, 0.9, 0.4), strict=True))
                sides = {
                    f"{side}_{k}": v for side in ("in_span", "out_span") for k, v in five.items()
                }
                stats = {"phase": phase, **sides, "separation": 0.3}
                rows["probability_stats"].append({**at, **stats})
                if epoch == 1:
                    feature = {"phase": phase, "feature_name": "body_pct", **five}
                    rows["feature_stats"].append({**at, **feature})
            weights = {"weight_span": 1.0, "weight_countdown": 1.0}
            rows["uncertainty_params"].append({**at, **weights})
            rows["gradient_stats"].append({**at, "total_grad_norm": 1.0, "encoder.0": 0.5})
            shares = {
                f"{w}_{t}": 0.5
                for w in ("loss_share", "gradient_share")
                for t in ("span", "countdown")
            }
            rows["task_shares"].append({**at, **shares})
            figures = {"train_loss": spans + 0.1, "base_span_loss": 0.26, "best": epoch <= 3}
            if held:
                found = {"span_f1": 0.3, "span_precision": 0.3, "span_recall": 0.3}
                figures |= {"val_loss": spans + 0.1, "held_out": epoch / 10, **found}
            rows["epoch_metrics"].append({**at, **figures})
    return tables.of(rows)


BASIS = replace(preset("stones"), epochs=4)


def said(found, settings=BASIS):
    return {verdict.rule: verdict for verdict in verdicts(found, settings)}


def test_a_healthy_training_gets_no_problem():
    found = said(healthy())
    assert list(found) == ["separation"]
    assert str(found["separation"]) == "good: spans and other bars are told apart (separation 0.30)"


def put(table, column, value, rows=slice(None)):
    def change(found):
        place = found[table].columns.get_loc(column)
        found[table].iloc[rows, place] = value

    return change


def in_phase(table, phase, column, values):
    def change(found):
        found[table].loc[found[table]["phase"] == phase, column] = values

    return change


RULES = {
    "dominated": (
        put("task_shares", "loss_share_countdown", 0.76),
        put("task_shares", "loss_share_countdown", 0.74),
        "the countdown takes 76 % of the loss in the first pass and 76 % in the last",
    ),
    "separation": (
        in_phase("probability_stats", "val", "separation", 0.049),
        in_phase("probability_stats", "val", "separation", 0.051),
        "hardly told apart (separation 0.049)",
    ),
    "explodes": (
        put("gradient_stats", "total_grad_norm", 101.0, [5]),
        put("gradient_stats", "total_grad_norm", 99.0, [5]),
        "in pass 2 of fold 2 their norm is 101 times the usual",
    ),
    "vanishes": (
        put("gradient_stats", "encoder.0", 0.0099),
        put("gradient_stats", "encoder.0", 0.011),
        "reaches the encoder (1.0 % of its norm)",
    ),
    "dead features": (
        put("feature_stats", "std", 0.0),
        put("feature_stats", "std", 0.0, [0]),  # constant in one fold alone
        "1 of 1 features are constant and say nothing: body_pct",
    ),
    "unreached": (
        in_phase("probability_stats", "val", ["in_span_max", "out_span_max"], 0.49),
        in_phase("probability_stats", "val", "in_span_max", 0.49),
        "no bar reaches a probability of 0.5 (the highest is 0.49)",
    ),
    "overfits": (
        in_phase("loss_components", "val", "loss_span", [0.25, 0.2, 0.15, 0.17] * 2),
        in_phase("loss_components", "val", "loss_span", [0.25, 0.2, 0.15, 0.16] * 2),
        "after pass 3, which is kept: from there to the last the loss of the spans falls by 33 %",
    ),
    "still rising": (
        put("epoch_metrics", "best", True),
        put("epoch_metrics", "best", True, slice(4)),
        "still rose in the last of 4 passes",
    ),
    "overconfident": (
        in_phase("loss_components", "val", "loss_span", 0.275),
        in_phase("loss_components", "val", "loss_span", 0.272),
        "the held-out loss of the spans (0.275) is above that of scoring every bar alike (0.260)",
    ),
    "diverged": (
        put("epoch_metrics", "train_loss", np.nan, [6]),
        put("epoch_metrics", "val_loss", np.nan, [6]),
        "in pass 3 of fold 2 the loss or its gradient is no number",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_speaks_beyond_its_constant_and_not_before(rule):
    beyond, before, text = RULES[rule]
    found = healthy()
    beyond(found)
    assert text in said(found)[rule].text
    found = healthy()
    before(found)
    assert rule not in said(found) or said(found)[rule].level == "good"


def test_uniform_probabilities_are_named():
    found = healthy()
    in_phase("probability_stats", "val", "separation", 0.002)(found)
    in_phase("loss_components", "val", "loss_span", 0.25)(found)
    text = said(found)["separation"].text
    assert text.startswith("probabilities are uniform: the mask loss is at its base rate (0.250")


def test_gradients_that_one_task_asks_for():
    found = healthy()
    put("task_shares", "gradient_share_countdown", 0.9)(found)
    assert "of the gradient" in said(found)["dominated"].text


def test_the_cure_of_a_raw_countdown():
    found = healthy()
    put("task_shares", "loss_share_countdown", 0.91)(found)
    assert said(found)["dominated"].text.endswith("give it a smaller weight")
    raw = replace(BASIS, countdown_target="raw")
    assert said(found, raw)["dominated"].text.endswith("normalise it")


def test_a_checkpoint_chosen_by_another_loss():
    assert "chosen otherwise" in said(healthy(), preset("jade"))
    alike = replace(preset("jade"), learnt_weights=False)
    assert "chosen otherwise" not in said(healthy(), alike)


def test_problems_come_first():
    found = healthy()
    put("task_shares", "loss_share_countdown", 0.91)(found)
    levels = [verdict.level for verdict in verdicts(found, BASIS)]
    assert levels == ["problem", "good"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of the predecessor's tasks, countdown raw."""
    path = tmp_path_factory.mktemp("runs") / "raw"
    settings = replace(SETTINGS["raw"], members=1)
    with limited(1), rundir.create(path, **ABOUT) as run:
        jobs.train(run, SpanDetector(settings, inner_folds=2, threads=1), small.planted())
    return path


def diagnose(*words, expect=0):
    done = CliRunner().invoke(cli, ["diagnose", *map(str, words)])
    assert done.exit_code == expect, done.output
    return done


def test_diagnose_says_it_and_writes_nothing(trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    shown = diagnose(trained).stdout
    assert "problem: the countdown takes " in shown
    assert "normalise it" in shown
    assert "another loss than the one minimised" in shown
    assert all(run in shown for run in ("fold 1", "fold 2", "member 1"))
    written = before["verdict.txt"].decode()
    assert written
    assert shown.startswith(written)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_diagnose_as_json(trained):
    found = json.loads(diagnose(trained, "--json").stdout)
    assert found["run"] == str(trained)
    assert found["verdicts"][0]["rule"] == "dominated"
    assert found["metric"] == "negated_sum_of_losses"
    member = found["last_pass"][-1]
    assert member["run"] == "member 1"
    assert member["val_loss"] is None
    assert found["last_pass"][0]["passes"] == 2


def test_tables_come_back_as_they_were_written(trained, tmp_path):
    found = tables.read(rundir.open_run(trained))
    assert list(found) == list(tables.COLUMNS)
    tables.write(found, rundir.RunDir(tmp_path))
    for name in tables.COLUMNS:
        assert (tmp_path / f"{name}.csv").read_bytes() == (trained / f"{name}.csv").read_bytes()


def replaced(name, old, new):
    def change(path):
        content = (path / name).read_text()
        assert old in content
        (path / name).write_text(content.replace(old, new))

    return change


DAMAGES = {
    "missing": (lambda path: (path / "task_shares.csv").unlink(), "nothing there"),
    "empty": (lambda path: (path / "task_shares.csv").write_bytes(b""), "damaged text"),
    "binary": (lambda path: (path / "task_shares.csv").write_bytes(bytes(range(256))), "csv"),
    "no settings": (lambda path: (path / "metadata.json").unlink(), "nothing there"),
    "text": (replaced("epoch_metrics.csv", "fold 1,1,", "fold 1,1,x"), "damaged text"),
    "escape": (replaced("epoch_metrics.csv", "fold 1", "\x1b[2J"), "column run"),
    "phase": (replaced("loss_components.csv", "val", "test"), "column phase"),
    "feature": (replaced("feature_stats.csv", "body_pct", "=cmd()"), "column feature_name"),
    "layer": (replaced("gradient_stats.csv", "encoder.0", "encoder 0"), "the columns"),
    "columns": (replaced("task_shares.csv", "loss_share_type", "loss"), "the columns"),
    "passes": (replaced("epoch_metrics.csv", "fold 2,2", "fold 2,3"), "other numbers"),
    "missing passes": (replaced("task_shares.csv", "fold 2,2", "fold 9,2"), "other passes"),
    "huge number": (replaced("epoch_metrics.csv", "fold 1,1,", f"fold 1,{10**30},"), "csv"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_runs_are_one_sentence_and_exit_2(damage, trained, tmp_path):
    copied(trained, tmp_path)
    change, text = DAMAGES[damage]
    change(tmp_path)
    shown = diagnose(tmp_path, expect=2).stderr
    assert text in shown
    assert shown.startswith("Error: ")
    assert len(shown.strip().splitlines()) == 1
    assert "\x1b" not in shown


def test_what_is_no_run_exits_2(tmp_path):
    assert "nothing there" in diagnose(tmp_path / "nowhere", expect=2).stderr
    assert "run.json" in diagnose(tmp_path, expect=2).stderr


def test_files_too_large_are_not_read(trained, tmp_path, monkeypatch):
    copied(trained, tmp_path)
    monkeypatch.setattr(tables, "MOST_BYTES", 100)
    assert "at most 100" in diagnose(tmp_path, expect=2).stderr


def copied(source, target):
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())


@tries(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(tables.COLUMNS)),
    place=st.floats(0, 1, exclude_max=True),
    new=st.sampled_from([b"", b",", b"\n", b'"', b"-", b"1e308", b"inf", b"nan", b"\xff", b"\0"]),
)
def test_whatever_stands_in_a_file_it_is_read_or_refused(
    trained, tmp_path_factory, name, place, new
):
    target = tmp_path_factory.mktemp("copy")
    copied(trained, target)
    raw = (target / f"{name}.csv").read_bytes()
    at = int(place * len(raw))
    (target / f"{name}.csv").write_bytes(raw[:at] + new + raw[at + 1 :])
    try:
        found = jobs.diagnose(target)
    except InputError:
        return
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("name", "held"), [("jade", True), ("segmental", False)])
def test_curves_are_drawn_of_any_training(name, held, tmp_path):
    _, recorder, *_ = recorded(name, held)
    curves.draw(tables.of(recorder.rows), SETTINGS[name].metric, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_of_what_diverged(tmp_path):
    found = healthy()
    for table in found.values():
        numbers = table.select_dtypes("float").columns
        table.loc[table["epoch"] > 2, numbers] = np.nan
    curves.draw(found, "log_likelihood", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_presets_have_a_metric():
    assert {name: chosen.metric for name, chosen in PRESETS.items()} == {
        "segmental": "log_likelihood",
        "single": "span_average_precision",
        "stones": "span_average_precision",
        "jade": "negated_sum_of_losses",
    }


def test_the_tables_of_two_recorders_hold_the_same():
    assert all(
        pd.testing.assert_frame_equal(one, other) is None
        for one, other in zip(
            *(tables.of(recorder.rows).values() for recorder in (recorded("jade")[1], again())),
            strict=True,
        )
    )


def again():
    task = Task(SETTINGS["jade"])
    recorder = Recorder(task.names)
    task.run(Observers([Observer(), recorder]))
    return recorder
