"""The page to mark on: what it saves, whom it answers, and, in a browser, how it is used."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxytools import io, marking
from proxytools.errors import InputError
from proxytools.exchange import Mark, journal, marks_of
from proxytools.exchange.journal import Journal
from proxytools.marking.server import Server
from proxytools.marking.session import Session
from proxytools.types import SpanDataset, Spans, Windows

PROXYTOOLS = Path(sys.executable).with_name("proxytools")
CHROMIUM = shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGS += ["--disable-background-networking", "--disable-component-update"]
NAMES = ["plain", 'quoted "x"', "</script><b>", "last"]
CLASSES = ("up", "</script><img src=x onerror=alert(1)>")


def windows(n_bars=30, ohlc=None):
    """Four windows: one marked, one without a span, two unmarked."""
    rng = np.random.default_rng(5)
    if ohlc is None:
        close = 15_000 + rng.normal(size=(4, n_bars)).cumsum(axis=1)
        opened = np.roll(close, 1, axis=1)
        high, low = np.maximum(opened, close) + 0.5, np.minimum(opened, close) - 0.5
        ohlc = np.stack([opened, high, low, close], axis=-1)
    known = Spans.of([[(3, 9)], [], [], []])
    labelled = np.array([True, True, False, False])
    return SpanDataset(Windows(ohlc, np.array(NAMES)), known, labelled, CLASSES)


@pytest.fixture
def session(tmp_path):
    data = windows()
    kept = Journal(tmp_path / "marks.jsonl", data)
    yield Session(data, kept, tmp_path / "marked.parquet", {"last": [Mark(4, 8, "up", 0.5)]})
    kept.close()


# --- the journal ---


@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 20)), max_size=5),
    cut=st.integers(0, 300),
)
def test_a_journal_cut_anywhere_loses_only_what_was_not_confirmed(tmp_path_factory, changes, cut):
    path, data = tmp_path_factory.mktemp("cut") / "marks.jsonl", windows()
    kept, states, sizes = Journal(path, data), [{}], []
    sizes.append(path.stat().st_size)
    for window, start in changes:
        kept.append(NAMES[window], None if start is None else [Mark(start, start + 2, "up")])
        states.append(dict(kept.changes))
        sizes.append(path.stat().st_size)
    kept.close()
    left = min(cut, sizes[-1])
    os.truncate(path, left)
    confirmed = [state for state, size in zip(states, sizes, strict=True) if size <= left]
    want = confirmed[-1] if confirmed else {}
    assert journal.read(path) == want
    again = Journal(path, data)
    assert again.changes == want
    assert again.torn == (left not in (0, *sizes))
    again.append("last", [])
    again.close()
    assert journal.read(path) == {**want, "last": []}  # nothing ran into the torn line


def test_a_journal_belongs_to_its_windows_and_one_process(tmp_path):
    path, data = tmp_path / "marks.jsonl", windows()
    kept = Journal(path, data)
    with pytest.raises(InputError, match="a journal that another process is writing"):
        Journal(path, data)
    kept.close()
    other = windows(ohlc=data.windows.ohlc + 1)
    with pytest.raises(InputError, match="got marks of other windows"):
        Journal(path, other)
    path.write_text(path.read_text() + '{"window": "plain"}\n')
    with pytest.raises(InputError, match="line 2: got a damaged line"):
        Journal(path, data)
    path.write_text('{"format": 2, "windows": ""}\n')
    with pytest.raises(InputError, match=r"got format 2, expected at most 1\. Update proxytools"):
        Journal(path, data)
    path.write_text("window_id,start\n")
    with pytest.raises(InputError, match=r"line 1: .* expected a journal of marks"):
        Journal(path, data)


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path, monkeypatch):
    path, data = tmp_path / "marks.jsonl", windows()
    kept, real = Journal(path, data), os.write

    def full(handle, content):
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return real(handle, content[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            kept.append("plain", [])
    assert kept.changes == {}
    kept.append("last", [])
    kept.close()
    assert journal.read(path) == {"last": []}


# --- the session ---


def test_changes_are_kept_beside_what_was_marked_before(session):
    session.change(0, None)
    session.change(2, [[9, 12, "up"], [0, 9, CLASSES[1]]])
    session.change(3, [])
    session.write()
    assert marks_of(io.read(session.out)) == {
        'quoted "x"': [],
        "</script><b>": [Mark(0, 9, CLASSES[1]), Mark(9, 12, "up")],
        "last": [],
    }
    assert [window["spans"] for window in session.state()["windows"]] == [
        None,
        [],
        [[0, 9, CLASSES[1], 1.0], [9, 12, "up", 1.0]],
        [],
    ]
    assert session.state()["windows"][3]["suggested"] == [[4, 8, "up", 0.5]]


@pytest.mark.parametrize(
    ("window", "spans", "said"),
    [
        (4, [], "window: got 4, expected a number from 0 to 3"),
        (0, 5, "expected spans: start, stop, class"),
        (0, [[1, 2]], "expected spans: start, stop, class"),
        (0, [[1.5, 2, "up"]], "expected whole bar indices"),
        (0, [[True, 2, "up"]], "expected whole bar indices"),
        (0, [[1, 31, "up"]], "column end: got 31, expected a bar from 0 to 30"),
        (0, [[-1, 3, "up"]], "column start: got -1, expected a bar from 0 to 29"),
        (0, [[2, 2, "up"]], "got 2, expected more than the start 2"),
        (0, [[2, 5, "up"], [4, 6, "up"]], "which overlaps"),
        (0, [[2, 5, "uo"]], "got the class 'uo', expected one of up, "),
    ],
)
def test_what_is_no_mark_is_refused_and_not_kept(session, window, spans, said):
    with pytest.raises(InputError) as no:
        session.change(window, spans)
    assert said in str(no.value)
    assert session.journal.changes == {}


def test_classes_offered_replace_the_one_of_windows_nobody_marked(tmp_path):
    data = windows()
    nobody = np.zeros(4, bool)
    data = SpanDataset(data.windows, Spans.of([[]] * 4), nobody)
    kept = Journal(tmp_path / "a.jsonl", data)
    found = {"last": [Mark(0, 2, "flat")]}
    made = Session(data, kept, tmp_path / "a.parquet", found, ["up", "down"])
    assert made.state()["classes"] == ["up", "down", "flat"]
    kept.close()
    with pytest.raises(InputError, match="suggestions: got the unknown window 'lost'"):
        Session(data, kept, tmp_path / "a.parquet", {"lost": []})


def test_another_file_is_not_written_over(tmp_path):
    out = tmp_path / "marked.parquet"
    io.write(out, windows())
    with pytest.raises(InputError, match="got an existing file, expected a new one"):
        marking.mark(windows(), out)


# --- the server ---


@contextmanager
def served(session):
    with Server(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, method, path, body=None, **headers):
    """Status, headers and text of the answer to one request."""
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    link.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, dict(answer.getheaders()), text


def test_only_those_who_know_the_address_are_answered(session):
    with served(session) as server:
        root = f"/{server.token}/"
        status, headers, text = ask(server, "GET", root)
        assert (status, "<canvas" in text) == (200, True)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert server.server_address[0] == "127.0.0.1"
        elsewhere = f"evil.example:{server.server_port}"
        assert ask(server, "GET", root, Host=elsewhere)[0] == 403  # a rebound name
        assert ask(server, "GET", root, Host="127.0.0.1")[0] == 403
        assert ask(server, "PUT", f"{root}marks/0", "[]", Origin=f"http://{elsewhere}")[0] == 403
        assert ask(server, "PUT", f"{root}marks/0", "[]", Origin="null")[0] == 403
        for path in ("/", "/state", "//state", f"/{server.token}", f"/{server.token[:-1]}/state"):
            assert ask(server, "GET", path)[0] == 404
        for path in ("no", "../session.py", "bars/x", "bars/-1", "bars/"):
            assert ask(server, "GET", root + path)[0] == 404
        assert ask(server, "POST", f"{root}erase", "null")[0] == 404
        assert session.journal.changes == {}
        for name in ("page.js", "chart.js", "spans.js", "page.css"):
            assert ask(server, "GET", root + name)[0] == 200


def test_the_server_saves_and_says_what_is_wrong(session):
    with served(session) as server:
        root = f"/{server.token}/"
        assert ask(server, "PUT", f"{root}marks/2", '[[1, 4, "up"]]')[0] == 200
        assert journal.read(session.journal.path) == {"</script><b>": [Mark(1, 4, "up")]}
        status, _, text = ask(server, "PUT", f"{root}marks/2", '[[4, 1, "up"]]')
        assert status == 400
        assert "expected more than the start 4" in json.loads(text)["error"]
        assert ask(server, "PUT", f"{root}marks/2", "[")[0] == 400
        assert ask(server, "PUT", f"{root}marks/2", "", Content_Length="9999999")[0] == 413
        assert ask(server, "PUT", f"{root}marks/2", None, Content_Length="x")[0] == 411
        assert ask(server, "GET", f"{root}bars/9")[0] == 400
        bars = json.loads(ask(server, "GET", f"{root}bars/1")[2])
        np.testing.assert_array_equal(bars["ohlc"], session.data.windows.ohlc[1])
        assert ask(server, "POST", f"{root}write", "null")[0] == 200
        assert marks_of(io.read(session.out))["</script><b>"] == [Mark(1, 4, "up")]


def test_a_full_disk_is_said_and_nothing_confirmed(session, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with served(session) as server:
        monkeypatch.setattr(session.journal, "append", full)
        status, _, text = ask(server, "PUT", f"/{server.token}/marks/2", "[]")
    assert (status, "No space left" in text) == (500, True)


# --- in a browser ---


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page that must make no noise: no errors, no request to anywhere else."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    shown, noise = context.new_page(), []
    shown.on("console", lambda message: noise.append(message.text))
    shown.on("pageerror", lambda error: noise.append(str(error)))
    shown.on("request", lambda r: urlsplit(r.url).hostname == "127.0.0.1" or noise.append(r.url))
    yield shown
    context.close()
    assert noise == []


def visit(page, url):
    page.goto(url)
    page.wait_for_selector("body[data-ready]")


def drag(page, start, end):
    """Drag from the middle of one bar, or from an edge (x.5), to another."""
    box = page.locator("#chart").bounding_box()
    left, step = (float(page.get_attribute("#chart", f"data-{name}")) for name in ("left", "step"))
    xs = [box["x"] + left + step * (bar + 0.5) for bar in (start, end)]
    y = box["y"] + box["height"] / 2
    page.mouse.move(xs[0], y)
    page.mouse.down()
    page.mouse.move(sum(xs) / 2, y + 5)
    page.mouse.move(xs[1], y)
    page.mouse.up()


def saved(page):
    page.locator("#status", has_text=re.compile("^saved$")).wait_for()


def comes_to(page, window):
    page.locator("#name", has_text=re.compile(f"^{re.escape(NAMES[window])}$")).wait_for()


def kept(session):
    return dict(session.journal.changes)


def test_spans_are_dragged_nudged_typed_and_cleared(session, page):
    third = "</script><b>"
    with served(session) as server:
        visit(page, server.url)
        assert page.input_value("#window") == "3"  # the first that is unmarked
        assert page.inner_text("#name") == third
        assert page.inner_text("#count") == "2 of 4 marked"
        drag(page, 5, 11)
        saved(page)
        assert kept(session) == {third: [Mark(5, 12, "up")]}
        drag(page, 11.5, 14.5)  # its last edge
        drag(page, 4.5, 1.5)  # its first
        drag(page, 7, 9)  # all of it
        saved(page)
        assert kept(session) == {third: [Mark(4, 17, "up")]}
        drag(page, 25, 10)  # a second one stops where the first begins
        saved(page)
        assert kept(session)[third] == [Mark(4, 17, "up"), Mark(17, 26, "up")]
        page.keyboard.press("2")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowLeft")
        saved(page)
        assert kept(session)[third] == [Mark(4, 17, "up"), Mark(21, 27, CLASSES[1])]
        page.fill("[data-span='0'][data-field='last']", "19")
        page.keyboard.press("Enter")
        saved(page)
        assert kept(session)[third][0] == Mark(4, 20, "up")
        page.fill("[data-span='0'][data-field='last']", "21")
        page.keyboard.press("Enter")
        assert page.inner_text("#error") == "Spans share no bar."
        assert page.input_value("[data-span='0'][data-field='last']") == "19"
        page.select_option("[data-span='0'][data-field='class']", CLASSES[1])
        page.click("[aria-label='Remove span 2']")
        saved(page)
        assert kept(session)[third] == [Mark(4, 20, CLASSES[1])]
        page.click("#undo")
        saved(page)
        assert len(kept(session)[third]) == 2
        page.click("#clear")
        saved(page)
        assert kept(session)[third] is None
        assert page.inner_text("#verdict") == "unmarked"
        page.click("#none")
        saved(page)
        assert kept(session)[third] == []
        assert page.inner_text("#verdict") == "no span"


def test_the_keyboard_alone_goes_through_the_windows(session, page):
    with served(session) as server:
        visit(page, server.url + "#1")
        assert page.inner_text("#name") == "plain"
        page.keyboard.press("j")
        comes_to(page, 1)
        assert page.inner_text("#verdict") == "no span"
        page.keyboard.press("u")
        comes_to(page, 2)
        page.keyboard.press("Enter")  # a span without a mouse
        page.keyboard.press("Delete")
        page.keyboard.press("n")
        saved(page)
        page.keyboard.press("u")
        comes_to(page, 3)
        page.keyboard.press("a")  # what a model found
        saved(page)
        assert kept(session) == {"</script><b>": [], "last": [Mark(4, 8, "up")]}
        assert page.inner_text("#count") == "4 of 4 marked"
        assert page.is_disabled("#unmarked")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.input_value("[data-span='0'][data-field='first']") == "4"
        assert page.inner_text("#count") == "4 of 4 marked"
        page.keyboard.press("z")  # nothing to undo here: it was another visit
        assert kept(session)["last"] == [Mark(4, 8, "up")]


ODD = {
    "large": np.array([[9.0e12, 9.5e12, 8.5e12, 9.1e12]] * 12),
    "flat": np.full((12, 4), 1.2345),
    "zero": np.zeros((12, 4)),
    "negative": np.array([[-37.0, -36.5, -40.3, -38.0]] * 12),
    "tiny": np.array([[1e-9, 2e-9, 0.5e-9, 1.5e-9]] * 12),
    "one bar": np.array([[1.0, 2.0, 0.5, 1.5]]),
    "long": np.array([[1.0, 2.0, 0.5, 1.5]] * 3000),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_windows_are_drawn(tmp_path, page, name):
    data = windows(ohlc=np.stack([ODD[name]] * 4))
    data = SpanDataset(data.windows, Spans.of([[]] * 4), np.zeros(4, bool))
    kept = Journal(tmp_path / "a.jsonl", data)
    with served(Session(data, kept, tmp_path / "a.parquet", {})) as server:
        page.set_viewport_size({"width": 320, "height": 600})
        visit(page, server.url)
        page.keyboard.press("Enter")
        saved(page)
        inked = page.evaluate(
            """() => {
              const c = document.getElementById("chart"), pen = c.getContext("2d");
              const { data } = pen.getImageData(+c.dataset.left, 30, c.width - 99, 150);
              const colours = new Set();
              for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200)
                colours.add(data.slice(i, i + 3).join());
              return colours.size;
            }"""
        )
        assert inked >= 3  # grid, span, bars
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    (marks,) = journal.read(kept.path).values()
    kept.close()
    n_bars = data.n_bars
    assert marks == [
        Mark((n_bars - min(7, n_bars)) // 2, (n_bars + min(7, n_bars)) // 2, "expansion")
    ]


@contextmanager
def command(folder, *words):
    """``proxytools mark`` in a process of its own, and the address it says."""
    process = subprocess.Popen(
        [PROXYTOOLS, "mark", "w.parquet", "--no-browser", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored in background
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_killed_server_loses_nothing(tmp_path, page):
    io.write(tmp_path / "w.parquet", windows())
    with command(tmp_path) as (process, url):
        visit(page, url)
        drag(page, 5, 11)
        saved(page)
        page.keyboard.press("u")
        comes_to(page, 3)
        page.keyboard.press("n")
        saved(page)
        page.goto("about:blank")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "w-marked.parquet").exists()
    with (tmp_path / "w-marked.jsonl").open("a") as torn:
        torn.write('{"window": "plain", "spa')
    with command(tmp_path) as (process, url):
        visit(page, url)
        assert page.inner_text("#count") == "4 of 4 marked"
        page.click("#finish")
        page.wait_for_selector("text=You can close this page.")
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert "w-marked.jsonl ended in an unfinished change" in said
    assert "Going on with w-marked.jsonl" in said
    assert "Wrote w-marked.parquet: 4 of 4 windows labelled" in said
    assert marks_of(io.read(tmp_path / "w-marked.parquet")) == {
        "plain": [Mark(3, 9, "up")],
        'quoted "x"': [],
        "</script><b>": [Mark(5, 12, "up")],
        "last": [],
    }


def test_ctrl_c_writes_what_was_marked(tmp_path):
    io.write(tmp_path / "w.parquet", windows())
    (tmp_path / "found.csv").write_text("window_id,start,stop,score\nlast,1,3,0.5\n")
    with command(tmp_path, "--suggestions", "found.csv", "--out", "m.parquet") as (process, url):
        link = urlsplit(url)
        answer = http.client.HTTPConnection(link.netloc)
        answer.request("PUT", f"{link.path}marks/3", "[]")
        assert answer.getresponse().read() == b'{"saved":true}'
        answer.close()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 0, said
    assert "Wrote m.parquet: 3 of 4 windows labelled. Journal: m.jsonl" in said
    assert marks_of(io.read(tmp_path / "m.parquet"))["last"] == []
