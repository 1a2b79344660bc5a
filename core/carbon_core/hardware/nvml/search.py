"""Opens NVML meters: selects the GPUs and finds the best call to read each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.gpu_selection import select
from carbon_core.hardware.nvml import mig
from carbon_core.hardware.nvml.board import (
    Board,
    FailedReadout,
    ProbeResult,
    Readout,
    device_of,
    field_w,
    probe,
)
from carbon_core.hardware.nvml.meter import SLOW_NS, NvmlMeter
from carbon_core.hardware.nvml.session import Session
from carbon_core.records import Refusal
from carbon_core.threads import in_parallel

# GPUs update their power reading every 20 to 100 ms (Yang et al., SC'24).
_POLL_PERIOD_S = 0.1
# GPUs on a module with a processor, with a power meter for both (NVML_POWER_SCOPE_MODULE).
_MODULES = ("GH200", "GB200", "GB300")
_Problems = Callable[[str], None]


def load_nvml() -> None:
    """Import pynvml ahead of a detection, if it is installed."""
    with contextlib.suppress(ImportError):
        import pynvml  # noqa: F401


def open_nvml(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
) -> list[NvmlMeter]:
    """Return meters of the selected GPUs: one for counters, one for polled power.

    Args:
        clock: Source of the readings' times.
        period_s: Requested time between two reads of a counter, in seconds.
        gpu_ids: GPUs that the user selected, or None.
        environ: Environment variables that select GPUs (`CUDA_VARIABLES`).
        on_problem: Callback that receives messages for the user.

    Raises:
        MeterError: There is no driver, no GPU is selected, or none can be read.
    """
    import pynvml as nvml

    try:
        session = Session(nvml)
    except nvml.NVMLError as error:
        raise MeterError(f"NVML cannot be used: {error}", remedy=_remedy(error, nvml)) from error
    try:
        candidates = _candidates(nvml, gpu_ids, environ, on_problem)
        results, is_slow = _probe_all(nvml, candidates, clock)
    except nvml.NVMLError as error:
        session.shut_down()
        raise MeterError(f"NVML lists no GPU: {error}") from error
    dropped: list[Refusal] = []
    boards: list[Board] = []
    for candidate, result in zip(candidates, results):
        failed = [one for one in result.failed if _is_notable(nvml, one)]
        dropped += [_refusal(nvml, candidate.label, one) for one in failed]
        if result.readout is None:
            on_problem(
                f"{candidate.label} gives neither energy, power nor utilisation; "
                "its energy is not counted"
            )
        else:
            board = _board(nvml, candidate, result.readout)
            boards.append(board)
            dropped += _module_refusals(nvml, candidate, board)
    return _meters(session, boards, clock, period_s, dropped, is_slow=is_slow)


@dataclass(frozen=True)
class _Candidate:
    """A GPU that is to be counted.

    Attributes:
        index: Its index in the driver's order.
        uuid: Its UUID; empty when it is lost.
        handle: NVML's handle; None when it is lost.
        slices: Its selected MIG devices; none when the whole GPU is selected.
        is_partitioned: Whether MIG partitions it.
    """

    index: int
    uuid: str
    handle: Any
    slices: tuple[mig.Slice, ...]
    is_partitioned: bool

    @property
    def label(self) -> str:
        return f"GPU {self.index} ({self.uuid or 'lost'})"


def _candidates(
    nvml: Any,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
) -> list[_Candidate]:
    handles = [_handle(nvml, i) for i in range(nvml.nvmlDeviceGetCount())]
    uuids = [nvml.nvmlDeviceGetUUID(handle) if handle else "" for handle in handles]
    slices = mig.slices_of(nvml, handles)
    boards = {name: one.board for name, one in slices.items()}
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    selection = select(uuids, gpu_ids, visible, boards)
    problems = [selection.problem]
    if gpu_ids is None and visible is not None:
        problems.append(_order_problem(nvml, handles, visible, environ))
    for problem in filter(None, problems):
        on_problem(problem)
    return [
        _Candidate(
            i,
            uuids[i],
            handles[i],
            tuple(slices[name] for name in selection.slices.get(i, ())),
            i in boards.values(),
        )
        for i in selection.indices
    ]


def _probe_all(
    nvml: Any, candidates: Sequence[_Candidate], clock: Clock
) -> tuple[list[ProbeResult], bool]:
    """Probe every GPU, in parallel with a slow driver; return also whether it is slow."""
    results: dict[int, ProbeResult] = {}

    def attempt(candidate: _Candidate) -> None:
        handle = candidate.handle
        lost = ProbeResult(None, [])
        results[candidate.index] = lost if handle is None else probe(nvml, handle)

    began_ns = clock.monotonic_ns()
    for candidate in candidates[:1]:
        attempt(candidate)
    is_slow = len(candidates) * (clock.monotonic_ns() - began_ns) > SLOW_NS
    rest = [partial(attempt, candidate) for candidate in candidates[1:]]
    if is_slow and rest:
        in_parallel(rest, "carbon-gpu")
    else:
        for call in rest:
            call()
    return [results[candidate.index] for candidate in candidates], is_slow and bool(rest)


def _board(nvml: Any, candidate: _Candidate, readout: Readout) -> Board:
    device = device_of(nvml, candidate.handle, candidate.uuid, readout)
    device = mig.with_note(device, candidate.slices, on_board=candidate.is_partitioned)
    return Board(device, candidate.uuid, candidate.handle, readout, nvml.NVMLError)


def _module_refusals(nvml: Any, candidate: _Candidate, board: Board) -> list[Refusal]:
    """Return a refusal of the meter of a Grace Hopper module: processor, memory and GPU together."""
    if not any(kind in board.device.name for kind in _MODULES):
        return []
    field = (nvml.NVML_FI_DEV_POWER_INSTANT, nvml.NVML_POWER_SCOPE_MODULE)
    try:
        module_w = field_w(nvml, field)(candidate.handle)
    except nvml.NVMLError:
        return []
    reason = (
        f"the meter of the module of {candidate.label} ({module_w:.0f} W now) is not counted: it "
        "covers the processor, its memory and the GPU, which is already counted"
    )
    return [Refusal("nvml", "gpu", reason)]


def _handle(nvml: Any, index: int) -> Any:
    """Return the handle of a GPU, or None for one that is lost: the others keep their indices."""
    try:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except (nvml.NVMLError_GpuIsLost, nvml.NVMLError_NoPermission, nvml.NVMLError_Unknown):
        return None


def _order_problem(
    nvml: Any, handles: Sequence[Any], visible: str, environ: Mapping[str, str]
) -> str:
    """Return a warning where CUDA's indices may differ from the driver's, or an empty string."""
    by_bus = environ.get("CUDA_DEVICE_ORDER", "").strip() == "PCI_BUS_ID"
    by_index = any(entry.strip().isdecimal() for entry in visible.split(","))
    kinds = {nvml.nvmlDeviceGetName(handle) for handle in handles if handle}
    if by_bus or not by_index or len(kinds) < 2:
        return ""
    return (
        f"CUDA_VISIBLE_DEVICES={visible}: CUDA numbers the fastest GPU first, and this machine has "
        f"different ones ({', '.join(sorted(kinds))}); the order of the PCI bus was used. "
        "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or use UUIDs"
    )


def _is_notable(nvml: Any, failed: FailedReadout) -> bool:
    """Return whether to report a failed call; most drivers lack the averaged power."""
    unsupported = (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound)
    return failed.readout.kind == "counter" or not isinstance(failed.error, unsupported)


def _refusal(nvml: Any, label: str, failed: FailedReadout) -> Refusal:
    remedy = ""
    if isinstance(failed.error, nvml.NVMLError_NoPermission):
        remedy = (
            "in a container, add `utility` to NVIDIA_DRIVER_CAPABILITIES; for a virtual GPU, the "
            "administrator of its host must permit it"
        )
    return Refusal("nvml", "gpu", f"no {failed.readout.name} of {label}: {failed.error}", remedy)


def _meters(
    session: Session,
    boards: Sequence[Board],
    clock: Clock,
    period_s: float,
    dropped: Sequence[Refusal],
    *,
    is_slow: bool,
) -> list[NvmlMeter]:
    counters = [board for board in boards if board.device.kind == "counter"]
    polled = [board for board in boards if board.device.kind == "power"]
    meters: list[NvmlMeter] = []
    if counters:
        meters.append(NvmlMeter(session, counters, clock, period_s, is_slow=is_slow))
    if polled:
        meters.append(
            NvmlMeter(session, polled, clock, min(period_s, _POLL_PERIOD_S), is_slow=is_slow)
        )
    if not meters:
        session.shut_down()
        details = "".join(f"; {refusal.reason}" for refusal in dropped)
        reason = f"no GPU is selected (gpu_ids, CUDA_VISIBLE_DEVICES) or readable{details}"
        raise MeterError(reason)
    meters[0].dropped = tuple(dropped)
    return meters


def _remedy(error: Any, nvml: Any) -> str:
    if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return "ignore this without an NVIDIA GPU; otherwise install the NVIDIA driver"
    if error.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return "load the NVIDIA driver, or start the container with GPUs (`--gpus all`)"
    return "check that `nvidia-smi` works for this user"
