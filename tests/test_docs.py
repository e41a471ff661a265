"""The site builds, and what the pages say and show is so."""

import http.client
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import figures, readme
from cli.deep import cli as deep
from cli.proxytools import cli as proxytools
from deep import curves, presets
from deep.settings import Settings
from proxytools import plots, synthetic
from proxytools.leaderboard import Row
from proxytools.metrics import bar, span
from proxytools.types import Spans
from tests import shown

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {  # in the order of the menu
    name: (DOCS / f"{name}.md").read_text()
    for name in re.findall(r"(\w+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.M)
}
PROGRAMS = {"proxytools": proxytools, "deep": deep}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)


def commands(*kinds):
    """Every command in the blocks of all pages, by page."""
    return [
        (page, line)
        for page, text in PAGES.items()
        for kind, block in BLOCK.findall(text)
        for line in block.splitlines()
        if kind in kinds and line.split(" ")[0] in PROGRAMS
    ]


# --- the site ---


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {page.stem: page.read_text() for page in folder.glob("*.html")}


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    assert set(PAGES) <= set(site)
    for name, page in site.items():
        loaded = re.findall(r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"?([^\"\s>]+)", page)
        assert loaded, name
        assert not [one for one in loaded if re.match(r"(\w+:)?//", one)], name


def test_every_option_of_every_command_is_in_the_reference(site):
    page = site["commands"]
    for program, group in PROGRAMS.items():
        for name, command in group.commands.items():
            _, _, rest = page.partition(f'id="{program}-{name}"')
            own = re.split(r"<h[123]\b", rest)[0]
            assert rest, f"{program} {name}"
            for param in command.params:
                if isinstance(param, click.Option):
                    assert param.opts[0] in own, f"{program} {name} {param.opts[0]}"


# --- what is shown ---


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_shows_what_is_computed(name):
    computed, _, _ = figures.FIGURES[name]
    with Image.open(figures.OUT / f"{name}.png") as image:
        kept = json.loads(image.text["Drawn"])
    assert close(json.loads(json.dumps(computed())), kept), "run python -m benchmarks.figures"
    assert f"figures/{name}.png" in PAGES["concepts"]


def close(a, b):
    """Equal, but for what the last digits of another processor may change."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b or (isinstance(a, float) and abs(a - b) < 0.01)


def test_the_evidence_is_that_of_the_results():
    assert readme.filled(PAGES["evidence"]) == PAGES["evidence"], "run python -m benchmarks.readme"


# --- what is said ---


def test_every_shown_command_can_be_given():
    given = commands("", "sh", "bash")
    assert len(given) > 20
    for page, line in given:
        program, name, *words = shlex.split(line.partition(" > ")[0], comments=True)
        command = PROGRAMS[program].commands[name]
        assert command.make_context(name, words), f"{page}: {line}"


def test_every_option_named_in_the_text_exists():
    known = {opt for group in PROGRAMS.values() for c in group.commands.values()
             for param in c.params for opt in param.opts} | {"--help"}  # fmt: skip
    for page, text in PAGES.items():
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert named <= known, f"{page}: {named - known}"


def test_every_metric_is_explained_and_no_other():
    prob, mask = np.array([[0.1, 0.9, 0.2]]), np.array([[0, 1, 0]])
    one = Spans.of([[(1, 2)]])
    known = {*bar.bar_metrics(prob, mask), *span.window_bar_f1(prob, mask)}
    known |= {*span.span_metrics(one, one), *Row.__dataclass_fields__} - {"model", "seconds"}
    said = re.findall(r"^\| (`.*?`) \|", PAGES["metrics"], re.M)
    names = {name for cell in said for name in re.findall(r"`(\w+)`", cell)}
    assert names == {re.sub(r"_(30|70)$", "_50", name) for name in known}


def test_every_section_of_the_report_is_explained():
    files = (ROOT / "proxytools" / "report").glob("*.py")
    code = "\n".join(path.read_text() for path in files)
    titles = re.findall(r'\bSection\(\s*"[\w-]+",\s*"([^"]+)"', code)
    assert len(titles) >= 10
    assert set(re.findall(r"^## (.*)$", PAGES["report"], re.M)) == set(titles)


# --- the tutorial ---


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The files the tutorial begins with, and settings that take seconds."""
    monkeypatch.chdir(tmp_path)
    planted = synthetic.planted(1, preset="easy", seed=4, n_bars=1500, layout="several").data
    time = pd.date_range("2024-01-02 09:00", periods=1501, freq="1min", tz="UTC")
    bars = pd.DataFrame(planted.windows.ohlc[0], columns=["open", "high", "low", "close"])
    bars.insert(0, "timestamp", time[:-1])
    bars.to_csv("bars.csv", index=False)
    seen = 1140  # bars: the rest is what nobody looked at
    spans = planted.spans.stop <= seen
    start, stop = planted.spans.start[spans], planted.spans.stop[spans]
    pd.DataFrame({"start": time[start], "end": time[stop]}).to_csv("marks.csv", index=False)
    looked = pd.DataFrame({"start": [time[0]], "end": [time[seen]]})
    looked.to_csv("seen.csv", index=False)
    quick = {"CORRELATE_MODELS": "formula,logistic", "CORRELATE_PERMUTATIONS": "2"}
    quick |= {f"{name}_FOLDS": "2" for name in ("CORRELATE", "FIT", "AUDIT")}
    quick |= {f"{name}_THREADS": "1" for name in ("CORRELATE", "FIT", "AUDIT", "TRAIN", "DETECT")}
    for name, value in quick.items():
        monkeypatch.setenv(f"PROXYTOOLS_{name}", value)
    small = Settings(hidden=2, members=1, epochs=2, features="directionless")
    monkeypatch.setitem(presets.PRESETS, "segmental", small)
    for name in ("validation", "gallery", "windows", "leaderboard"):
        monkeypatch.setattr(plots, name, lambda _, *rest, **__: None)
    monkeypatch.setattr(curves, "draw", lambda *drawn: None)
    return tmp_path


def mark_some(url):
    """Use the page that `proxytools mark` serves, as a browser would: mark two, and finish."""

    def use():
        place = urlsplit(url)
        for method, path, body in [
            ("PUT", "marks/0", [[3, 9, "expansion"]]),
            ("PUT", "marks/1", []),
            ("POST", "finish", {}),
        ]:
            to = http.client.HTTPConnection(place.netloc, timeout=30)
            to.request(method, f"{place.path}{path}", json.dumps(body))
            answers.append(to.getresponse().status)
            to.close()

    answers: list[int] = []
    thread = threading.Thread(target=use)
    thread.start()
    return thread, answers


LONG = ("correlate", "fit", "label", "train", "detect", "report", "suggest", "audit")


def test_the_tutorial_runs_as_it_stands_and_shows_progress(home, monkeypatch):
    browsers, opened = [], shown.record(monkeypatch)
    monkeypatch.setattr(click, "launch", lambda url: browsers.append(mark_some(url)))
    for page, line in commands("sh"):
        given, _, into = line.partition(" > ")
        program, *words = shlex.split(given)
        opened.clear()
        done = CliRunner().invoke(PROGRAMS[program], words, catch_exceptions=False)
        assert done.exit_code == 0, f"{page}: {line}\n{done.output}"
        assert all(map(shown.went_to_its_end, opened)), line
        assert bool(opened) == (words[0] in LONG and "--quiet" not in words), line
        if into:
            json.loads(done.stdout)
    for thread, answers in browsers:
        thread.join()
        assert answers == [200, 200, 200]
    assert len(browsers) == 2
    made = "soft.parquet found.csv report.html marked.parquet next-marked.parquet"
    assert {*made.split()} <= {path.name for path in home.iterdir()}
    assert {"a", "audit", "board", "d", "signal"} <= {run.name for run in Path("runs").iterdir()}
