"""Every row of the comparison in one go: CodeCarbon and this package, measured in turn.

::

    python benchmarks/bench.py                  # everything, and results.json beside this file
    python benchmarks/bench.py --only start     # one measurement
    python benchmarks/bench.py --rounds 1       # a quick look

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
from pairs import Figures, Measurement, Pair, alternate, command  # noqa: E402
from probes import POLLED_ROWS  # noqa: E402

THEIRS = str(HERE / "codecarbon_side.py")
OURS = str(HERE / "our_side.py")
RESULTS = HERE / "results.json"
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Take:
    """One measurement of both sides, which may fill several rows.

    Attributes:
        name: The sides' subcommand.
        rounds: How often each side is measured.
        options: Options of the subcommand.
        alone: Whether there is nothing to compare with.
    """

    name: str
    rounds: int = 5
    options: tuple[str, ...] = ()
    alone: bool = False


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
        worst: Whether `at_most` holds for every round; otherwise for the median.
    """

    what: str
    take: str
    unit: str
    theirs: str | None
    ours: str
    ratio: float | None = None
    at_most: float | None = None
    worst: bool = False


TAKES = (
    Take("import"),
    Take("start"),
    Take("sample", rounds=3),
    Take("cpu-per-second", rounds=3, options=("--seconds", "30")),
    Take("task-boundary"),
    Take("per-batch", alone=True),
    Take("hf", rounds=7),
    Take("memory"),
    Take("growth", rounds=1),
    Take("run-energy", options=("--seconds", "10")),
    Take("windows", rounds=3),
    Take("polled", options=("--seconds", "25")),
)

ROWS = (
    Row("import of the package", "import", "ms", "ms", "ms", ratio=1 / 4),
    Row("import of its tracker", "import", "ms", "tracker_ms", "tracker_ms"),
    Row("construct + start()", "start", "ms", "ms", "ms", ratio=1 / 30, at_most=50, worst=True),
    Row("one sample, CPU time", "sample", "us", "cpu_us", "cpu_us", ratio=1 / 10),
    Row("CPU time per second", "cpu-per-second", "ms/s", "ms_per_s", "ms_per_s", ratio=1 / 8),
    Row(
        "phase boundary: start_task, mark", "task-boundary", "us", "open_us", "open_us", at_most=10
    ),
    Row("end of a task, of a window", "task-boundary", "us", "close_us", "window_close_us"),
    Row("per batch, Lightning", "per-batch", "us", None, "lightning_us", at_most=1),
    Row("per batch, Transformers", "per-batch", "us", None, "transformers_us", at_most=1),
    Row("per batch, Keras (overridden hooks)", "per-batch", "", None, "keras_hooks", at_most=0),
    Row("Trainer, 1,000 steps: added", "hf", "ms", "added_ms", "added_ms", at_most=60),
    Row("of that, in the callback itself", "hf", "ms", "own_ms", "own_ms"),
    Row("CPU time of its other threads", "hf", "ms", "background_ms", "background_ms"),
    Row("memory added", "memory", "MiB", "mb", "mb", at_most=8),
    Row("growth per tick", "growth", "bytes", "bytes_per_tick", "bytes_per_tick", at_most=1),
    Row("run by counters", "run-energy", "%", "error_pct", "error_pct", at_most=0.05, worst=True),
    Row("windows, worst of 30", "windows", "%", "worst_pct", "worst_pct", at_most=0.5, worst=True),
    Row("run by polled power", "polled", "%", "error_pct", "error_pct", at_most=1, worst=True),
)


@dataclass
class Line:
    """One row with its figures.

    Attributes:
        row: What is compared.
        theirs: Median of CodeCarbon's figure.
        ours: Median of this package's.
        decisive: Ours as it is held against `Row.at_most`: the median or the worst round.
        errors: What failed.
    """

    row: Row
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
        if self.row.at_most is not None and self.decisive is not None:
            checks.append(self.decisive <= self.row.at_most)
        return all(checks) if checks else None


def line(row: Row, pair: Pair) -> Line:
    """Return a row filled from the rounds of its measurement."""
    values = pair.values("ours", row.ours)
    ours = pair.median("ours", row.ours)
    theirs = pair.median("theirs", row.theirs) if row.theirs else None
    return Line(row, theirs, ours, max(values) if values and row.worst else ours, pair.errors)


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
        options = take.options if take.name != "hf" else ("--callback", callback)
        sides.append(_command(script, take.name, options, environ))
        if take.name == "hf":
            sides[-1] = _added(sides[-1], _command(script, "hf", ("--callback", "none"), environ))
    pair = alternate(None if take.alone else sides[0], sides[1], rounds or take.rounds)
    if take.name == "hf":
        _compare_least(pair)
    return pair


def _command(
    script: str, name: str, options: Iterable[str], environ: Mapping[str, str]
) -> Measurement:
    return command([sys.executable, script, name, *options], environ, TIMEOUT_S)


def _added(with_callback: Measurement | None, without: Measurement) -> Measurement:
    """Return a measurement with a callback that knows the one without, made just before."""
    assert with_callback is not None

    def added() -> Figures:
        base, figures = without(), with_callback()
        return figures | {"base_wall_ms": base["wall_ms"]}

    return added


def _compare_least(pair: Pair) -> None:
    """Take the wall time that a callback adds from the least disturbed rounds.

    Training varies by more from run to run than a callback may cost, and only ever upwards from what
    it takes on an idle machine: least by least is the difference that repeats.
    """
    for side in ("theirs", "ours"):
        walls, bases = pair.values(side, "wall_ms"), pair.values(side, "base_wall_ms")
        for figures in getattr(pair, side):
            figures["added_ms"] = min(walls) - min(bases)


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a Markdown table."""
    head = ["what", "CodeCarbon", "ours", "ratio", "target", "met"]
    rows = [head, ["---"] * len(head), *(_cells(line) for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cells(line: Line) -> list[str]:
    unit = f" {line.row.unit}".rstrip()
    ours = _number(line.ours, unit)
    if line.row.worst and line.decisive != line.ours:
        ours += f" (worst {_number(line.decisive, unit)})"
    ratio = "-" if line.ratio is None else f"{line.ratio:.3g}"
    met = {None: "-", True: "yes", False: "NO"}[line.met]
    if line.errors and line.ours is None:
        met = "failed"
    return [line.row.what, _number(line.theirs, unit), ours, ratio, _target(line.row), met]


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


def _target(row: Row) -> str:
    targets = []
    if row.ratio is not None:
        targets.append(f"≤ 1/{1 / row.ratio:g}")
    if row.at_most is not None:
        targets.append(f"≤ {row.at_most:g} {row.unit}".rstrip())
    return ", ".join(targets) or "-"


def results(lines: Iterable[Line], pairs: Mapping[str, Pair]) -> dict[str, Any]:
    """Return everything worth keeping: the machine, the table and every round's figures."""
    return {
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "logical_cpus": os.cpu_count(),
            "python": platform.python_version(),
            "codecarbon": _version("codecarbon"),
            "transformers": _version("transformers"),
        },
        "rows": [
            {
                "what": line.row.what,
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
        "rounds": {name: vars(pair) for name, pair in pairs.items()},
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
    parser.add_argument("--output", type=Path, default=output)
    return parser.parse_args()


def main() -> int:
    """Measure, print the table, write the results."""
    arguments = arguments_of(__doc__, [take.name for take in TAKES], RESULTS)
    pairs: dict[str, Pair] = {}
    with ExitStack() as stack:
        whole = stack.enter_context(fake_machine()).environ
        # Turing: its power reading is of the instant.
        turing = fake_machine(supports=("power", "utilization"), capability=7.5)
        polled = stack.enter_context(turing).environ
        for take in TAKES:
            if take.name not in arguments.only:
                continue
            print(f"{take.name} …", file=sys.stderr, flush=True)
            pairs[take.name] = measure(take, arguments.rounds, {False: whole, True: polled})
            for error in dict.fromkeys(pairs[take.name].errors):
                print(f"  {error}", file=sys.stderr, flush=True)
    lines = [line(row, pairs[row.take]) for row in ROWS if row.take in pairs]
    print(table(lines))
    arguments.output.write_text(json.dumps(results(lines, pairs), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
