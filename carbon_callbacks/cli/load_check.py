"""Checks of meters under a constant load: functions of series of readings, without any hardware."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

from carbon_callbacks.cli.load_series import (
    LONGEST_UPDATE_S,
    Curve,
    Series,
    Span,
    Update,
    longest_still_s,
    update_of,
)
from carbon_core import formatting, units
from carbon_core.records import Component, Device

# A counter and the power of the same device may differ by this much: a share, or watts.
POWER_BOUND = 0.10
POWER_BOUND_W = 5.0
WINDOWS_S = (0.1, 0.5, 1.0, 5.0)
_STILL_S = 1.0
# Windows of one length that a series must have for a comparison.
_FEWEST_WINDOWS = 2
# A load that raises the power by less is not seen by the meter.
_RISE = 1.1
_REST_NS = units.nanoseconds(1.0)
# Multiples of the golden section are spread evenly.
_SPREAD = 0.618034
_MODELS = "DE"


@dataclass(frozen=True)
class WindowCheck:
    """Windows of about one length within a constant load, compared with the mean power.

    Attributes:
        seconds: Mean length of a window.
        count: Number of windows.
        median_pct: Median deviation from the mean, in percent.
        worst_pct: Largest deviation, in percent.
    """

    seconds: float
    count: int
    median_pct: float
    worst_pct: float


@dataclass(frozen=True)
class KernelWindow:
    """The energy of a window around one period of kernels.

    Attributes:
        seconds: Duration of the kernels.
        energy_j: Energy from their begin to their end, as the counter shows it at these times.
        expected_j: Mean power under load times the duration.
        wide_pct: Deviation of the energy above that of the pause before, with the time after the kernels
            included.
    """

    seconds: float
    energy_j: float
    expected_j: float
    wide_pct: float | None

    @property
    def deviation_pct(self) -> float:
        """Deviation from the expected energy in percent."""
        return _off_pct(self.energy_j, self.expected_j)


@dataclass
class DeviceCheck:
    """Results for one device.

    Attributes:
        device_id: Its id.
        component: cpu, gpu or ram.
        name: Its name.
        meter: The method of measurement.
        update: How often its value changes, or None.
        power_update: How often its second power reading changes, or None.
        idle_w: Mean power of the idle machine.
        load_w: Mean power under load; None where its component was not loaded.
        only_rises: Whether its counter never falls; None where it has no counter.
        still_s: Longest time without a change of the counter.
        windows: Windows within the constant load.
        kernels: Windows around kernels, of a GPU.
        counter_vs_power_pct: Deviation of the counter from the integrated power, ``idle`` and under
            ``load``.
        problems: What is wrong with it.
        not_checked: What could not be checked, each with the reason.
    """

    device_id: str
    component: Component
    name: str
    meter: str
    update: Update | None = None
    power_update: Update | None = None
    idle_w: float | None = None
    load_w: float | None = None
    only_rises: bool | None = None
    still_s: float | None = None
    windows: list[WindowCheck] = field(default_factory=list)
    kernels: list[KernelWindow] = field(default_factory=list)
    counter_vs_power_pct: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Spans:
    """When the machine did what.

    Attributes:
        fast: Idle, with readings in quick succession.
        idle: Idle.
        load: Constant load of the device, once it is steady; None without a load.
        kernels: Each period of kernels.
    """

    fast: Span
    idle: Span
    load: Span | None = None
    kernels: Sequence[Span] = ()


def is_model(device: Device) -> bool:
    """Return whether a device is estimated by a model, which has no sensor to check."""
    return device.method.grade in _MODELS


def check_device(
    device: Device, readings: Series, power: Series | None, spans: Spans
) -> DeviceCheck:
    """Check one device.

    Args:
        device: The device.
        readings: Its readings during the whole check, in joules or watts by its kind.
        power: A second reading of its power in watts, or None.
        spans: When the machine did what.
    """
    check = DeviceCheck(device.id, device.component, device.name, device.method.summary)
    if not readings.values:
        check.problems.append(f"none of {readings.failed} readings succeeded")
        return check
    if readings.failed:
        check.problems.append(f"{readings.failed} of its readings failed")
    curve = Curve(device, readings)
    if spans.load is not None:
        check.load_w = curve.mean_power_w(spans.load)
    if is_model(device):
        check.idle_w = curve.mean_power_w(Span(spans.fast.start_ns, spans.idle.end_ns))
        check.not_checked.append(
            "update period, counter, windows: the device is estimated by a model"
        )
        return check
    check.idle_w = curve.mean_power_w(spans.idle)
    if spans.load is not None:
        check.windows = list(window_checks(curve, spans.load))
    check.update = update_of(readings.between(spans.fast))
    if device.kind == "counter":
        _check_counter(check, curve, spans)
        _check_power(check, curve, power, spans)
    else:
        check.not_checked.append("counter: the device has none, its power is read and integrated")
    if spans.load is not None and check.load_w is not None:
        check.kernels = list(kernel_windows(curve, check.load_w, spans.kernels))
        if check.idle_w is not None and check.load_w < _RISE * check.idle_w:
            check.not_checked.append(
                f"the energy of the load: it raised the power from {formatting.power(check.idle_w)} to "
                f"{formatting.power(check.load_w)} only (other work, or not this device)"
            )
    return check


def _check_counter(check: DeviceCheck, curve: Curve, spans: Spans) -> None:
    check.only_rises = not curve.falls
    if curve.falls:
        check.problems.append(f"its counter falls or jumps: {curve.falls} times")
    whole = spans.load or spans.idle
    check.still_s = longest_still_s(curve.readings.between(whole))
    limit_s = curve.device.still_s or _STILL_S
    if check.still_s is not None and check.still_s > limit_s:
        during = "under load" if spans.load else "on the idle machine"
        check.problems.append(
            f"its counter stands still for {formatting.duration(check.still_s)} {during}"
        )
    if check.still_s is not None and whole.seconds < limit_s:
        check.not_checked.append(
            f"stands still: it was read for {formatting.duration(whole.seconds)}, and a counter "
            f"may pause for {limit_s:g} s; use a longer --load"
        )


def _check_power(check: DeviceCheck, curve: Curve, power: Series | None, spans: Spans) -> None:
    if power is None or not power.values:
        check.not_checked.append("counter against power: no second reading of its power")
        return
    check.power_update = update_of(power.between(spans.fast))
    for name, span in (("idle", spans.idle), ("load", spans.load)):
        found = None if span is None else against_power(curve, power, span)
        if found is None:
            continue
        counter_w, power_w = found
        check.counter_vs_power_pct[name] = _off_pct(counter_w, power_w)
        if abs(counter_w - power_w) > max(POWER_BOUND * power_w, POWER_BOUND_W):
            check.problems.append(
                f"{name}: its counter gives {formatting.power(counter_w)}, "
                f"its power reading {formatting.power(power_w)}"
            )


def window_checks(curve: Curve, span: Span) -> Iterator[WindowCheck]:
    """Yield how well windows within a constant load agree with its mean, for each length that fits.

    The lengths vary by a quarter: windows of just an update period, or a multiple of it, would agree by
    chance.
    """
    mean_w = curve.mean_power_w(span)
    times = curve.readings.between(span).t_ns
    if not mean_w:
        return
    read_ns = statistics.median(b - a for a, b in pairwise(times))
    for seconds in WINDOWS_S:
        if read_ns > units.nanoseconds(seconds) / 2:
            continue  # only interpolated
        windows = list(_windows(times[0], times[-1], units.nanoseconds(seconds)))
        if len(windows) >= _FEWEST_WINDOWS:
            off = [abs(_off_pct(curve.energy_j(one), mean_w * one.seconds)) for one in windows]
            yield WindowCheck(seconds, len(off), statistics.median(off), max(off))


def _windows(start_ns: int, end_ns: int, length_ns: int) -> Iterator[Span]:
    """Yield successive windows of about a length, from three to five quarters of it."""
    for number in count():
        part = 0.75 + 0.5 * (_SPREAD * number % 1.0)
        window = Span(start_ns, start_ns + round(part * length_ns))
        if window.end_ns > end_ns:
            return
        yield window
        start_ns = window.end_ns


def against_power(curve: Curve, power: Series, span: Span) -> tuple[float, float] | None:
    """Return the mean power by the counter and by the integrated power reading, over the same time.

    None where the counter or the power has too few readings in the span.
    """
    exact = curve.steady(span)
    if exact is None or exact.seconds <= 0:
        return None
    readings = power.between(exact)
    if len(readings.t_ns) < 3:
        return None
    watts = Curve(_as_power(curve.device), readings)
    power_w = watts.mean_power_w(exact)
    return None if power_w is None else (curve.energy_j(exact) / exact.seconds, power_w)


def kernel_windows(curve: Curve, load_w: float, kernels: Sequence[Span]) -> Iterator[KernelWindow]:
    """Yield the energy of windows around kernels.

    Args:
        curve: The energy of the GPU.
        load_w: Its mean power under the same kernels without a pause.
        kernels: When they ran, each after a pause.
    """
    for span in kernels:
        if not curve.readings.between(span).t_ns:
            continue
        wide_pct = None
        # A GPU in use pauses at a higher power than an idle one.
        rest_w = curve.mean_power_w(Span(span.start_ns - _REST_NS, span.start_ns))
        if rest_w is not None and load_w > _RISE * rest_w:
            # The counter shows the last joules up to one update later.
            wide = Span(span.start_ns, span.end_ns + units.nanoseconds(LONGEST_UPDATE_S))
            above_j = curve.energy_j(wide) - rest_w * wide.seconds
            wide_pct = _off_pct(above_j, (load_w - rest_w) * span.seconds)
        yield KernelWindow(span.seconds, curve.energy_j(span), load_w * span.seconds, wide_pct)


def missing_windows(span: Span | None) -> list[float]:
    """Return the lengths of windows of which too few fit into a span."""
    seconds = 0.0 if span is None else span.seconds
    return [length for length in WINDOWS_S if seconds < _FEWEST_WINDOWS * length]


def _as_power(device: Device) -> Device:
    return Device(device.id, device.component, device.name, device.method, kind="power")


def _off_pct(value: float, expected: float) -> float:
    return 100.0 * (value / expected - 1.0) if expected else 0.0
