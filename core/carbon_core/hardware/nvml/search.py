"""Finds the boards to count, the best way to read each, and who shares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.gpu_selection import select
from carbon_core.hardware.nvml import mig
from carbon_core.hardware.nvml.board import Board, Refused, best_way, device_of
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.hardware.nvml.session import Session
from carbon_core.records import Refusal

# Boards refresh their power reading every 20 to 100 ms (Yang et al., SC'24).
_POLL_PERIOD_S = 0.1
_Problems = Callable[[str], None]


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
    dropped: list[Refusal] = []
    try:
        boards = _chosen(nvml, gpu_ids, environ, on_problem, dropped)
    except nvml.NVMLError as error:
        session.shut_down()
        raise MeterError(f"NVML lists no GPU: {error}") from error
    return _meters(session, boards, clock, period_s, dropped)


def _chosen(
    nvml: Any,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
    dropped: list[Refusal],
) -> list[Board]:
    handles = [_handle(nvml, i) for i in range(nvml.nvmlDeviceGetCount())]
    uuids = [nvml.nvmlDeviceGetUUID(handle) if handle else "" for handle in handles]
    slices = mig.slices_of(nvml, handles)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    positions = {name: one.board for name, one in slices.items()}
    selection = select(uuids, gpu_ids, visible, positions)
    problems = [selection.problem]
    if gpu_ids is None and visible is not None:
        problems.append(_order_problem(nvml, handles, visible, environ))
    for problem in filter(None, problems):
        on_problem(problem)
    boards: list[Board] = []
    for i in selection.indices:
        label = f"GPU {i} ({uuids[i] or 'lost'})"
        board = _board(nvml, handles[i], uuids[i], label, dropped) if handles[i] else None
        if board is None:
            on_problem(
                f"{label} gives neither energy, power nor utilisation; "
                "its energy is unknown and not counted"
            )
            continue
        chosen = [slices[name] for name in selection.slices.get(i, ())]
        on_board = any(one.board == i for one in slices.values())
        board.device = mig.flagged(board.device, chosen, on_board=on_board)
        boards.append(board)
    return boards


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


def _board(nvml: Any, handle: Any, uuid: str, label: str, dropped: list[Refusal]) -> Board | None:
    way, refused = best_way(nvml, handle)
    dropped += [_refusal(nvml, label, one) for one in refused if _matters(nvml, one)]
    if way is None:
        return None
    device = device_of(nvml, handle, uuid, way)
    return Board(device, uuid, handle, way, nvml.NVMLError)


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
) -> list[NvmlMeter]:
    counters = [board for board in boards if board.device.kind == "counter"]
    polled = [board for board in boards if board.device.kind == "power"]
    meters: list[NvmlMeter] = []
    if counters:
        meters.append(NvmlMeter(session, counters, clock, period_s))
    if polled:
        meters.append(NvmlMeter(session, polled, clock, min(period_s, _POLL_PERIOD_S)))
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
