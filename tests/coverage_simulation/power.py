"""True power of a simulated device as a function of time, and its exact integral."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple


class Ripple(NamedTuple):
    """Fast changes of power with the steps of a training: a square wave around the mean.

    Attributes:
        amplitude: Excess of the high part over the mean, as a share of it.
        period_s: Length of a step in seconds.
        duty: Part of the step (0 to 1) with the high power.
    """

    amplitude: float = 0.0
    period_s: float = 1.0
    duty: float = 0.5

    def level(self, t_s: float) -> float:
        """Return the power relative to the mean at an instant."""
        if not self.amplitude:
            return 1.0
        is_high = t_s % self.period_s < self.duty * self.period_s
        low = 1.0 - self.amplitude * self.duty / (1.0 - self.duty)
        return 1.0 + self.amplitude if is_high else low

    def excess_s(self, t_s: float) -> float:
        """Return the integral of `level` - 1 from 0 to an instant, in seconds."""
        if not self.amplitude:
            return 0.0
        within_s, high_s = t_s % self.period_s, self.duty * self.period_s
        if within_s < high_s:
            return self.amplitude * within_s
        low = self.amplitude * self.duty / (1.0 - self.duty)
        return self.amplitude * high_s - low * (within_s - high_s)


class Power:
    """Power in steps, with a ripple.

    Args:
        starts_s: Beginnings of the steps in seconds, ascending; the first one is valid before, too.
        watts: Mean power of each step.
        ripple: Fast changes around it.
    """

    def __init__(
        self, starts_s: Sequence[float], watts: Sequence[float], ripple: Ripple | None = None
    ) -> None:
        self._starts_s, self.levels_w = list(starts_s), list(watts)
        self._ripple = ripple or Ripple()
        self._joules = [0.0]
        for i in range(1, len(starts_s)):
            before = self._joules[-1]
            self._joules.append(before + self._within(i - 1, starts_s[i]))

    @property
    def steps(self) -> list[tuple[float, float]]:
        """When each step begins, and its mean power."""
        return list(zip(self._starts_s, self.levels_w))

    def watts(self, t_s: float) -> float:
        """Return the power at an instant."""
        return self.levels_w[self._step(t_s)] * self._ripple.level(t_s)

    def joules(self, t_s: float) -> float:
        """Return the energy from the first step's beginning to an instant; negative before."""
        i = self._step(t_s)
        return self._joules[i] + self._within(i, t_s)

    def between(self, begin_s: float, end_s: float) -> float:
        """Return the energy between two instants in joules."""
        return self.joules(end_s) - self.joules(begin_s)

    def mapped(self, change: Callable[[float], float], ripple: Ripple | None = None) -> Power:
        """Return a function of it over the same steps, with a ripple of its own."""
        return Power(self._starts_s, [change(one) for one in self.levels_w], ripple)

    def _step(self, t_s: float) -> int:
        return max(0, bisect_right(self._starts_s, t_s) - 1)

    def _within(self, i: int, t_s: float) -> float:
        since_s = self._starts_s[i]
        span_s = t_s - since_s + self._ripple.excess_s(t_s) - self._ripple.excess_s(since_s)
        return self.levels_w[i] * span_s


def course(rng: Random, begin_s: float, duration_s: float) -> Power:
    """Return the load (0 to 1) of a training: setup, then epochs with a validation each.

    Args:
        rng: Source of chance.
        begin_s: Time at which the run starts; the load is that of the setup before.
        duration_s: Length of the run.
    """
    setup_s = min(0.1 * duration_s, rng.uniform(2.0, 20.0))
    starts, levels = [begin_s - 60.0], [rng.uniform(0.02, 0.2)]
    t_s, epochs = begin_s + setup_s, rng.randint(2, 12)
    epoch_s = (duration_s - setup_s) / epochs
    train, validate = rng.uniform(0.55, 0.95), rng.uniform(0.3, 0.7)
    part = rng.uniform(0.05, 0.25)  # of an epoch that validates
    for _ in range(epochs):
        for share in (0.3, 0.7):  # the load wanders within an epoch
            starts.append(t_s)
            levels.append(min(1.0, train * rng.uniform(0.93, 1.07)))
            t_s += epoch_s * (1.0 - part) * share
        starts.append(t_s)
        levels.append(validate * rng.uniform(0.9, 1.1))
        t_s += epoch_s * part
    return Power(starts, levels)


def board(
    load: Power, idle_w: float, limit_w: float, ripple: Ripple | None = None, reach: float = 1.0
) -> Power:
    """Return the power of a board with a load.

    Args:
        load: Load from 0 to 1.
        idle_w: Power at rest.
        limit_w: Rated power.
        ripple: Fast changes with the steps of the training.
        reach: Part of the rated power that a full load takes.
    """
    span_w = reach * limit_w - idle_w
    return load.mapped(lambda level: idle_w + span_w * level, ripple)
