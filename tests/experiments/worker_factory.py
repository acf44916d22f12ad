"""Import what a worker needs, then fork one worker after the other.

Reads pickles (store, runs, options) from standard input; answers each with the line `started PID`, and with
`ended CODE` later.
"""

from __future__ import annotations

import io
import os
import pickle
import sys

import pandas  # noqa: F401 (imported by pyarrow when a result is published)
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from experiments import worker
from experiments.environments import Environment
from experiments.training import reinforcement  # noqa: F401 (imported by a worker when it knows what to train)


def work(root: str, group: bytes) -> int:
    sys.argv = ["experiments.worker", root]
    sys.stdin = io.TextIOWrapper(io.BytesIO(group))
    try:
        worker.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 1


def main() -> None:
    # What is imported at first use. Nothing is differentiated: autograd could not be used after the fork.
    torch.set_num_threads(1)
    make_fx(torch.func.vmap(lambda x: x + 1), tracing_mode="fake")(torch.zeros(2))
    for env_id in ("Hopper-v4", "dm_control/cheetah-run-v0"):
        Environment(env_id, 0).close()
    while True:
        try:
            root, runs, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = work(root, pickle.dumps((runs, options)))
            finally:
                os._exit(code)
        print("started", pid, flush=True)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
