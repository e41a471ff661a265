"""The ``deep`` command in processes of its own, to be killed or to train together.

They are forked off a server that has loaded everything and computed nothing, so that each costs
little; a forked copy of the tests' own process would hang in its thread pools.
"""

import multiprocessing
import os
import socket
import sys

import numba

from cli import deep
from deep import curves, kept

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["tests.processes", "deep.jobs", "proxytools.pipeline", "torch._dynamo"]
)


def start(words, log, target=None, **environment):
    """Start a command, whose output goes to a file; or a function of ``words``."""
    environment = {name: str(value) for name, value in environment.items()}
    process = _server.Process(target=_run, args=(target, words, str(log), environment))
    process.start()
    return process


def start_together(words, log, target=None, n=2):
    """Start processes that train together, with what torchrun tells each of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common |= {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": n}
    return [start(words, f"{log}{k}", target, RANK=k, LOCAL_RANK=k, **common) for k in range(n)]


def _run(target, words, log, environment):
    os.environ.update(environment)
    numba.config.reload_config()  # which numba would else do after its threads have begun
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if target is not None:
        target(*words)
        return
    kept.SECONDS = 0.0
    curves.draw = lambda *drawn: None  # it would take longer than all else
    sys.argv = ["deep", *map(str, words)]
    deep.main()
