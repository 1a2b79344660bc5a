"""How each figure is taken, the same way for both sides.

A side is a script with one subcommand for each figure. Run without a fake machine around it, it makes
one and runs itself inside, so that each figure comes from a fresh process and starts from nothing.
This module imports little, because what it imports is missing from the memory that a side adds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

MACHINE = "BENCH_MACHINE"
J_PER_KWH = 3.6e6
Figures = dict[str, float]
Row = Callable[[argparse.Namespace], Figures]
# Rows whose GPUs support no energy counter.
POLLED_ROWS = ("polled",)
# Pause before a timed call, in seconds.
PACE_S = 0.02
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def run_side(rows: Mapping[str, Row]) -> int:
    """Run the subcommand of the command line and print its figures as one line of JSON."""
    arguments = _parser(rows).parse_args()
    if MACHINE not in os.environ:
        return _run_in_machine(arguments.row)
    print(json.dumps(rows[arguments.row](arguments)))
    return 0


def _parser(rows: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Print one figure as a line of JSON.")
    parser.add_argument("row", choices=sorted(rows))
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a timed run")
    parser.add_argument("--repeats", type=int, default=200, help="repetitions of a timed call")
    parser.add_argument("--windows", type=int, default=0, help="windows of random length")
    parser.add_argument("--callback", choices=("none", "codecarbon", "ours"), default="none")
    return parser


def _run_in_machine(row: str) -> int:
    from fake_machine import fake_machine

    supports = (
        ("power", "utilization") if row in POLLED_ROWS else ("energy", "power", "utilization")
    )
    with fake_machine(supports=supports) as machine:
        command = [sys.executable, *(str(Path(sys.argv[0]).resolve()), *sys.argv[1:])]
        done = subprocess.run(
            command, env=dict(machine.environ), cwd=machine.environ["HOME"], check=False
        )
    return done.returncode


def machine_root() -> Path:
    """Return the directory of the fake machine, which holds ``sys`` and ``proc``."""
    return Path(os.environ[MACHINE])


def wave_j(t0_ns: int, t1_ns: int) -> float:
    """Return the joules of all GPUs between two instants of the monotonic clock: the truth."""
    from nvml_standin.standin import PowerCurve

    gpus = int(os.environ["NVML_STANDIN_GPUS"])
    return gpus * PowerCurve.from_environment(os.environ).energy_j(t0_ns, t1_ns)


def error_pct(measured_j: float, t0_ns: int, t1_ns: int) -> float:
    """Return how far a measured GPU energy is from the truth, in percent, without its sign."""
    return off_pct(measured_j, wave_j(t0_ns, t1_ns))


def off_pct(measured_j: float, truth_j: float) -> float:
    """Return how far a measured energy is from the truth, in percent, without its sign."""
    return 100.0 * abs(measured_j - truth_j) / truth_j


def zones_j(name: str, t0_ns: int, t1_ns: int) -> float:
    """Return the joules of all processor zones whose name begins so: the truth."""
    from fake_machine import ZONES_W

    power_w = sum(power_w for zone, power_w in ZONES_W.values() if zone.startswith(name))
    return power_w * (t1_ns - t0_ns) / 1e9


def import_ms(module: str, repeats: int = 3) -> Figures:
    """Return what an import takes in a fresh interpreter that has imported only `time`.

    Returns:
        ``ms`` for the package alone, ``tracker_ms`` when its tracker is asked for as well, which
        counts where a package puts its imports off.
    """
    statements = {"ms": f"import {module}", "tracker_ms": f"from {module} import EmissionsTracker"}
    return {name: _statement_ms(code, repeats) for name, code in statements.items()}


def _statement_ms(statement: str, repeats: int) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    times_s = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(repeats)]
    return median(times_s) * 1e3


def median(values: Sequence[float]) -> float:
    """Return the middle value (without the statistics module, which costs memory)."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def blocks_us(call: Callable[[], object], repeats: int, blocks: int = 3) -> Figures:
    """Time a call in several blocks and keep the least disturbed one.

    The thread sleeps before every call, as it does in a run: a call that is repeated without a pause
    finds every cache warm and looks several times cheaper than it is.

    Args:
        call: What is timed.
        repeats: Calls in each block.
        blocks: Blocks; from each comes a mean and a median, and the least of them counts.

    Returns:
        ``cpu_us`` is the mean processor time of this thread, ``cpu_median_us`` and ``wall_us`` are
        medians of processor and wall time, all in microseconds for one call.
    """
    means, medians, walls = [], [], []
    for _ in range(blocks):
        cpu_us, wall_us = _timed(call, repeats)
        means.append(sum(cpu_us) / len(cpu_us))
        medians.append(median(cpu_us))
        walls.append(median(wall_us))
    return {"cpu_us": min(means), "cpu_median_us": min(medians), "wall_us": min(walls)}


def _timed(call: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    cpu_us, wall_us = [], []
    for _ in range(repeats):
        time.sleep(PACE_S)
        wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        call()
        cpu_us.append((time.thread_time_ns() - cpu_ns) / 1e3)
        wall_us.append((time.perf_counter_ns() - wall_ns) / 1e3)
    return cpu_us, wall_us


def cpu_ms_per_s(start: Callable[[], object], seconds: float) -> Figures:
    """Return the processor time that a running tracker takes from an idle process.

    The process sleeps, first alone and then with the tracker; the processor time of all its threads
    in the second sleep, less what the first one cost, is the tracker's.
    """
    idle = _sleeping_ms_per_s(3.0)
    start()
    time.sleep(2.0)
    return {"ms_per_s": _sleeping_ms_per_s(seconds) - idle}


def _sleeping_ms_per_s(seconds: float) -> float:
    cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
    time.sleep(seconds)
    return 1e3 * (time.process_time_ns() - cpu_ns) / (time.perf_counter_ns() - wall_ns)


def rss_mb() -> float:
    """Return the resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


def boundary_us(opening: Callable[[str], object], closing: Callable[[], object], n: int) -> Figures:
    """Time what the caller's thread waits for at a phase boundary, in the midst of its work.

    Args:
        opening: Begins a phase of a name.
        closing: Ends it.
        n: Phases.

    Returns:
        Medians in microseconds, and the longest.
    """
    opened_us, closed_us = [], []
    for number in range(n):
        _work()
        t0 = time.perf_counter_ns()
        opening(f"phase-{number}")
        t1 = time.perf_counter_ns()
        _work()
        t2 = time.perf_counter_ns()
        closing()
        t3 = time.perf_counter_ns()
        opened_us.append((t1 - t0) / 1e3)
        closed_us.append((t3 - t2) / 1e3)
    longest = {"open_max_us": max(opened_us), "close_max_us": max(closed_us)}
    medians = {"open_us": median(opened_us), "close_us": median(closed_us)}
    return medians | longest | _warm_us(opening, closing, n)


def _warm_us(opening: Callable[[str], object], closing: Callable[[], object], n: int) -> Figures:
    """Time the opening once more, without work in between: the least that it can cost."""
    times_us = []
    for _ in range(n):
        t0 = time.perf_counter_ns()
        opening("warm")
        times_us.append((time.perf_counter_ns() - t0) / 1e3)
        closing()
    return {"open_warm_us": median(times_us)}


def _work() -> None:
    """Keep this thread busy for `PACE_S` and push what it held out of the processor's caches."""
    until_s = time.perf_counter() + PACE_S
    while time.perf_counter() < until_s:
        sum(bytes(2**20)[::64])


def window_errors(
    opening: Callable[[str], object],
    closing: Callable[[], float],
    n: int = 30,
    *,
    at_random: bool = False,
    spend: Callable[[float], None] = time.sleep,
) -> Figures:
    """Compare windows of 0.1 to 0.8 s with the truth of the work that they enclose.

    Args:
        opening: Begins a window of a name; the work begins when it returns.
        closing: Ends it after the work; returns the GPU energy in joules.
        n: Windows.
        at_random: Whether their lengths are random, the same for both sides; else they rise evenly.
        spend: Spends so many seconds in a window.
    """
    lengths_s = [0.1 + 0.7 * number / (n - 1) for number in range(n)]
    if at_random:
        lengths = random.Random(n)
        lengths_s = [lengths.uniform(0.1, 0.8) for _ in range(n)]
    errors = []
    for number, length_s in enumerate(lengths_s):
        opening(f"window-{number}")
        t0_ns = time.monotonic_ns()
        spend(length_s)
        t1_ns = time.monotonic_ns()
        errors.append(error_pct(closing(), t0_ns, t1_ns))
    return {"worst_pct": max(errors), "median_pct": median(errors)}


def in_python(seconds: float) -> None:
    """Spend a time in pure Python, which hands its lock to another thread only when it must."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        sum(range(1000))


def a_length_s() -> float:
    """Return a random length of a window in seconds."""
    return random.uniform(0.1, 0.8)


def callback_ms(make: Callable[[], object]) -> Figures:
    """Return what the import and the making of a callback take where its framework is loaded."""
    import gc

    import torch  # noqa: F401
    import transformers
    from transformers import Trainer  # noqa: F401

    transformers.TrainerCallback  # noqa: B018 - loaded lazily
    # A collection of all their objects takes 0.2 s, is due by now, and would fall into either side.
    gc.collect()
    began_s = time.perf_counter()
    make()
    return {"ms": (time.perf_counter() - began_s) * 1e3}


def longest_step_ms(start: Callable[[], object] | None, seconds: float = 3.0) -> Figures:
    """Return the longest of the steps right after a start: each the same work of some 60 ms.

    Args:
        start: Starts a tracker; None for none.
        seconds: How long steps are made.
    """
    rounds = _rounds_of(0.06)
    if start is not None:
        start()
    steps_s = []
    until_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < until_s:
        _spin(rounds)
        steps_s.append(time.perf_counter() - began_s)
    return {"longest_ms": max(steps_s) * 1e3, "median_ms": median(steps_s) * 1e3}


def _rounds_of(seconds: float) -> int:
    """Return how many rounds of `_spin` take so many seconds."""
    began_s = time.thread_time()  # however busy the machine is
    _spin(20_000)
    return round(20_000 * seconds / (time.thread_time() - began_s))


def _spin(rounds: int) -> None:
    for _ in range(rounds):
        sum(range(100))
