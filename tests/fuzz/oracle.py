"""What every fuzz target is held to: it accepts any bytes, in bounded time and memory."""

from __future__ import annotations

import importlib
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
MOST_CPU_S = 1.0
MOST_BYTES = 100 * 2**20


class Target(NamedTuple):
    """One reader of foreign input.

    Attributes:
        name: Of its module in `targets`, and of its directory in `corpus`.
        run: Called with the input and an empty directory; asserts what must hold.
        seeds: Valid inputs.
        dictionary: Parts of inputs that are worth inserting.
    """

    name: str
    run: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]
    dictionary: tuple[bytes, ...]

    @property
    def corpus(self) -> list[Path]:
        """Inputs that were found, and mended."""
        return sorted((HERE / "corpus" / self.name).glob("*"))


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("*.py"))


def target(name: str) -> Target:
    """Return a target by its name."""
    directory = str(HERE / "targets")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    module = importlib.import_module(name)
    return Target(name, module.run, module.SEEDS, getattr(module, "DICTIONARY", ()))


def judge(one: Target, data: bytes) -> None:
    """Give an input to a target.

    Raises:
        AssertionError: The target's own condition does not hold, or the input took too much time.
        MemoryError: It took too much memory; only where `limit_memory` was called.
        Exception: Any that the target does not expect.
    """
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    began_s = time.process_time()
    try:
        one.run(data, directory)
        # Processor time: the machine may be busy with something else.
        took_s = time.process_time() - began_s
        assert took_s <= MOST_CPU_S, f"{len(data)} bytes took {took_s:.1f} s of processor time"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def limit_memory() -> None:
    """Limit this process to a little more memory than it has, where the system can do that."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
