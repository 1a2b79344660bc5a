"""Laps of a training between its logs: marks in time at some of its steps.

A log reads all meters and computes every metric, so a training has few. A mark costs the training
thread a microsecond and the sampler one reading of the meters. There is one for each 256th of the
training, and none within a quarter of a second after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from carbon_core import OpenWindow

_LAPS = 256
_LEAST_S = 0.25


class Point(NamedTuple):
    """Joules and seconds since the first epoch of a run began, at a progress (0 to 1)."""

    progress: float
    joules: float
    seconds: float


class StepLaps:
    """Marks the progress of a run, on the training thread.

    Attributes:
        due: The step at which the next lap is due; infinite while no training is measured.
        count: Steps since the run began, as last noted.
        first_progress: Part of the training (0 to 1) that was done when the laps began.
    """

    def __init__(self) -> None:
        self.due = math.inf
        self.count = 0
        self._begin: OpenWindow | None = None
        self._latest: OpenWindow | None = None
        self.first_progress = self._progress = 0.0
        self._first_step = 0
        self._marked: list[tuple[float, OpenWindow]] = []
        self._points: list[Point] = []

    def open(self, begin: OpenWindow, progress: float, step: int = 0) -> None:
        """Begin with the first epoch of a run, or again after its first step.

        Args:
            begin: A window that began with it.
            progress: Part of the training (0 to 1) that was done before.
            step: Steps of this run that were done before.
        """
        self._begin = self._latest = begin
        self.first_progress = self._progress = progress
        self._first_step = step
        self.due = step + 1

    def close(self) -> None:
        """Mark no more steps: the run has ended."""
        self.due = math.inf

    def note(self, step: int, progress: float, mark: Callable[[], OpenWindow]) -> None:
        """Mark a step that is due, unless the latest mark is too recent; set the next one.

        Args:
            step: Steps since the run began.
            progress: Part of the training (0 to 1) that is done.
            mark: Opens a window now.
        """
        steps = step - self._first_step
        each = (progress - self.first_progress) / steps if steps > 0 else 0.0
        # Of an epoch without a known length, the progress stays the same for any number of steps.
        wait = math.ceil(1 / (_LAPS * each)) if each > 0 else step // _LAPS
        self.due = step + max(1, wait)
        latest = self._latest
        if progress > self._progress and latest is not None and latest.age_s >= _LEAST_S:
            self._resolve()
            self._progress, self._latest = progress, mark()
            self._marked.append((progress, self._latest))

    def taken(self) -> list[Point]:
        """Return the points since the last call."""
        self._resolve()
        points, self._points = self._points, []
        return points

    def _resolve(self) -> None:
        """Replace the oldest marks by their totals, as far as these are known."""
        while self._marked and self._begin is not None:
            progress, window = self._marked[0]
            so_far = self._begin.up_to(window)
            if so_far.provisional:
                break
            self._points.append(Point(progress, so_far.joules, so_far.duration_s))
            del self._marked[0]
