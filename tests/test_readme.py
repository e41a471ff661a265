"""What the README shows runs as it stands there."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import readme
from cli.deep import cli as deep
from cli.proxytools import cli
from deep import presets
from proxytools import io, synthetic

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files that the README names."""
    monkeypatch.chdir(tmp_path)
    io.write("windows.parquet", synthetic.planted(60, preset="easy", seed=2).data)
    io.write("others.parquet", synthetic.planted(20, preset="easy", seed=3).data)
    bars = synthetic.planted(1, preset="easy", seed=4, n_bars=500).data.windows.ohlc[0]
    rows = ["t,open,high,low,close", *(f"{t},{','.join(map(str, b))}" for t, b in enumerate(bars))]
    Path("bars.csv").write_text("\n".join(rows))


def test_the_shown_test_passes(here):
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    namespace = {}
    exec(block, namespace)
    namespace["test_lightgbm_beats_the_formula"]()


def test_the_shown_commands_work_in_their_order(here):
    (block,) = [b for b in re.findall(r"```\n(.*?)```", TEXT, re.S) if "proxytools correlate" in b]
    for line in block.strip().splitlines():
        words = shlex.split(line.replace("bars.parquet", "bars.csv"), comments=True)
        quick = ["--models", "formula,logistic"] if words[1] == "correlate" else []
        done = CliRunner().invoke(cli, [*words[1:], *quick], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}: {done.output}"
    assert Path("soft.parquet").exists()


def test_the_shown_deep_commands_work_in_their_order(here, monkeypatch):
    small = replace(presets.PRESETS["segmental"], hidden=4, members=1, epochs=2)
    monkeypatch.setitem(presets.PRESETS, "segmental", small)
    (block,) = [b for b in re.findall(r"```\n(.*?)```", TEXT, re.S) if "deep train" in b]
    for line in block.strip().splitlines():
        words = shlex.split(line.replace("bars.parquet", "bars.csv"), comments=True)
        done = CliRunner().invoke(deep, words[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}: {done.output}"
    assert Path("found.csv").exists()
    assert Path("detector.onnx").exists()


def test_the_tables_are_those_of_the_results():
    assert readme.filled(TEXT) == TEXT, "run python -m benchmarks.readme"
