"""The floors: a file imports from lower floors only, and heavy libraries load late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("proxytools", "deep", "cli")
FLOORS = {
    "proxytools": 0,
    "proxytools.errors": 0,
    "proxytools.lock": 1,
    "proxytools.types": 1,
    "proxytools.matching": 1.5,
    "proxytools.io": 2,
    "proxytools.synthetic": 2,
    "proxytools.splits": 2,
    "proxytools.decode": 2,
    "proxytools.rundir": 2,
    "proxytools.exchange": 2.5,
    "proxytools.marking": 2.7,
    "proxytools.resuming": 2.5,
    "proxytools.tracking": 2.5,
    "proxytools.features": 2,
    "proxytools.metrics": 2,
    "proxytools.proxies": 3,
    "proxytools.evaluate": 4,
    "proxytools.leaderboard": 4.5,
    "proxytools.label": 4,
    "proxytools.plots": 5,
    "proxytools.audit": 5.5,
    "proxytools.pool": 5,
    "proxytools.suggest": 5.5,
    "proxytools.pipeline": 6,
    "proxytools.report": 6.5,
    "deep": 7,
    "cli": 8,
}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def room_of(module: str) -> str:
    while module not in FLOORS:
        module = module.rpartition(".")[0]
    return module


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Modules of this project that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FLOORS else node.module for name in inner}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path))
def test_imports_go_down(path):
    own = room_of(module_of(path))
    for name in imports(path):
        if room_of(name) == own:
            continue
        assert FLOORS[room_of(name)] < FLOORS[own], f"{path} ({own}) imports {name}"


def test_every_room_has_a_floor_of_its_own():
    rooms = {room_of(module_of(path)) for path in FILES}
    assert rooms == set(FLOORS)


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name.split(".")[0] for name in done.stderr.split()}


def test_help_loads_no_heavy_library():
    heavy = {"numpy", "pandas", "pyarrow", "sklearn", "scipy", "numba", "matplotlib", "torch"}
    code = "from click.testing import CliRunner\nfrom cli.proxytools import cli\n"
    code += "assert CliRunner().invoke(cli, ['fit', '--help']).exit_code == 0"
    assert not heavy & loaded_by(code)


def test_proxytools_never_loads_torch_when_imported():
    modules = [
        module_of(path) for path in FILES if path.parts[-2] != "cli" and "deep" not in path.parts
    ]
    assert "torch" not in loaded_by("\n".join(f"import {name}" for name in modules))
