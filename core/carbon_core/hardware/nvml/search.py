"""Opens NVML meters: selects the GPUs and finds the best call to read each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.driver_calls import (
    RETRIES_S,
    Pause,
    again,
    attempt,
    attempt_text,
    reason_of,
    wait,
)
from carbon_core.hardware.gpu_selection import select
from carbon_core.hardware.host import Host
from carbon_core.hardware.nvml import mig
from carbon_core.hardware.nvml.board import (
    FIELD_POWER_INSTANT,
    Board,
    FailedReadout,
    ProbeResult,
    Readout,
    device_of,
    field_w,
    is_busy,
    name_of,
    probe,
    readouts,
)
from carbon_core.hardware.nvml.meter import SLOW_NS, NvmlMeter
from carbon_core.hardware.nvml.retries import Retries
from carbon_core.hardware.nvml.session import Session
from carbon_core.record import record
from carbon_core.records import Refusal
from carbon_core.system_files import matches
from carbon_core.threads import in_parallel

# NVML's numbers, which never change: an older package lacks some of their names.
_NO_PERMISSION = 4
_UNSUPPORTED = (3, 13)  # not supported, function not found
# Not there, not permitted, no board, GPU lost, library and driver of different versions.
_LASTING = (*_UNSUPPORTED, _NO_PERMISSION, 6, 9, 12, 15, 18)
_DRIVER_NOT_LOADED = 9
_LIBRARY_NOT_FOUND = 12
_SCOPE_MODULE = 1
# What pynvml loads on Linux.
_LIBRARY = "libnvidia-ml.so.1"
_NO_DRIVER_REMEDY = "ignore this without an NVIDIA GPU; otherwise install the NVIDIA driver"
_PACKAGE_REMEDY = "update it: `pip install --upgrade nvidia-ml-py`, and uninstall `pynvml`"
# GPUs on a module with a processor, with a power meter for both (NVML_POWER_SCOPE_MODULE).
_MODULES = ("GH200", "GB200", "GB300")
_Problems = Callable[[str], None]


def load_nvml() -> None:
    """Import pynvml ahead of a detection, if it is installed and there is a driver."""
    # A broken package may raise anything; the search reports it.
    with contextlib.suppress(Exception):
        if _has_driver():
            import pynvml  # noqa: F401


def _has_driver() -> bool:
    """Return whether pynvml could load the driver's library; the check costs a tenth of its import."""
    if "pynvml" in sys.modules or not sys.platform.startswith("linux"):
        return True
    import ctypes

    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def count_nvidia_boards(host: Host) -> int:
    """Return how many GPUs the NVIDIA driver shows to the operating system."""
    return len(matches(host.root / "proc/driver/nvidia/gpus", "*"))


def open_nvml(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
    pause: Pause = wait,
) -> list[NvmlMeter]:
    """Return meters of the selected GPUs: one for counters, one for polled power.

    Args:
        clock: Source of the readings' times.
        period_s: Requested time between two reads of a counter, in seconds.
        gpu_ids: GPUs that the user selected, or None.
        environ: Environment variables that select GPUs (`CUDA_VARIABLES`).
        on_problem: Callback that receives messages for the user.
        pause: Waits for some seconds, before a call that failed is made again.

    Raises:
        MeterError: There is no driver, no GPU is selected, or none can be read.
    """
    session = _open_session(on_problem, pause)
    nvml = session.nvml
    try:
        found = _handles(nvml, pause)
        candidates = _candidates(nvml, found, gpu_ids, environ, on_problem)
        results, is_slow = _probe_all(nvml, candidates, clock, pause)
    except Exception as error:
        session.shut_down()
        reason = f"NVML lists no GPU: {reason_of(error)}"
        on_problem(f"{reason}; no NVIDIA GPU is counted")
        raise MeterError(reason) from error
    dropped: list[Refusal] = []
    boards: list[Board] = []
    retries: list[Retries] = []
    for candidate, result in zip(candidates, results):
        failed = [one for one in result.failed if _is_notable(one)]
        dropped += [_refusal(candidate.label, one) for one in failed]
        if result.readout is None:
            reason = f"{candidate.label} gives neither energy, power nor utilisation"
            reason += f" ({candidate.error or _first_reason(result)})"
            on_problem(f"{reason}; its energy is not counted")
            dropped.append(Refusal("nvml", "gpu", reason))
        else:
            board = _board(nvml, candidate, result.readout)
            boards.append(board)
            better = [one.readout for one in result.failed if not _is_lasting(one.error)]
            retries += [Retries(board, better, clock)] if better else []
            dropped += _module_refusals(nvml, candidate, board)
    return _meters(session, boards, retries, clock, period_s, dropped, is_slow=is_slow)


def _first_reason(result: ProbeResult) -> str:
    return reason_of(result.failed[0].error) if result.failed else "no reason given"


def _open_session(on_problem: _Problems, pause: Pause) -> Session:
    if not _has_driver():
        reason = "NVML cannot be used: NVML Shared Library Not Found"
        raise MeterError(reason, remedy=_NO_DRIVER_REMEDY)
    try:
        import pynvml as nvml
    except Exception as error:
        reason = f"the package pynvml cannot be used: {reason_of(error)}"
        raise MeterError(reason, remedy=_PACKAGE_REMEDY) from error
    try:
        return again(lambda: Session(nvml), _is_lasting, pause)
    except Exception as error:
        reason, remedy = f"NVML cannot be used: {reason_of(error)}", _remedy(error)
        if _code(error) not in (None, _LIBRARY_NOT_FOUND, _DRIVER_NOT_LOADED):
            # The driver is there and refuses, as after an update without a reboot.
            on_problem(f"{reason}; no NVIDIA GPU is counted: {remedy}")
        raise MeterError(reason, remedy=remedy) from error


@record(frozen=True)
class _Candidate:
    """A GPU that is to be counted.

    Attributes:
        index: Its index in the driver's order.
        uuid: Its UUID; empty when it is lost or the driver does not return it.
        handle: NVML's handle; None when it is lost.
        slices: Its selected MIG devices; none when the whole GPU is selected.
        is_partitioned: Whether MIG partitions it.
        error: Why it has no handle, or an empty string.
    """

    index: int
    uuid: str
    handle: Any
    slices: tuple[mig.Slice, ...]
    is_partitioned: bool
    error: str = ""

    @property
    def label(self) -> str:
        unnamed = "lost" if self.handle is None else "without a UUID"
        return f"GPU {self.index} ({self.uuid or unnamed})"


def _candidates(
    nvml: Any,
    found: Sequence[tuple[Any, str]],
    gpu_ids: Sequence[int | str] | None,
    environ: Mapping[str, str],
    on_problem: _Problems,
) -> list[_Candidate]:
    handles = [handle for handle, _ in found]
    uuids = [_uuid(nvml, handle) if handle is not None else "" for handle in handles]
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
            found[i][1],
        )
        for i in selection.indices
    ]


def _probe_all(
    nvml: Any, candidates: Sequence[_Candidate], clock: Clock, pause: Pause
) -> tuple[list[ProbeResult], bool]:
    """Probe every GPU, in parallel with a slow driver; return also whether it seems slow.

    Those with a call that may have failed by chance are probed again, all after the same pause.
    """
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
    for pause_s in RETRIES_S:
        failed = [one for one in candidates if _may_recover(one, results[one.index])]
        if not failed:
            break
        pause(pause_s)
        for candidate in failed:
            attempt(candidate)
    return [results[candidate.index] for candidate in candidates], is_slow and bool(rest)


def _may_recover(candidate: _Candidate, result: ProbeResult) -> bool:
    """Return whether a better call than the one that works may have failed by chance."""
    return candidate.handle is not None and any(not _is_lasting(one.error) for one in result.failed)


def _board(nvml: Any, candidate: _Candidate, readout: Readout) -> Board:
    handle = candidate.handle
    name = candidate.uuid or f"index-{candidate.index}"
    device = device_of(nvml, handle, name, readout)
    device = mig.with_note(device, candidate.slices, on_board=candidate.is_partitioned)
    powers = [one for one in readouts(nvml, handle) if one.kind == "power"]
    find = partial(_find, nvml, candidate)
    return Board(device, handle, readout, find, powers, partial(is_busy, nvml))


def _find(nvml: Any, candidate: _Candidate) -> Any:
    """Return a new handle of a GPU; raises what the driver or the package raises."""
    uuid = candidate.uuid
    if not uuid:
        return nvml.nvmlDeviceGetHandleByIndex(candidate.index)
    handle = attempt(lambda: nvml.nvmlDeviceGetHandleByUUID(uuid), None)
    # Older packages take bytes.
    return handle if handle is not None else nvml.nvmlDeviceGetHandleByUUID(uuid.encode())


def _uuid(nvml: Any, handle: Any) -> str:
    return attempt_text(lambda: nvml.nvmlDeviceGetUUID(handle), "")


def _module_refusals(nvml: Any, candidate: _Candidate, board: Board) -> list[Refusal]:
    """Return a refusal of the meter of a Grace Hopper module: processor, memory and GPU together."""
    if not any(kind in board.device.name for kind in _MODULES):
        return []
    read_w = field_w(nvml, (FIELD_POWER_INSTANT, _SCOPE_MODULE))
    module_w = attempt(lambda: read_w(candidate.handle), None)
    if module_w is None:
        return []
    reason = (
        f"the meter of the module of {candidate.label} ({module_w:.0f} W now) is not counted: it "
        "covers the processor, its memory and the GPU, which is already counted"
    )
    return [Refusal("nvml", "gpu", reason)]


def _handles(nvml: Any, pause: Pause) -> list[tuple[Any, str]]:
    """Return what `_handle` does for every GPU of the driver."""
    count = again(lambda: nvml.nvmlDeviceGetCount(), _is_lasting, pause)  # noqa: PLW0108 - looked up within
    return [_handle(nvml, i, pause) for i in range(count)]


def _handle(nvml: Any, index: int, pause: Pause) -> tuple[Any, str]:
    """Return the handle of a GPU; None, with the reason, for one that is lost or refused."""
    try:
        return again(lambda: nvml.nvmlDeviceGetHandleByIndex(index), _is_lasting, pause), ""
    except Exception as error:  # noqa: BLE001 - the other GPUs are counted, and keep their indices
        return None, reason_of(error)


def _order_problem(
    nvml: Any, handles: Sequence[Any], visible: str, environ: Mapping[str, str]
) -> str:
    """Return a warning where CUDA's indices may differ from the driver's, or an empty string."""
    by_bus = environ.get("CUDA_DEVICE_ORDER", "").strip() == "PCI_BUS_ID"
    by_index = any(entry.strip().isdecimal() for entry in visible.split(","))
    kinds = {name_of(nvml, handle) for handle in handles if handle is not None}
    if by_bus or not by_index or len(kinds) < 2:
        return ""
    return (
        f"CUDA_VISIBLE_DEVICES={visible}: CUDA numbers the fastest GPU first, and this machine has "
        f"different ones ({', '.join(sorted(kinds))}); the order of the PCI bus was used. "
        "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or use UUIDs"
    )


def _code(error: object) -> int | None:
    """Return NVML's number of an error; None for an error of another kind."""
    value = getattr(error, "value", None)
    return value if isinstance(value, int) else None


def _is_lasting(error: object) -> bool:
    """Return whether a call that failed so fails later, too: not by chance."""
    return isinstance(error, (AttributeError, TypeError)) or _code(error) in _LASTING


def _is_notable(failed: FailedReadout) -> bool:
    """Return whether to report a failed call; most drivers lack the averaged power."""
    is_absent = isinstance(failed.error, AttributeError) or _code(failed.error) in _UNSUPPORTED
    return failed.readout.kind == "counter" or not is_absent


def _refusal(label: str, failed: FailedReadout) -> Refusal:
    remedy = ""
    if _code(failed.error) == _NO_PERMISSION:
        remedy = (
            "in a container, add `utility` to NVIDIA_DRIVER_CAPABILITIES; for a virtual GPU, the "
            "administrator of its host must permit it"
        )
    elif isinstance(failed.error, AttributeError):
        remedy = _PACKAGE_REMEDY
    reason = f"no {failed.readout.name} of {label}: {reason_of(failed.error)}"
    return Refusal("nvml", "gpu", reason, remedy)


def _meters(
    session: Session,
    boards: Sequence[Board],
    retries: Sequence[Retries],
    clock: Clock,
    period_s: float,
    dropped: Sequence[Refusal],
    *,
    is_slow: bool,
) -> list[NvmlMeter]:
    counters = [board for board in boards if board.device.kind == "counter"]
    polled = [board for board in boards if board.device.kind == "power"]
    meters = [
        NvmlMeter(session, group, clock, period_s, is_slow=is_slow, retries=of_group)
        for group, of_group in ((counters, ()), (polled, retries))
        if group
    ]
    if not meters:
        session.shut_down()
        details = "".join(f"; {refusal.reason}" for refusal in dropped)
        reason = f"no GPU is selected (gpu_ids, CUDA_VISIBLE_DEVICES) or readable{details}"
        raise MeterError(reason, by_choice=not dropped)
    meters[0].dropped = tuple(dropped)
    return meters


def _remedy(error: object) -> str:
    code = _code(error)
    if code == _LIBRARY_NOT_FOUND:
        return _NO_DRIVER_REMEDY
    if code == _DRIVER_NOT_LOADED:
        return "load the NVIDIA driver, or start the container with GPUs (`--gpus all`)"
    return _PACKAGE_REMEDY if code is None else "check that `nvidia-smi` works for this user"
