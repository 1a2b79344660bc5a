"""How exact both programs are, on a machine whose every joule is known.

::

    python benchmarks/accuracy.py                  # every case, and accuracy.json beside this file
    python benchmarks/accuracy.py --only windows   # one case
    python benchmarks/accuracy.py --rounds 1       # a quick look
    python benchmarks/accuracy.py --load quiet     # not on a machine whose processors are all busy

Needs Linux, a C compiler and ``codecarbon``. Energies only: nothing here is a time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bench import (  # noqa: E402
    OURS,
    THEIRS,
    TIMEOUT_S,
    Row,
    arguments_of,
    line,
    loads_of,
    results,
    show_errors,
    table,
)
from fake_machine import PowerCurve, fake_machine  # noqa: E402
from load import LOADS, QUIET, busy_processes, under  # noqa: E402
from pairs import Figures, Measurement, Pair, alternate, command  # noqa: E402

RESULTS = HERE / "accuracy.json"
# Read soon after it was written, a processor's counter is at most so old.
TICK_S = 0.002
# Of no whole number of periods in the default interval of 15 s, whose mean would be exact by chance.
ODD_WAVE = PowerCurve(100.0, 400.0, period_s=3.7)


@dataclass(frozen=True)
class Case:
    """One situation that both programs are put into.

    Attributes:
        name: What it is called on the command line.
        side: The sides' subcommand.
        options: Options of the subcommand.
        machine: Options of `fake_machine`.
        instants: Variables of the driver's stand-in that are instants, in seconds after the start.
        rows: What is held against which target.
        rounds: How often each side is measured.
        loads: Under which loads.
    """

    name: str
    side: str
    rows: tuple[Row, ...]
    options: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    instants: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 3
    loads: tuple[str, ...] = (QUIET,)


def _row(
    what: str,
    take: str,
    ours: str,
    at_most: float | None,
    theirs: str | None = None,
    saturated: float | None = None,
) -> Row:
    return Row(what, take, "%", theirs, ours, at_most=at_most, saturated=saturated, worst=True)


CASES = (
    Case(
        "run",
        "run-energy",
        (_row("run of 10 s by counters", "run", "error_pct", 0.05, "error_pct", 0.2),),
        ("--seconds", "10"),
        loads=LOADS,
    ),
    Case(
        "first",
        "first-window",
        (
            _row("first window after the start", "first", "error_pct", 0.5, "error_pct", 2),
            _row("the same, as it was first returned", "first", "at_once_pct", None),
        ),
        rounds=10,
        loads=LOADS,
    ),
    Case(
        "windows",
        "windows",
        (_row("worst of 50 windows of 0.1-0.8 s", "windows", "worst_pct", 0.3, "worst_pct", 2),),
        ("--windows", "50"),
        loads=LOADS,
    ),
    Case(
        "gil",
        "gil-windows",
        (_row("the same, busy with Python alone", "gil", "worst_pct", 1, "worst_pct"),),
        ("--windows", "30"),
        loads=LOADS,
    ),
    Case(
        "polled",
        "polled",
        (_row("run of 25 s by polled power", "polled", "error_pct", 1.0, "error_pct"),),
        ("--seconds", "25"),
        # Turing: its power reading is of the instant.
        {"supports": ("power", "utilization"), "capability": 7.5},
        rounds=5,
    ),
    Case(
        "averaged",
        "polled",
        (_row("the same, averaged over a second", "averaged", "error_pct", None, "error_pct"),),
        ("--seconds", "25"),
        {"supports": ("power", "average", "utilization")},
    ),
    Case(
        "lost",
        "lost",
        (
            _row("one of two GPUs lost: both, to the end", "lost", "error_pct", 10, "error_pct"),
            _row("of the lost one: what was measured", "lost", "measured_pct", 0.05),
            _row("of the lost one: what was carried over", "lost", "carried_pct", 10),
        ),
        ("--seconds", "45"),
        {"gpus": 2, "curve": ODD_WAVE},
        {"NVML_STANDIN_LOST_FROM_NS": 25.0},
    ),
    Case(
        "reset",
        "run-energy",
        (_row("counters fall to zero in a run of 60 s", "reset", "error_pct", 1.0, "error_pct"),),
        ("--seconds", "60"),
        {"curve": ODD_WAVE},
        {"NVML_STANDIN_RESET_AT_NS": 35.0},
    ),
    Case(
        "early-reset",
        "run-energy",
        (_row("the same, 9 s into a run of 14 s", "early-reset", "error_pct", None, "error_pct"),),
        ("--seconds", "14"),
        {"curve": ODD_WAVE},
        {"NVML_STANDIN_RESET_AT_NS": 9.0},
    ),
    Case(
        "everything",
        "components",
        (
            _row("everything, 20 s: eight GPUs", "everything", "gpu_pct", 0.05, "gpu_pct"),
            _row("everything, 20 s: two sockets", "everything", "cpu_pct", 0.05, "cpu_pct"),
            _row("everything, 20 s: their memory", "everything", "ram_pct", 0.05, "ram_pct"),
        ),
        ("--seconds", "20"),
        {"tick_s": TICK_S},
    ),
    Case(
        "slow-run",
        "run-energy",
        (_row("a driver of 20 ms a call: run", "slow-run", "error_pct", 0.5, "error_pct"),),
        ("--seconds", "10"),
        {"latency_ms": 20.0},
    ),
    Case(
        "slow-windows",
        "windows",
        (
            _row(
                "a driver of 20 ms a call: windows", "slow-windows", "worst_pct", None, "worst_pct"
            ),
            _row("the median of these windows", "slow-windows", "median_pct", 0.5, "median_pct"),
        ),
        ("--windows", "50"),
        {"latency_ms": 20.0},
    ),
)


def measure(case: Case, rounds: int | None) -> Pair:
    """Put both sides into a case, in turn."""
    with fake_machine(**case.machine) as machine:
        sides = [_measurement(script, case, machine.environ) for script in (THEIRS, OURS)]
        return alternate(sides[0], sides[1], rounds or case.rounds)


def _measurement(script: str, case: Case, environ: Mapping[str, str]) -> Measurement:
    def measured() -> Figures:
        now_ns = time.monotonic_ns()
        instants = {
            name: str(now_ns + round(after_s * 1e9)) for name, after_s in case.instants.items()
        }
        argv = [sys.executable, script, case.side, *case.options]
        return command(argv, {**environ, **instants}, TIMEOUT_S)()

    return measured


def main() -> int:
    """Measure, print the table, write the results."""
    arguments = arguments_of(__doc__, [case.name for case in CASES], RESULTS)
    pairs: dict[tuple[str, str], Pair] = {}
    load_before = os.getloadavg()[0]
    for load in loads_of(arguments):
        with under(load):
            for case in CASES:
                if case.name in arguments.only and load in case.loads:
                    print(f"{case.name}, {load} …", file=sys.stderr, flush=True)
                    pairs[load, case.name] = measure(case, arguments.rounds)
                    show_errors(case.name, pairs[load, case.name])
    lines = [
        line(row, load, pairs[load, case.name])
        for case in CASES
        for row in case.rows
        for load in LOADS
        if (load, case.name) in pairs
    ]
    print(f"load average before: {load_before:.1f}; saturated: {busy_processes()} busy processes")
    print(table(lines))
    data = results(lines, pairs, load_before)
    arguments.output.write_text(json.dumps(data, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
