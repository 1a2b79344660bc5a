"""GPUs that are partitioned by MIG: no MIG device has its own meter, so the whole GPU is counted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from carbon_core.hardware.driver_calls import attempt, attempt_text
from carbon_core.record import replace
from carbon_core.records import Device

# Maximum number of compute slices of a GPU; on one with fewer, the share is a lower bound.
_MAX_SLICES = 7
_ENABLED = 1  # NVML_DEVICE_MIG_ENABLE


class Slice(NamedTuple):
    """A MIG device.

    Attributes:
        board: Index of its GPU.
        share: Lower bound of its share of the GPU's compute slices.
    """

    board: int
    share: float


def slices_of(nvml: Any, handles: Sequence[Any]) -> dict[str, Slice]:
    """Return the MIG devices of all GPUs by UUID (``MIG-…``)."""
    found: dict[str, Slice] = {}
    for board, handle in enumerate(handles):
        if handle is not None and _is_partitioned(nvml, handle):
            for i in range(_max_devices(nvml, handle)):
                one = attempt(partial(_device, nvml, handle, i), None)
                uuid = attempt_text(partial(_uuid, nvml, one), "") if one is not None else ""
                if uuid:
                    found[uuid] = Slice(board, _share(nvml, one))
    return found


def with_note(device: Device, chosen: Sequence[Slice], *, on_board: bool) -> Device:
    """Return a GPU's device with a note about its MIG devices.

    Args:
        device: The GPU.
        chosen: Its selected MIG devices; none when the whole GPU is selected.
        on_board: Whether the GPU is partitioned.
    """
    if chosen:
        share = min(1.0, sum(one.share for one in chosen))
        note = f"MIG: the whole GPU is counted; the selected MIG devices are at least {share:.0%} of it"
        return replace(device, least_share=share, note=note)
    if on_board:
        return replace(device, note="MIG: the whole GPU is counted, with all its MIG devices")
    return device


def _device(nvml: Any, handle: Any, index: int) -> Any:
    return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)


def _uuid(nvml: Any, one: Any) -> str | bytes:
    uuid: str | bytes = nvml.nvmlDeviceGetUUID(one)
    return uuid


def _is_partitioned(nvml: Any, handle: Any) -> bool:
    current, _ = attempt(lambda: nvml.nvmlDeviceGetMigMode(handle), (0, 0))
    return bool(current == _ENABLED)


def _max_devices(nvml: Any, handle: Any) -> int:
    return attempt(lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)), 0)


def _share(nvml: Any, one: Any) -> float:
    slices = attempt(lambda: float(nvml.nvmlDeviceGetAttributes(one).gpuInstanceSliceCount), 0.0)
    return slices / _MAX_SLICES
