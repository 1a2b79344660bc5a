"""Two programs measured in turn, so that whatever else the machine does hits both alike.

Every measurement is a fresh process that prints one JSON object on the last line of its output: no
module is warm, no cache is filled, no thread is left over from the one before. The order within a
pair is swapped from round to round. What is reported is the median of each side and their ratio.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Figures = dict[str, float]
Measurement = Callable[[], Figures]


class MeasurementError(RuntimeError):
    """A measured process failed, or printed something else than figures."""


@dataclass
class Pair:
    """What the two sides gave, round by round.

    Attributes:
        theirs: Figures of the program to compare with.
        ours: Figures of this package.
        errors: What failed, in words; a side that fails has no figures of that round.
    """

    theirs: list[Figures] = field(default_factory=list)
    ours: list[Figures] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def median(self, side: str, figure: str) -> float | None:
        """Return the median of one figure (``side`` is ``theirs`` or ``ours``), or None."""
        values = self.values(side, figure)
        return statistics.median(values) if values else None

    def values(self, side: str, figure: str) -> list[float]:
        """Return one figure of every round."""
        rounds: list[Figures] = getattr(self, side)
        return [figures[figure] for figures in rounds if figure in figures]


def command(argv: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> Measurement:
    """Return a measurement that runs a command in a fresh process and reads its last line.

    Args:
        argv: Program and arguments.
        environ: The whole environment of the process.
        timeout_s: Longest time it may take, in seconds.
    """

    def measure() -> Figures:
        try:
            done = subprocess.run(
                list(argv),
                env=dict(environ),
                cwd=environ.get("HOME"),
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise MeasurementError(f"{argv[-1]}: no result within {timeout_s:g} s") from exc
        return _figures(done)

    return measure


def alternate(theirs: Measurement | None, ours: Measurement | None, rounds: int) -> Pair:
    """Measure both sides in turn.

    Args:
        theirs: The program to compare with; None when there is nothing to compare.
        ours: This package; None to measure only the other.
        rounds: How often each side is measured.
    """
    pair = Pair()
    for turn in range(rounds):
        order = [(theirs, pair.theirs), (ours, pair.ours)]
        for measure, into in reversed(order) if turn % 2 else order:
            if measure is None:
                continue
            try:
                into.append(measure())
            except MeasurementError as error:
                pair.errors.append(str(error))
    return pair


def _figures(done: subprocess.CompletedProcess[str]) -> Figures:
    lines = done.stdout.strip().splitlines()
    try:
        if done.returncode != 0:
            raise ValueError(f"exit status {done.returncode}")
        figures = json.loads(lines[-1])
        return {name: float(value) for name, value in figures.items()}
    except (ValueError, IndexError, AttributeError, TypeError) as exc:
        said = done.stderr.strip().splitlines()
        raise MeasurementError(f"{exc}: {said[-1] if said else 'no output'}") from exc
