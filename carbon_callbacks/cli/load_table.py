"""The result of ``carbon-callbacks doctor --load`` as a table and lines, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from carbon_callbacks.cli.load_check import WINDOWS_S, DeviceCheck
from carbon_callbacks.cli.load_run import LoadCheck
from carbon_callbacks.cli.load_series import Update
from carbon_callbacks.cli.tables import Column
from carbon_callbacks.cli.tables import show as fit
from carbon_callbacks.cli.terminal import PlainConsole
from carbon_core.formatting import duration, power

_WINDOWS = f"windows {'/'.join(f'{length:g}' for length in WINDOWS_S)} s"
_COLUMNS = (
    Column("device", folds=True),
    Column("update", wraps=True, dropped=2),
    Column("idle"),
    Column("load"),
    Column("only rises", wraps=True, dropped=3),
    Column("counter vs. power", wraps=True),
    Column(_WINDOWS, wraps=True, dropped=1),
)

_NOTHING = "no counter was checked: no device has one"


def as_data(check: LoadCheck) -> dict[str, Any]:
    """Return the result for JSON."""
    return {**asdict(check), "problems": check.problems}


def show(check: LoadCheck, console: PlainConsole) -> None:
    """Print the result."""
    title = f"Under load: {check.processes} processes, {check.seconds:g} s"
    fit(console, _COLUMNS, map(_cells, check.devices), title=title)
    for line in lines(check):
        console.print(line)


def lines(check: LoadCheck) -> Iterator[str]:
    """Yield the figures of the GPU's load, and what was not checked."""
    for device in check.devices:
        for kernel in device.kernels:
            wide = ""
            if kernel.wide_pct is not None:
                wide = f"; above the pause, until 0.25 s later {kernel.wide_pct:+.1f} %"
            yield (
                f"{device.name}: kernels for {duration(kernel.seconds)}: {kernel.energy_j:.1f} J, "
                f"expected {kernel.expected_j:.1f} J ({kernel.deviation_pct:+.1f} %{wide})"
            )
    yield from _costs(check.gpu)
    for device in check.devices:
        for text in device.not_checked:
            yield f"not checked: {device.component}: {device.name}: {text}"
    for text in check.not_checked:
        yield f"not checked: {text}"
    counters = sum(device.only_rises is not None for device in check.devices)
    if not check.problems:
        yield f"counters checked: {counters}, no problem found" if counters else _NOTHING


def _costs(gpu: dict[str, Any]) -> Iterator[str]:
    if drain := gpu.get("drain"):
        yield (
            f"torch.cuda.synchronize: {drain['empty_us']:.1f} us with an empty queue; a training step "
            f"takes {drain['step_ms']:.3f} ms, with it after each one "
            f"{drain['step_with_drain_ms']:.3f} ms"
        )
    if steps := gpu.get("steps"):
        added_us = 1000.0 * (steps["step_with_callback_ms"] - steps["step_ms"])
        yield (
            f"training step: {steps['step_ms']:.3f} ms, with the callback "
            f"{steps['step_with_callback_ms']:.3f} ms ({added_us:+.1f} us)"
        )


def _cells(device: DeviceCheck) -> tuple[str, ...]:
    rises = {None: "-", True: "yes", False: "no"}[device.only_rises]
    pairs = device.counter_vs_power_pct.items()
    worst = {one.seconds: f"{one.worst_pct:.1f}" for one in device.windows}
    windows = "/".join(worst.get(length, "-") for length in WINDOWS_S)
    return (
        f"{device.component}: {device.name}",
        _update(device),
        _watts(device.idle_w),
        _watts(device.load_w),
        rises,
        ", ".join(f"{name} {pct:+.1f} %" for name, pct in pairs) or "-",
        f"{windows} %" if worst else "-",
    )


def _update(device: DeviceCheck) -> str:
    parts = [("", device.update), ("power ", device.power_update)]
    return ", ".join(f"{name}{_period(one)}" for name, one in parts if one) or "-"


def _period(update: Update) -> str:
    return f"{'≤ ' if update.is_limit else ''}{update.seconds * 1000:.3g} ms"


def _watts(power_w: float | None) -> str:
    return "-" if power_w is None else power(power_w)
