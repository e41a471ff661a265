"""``--track mlflow``, read back by MLflow's own client."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from click.testing import CliRunner

from cli.deep import cli as deep
from cli.proxytools import cli as proxytools
from deep import jobs
from proxytools import io, pipeline, synthetic, tracking
from proxytools.errors import InputError, ProxytoolsError
from tests.test_architecture import loaded_by

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read by the import: tests send nothing either
try:
    import mlflow
except ModuleNotFoundError:
    mlflow = None

# MLflow uses what SQLAlchemy 2.1 is going to remove.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

ROOT = Path(__file__).parent.parent
QUICK = ("--data", "windows.parquet", "--threads", "1", "--quiet")
needs_mlflow = pytest.mark.skipif(
    mlflow is None, reason="the extra mlflow is not installed: pip install '.[mlflow]'"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No figures, and threads that do not wait for each other."""
    before = numba.get_num_threads()
    for name in ("validation", "gallery", "leaderboard"):
        monkeypatch.setattr(pipeline.plots, name, lambda _, path, **__: path.touch())
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture
def home(folder, monkeypatch):
    """One store for all tests, and nothing of the caller's environment that would change it."""
    monkeypatch.chdir(folder)
    for name in os.environ:
        if name.startswith(("MLFLOW_", "PROXYTOOLS_")) and name != "MLFLOW_DISABLE_TELEMETRY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'store.db'}")
    if not (folder / "windows.parquet").exists():
        io.write("windows.parquet", synthetic.planted(24, preset="easy", seed=3, n_bars=40).data)
    return folder


def call(command, *words, code=0):
    done = CliRunner().invoke(command, [str(word) for word in (*words, *QUICK)])
    assert done.exit_code == code, (done.exit_code, done.output)
    return done


def tracked(experiment, uri=None):
    """Runs of an experiment by their names."""
    client = mlflow.MlflowClient(uri or os.environ["MLFLOW_TRACKING_URI"])
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    return client, {run.info.run_name: run for run in runs}


def files_of(client, run, into):
    """Bytes of every artifact, by name."""
    into.mkdir()
    got = Path(client.download_artifacts(run.info.run_id, "", str(into)))
    return {path.name: path.read_bytes() for path in got.iterdir()}


def bytes_of(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


@needs_mlflow
def test_fit_logs_settings_figures_and_files(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "fits")
    out = tmp_path / 'it\'s "a" run'
    done = call(
        proxytools, "fit", "--model", "formula", "--track", "mlflow", "--json", "--out", out
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert json.loads(done.stdout)["pearson_r"] == metrics["pearson_r"]
    client, runs = tracked("fits")
    (name, run), *others = runs.items()
    assert not others
    assert name == out.name
    assert run.info.status == "FINISHED"

    record = json.loads((out / "run.json").read_text())
    config = record["config"] | {"threads": record["threads"], "processes": 1}
    assert config["track"] == "mlflow"
    assert run.data.params == {name: str(value) for name, value in config.items()}

    averages = {f"span_averages.{k}": v for k, v in metrics.pop("span_averages").items()}
    assert metrics.pop("model") == run.data.tags["model"] == "formula"
    expected = {k: v for k, v in {**metrics, **averages}.items() if v is not None}
    assert run.data.metrics == expected
    assert "span_averages.length" in expected

    assert files_of(client, run, tmp_path / "got") == bytes_of(out)


@needs_mlflow
def test_correlate_logs_a_nested_run_a_model_and_then_the_gate(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "boards")
    out = tmp_path / "board"
    words = ("--models", "formula,logistic", "--permutations", 3, "--gate", 0.999)
    call(proxytools, "correlate", *words, "--track", "mlflow", "--out", out, code=3)
    rows = json.loads((out / "leaderboard.json").read_text())
    client, runs = tracked("boards")
    parent = runs.pop("board")
    assert runs.keys() == {row["model"] for row in rows} >= {"formula", "constant"}
    for row in rows:
        run = runs[row.pop("model")]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.metrics == {k: v for k, v in row.items() if v is not None}
        assert run.data.params == {**parent.data.params, "model": run.info.run_name}
        assert run.info.status == "FINISHED"
    assert files_of(client, parent, tmp_path / "got") == bytes_of(out)


@needs_mlflow
def test_deep_train_logs_which_folds_its_figures_are_of(home, tmp_path, monkeypatch):
    """What a training writes is tested elsewhere; here it writes two files at once."""
    metrics = {"evaluation": "inner folds", "pearson_r": 0.5, "gain": {"r": 0.1, "low": None}}

    def train(run, *_, **__):
        run.write_json("metrics.json", metrics)
        (run / "verdict.txt").write_text("All is well.\n")
        return {"model": "deep", **metrics}

    monkeypatch.setattr(jobs, "train", train)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "detectors")
    call(deep, "train", "--track", "mlflow", "--out", tmp_path / "run")
    client, runs = tracked("detectors")
    run = runs["run"]
    assert run.data.metrics == {"pearson_r": 0.5, "gain.r": 0.1}
    assert run.data.tags["evaluation"] == "inner folds"
    assert run.data.params["preset"] == "segmental"
    assert files_of(client, run, tmp_path / "got") == bytes_of(tmp_path / "run")


@needs_mlflow
def test_without_the_option_nothing_is_tracked(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nothing")
    monkeypatch.setattr(tracking, "log", lambda path: pytest.fail("tracked"))
    call(proxytools, "fit", "--model", "formula", "--out", tmp_path / "run")
    assert tracked("nothing")[1] == {}


@needs_mlflow
def test_a_run_inside_a_program_s_own_run_is_nested(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "own")
    call(proxytools, "fit", "--model", "formula", "--out", tmp_path / "run")
    with mlflow.start_run() as own:
        identifier = tracking.log(tmp_path / "run")
        assert mlflow.active_run().info.run_id == own.info.run_id
    run = tracked("own")[1]["run"]
    assert run.info.run_id == identifier
    assert run.data.tags["mlflow.parentRunId"] == own.info.run_id


# What goes wrong


@needs_mlflow
@pytest.mark.parametrize("kind", ["no such store", "a broken store", "a missing driver"])
def test_a_failure_to_track_keeps_the_run(kind, home, tmp_path, monkeypatch):
    (tmp_path / "broken.db").write_text("no database, really none" * 100)
    uris = {
        "no such store": "nowhere://x",
        "a broken store": f"sqlite:///{tmp_path / 'broken.db'}",
        "a missing driver": "oracle+cx_nothing://host/base",
    }
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris[kind])
    out = tmp_path / "run"
    done = call(proxytools, "fit", "--model", "formula", "--track", "mlflow", "--out", out, code=1)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error: ")] == [
        done.stderr.splitlines()[-1]
    ]
    assert f"{out} is written, but not tracked: " in done.stderr
    assert "pearson_r" in done.stdout
    call(proxytools, "fit", "--model", "formula", "--out", tmp_path / "plain")
    assert bytes_of(out).keys() == bytes_of(tmp_path / "plain").keys()
    assert (out / "metrics.json").read_bytes() == (tmp_path / "plain/metrics.json").read_bytes()


@needs_mlflow
def test_a_store_that_breaks_half_way_shows_a_failed_run(home, tmp_path, monkeypatch):
    """Figures go to the database first; the files have nowhere to go."""
    (tmp_path / "file").touch()
    mlflow.MlflowClient().create_experiment("full disk", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "full disk")
    call(proxytools, "fit", "--model", "formula", "--out", tmp_path / "run")
    before = bytes_of(tmp_path / "run")
    with pytest.raises(ProxytoolsError, match="is written, but not tracked") as raised:
        tracking.log(tmp_path / "run")
    assert raised.value.exit_code == 1
    assert "\n" not in str(raised.value)
    assert tracked("full disk")[1]["run"].info.status == "FAILED"
    assert bytes_of(tmp_path / "run") == before
    assert mlflow.active_run() is None


@pytest.mark.parametrize("command", ["fit", "correlate", "train"])
def test_without_the_extra_it_is_refused_before_the_work(command, home, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    program = deep if command == "train" else proxytools
    done = call(program, command, "--track", "mlflow", "--out", tmp_path / "run", code=2)
    assert done.stderr == (
        "Error: tracking: got no package mlflow, expected the extra mlflow. "
        "Install it: pip install '.[mlflow]'.\n"
    )
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing there"):
        tracking.log(tmp_path / "nowhere")


def test_an_unknown_tracker_is_refused(home, tmp_path):
    done = call(proxytools, "fit", "--track", "wandb", "--out", tmp_path / "run", code=2)
    assert "'wandb' is not 'mlflow'" in done.stderr


# What MLflow does beside


WATCHED = """
import sys
from pathlib import Path

def watch(event, about):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        sys.stderr.write(f"NETWORK {event} {about}\\n")

sys.addaudithook(watch)
from proxytools import tracking

print(tracking.log(Path("run")))
"""


@needs_mlflow
def test_the_default_store_is_local_and_nothing_is_sent(home, tmp_path):
    """As a user has it: no variable is set, not even those by which MLflow notices tests."""
    call(proxytools, "fit", "--model", "formula", "--out", tmp_path / "run")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "settings"),
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    assert not (tmp_path / "settings").exists()  # where MLflow would number this machine
    run = tracked("Default", f"sqlite:///{tmp_path / 'mlflow.db'}")[1]["run"]
    assert done.stdout == f"{run.info.run_id}\n"  # and nothing beside it


def test_mlflow_is_loaded_late():
    assert not {"mlflow", "numpy", "sqlalchemy"} & loaded_by("import proxytools.tracking")
