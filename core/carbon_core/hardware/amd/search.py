"""Finds the AMD boards to count: the energy counter where it agrees with the power, else the power."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.amd.answers import joules, line, names, watts
from carbon_core.hardware.amd.meter import AmdBoard, AmdMeter, Library
from carbon_core.hardware.gpu_selection import select_amd
from carbon_core.hardware.host import Host
from carbon_core.methods import AMDSMI_ENERGY, AMDSMI_POWER
from carbon_core.records import Device, Refusal

_MAX_GPU_W = 5000.0
_POLL_PERIOD_S = 0.1
_CHECK_S = 0.5
# Counters of MI100 under ROCm 6.2 are off by a factor (ROCm/amdsmi#38); a load that changes within
# the check is not that much.
_AGREE_LN = math.log(2.0)
_NO_PACKAGE = 'install it: `pip install "carbon-callbacks[amd]"`, in the version of your ROCm'


def has_amd_driver(host: Host) -> bool:
    """Return whether the driver of AMD's compute boards is loaded."""
    return (host.root / "sys/class/kfd").exists()


def open_amd(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: Callable[[str], None],
    pause: Callable[[float], object] = lambda seconds: threading.Event().wait(seconds),
) -> list[AmdMeter]:
    """Return meters over the chosen boards: one for counters, one for polled boards.

    Args:
        clock: Source of the readings' times.
        period_s: Wanted time between two reads of a counter, in seconds.
        gpu_ids: The user's choice of boards, or None.
        environ: Variables that choose boards; see `select_amd`.
        on_problem: Told in words about boards that were asked for and are not there.
        pause: Waits so many seconds between the two looks that a counter is checked by.

    Raises:
        MeterError: The package or the driver is not there, or no chosen board can be read.
    """
    try:
        import amdsmi as smi
    except Exception as error:  # it looks for its library while it is imported, in its own ways
        raise MeterError("the package amdsmi cannot be used", remedy=_NO_PACKAGE) from error
    try:
        smi.amdsmi_init()
    except smi.AmdSmiException as error:
        raise MeterError(f"amdsmi cannot be used: {line(error)}") from error
    library = Library(smi)
    try:
        handles = list(smi.amdsmi_get_processor_handles())
        boards, dropped = _boards(smi, handles, gpu_ids, environ, on_problem, clock, pause)
    except smi.AmdSmiException as error:
        library.release()
        raise MeterError(f"amdsmi lists no GPU: {line(error)}") from error
    meters = _meters(smi, boards, clock, period_s, library)
    if not meters:
        library.release()
        told = "".join(f"; {refusal.reason}" for refusal in dropped)
        raise MeterError(f"no AMD GPU is chosen or can be read{told}")
    meters[0].dropped = tuple(dropped)
    return meters


def _meters(
    smi: Any, boards: Sequence[AmdBoard], clock: Clock, period_s: float, library: Library
) -> list[AmdMeter]:
    counters = [board for board in boards if board.device.kind == "counter"]
    polled = [board for board in boards if board.device.kind == "power"]
    groups = [(counters, period_s), (polled, min(period_s, _POLL_PERIOD_S))]
    return [AmdMeter(smi, group, clock, every_s, library) for group, every_s in groups if group]


# --- which boards, and how ----------------------------------------------------------------------------


@dataclass
class _Found:
    """A board and what two looks at it, half a second apart, have told."""

    handle: Any
    name: str
    serial: str
    watts: float | None = None
    counted_w: float | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it tells nothing: the second die of a package is metered with the first."""
        return not self.watts and not self.counted_w

    @property
    def has_true_counter(self) -> bool:
        """Whether its counter rises about as its power says."""
        if not self.watts or not self.counted_w:
            return False
        return abs(math.log(self.counted_w / self.watts)) < _AGREE_LN


def _boards(
    smi: Any,
    handles: Sequence[Any],
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: Callable[[str], None],
    clock: Clock,
    pause: Callable[[float], object],
) -> tuple[list[AmdBoard], list[Refusal]]:
    found = [_Found(handle, *names(smi, handle, i)) for i, handle in enumerate(handles)]
    selection = select_amd([f"GPU-{one.serial}" for one in found], gpu_ids, environ)
    if selection.problem:
        on_problem(selection.problem)
    if selection.indices:
        _look_twice(smi, found, clock, pause)
    boards: dict[int, AmdBoard] = {}
    dropped: list[Refusal] = []
    for i in selection.indices:
        owner = _metered_with(found, i)
        one = found[owner]
        if one.is_silent:
            reason = f"AMD GPU {i} ({one.serial}) gives neither energy nor power; it is not counted"
            dropped.append(Refusal("amdsmi", "gpu", reason))
            continue
        note = ""
        if owner + 1 < len(found) and _metered_with(found, owner + 1) == owner:
            note = "two dies share its meter: both are counted"
        if not one.has_true_counter:
            label = f"AMD GPU {owner} ({one.serial})"
            reason = f"the energy counter of {label} is absent or contradicts its power"
            dropped.append(Refusal("amdsmi", "gpu", reason))
        boards.setdefault(owner, AmdBoard(_device(one, note), one.handle))
    return list(boards.values()), dropped


def _metered_with(found: Sequence[_Found], i: int) -> int:
    """Return the board whose meter covers this one: itself, or the first die of its package."""
    one = found[i]
    is_second_die = i > 0 and one.is_silent and found[i - 1].name == one.name
    return i - 1 if is_second_die and not found[i - 1].is_silent else i


def _device(one: _Found, note: str) -> Device:
    counter = one.has_true_counter
    return Device(
        f"gpu:GPU-{one.serial}",
        "gpu",
        one.name,
        AMDSMI_ENERGY if counter else AMDSMI_POWER,
        kind="counter" if counter else "power",
        max_power_w=_MAX_GPU_W,
        note=note,
    )


def _look_twice(
    smi: Any, found: Sequence[_Found], clock: Clock, pause: Callable[[float], object]
) -> None:
    before = [(clock.monotonic_ns(), joules(smi, one.handle)) for one in found]
    first_w = [watts(smi, one.handle) for one in found]
    pause(_CHECK_S)
    for one, (since_ns, earlier_j), earlier_w in zip(found, before, first_w):
        span_s = units.seconds(clock.monotonic_ns() - since_ns)
        later_j, later_w = joules(smi, one.handle), watts(smi, one.handle)
        told_w = [told for told in (earlier_w, later_w) if told]
        one.watts = sum(told_w) / len(told_w) if told_w else None
        if earlier_j is not None and later_j is not None and span_s > 0:
            one.counted_w = (later_j - earlier_j) / span_s
