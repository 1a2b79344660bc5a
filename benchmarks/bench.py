"""Every row of the comparison in one go: CodeCarbon and this package, measured in turn.

::

    python benchmarks/bench.py                  # everything, and results.json beside this file
    python benchmarks/bench.py --only start     # one measurement
    python benchmarks/bench.py --rounds 1       # a quick look
    python benchmarks/bench.py --load quiet     # not on a machine whose processors are all busy

Needs Linux, a C compiler, ``codecarbon`` and, for the Trainer's row, ``transformers`` with ``torch``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from fake_machine import fake_machine  # noqa: E402
from load import LOADS, QUIET, SATURATED, busy_processes, under  # noqa: E402
from pairs import Figures, Measurement, Pair, alternate, command  # noqa: E402
from probes import POLLED_ROWS  # noqa: E402

THEIRS = str(HERE / "codecarbon_side.py")
OURS = str(HERE / "our_side.py")
RESULTS = HERE / "results.json"
# A measurement that hangs ends, too; on a busy machine one may take many minutes.
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Take:
    """One measurement of both sides, which may fill several rows.

    Attributes:
        name: The sides' subcommand.
        rounds: How often each side is measured.
        options: Options of the subcommand.
        alone: Whether there is nothing to compare with.
        loads: Under which loads it is made; figures of processor time and memory need no second one.
    """

    name: str
    rounds: int = 5
    options: tuple[str, ...] = ()
    alone: bool = False
    loads: tuple[str, ...] = LOADS


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is compared.
        take: Name of the measurement that it comes from.
        unit: Unit of both figures.
        theirs: Name of CodeCarbon's figure; None where it has none.
        ours: Name of this package's figure.
        ratio: Ours must be at most this share of theirs, both medians.
        at_most: Ours must be at most this, in `unit`.
        saturated: The same while every processor is busy; None where it is no other.
        worst: Whether `at_most` holds for every round; otherwise for the median.
    """

    what: str
    take: str
    unit: str
    theirs: str | None
    ours: str
    ratio: float | None = None
    at_most: float | None = None
    saturated: float | None = None
    worst: bool = False

    def limit(self, load: str) -> float | None:
        """Return what ours must be at most under a load."""
        if load == SATURATED and self.saturated is not None:
            return self.saturated
        return self.at_most


TAKES = (
    Take("import", loads=(QUIET,)),
    Take("callback", loads=(QUIET,)),
    Take("start"),
    Take("first-reading"),
    Take("sample", rounds=3, loads=(QUIET,)),
    Take("cpu-per-second", rounds=3, options=("--seconds", "30"), loads=(QUIET,)),
    Take("task-boundary"),
    Take("per-batch", alone=True, loads=(QUIET,)),
    Take("first-steps"),
    Take("hf", rounds=7),
    Take("memory", loads=(QUIET,)),
    Take("growth", rounds=1, loads=(QUIET,)),
    Take("run-energy", options=("--seconds", "10")),
    Take("first-window", rounds=10),
    Take("windows", rounds=3, options=("--windows", "50")),
    Take("gil-windows", rounds=3, options=("--windows", "30")),
    Take("polled", options=("--seconds", "25"), loads=(QUIET,)),
)
# Measured with each side's callback, and without one.
ADDED = {"hf": "wall_ms", "first-steps": "longest_ms"}

ROWS = (
    Row("import of the package", "import", "ms", "ms", "ms", ratio=1 / 100),
    Row(
        "import of its tracker", "import", "ms", "tracker_ms", "tracker_ms", ratio=1 / 4, at_most=25
    ),
    Row("import and making of the callback", "callback", "ms", "ms", "ms", at_most=20),
    Row("construct + start()", "start", "ms", "ms", "ms", ratio=1 / 30, at_most=50, worst=True),
    Row(
        "start() to the first reading", "first-reading", "ms", "ms", "ms", at_most=5, saturated=50
    ),
    Row("the same, without prepare()", "first-reading", "ms", "ms", "unprepared_ms"),
    Row("one sample, CPU time", "sample", "us", "cpu_us", "cpu_us", ratio=1 / 10),
    Row("CPU time per second", "cpu-per-second", "ms/s", "ms_per_s", "ms_per_s", ratio=1 / 15),
    Row(
        "phase boundary: start_task, mark", "task-boundary", "us", "open_us", "open_us", at_most=10
    ),
    Row("end of a task, of a window", "task-boundary", "us", "close_us", "window_close_us", at_most=300),
    Row("per batch, Lightning", "per-batch", "us", None, "lightning_us", at_most=1),
    Row("per batch, Transformers", "per-batch", "us", None, "transformers_us", at_most=1),
    Row("per batch, Keras", "per-batch", "us", None, "keras_us", at_most=1),
    Row("longest of the first steps: added", "first-steps", "ms", "added_ms", "added_ms", at_most=10),
    Row("Trainer, 1,000 steps: added", "hf", "ms", "added_ms", "added_ms", at_most=40, saturated=150),
    Row("of that, in the callback itself", "hf", "ms", "own_ms", "own_ms"),
    Row("CPU time of its other threads", "hf", "ms", "background_ms", "background_ms", at_most=30),
    Row("memory added", "memory", "MiB", "mb", "mb", at_most=8),
    Row("growth per tick", "growth", "bytes", "bytes_per_tick", "bytes_per_tick", at_most=1),
    Row(
        "run of 10 s by counters", "run-energy", "%", "error_pct", "error_pct",
        at_most=0.05, saturated=0.2, worst=True,
    ),
    Row(
        "first window after the start", "first-window", "%", "error_pct", "error_pct",
        at_most=0.5, saturated=2, worst=True,
    ),
    Row("the same, as it was first returned", "first-window", "%", "error_pct", "at_once_pct"),
    Row(
        "windows of 0.1-0.8 s, worst of 50", "windows", "%", "worst_pct", "worst_pct",
        at_most=0.3, saturated=2, worst=True,
    ),
    Row(
        "the same, busy with Python alone", "gil-windows", "%", "worst_pct", "worst_pct",
        at_most=1, worst=True,
    ),
    Row("run by polled power", "polled", "%", "error_pct", "error_pct", at_most=1, worst=True),
)  # fmt: skip


@dataclass
class Line:
    """One row with its figures under one load.

    Attributes:
        row: What is compared.
        load: What else the machine did.
        theirs: Median of CodeCarbon's figure.
        ours: Median of this package's.
        decisive: Ours as it is held against `Row.at_most`: the median or the worst round.
        errors: What failed.
    """

    row: Row
    load: str
    theirs: float | None
    ours: float | None
    decisive: float | None
    errors: Sequence[str] = field(default_factory=tuple)

    @property
    def ratio(self) -> float | None:
        """Ours by theirs."""
        if self.ours is None or not self.theirs:
            return None
        return self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Whether every target of the row is reached; None when it has none, or no figure."""
        checks = []
        if self.row.ratio is not None and self.ratio is not None:
            checks.append(self.ratio <= self.row.ratio)
        limit = self.row.limit(self.load)
        if limit is not None and self.decisive is not None:
            checks.append(self.decisive <= limit)
        return all(checks) if checks else None


def line(row: Row, load: str, pair: Pair) -> Line:
    """Return a row filled from the rounds of its measurement under a load."""
    values = pair.values("ours", row.ours)
    ours = pair.median("ours", row.ours)
    theirs = pair.median("theirs", row.theirs) if row.theirs else None
    return Line(row, load, theirs, ours, max(values) if values and row.worst else ours, pair.errors)


def measure(take: Take, rounds: int | None, machines: Mapping[bool, Mapping[str, str]]) -> Pair:
    """Measure both sides in turn.

    Args:
        take: What to measure.
        rounds: Rounds instead of the measurement's own number, or None.
        machines: Environment of the fake machine, by whether its GPUs have only power.
    """
    environ = machines[take.name in POLLED_ROWS]
    sides: list[Measurement | None] = []
    for script, callback in ((THEIRS, "codecarbon"), (OURS, "ours")):
        with_callback = (*take.options, "--callback", callback)
        sides.append(_command(script, take.name, with_callback, environ))
        if take.name in ADDED:
            without = _command(script, take.name, ("--callback", "none"), environ)
            sides[-1] = _added(sides[-1], without, ADDED[take.name])
    pair = alternate(None if take.alone else sides[0], sides[1], rounds or take.rounds)
    if take.name in ADDED:
        _compare_least(pair, ADDED[take.name])
    return pair


def _command(
    script: str, name: str, options: Iterable[str], environ: Mapping[str, str]
) -> Measurement:
    return command([sys.executable, script, name, *options], environ, TIMEOUT_S)


def _added(with_callback: Measurement | None, without: Measurement, figure: str) -> Measurement:
    """Return a measurement with a callback that knows the one without, made just before."""
    assert with_callback is not None

    def added() -> Figures:
        base, figures = without(), with_callback()
        return figures | {"base_ms": base[figure]}

    return added


def _compare_least(pair: Pair, figure: str) -> None:
    """Take the time that a callback adds from the least disturbed rounds.

    Training varies by more from run to run than a callback may cost, and only ever upwards from what
    it takes on an idle machine: least by least is the difference that repeats.
    """
    for side in ("theirs", "ours"):
        times, bases = pair.values(side, figure), pair.values(side, "base_ms")
        for figures in getattr(pair, side):
            figures["added_ms"] = min(times) - min(bases)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a Markdown table: a row for each `Row`, its loads beside each other."""
    by_row: dict[str, dict[str, Line]] = {}
    for one in lines:
        by_row.setdefault(one.row.what, {})[one.load] = one
    loads = [load for load in LOADS if any(load in found for found in by_row.values())]
    columns = ("CodeCarbon", "ours", "ratio", "met")
    head = ["what", *(f"{load}: {name}" for load in loads for name in columns), "target"]
    rows = [head, ["---"] * len(head)]
    for what, found in by_row.items():
        cells = [cell for load in loads for cell in _cells(found.get(load))]
        rows.append([what, *cells, _target(next(iter(found.values())).row)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cells(line: Line | None) -> list[str]:
    if line is None:
        return [""] * 4
    unit = f" {line.row.unit}".rstrip()
    ours = _number(line.ours, unit)
    if line.row.worst and line.decisive != line.ours:
        ours += f" (worst {_number(line.decisive, unit)})"
    ratio = "-" if line.ratio is None else f"{line.ratio:.3g}"
    met = {None: "-", True: "yes", False: "**no**"}[line.met]
    if line.errors and line.ours is None:
        met = "failed"
    return [_number(line.theirs, unit), ours, ratio, met]


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


def _target(row: Row) -> str:
    targets = []
    if row.ratio is not None:
        targets.append(f"≤ 1/{1 / row.ratio:g}")
    if row.at_most is not None:
        saturated = "" if row.saturated is None else f" / {row.saturated:g}"
        targets.append(f"≤ {row.at_most:g}{saturated} {row.unit}".rstrip())
    return ", ".join(targets) or "-"


def results(
    lines: Iterable[Line], pairs: Mapping[tuple[str, str], Pair], load_before: float
) -> dict[str, Any]:
    """Return everything worth keeping: the machine, the table and every round's figures.

    Args:
        lines: The table.
        pairs: The rounds, by load and measurement.
        load_before: The load average of the last minute before anything was measured.
    """
    return {
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "logical_cpus": os.cpu_count(),
            "load_before": load_before,
            "busy_processes": {SATURATED: busy_processes()},
            "python": platform.python_version(),
            "codecarbon": _version("codecarbon"),
            "transformers": _version("transformers"),
        },
        "rows": [
            {
                "what": line.row.what,
                "load": line.load,
                "unit": line.row.unit,
                "codecarbon": line.theirs,
                "ours": line.ours,
                "worst_of_ours": line.decisive if line.row.worst else None,
                "ratio": line.ratio,
                "target": _target(line.row),
                "met": line.met,
            }
            for line in lines
        ],
        "rounds": {f"{name}, {load}": vars(pair) for (load, name), pair in pairs.items()},
    }


def _processor() -> str:
    names = [
        text for text in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in text
    ]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def arguments_of(about: str, names: Sequence[str], output: Path) -> argparse.Namespace:
    """Parse the command line: what to measure of `names`, how often, and where the results go."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, help="rounds of every measurement")
    parser.add_argument("--load", choices=(*LOADS, "both"), default="both")
    parser.add_argument("--output", type=Path, default=output)
    return parser.parse_args()


def loads_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the loads that the command line asks for."""
    return LOADS if arguments.load == "both" else (arguments.load,)


def show_errors(name: str, pair: Pair) -> None:
    """Print what failed in a measurement, once each."""
    for error in dict.fromkeys(pair.errors):
        print(f"  {name}: {error}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print the table, write the results."""
    arguments = arguments_of(__doc__, [take.name for take in TAKES], RESULTS)
    pairs: dict[tuple[str, str], Pair] = {}
    load_before = os.getloadavg()[0]
    with ExitStack() as stack:
        whole = stack.enter_context(fake_machine()).environ
        # Turing: its power reading is of the instant.
        turing = fake_machine(supports=("power", "utilization"), capability=7.5)
        machines = {False: whole, True: stack.enter_context(turing).environ}
        for load in loads_of(arguments):
            with under(load):
                for take in TAKES:
                    if take.name in arguments.only and load in take.loads:
                        print(f"{take.name}, {load} …", file=sys.stderr, flush=True)
                        pairs[load, take.name] = measure(take, arguments.rounds, machines)
                        show_errors(take.name, pairs[load, take.name])
    lines = [
        line(row, load, pair)
        for row in ROWS
        for (load, name), pair in pairs.items()
        if name == row.take
    ]
    print(f"load average before: {load_before:.1f}; saturated: {busy_processes()} busy processes")
    print(table(lines))
    data = results(lines, pairs, load_before)
    arguments.output.write_text(json.dumps(data, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
