"""A dry run: some steps of a training on a copy, from which its energy and time are estimated.

The steps and the batches of validation are parts of their own, each with the laps of the forecast: what
follows the laps is the whole training, or all of its validations. The first step may compile the model:
it is counted once, as the setup is. What no step has shown (a later part of another kind, a jump) may
change more than in a training that is under way. The reach for it is in proportion to the part of the
training that the dry run has not seen, and one for the difference between two runs is added to it. They
were chosen so that 95 % intervals contain the truth in at least 90 % of simulated trainings of each kind
(`tests/coverage_simulation/estimating.py`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from carbon_callbacks._training.forecast import NOTHING, Forecast, Laps, Surprise
from carbon_callbacks._training.kept_state import generators_in, kept_random_state
from carbon_callbacks._training.step_laps import Point, StepLaps
from carbon_callbacks._training.total_forecast import Factors, factors_of, with_error
from carbon_callbacks._training.training import Training
from carbon_core import kwh

if TYPE_CHECKING:
    from carbon_core import OpenWindow, Planned, Tracker, TrainingEstimate

# Less is too short for the readings of many meters, and for trainings to warm up.
LEAST_S = 3.0
# Of validation, so much is enough: seconds; and batches, if they take longer.
_VALIDATION_S, _VALIDATION_BATCHES = 1.0, 5
# Compilation and caches take about this long; of a single lap at most that part is taken for it.
_WARM_UP_S, _MOST_WARM_UP = 10.0, 0.8
# What no step has shown, relative to the level of the dry run; and two runs of the same training.
_UNSEEN = Surprise(0.25, 0.4)
_AGAIN = 0.1
# If the second half needs x % less than the first one, the rest may need this times x % less, but not
# less than a part.
_FALL, _LEAST_LEFT = 5.0, 0.35
# Settings of a run that leaves nothing behind.
_QUIET: dict[str, Any] = {
    "output_methods": [],
    "output_handlers": None,
    "budget_kwh": None,
    "budget_kg_co2e": None,
    "log_level": "critical",
}


class Seen(NamedTuple):
    """The amount of some repetitions of a part, cumulative."""

    done: int
    amount: float


def whole(seen: Iterable[Seen], total: float, warm_up: float = 0.0) -> Forecast:
    """Return the amount of all repetitions in the training, from that of those in the dry run.

    Args:
        seen: Amounts so far, in the order of their counts.
        total: Number of repetitions in the training.
        warm_up: As for `Laps.forecast`.
    """
    points = list(seen)
    if not points or total <= 0:
        return NOTHING
    count, amount = points[-1]
    left = total / (total + count)
    laps = Laps(0.0)
    for point in points:
        laps.add(point.done / (total + count), point.amount)
    unseen = max(0.0, 1.0 - count / total)
    surprise = Surprise(*(left * (_AGAIN + reach * unseen) for reach in _UNSEEN))
    found = laps.forecast(warm_up * unseen, surprise)
    if found is None:
        return NOTHING
    value, low, high = (max(0.0, figure - amount) for figure in found)
    return Forecast(value, low * (1.0 - unseen * (1.0 - _lowest(points))), high)


def _lowest(points: Sequence[Seen]) -> float:
    """Return a factor for the lower end: a rate that falls is a warm-up whose end is not known."""
    middle = points[(len(points) - 1) // 2]
    last = points[-1]
    before, after = middle.done, last.done - middle.done
    if after <= 0 or middle.amount <= 0:
        return 1.0
    fall = 1.0 - (last.amount - middle.amount) / after / (middle.amount / before)
    return max(_LEAST_LEFT, 1.0 - _FALL * fall) if fall > 0 else 1.0


class Part:
    """A part of a training that is repeated: steps, or batches of validation.

    Attributes:
        total: How often it is repeated in the training.
        count: How often in the dry run.

    Args:
        least: How often in the dry run, at least; its laps are a small part of that.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self.total = 0.0
        self.count = 0
        self._laps = StepLaps()
        self._points: list[Point] = []
        self._window: OpenWindow | None = None

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self._window.age_s if self._window is not None else 0.0

    @property
    def energy(self) -> tuple[float, float]:
        """Joules of the hardware, and seconds, in the dry run."""
        if self._window is None:
            return 0.0, 0.0
        window = self._window.result
        return window.joules, window.duration_s

    def since(self, earlier: OpenWindow | None) -> tuple[float, float]:
        """Return joules and seconds from the begin of an earlier window to that of this part."""
        if self._window is None or earlier is None:
            return 0.0, 0.0
        window = earlier.up_to(self._window)
        return window.joules, window.duration_s

    def begin(self, tracker: Tracker, total: float) -> None:
        """Begin.

        Args:
            tracker: The tracker.
            total: How often it is repeated in the training.
        """
        self.total, self.count, self._laps, self._points = total, 0, StepLaps(), []
        self._window = tracker.window(at_once=True)
        self._laps.open(self._window, 0.0)

    def note(self, tracker: Tracker) -> None:
        """Note one repetition."""
        self.count += 1
        if self.count >= self._laps.due:
            self._laps.note(self.count, self.count / self._least, tracker.window)

    def end(self) -> None:
        """End; the devices are idle."""
        if self._window is not None:
            self._window.close()

    def forecasts(self) -> tuple[Forecast, Forecast]:
        """Return joules of the hardware and seconds in the training."""
        if self._window is None or not self.count:
            return NOTHING, NOTHING
        ends = Seen(self.count, self.energy[0]), Seen(self.count, self.energy[1])
        self._points += self._laps.taken()
        points = [(round(one.progress * self._least), one) for one in self._points]
        points = [(count, one) for count, one in points if count < self.count]
        warm_up = min(_MOST_WARM_UP, _WARM_UP_S / max(_WARM_UP_S, ends[1].amount))
        amounts = [*(Seen(count, one.joules) for count, one in points), ends[0]]
        seconds = [*(Seen(count, one.seconds) for count, one in points), ends[1]]
        return whole(amounts, self.total, warm_up), whole(seconds, self.total, warm_up)


class DryRun(Training):
    """Measures a dry run; writes no file and sends nothing.

    Attributes:
        least_steps: Steps to train at least.
        crowding: Runnable processes for each processor of the machine, at least 1: with more, the
            training may be slower or faster by this factor later.

    Args:
        settings: Settings of the tracker.
        least_steps: As above.
    """

    def __init__(self, settings: dict[str, Any], least_steps: int) -> None:
        kept = {key: one for key, one in settings.items() if not key.startswith("save_to_")}
        super().__init__(forecast=False, **{**kept, **_QUIET})
        self.least_steps = max(1, least_steps)
        self._parts = Part(self.least_steps), Part(_VALIDATION_BATCHES)
        self.crowding = 1.0
        self._trained = 0
        self._setup: OpenWindow | None = None

    def begin(self, **options: Any) -> None:
        """Begin, with the setup of the training."""
        super().begin(**options)
        self._setup = self.tracker.window(at_once=True)

    def begin_steps(self, total: float) -> None:
        """Begin with the steps.

        Args:
            total: Steps of the training.
        """
        self.phase("train")
        self._parts[0].begin(self.tracker, total)

    def step(self) -> bool:
        """Note a step; return whether there were enough."""
        part = self._parts[0]
        part.note(self.tracker)
        self._trained += 1
        if self._trained == 1 < part.total:
            self.tracker.drain_devices()
            part.begin(self.tracker, part.total - 1)
            return False
        is_long = part.count >= self.least_steps and part.seconds >= LEAST_S
        return is_long or part.count >= part.total

    def end_steps(self) -> None:
        """End the steps."""
        self.tracker.drain_devices()
        self._parts[0].end()

    def begin_validation(self, total: float) -> None:
        """Begin with a validation.

        Args:
            total: Batches of all validations of the training.
        """
        self.phase("validate")
        self._parts[1].begin(self.tracker, total)

    def validated(self) -> bool:
        """Note a batch of validation; return whether there were enough."""
        part = self._parts[1]
        part.note(self.tracker)
        is_long = part.count >= _VALIDATION_BATCHES and part.seconds >= _VALIDATION_S
        return is_long or part.count >= part.total

    def end_validation(self) -> None:
        """End the validation."""
        self.tracker.drain_devices()
        self._parts[1].end()

    def planned(self) -> Planned | None:
        """Return energy and time of the training; None if nothing was measured or trained."""
        from carbon_core import Estimate, Planned, joules

        report, steps = self.report, self._parts[0]
        if report is None or not report.is_known or not self._trained:
            return None
        found = list(zip(*(part.forecasts() for part in self._parts)))
        once = steps.since(self._setup)
        energy_j, seconds = (_sum(max(0.0, one), parts) for one, parts in zip(once, found))
        factor = kwh(report.run.pue)
        energy = Forecast(*(figure * factor for figure in energy_j))
        crowded = Factors(1.0 / self.crowding, self.crowding)
        energy, seconds = with_error(energy, crowded), with_error(seconds, crowded)
        errors = factors_of(report, seconds.value)[0]
        rate = Forecast(*(one * factor / max(1.0, steps.total) for one in found[0][0]))
        rate_kwh = Estimate(*with_error(with_error(rate, crowded), errors))
        return Planned(
            Estimate(*with_error(energy, errors)),
            Estimate(*seconds),
            f"dry run of {self._trained} step{'s' if self._trained > 1 else ''}",
            "step",
            rate_kwh.scaled(joules(1.0)),
            steps.total + (self._trained > steps.count),
        )


def _crowding() -> float:
    """Return the runnable processes for each processor in the last minute; at least 1."""
    if not hasattr(os, "getloadavg"):
        return 1.0
    available = getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))(0)
    return max(1.0, os.getloadavg()[0] / len(available))


def _sum(once: float, parts: Sequence[Forecast]) -> Forecast:
    """Return a total: parts are taken as correlated, so their ends add up."""
    return Forecast(*(once + sum(ends) for ends in zip(*parts)))


def estimate(
    training: Training, steps: int, run: Callable[[DryRun], None], *data: Any
) -> TrainingEstimate:
    """Make a dry run and return the estimate of the training.

    Args:
        training: The training of the callback, whose settings apply.
        steps: Steps to train at least.
        run: Trains the steps on a copy, within `DryRun.measure`.
        *data: What it reads: random generators in that are restored, as those of the process are.

    Raises:
        CarbonError: A training is being measured, or nothing could be measured.
    """
    from carbon_core import CarbonError, TrainingEstimate, cost

    if training.active:
        raise CarbonError("estimate() is for the time before a training; one is running")
    settings = training.tracker.settings
    # Values of files and variables are read again: as arguments, they would be trusted more.
    given = {
        key: value
        for key, value in settings.explicit().items()
        if settings.origin(key).source == "argument"
    }
    dry = DryRun(given, steps)
    with warnings.catch_warnings(), kept_random_state(*generators_in(*data)):
        warnings.simplefilter("ignore")  # the training itself repeats them
        dry.crowding = _crowding()
        run(dry)
        dry.crowding = max(dry.crowding, _crowding())
    planned, report = dry.planned(), dry.report
    if planned is None or report is None:
        raise CarbonError("nothing was measured in the dry run: see `carbon-callbacks detect`")
    limits = {"budget_kwh": settings.budget_kwh, "budget_kg_co2e": settings.budget_kg_co2e}
    most = max(report.intensities, key=lambda share: share.joules)
    return TrainingEstimate(
        planned,
        cost(planned, most.intensity, report.run.year),
        {name: limit for name, limit in limits.items() if limit is not None},
        report.run.year,
    )
