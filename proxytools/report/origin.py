"""Exact versions, and the command that made each run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from proxytools import rundir
from proxytools.report.blocks import NONE, Section, Table
from proxytools.report.runs import Run

FACTS = ("created", "seed", "device", "threads", "processes", "python")


def section(runs: Sequence[Run], command: Sequence[str], created: str) -> Section:
    """Say how each run, and this page, came to be."""
    lead = (
        "The same command, seed and versions give the same bits on the CPU. Hashes of the inputs "
        "stand under the data."
    )
    labels = [run.label for run in runs]
    commands = [[run.label, shlex.join(map(str, run.record["command"]))] for run in runs]
    commands.append(["this page", shlex.join(command)])
    facts = [[name, *(str(run.record.get(name, NONE)) for run in runs)] for name in FACTS]
    facts.append(["folder", *(str(run.path) for run in runs)])
    own = rundir.versions()
    names = sorted({*own, *(str(name) for run in runs for name in run.record["versions"])})
    versions = [
        [name, *(str(run.record["versions"].get(name, NONE)) for run in runs), own.get(name, NONE)]
        for name in names
    ]
    blocks = [
        Table("Commands", ["", "command"], commands),
        Table("Circumstances", ["", *labels], facts),
        Table("Versions", ["", *labels, f"this page ({created})"], versions),
    ]
    return Section("origin", "How was it made?", lead, blocks)
