"""GPUs that are partitioned by MIG: no MIG device has its own meter, so the whole GPU is counted."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from carbon_core.records import Device

# Maximum number of compute slices of a GPU; on one with fewer, the share is a lower bound.
_MAX_SLICES = 7


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
                with contextlib.suppress(nvml.NVMLError):  # no MIG device at this index
                    one = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i)
                    found[nvml.nvmlDeviceGetUUID(one)] = Slice(board, _share(nvml, one))
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


def _is_partitioned(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _max_devices(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    except nvml.NVMLError:
        return 0


def _share(nvml: Any, one: Any) -> float:
    try:
        return float(nvml.nvmlDeviceGetAttributes(one).gpuInstanceSliceCount) / _MAX_SLICES
    except nvml.NVMLError:
        return 0.0
