"""Simulated meters: what a driver makes of the true power, with its gain, steps, delays and failures.

Each function returns a value by time, for `carbon_core.testing.FakeMeter`; they may be nested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carbon_core import methods
from carbon_core.records import Device
from coverage_simulation.power import Power

Value = Callable[[float], "float | None"]
Spans = Sequence[tuple[float, float]]


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
