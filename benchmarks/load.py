"""What else the machine does while a figure is taken: nothing, or more than it has processors for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

QUIET, SATURATED = LOADS = ("quiet", "saturated")
# A training's data loaders use every processor, and the training itself one more.
BUSY_PER_CORE = 2


def under(load: str) -> AbstractContextManager[None]:
    """Return a context in which the machine has this load."""
    return saturated() if load == SATURATED else nullcontext()


def busy_processes() -> int:
    """Return how many processes `saturated` starts."""
    return BUSY_PER_CORE * (os.cpu_count() or 1)


@contextmanager
def saturated() -> Iterator[None]:
    """Keep every processor busy with two processes of Python."""
    busy: list[subprocess.Popen[bytes]] = []
    try:
        # They end with their parent, too: their standard input is then closed.
        command = [sys.executable, "-c", _WORK]
        busy.extend(
            subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(busy_processes())
        )
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


_WORK = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while True:
    sum(range(10_000))
"""
