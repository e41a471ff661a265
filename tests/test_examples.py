"""The examples run as they stand, each in a process of its own."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests import processes

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "classifier": "extra-trees",
    "compare": "3 passed",
    "detector": "marks found at IoU 0.5",
    "feature": "body_share gave",
    "frames": "labelled\nr 0.",
}
SECONDS = 60  # each takes two or three, on a core of its own


def run_tests(path):
    sys.exit(pytest.main(["-o", "addopts=-q", "-p", "no:cacheprovider", path]))


def run_script(path):
    runpy.run_path(path, run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    log = tmp_path / "log"
    target = run_tests if "def test_" in path.read_text() else run_script
    process = processes.start([str(path)], log, target, OMP_NUM_THREADS=1, NUMBA_NUM_THREADS=1)
    process.join(SECONDS)
    process.kill()
    assert process.exitcode == 0, log.read_text()
    assert SAYS[path.stem] in log.read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_says_how_to_run_it_and_is_in_the_docs(path):
    text = path.read_text()
    assert len(text.splitlines()) < 60
    assert re.search(rf"^(python|pytest) examples/{path.name}$", text, re.M)
    assert f'"examples/{path.name}"' in (ROOT / "docs" / "examples.md").read_text()
