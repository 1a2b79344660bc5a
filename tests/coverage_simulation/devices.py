"""Simulated devices: their true power over time, and what a driver makes of it.

The functions for meters return a value by time, for `carbon_core.testing.FakeMeter`; they may be nested.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from carbon_core import methods
from carbon_core.records import Device

# What a driver returns at a time in seconds; None for a failed read.
Value = Callable[[float], "float | None"]
Spans = Sequence[tuple[float, float]]


class Ripple(NamedTuple):
    """Fast changes of power with the steps of a training: a square wave around the mean.

    Attributes:
        amplitude: Excess of the high part over the mean, as a share of it.
        period_s: Length of a step in seconds.
        duty: Part of the step (0 to 1) with the high power; times amplitude, less than the other part.
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


def counter(
    power: Power,
    gain: float = 1.0,
    *,
    offset_w: float = 0.0,
    update_s: float = 0.001,
    unit_j: float = 0.001,
    phase_s: float = 0.0,
    first_j: float = 5_000.0,
    wrap_j: float | None = None,
) -> Value:
    """Return an energy counter.

    Args:
        power: True power.
        gain: Reported / true.
        offset_w: Power that is reported where there is none, in watts.
        update_s: Time between two changes of the counter.
        unit_j: Its smallest step.
        phase_s: When within `update_s` it changes.
        first_j: Its value at time 0.
        wrap_j: Range; None for one that does not wrap.
    """

    def value(t_s: float) -> float:
        updated_s = t_s - (t_s + phase_s) % update_s
        joules = first_j + gain * power.joules(updated_s) + offset_w * updated_s
        joules = unit_j * int(joules / unit_j)
        return joules if wrap_j is None else joules % wrap_j

    return value


def restarted(value: Value, at_s: float) -> Value:
    """Return a counter that begins again with 0 at an instant: a reset, or a reloaded driver."""

    def after(t_s: float) -> float | None:
        now, before = value(t_s), value(at_s)
        return now if t_s < at_s or now is None or before is None else now - before

    return after


def polled(
    power: Power,
    gain: float = 1.0,
    *,
    window_s: float = 0.0,
    update_s: float = 0.02,
    phase_s: float = 0.0,
    unit_w: float = 0.001,
) -> Value:
    """Return a power sensor.

    Args:
        power: True power.
        gain: Reported / true.
        window_s: Time that a value is the mean of; 0 for an instant.
        update_s: Time between two values.
        phase_s: When within `update_s` a value is new.
        unit_w: Smallest step of a value.
    """

    def value(t_s: float) -> float:
        end_s = t_s - (t_s + phase_s) % update_s
        mean_w = (
            power.between(end_s - window_s, end_s) / window_s if window_s else power.watts(end_s)
        )
        return unit_w * round(gain * mean_w / unit_w)

    return value


def failing(value: Value, spans: Spans) -> Value:
    """Return a value whose reads fail within some spans, while the device works."""

    def or_none(t_s: float) -> float | None:
        return None if any(begin <= t_s < end for begin, end in spans) else value(t_s)

    return or_none


def standing(value: Value, spans: Spans) -> Value:
    """Return a counter that shows its last value within some spans, and jumps after them."""

    def held(t_s: float) -> float | None:
        return value(next((begin for begin, end in spans if begin <= t_s < end), t_s))

    return held


def amd_board(method: methods.Method, **more: Any) -> Device:
    """Return a board as the AMD SMI meter describes it."""
    return Device("gpu:amd-0", "gpu", "simulated board", method, **more)


def package(method: methods.Method = methods.RAPL_INTEL_SERVER, **more: Any) -> Device:
    """Return a processor package as the RAPL meter describes it."""
    fields: dict[str, Any] = {"wrap_j": 262_143.328850, "max_power_w": 2000.0, "still_s": 1.0}
    return Device("cpu:package-0", "cpu", "simulated package", method, **{**fields, **more})


def dram(**more: Any) -> Device:
    """Return the memory of a package as the RAPL meter describes it."""
    fields: dict[str, Any] = {"wrap_j": 65_532.610987, "max_power_w": 2000.0, "still_s": 1.0}
    return Device("ram:dram-0", "ram", "simulated memory", methods.RAPL_DRAM, **{**fields, **more})
