"""Opens AMD meters: the energy counter of a GPU where it agrees with its power, else the power."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.amd.answers import joules, names, watts
from carbon_core.hardware.amd.meter import STILL_S, AmdBoard, AmdMeter, Library
from carbon_core.hardware.driver_calls import RETRIES_S, Pause, again, lasts, reason_of, wait
from carbon_core.hardware.gpu_selection import select_amd
from carbon_core.hardware.host import Host
from carbon_core.methods import AMDSMI_ENERGY, AMDSMI_POWER
from carbon_core.plausible import whole_number
from carbon_core.record import record
from carbon_core.records import Device, Refusal
from carbon_core.system_files import matches, text_in

_MAX_GPU_W = 5000.0
_POLL_PERIOD_S = 0.1
_CHECK_S = 0.5
# Counters of MI100 under ROCm 6.2 are wrong by a factor (ROCm/amdsmi#38); a change of the load during
# the check has less effect.
_AGREE_LN = math.log(2.0)
_NO_PACKAGE = (
    'install it: `pip install "carbon-callbacks[amd]"`, in the version of the installed ROCm'
)


def has_amd_driver(host: Host) -> bool:
    """Return whether the driver of AMD's compute boards is loaded."""
    return (host.root / "sys/class/kfd").exists()


def count_amd_boards(host: Host) -> int:
    """Return how many GPUs AMD's driver shows to the operating system."""
    nodes = matches(host.root / "sys/class/kfd/kfd/topology/nodes", "*/gpu_id")
    return sum(bool(whole_number(text_in(node))) for node in nodes)


def open_amd(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: Callable[[str], None],
    pause: Pause = wait,
) -> list[AmdMeter]:
    """Return meters of the selected GPUs: one for counters, one for polled power.

    Args:
        clock: Source of the readings' times.
        period_s: Requested time between two reads of a counter, in seconds.
        gpu_ids: GPUs that the user selected, or None.
        environ: Environment variables that select GPUs; see `select_amd`.
        on_problem: Callback that receives messages for the user.
        pause: Waits for some seconds, between the two samples that check a counter.

    Raises:
        MeterError: The package or the driver is missing, or no selected GPU can be read.
    """
    try:
        import amdsmi as smi
    except Exception as error:  # importing it loads its library, which may raise anything
        raise MeterError("the package amdsmi cannot be used", remedy=_NO_PACKAGE) from error
    try:
        again(lambda: smi.amdsmi_init(), lasts, pause)  # noqa: PLW0108 - looked up within
    except Exception as error:
        raise MeterError(f"amdsmi cannot be used: {reason_of(error)}") from error
    library = Library(smi)
    try:
        handles = again(lambda: list(smi.amdsmi_get_processor_handles()), lasts, pause)
        boards, dropped = _boards(smi, handles, gpu_ids, environ, on_problem, clock, pause)
    except Exception as error:
        library.release()
        raise MeterError(f"amdsmi lists no GPU: {reason_of(error)}") from error
    meters = _meters(smi, boards, clock, period_s, library)
    if not meters:
        library.release()
        details = "".join(f"; {refusal.reason}" for refusal in dropped)
        raise MeterError(
            f"no AMD GPU is selected or readable{details}", by_choice=bool(handles) and not dropped
        )
    meters[0].dropped = tuple(dropped)
    return meters


def _meters(
    smi: Any, boards: Sequence[AmdBoard], clock: Clock, period_s: float, library: Library
) -> list[AmdMeter]:
    counters = [board for board in boards if board.device.kind == "counter"]
    polled = [board for board in boards if board.device.kind == "power"]
    groups = [(counters, period_s), (polled, min(period_s, _POLL_PERIOD_S))]
    return [AmdMeter(smi, group, clock, every_s, library) for group, every_s in groups if group]


# --- selection and checks -------------------------------------------------------------------------


@record
class _Sampled:
    """A GPU with its mean power and the slope of its counter over two samples, 0.5 s apart."""

    handle: Any
    name: str
    serial: str
    watts: float | None = None
    counted_w: float | None = None
    counter_j: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has never drawn anything: the second die of a package is metered with the first."""
        return self.counter_j == 0.0 or (self.counter_j is None and self.watts == 0.0)

    @property
    def is_silent(self) -> bool:
        """Whether it has neither a power sensor nor a counter that moves; a power of 0 is a sleep."""
        return self.watts is None and not self.counted_w

    @property
    def has_valid_counter(self) -> bool:
        """Whether its counter moves, and agrees with its power if that is known."""
        if not self.counted_w or self.counted_w < 0.0:
            return False
        if not self.watts:
            return True
        return abs(math.log(self.counted_w / self.watts)) < _AGREE_LN


def _boards(
    smi: Any,
    handles: Sequence[Any],
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: Callable[[str], None],
    clock: Clock,
    pause: Pause,
) -> tuple[list[AmdBoard], list[Refusal]]:
    found = [_Sampled(handle, *names(smi, handle, i)) for i, handle in enumerate(handles)]
    selection = select_amd([f"GPU-{one.serial}" for one in found], gpu_ids, environ)
    if selection.problem:
        on_problem(selection.problem)
    if selection.indices:
        _sample_twice(smi, found, clock, pause)
    boards: dict[int, AmdBoard] = {}
    dropped: list[Refusal] = []
    for i in selection.indices:
        owner = _metered_with(found, i)
        one = found[owner]
        if one.is_silent:
            reason = f"AMD GPU {i} ({one.serial}) gives neither energy nor power; it is not counted"
            dropped.append(Refusal("amdsmi", "gpu", reason))
            on_problem(reason)
            continue
        note = ""
        if owner + 1 < len(found) and _metered_with(found, owner + 1) == owner:
            note = "two dies share its meter: both are counted"
        if not one.has_valid_counter:
            label = f"AMD GPU {owner} ({one.serial})"
            reason = f"the energy counter of {label} is missing or contradicts its power"
            dropped.append(Refusal("amdsmi", "gpu", reason))
        boards.setdefault(owner, AmdBoard(_device(one, note), one.handle))
    return list(boards.values()), dropped


def _metered_with(found: Sequence[_Sampled], i: int) -> int:
    """Return the index of the GPU whose meter covers this one: itself or the package's first die."""
    one = found[i]
    is_second_die = i > 0 and one.is_empty and found[i - 1].name == one.name
    return i - 1 if is_second_die and not found[i - 1].is_empty else i


def _device(one: _Sampled, note: str) -> Device:
    counter = one.has_valid_counter
    return Device(
        f"gpu:GPU-{one.serial}",
        "gpu",
        one.name,
        AMDSMI_ENERGY if counter else AMDSMI_POWER,
        kind="counter" if counter else "power",
        max_power_w=_MAX_GPU_W,
        still_s=STILL_S,
        note=note,
    )


def _sample_twice(smi: Any, found: Sequence[_Sampled], clock: Clock, pause: Pause) -> None:
    before = [_sample(smi, one, clock) for one in found]
    if any(None in sample for sample in before):
        # A counter that has failed by chance would cost its board the counter for the whole run.
        pause(RETRIES_S[0])
        before = [
            _sample(smi, one, clock) if None in sample else sample
            for one, sample in zip(found, before)
        ]
    pause(_CHECK_S)
    for one, (since_ns, earlier_j, earlier_w) in zip(found, before):
        later_ns, later_j, later_w = _sample(smi, one, clock)
        if later_j is None and earlier_j is not None:
            later_ns, later_j, _ = _sample(smi, one, clock)
        span_s = units.seconds(later_ns - since_ns)
        known_w = [power_w for power_w in (earlier_w, later_w) if power_w is not None]
        one.watts = sum(known_w) / len(known_w) if known_w else None
        one.counter_j = later_j
        if earlier_j is not None and later_j is not None and span_s > 0:
            one.counted_w = (later_j - earlier_j) / span_s


def _sample(smi: Any, one: _Sampled, clock: Clock) -> tuple[int, float | None, float | None]:
    """Return the time, the counter in joules and the power in watts of a GPU."""
    return clock.monotonic_ns(), joules(smi, one.handle), watts(smi, one.handle)
