"""Searches for inputs that a reader cannot handle.

    python tests/fuzz/fuzz.py                       # every target, 15 s each
    python tests/fuzz/fuzz.py --seconds 600 journal
    python tests/fuzz/fuzz.py --inputs 100000       # that many inputs each, however long it takes

Atheris changes inputs by what code they reach; where it is not installed, Hypothesis changes the seeds.
An input that was found is written to the directory of `--found`, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from oracle import Target, judge, limit_memory, names, target

_LONGEST_INPUT = 65_536
# An input that waits for something, such as a FIFO, takes no processor time.
_LONGEST_WAIT_S = 30
_DONE = re.compile(r"Done (\d+) ")
_Edit = tuple[float, int, bytes]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Search for inputs that a reader cannot handle.")
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=15, help="for each target")
    parser.add_argument("--inputs", type=int, default=0, help="for each target, however long")
    parser.add_argument("--found", type=Path, default=Path("found"), help="directory of results")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_this_process:
        return search(options.targets[0], options.seconds, options.inputs, options.found)
    limits = [f"--seconds={options.seconds}", f"--inputs={options.inputs}"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        statuses = list(
            pool.map(
                lambda name: _in_process(name, [*limits, f"--found={options.found}"]),
                options.targets or names(),
            )
        )
    return max(statuses)


def _in_process(name: str, arguments: Sequence[str]) -> int:
    """Search in a process of its own: a limit of memory holds for a whole process."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, name, *arguments, "--in-this-process"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    output = done.stdout + done.stderr
    if done.returncode:
        sys.stdout.write(f"{name}: FOUND\n{output[-4000:]}\n")
        return 1
    count = _DONE.search(output)
    if count is None:
        sys.stdout.write(f"{name}: did not run\n{output[-4000:]}\n")
        return 1
    sys.stdout.write(f"{name}: {count[1]} inputs, {time.monotonic() - began_s:.0f} s\n")
    sys.stdout.flush()
    return 0


def search(name: str, seconds: int, inputs: int, found: Path) -> int:
    """Search for inputs that one target cannot handle; return the exit status."""
    found.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        return _with_hypothesis(target(name), seconds, inputs, found)
    with atheris.instrument_imports(include=["carbon_core", "carbon_callbacks", name]):
        one = target(name)
    with tempfile.TemporaryDirectory() as work:
        seeds = Path(work, "seeds")
        seeds.mkdir()
        for data in (*one.seeds, *(path.read_bytes() for path in one.corpus)):
            (seeds / sha256(data).hexdigest()).write_bytes(data)
        words = Path(work, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in one.dictionary))
        limit = f"-runs={inputs}" if inputs else f"-max_total_time={seconds}"
        atheris.Setup(
            [
                sys.argv[0],
                str(seeds),
                limit,
                f"-dict={words}",
                f"-max_len={_LONGEST_INPUT}",
                f"-timeout={_LONGEST_WAIT_S}",
                "-rss_limit_mb=0",  # the process has a limit of its own
                f"-artifact_prefix={found}/{one.name}-",
            ],
            lambda data: judge(one, data),
        )
        limit_memory()
        atheris.Fuzz()  # ends the process
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _with_hypothesis(one: Target, seconds: int, inputs: int, found: Path) -> int:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    count = 0
    ends_s = time.monotonic() + seconds
    inserted = st.one_of(st.binary(max_size=20), st.sampled_from(one.dictionary or one.seeds))
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), inserted), max_size=8)

    @settings(
        max_examples=inputs or 1_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.one_of(st.builds(_changed, st.sampled_from(one.seeds), edits), st.binary()))
    def try_one(data: bytes) -> None:
        nonlocal count
        count += 1
        latest[0] = data
        judge(one, data)

    latest = [b""]
    limit_memory()
    try:
        while True:
            try_one()
            if inputs or time.monotonic() > ends_s:
                break
    except Exception:
        (found / f"{one.name}-{sha256(latest[0]).hexdigest()[:16]}").write_bytes(latest[0])
        raise
    sys.stdout.write(f"Done {count} inputs\n")
    return 0


def _changed(seed: bytes, edits: Sequence[_Edit]) -> bytes:
    """Return a seed with parts replaced: at a place (0 to 1), so many bytes, by others."""
    data = seed
    for place, removed, inserted in edits:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + removed :]
    return data


if __name__ == "__main__":
    sys.exit(main())
