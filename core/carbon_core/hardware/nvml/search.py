"""Finds the boards to count, the best way to read each, and who shares it."""

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
from carbon_core.hardware.nvml.board import Board, Refused, Trial, Way, device_of, field_w, trial
from carbon_core.hardware.nvml.meter import SLOW_NS, NvmlMeter
from carbon_core.hardware.nvml.session import Session
from carbon_core.records import Refusal
from carbon_core.threads import in_parallel

# Boards refresh their power reading every 20 to 100 ms (Yang et al., SC'24).
_POLL_PERIOD_S = 0.1
# Boards that share a module, and a meter of it, with their processor (NVML_POWER_SCOPE_MODULE).
_MODULES = ("GH200", "GB200", "GB300")
_Problems = Callable[[str], None]


def load_nvml() -> None:
    """Load the library's Python module, if it is installed."""
    with contextlib.suppress(ImportError):
        import pynvml  # noqa: F401


def open_nvml(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
) -> list[NvmlMeter]:
    """Return meters over the chosen GPUs: one for counters, one for polled boards.

    Args:
        clock: Source of the readings' times.
        period_s: Wanted time between two reads of a counter, in seconds.
        gpu_ids: The user's choice of boards, or None.
        environ: Variables that choose boards: ``CUDA_VISIBLE_DEVICES``, ``CUDA_DEVICE_ORDER``.
        on_problem: Told in words about GPUs that were asked for and are not there.

    Raises:
        MeterError: There is no driver, no GPU is chosen, or a board lets nothing be read.
    """
    import pynvml as nvml

    try:
        session = Session(nvml)
    except nvml.NVMLError as error:
        raise MeterError(f"NVML cannot be used: {error}", remedy=_remedy(error, nvml)) from error
    try:
        candidates = _candidates(nvml, gpu_ids, environ, on_problem)
        trials, is_slow = _tried(nvml, candidates, clock)
    except nvml.NVMLError as error:
        session.shut_down()
        raise MeterError(f"NVML lists no GPU: {error}") from error
    dropped: list[Refusal] = []
    boards: list[Board] = []
    for candidate, tried in zip(candidates, trials):
        refused = [one for one in tried.refused if _matters(nvml, one)]
        dropped += [_refusal(nvml, candidate.label, one) for one in refused]
        if tried.way is None:
            on_problem(
                f"{candidate.label} gives neither energy, power nor utilisation; "
                "its energy is unknown and not counted"
            )
        else:
            board = _board(nvml, candidate, tried.way)
            boards.append(board)
            dropped += _module(nvml, candidate, board)
    return _meters(session, boards, clock, period_s, dropped, is_slow=is_slow)


@dataclass(frozen=True)
class _Candidate:
    """A board that shall count.

    Attributes:
        index: Its position in the driver's order.
        uuid: The driver's name for it; empty when it is lost.
        handle: NVML's handle; None when it is lost.
        slices: Its slices that were chosen; none when the whole board was.
        is_cut: Whether it is cut into slices at all.
    """

    index: int
    uuid: str
    handle: Any
    slices: tuple[mig.Slice, ...]
    is_cut: bool

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


def _tried(nvml: Any, candidates: Sequence[_Candidate], clock: Clock) -> tuple[list[Trial], bool]:
    """Try every board, those of a slow driver at the same time; tell also whether it is slow."""
    trials: dict[int, Trial] = {}

    def attempt(candidate: _Candidate) -> None:
        handle = candidate.handle
        trials[candidate.index] = Trial(None, []) if handle is None else trial(nvml, handle)

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
    return [trials[candidate.index] for candidate in candidates], is_slow and bool(rest)


def _board(nvml: Any, candidate: _Candidate, way: Way) -> Board:
    device = device_of(nvml, candidate.handle, candidate.uuid, way)
    device = mig.flagged(device, candidate.slices, on_board=candidate.is_cut)
    return Board(device, candidate.uuid, candidate.handle, way, nvml.NVMLError)


def _module(nvml: Any, candidate: _Candidate, board: Board) -> list[Refusal]:
    """Tell of the meter of a Grace Hopper module, which holds processor, memory and GPU."""
    if not any(kind in board.device.name for kind in _MODULES):
        return []
    field = (nvml.NVML_FI_DEV_POWER_INSTANT, nvml.NVML_POWER_SCOPE_MODULE)
    try:
        module_w = field_w(nvml, field)(candidate.handle)
    except nvml.NVMLError:
        return []
    reason = (
        f"the meter of the module of {candidate.label} ({module_w:.0f} W now) is not counted: it "
        "holds the processor, its memory and the GPU, which is counted already"
    )
    return [Refusal("nvml", "gpu", reason)]


def _handle(nvml: Any, index: int) -> Any:
    """Return a board's handle, or None for one that is lost: the others keep their positions."""
    try:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except (nvml.NVMLError_GpuIsLost, nvml.NVMLError_NoPermission, nvml.NVMLError_Unknown):
        return None


def _order_problem(
    nvml: Any, handles: Sequence[Any], visible: str, environ: Mapping[str, str]
) -> str:
    """Say when CUDA's indices may mean other boards than the driver's."""
    by_bus = environ.get("CUDA_DEVICE_ORDER", "").strip() == "PCI_BUS_ID"
    by_index = any(entry.strip().isdecimal() for entry in visible.split(","))
    kinds = {nvml.nvmlDeviceGetName(handle) for handle in handles if handle}
    if by_bus or not by_index or len(kinds) < 2:
        return ""
    return (
        f"CUDA_VISIBLE_DEVICES={visible}: CUDA counts the fastest GPU first and this machine has "
        f"different ones ({', '.join(sorted(kinds))}); they were taken in the order of their bus. "
        "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name UUIDs"
    )


def _matters(nvml: Any, refused: Refused) -> bool:
    """Tell whether a reader should know: most drivers lack the averaged power, which is no loss."""
    not_there = (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound)
    return refused.way.kind == "counter" or not isinstance(refused.error, not_there)


def _refusal(nvml: Any, label: str, refused: Refused) -> Refusal:
    remedy = ""
    if isinstance(refused.error, nvml.NVMLError_NoPermission):
        remedy = (
            "let this user read it: in a container the driver's `utility` capability "
            "(NVIDIA_DRIVER_CAPABILITIES); on a virtual GPU its host decides"
        )
    return Refusal("nvml", "gpu", f"no {refused.way.name} of {label}: {refused.error}", remedy)


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
        told = "".join(f"; {refusal.reason}" for refusal in dropped)
        reason = f"no GPU is chosen (gpu_ids or CUDA_VISIBLE_DEVICES) or can be read{told}"
        raise MeterError(reason)
    meters[0].dropped = tuple(dropped)
    return meters


def _remedy(error: Any, nvml: Any) -> str:
    if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return "none is needed without an NVIDIA GPU; otherwise install its driver"
    if error.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return "load the NVIDIA driver, or start the container with its GPUs (`--gpus all`)"
    return "see whether `nvidia-smi` works for this user"
