"""Boards cut into slices (MIG): no slice has a meter of its own, so the whole board counts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from carbon_core.records import Device

# The most compute slices a board has; of one with fewer, a slice is more than the share said here.
_MOST_SLICES = 7


class Slice(NamedTuple):
    """A slice of a board.

    Attributes:
        board: Position of its board.
        share: Share of the board's compute slices, at least.
    """

    board: int
    share: float


def slices_of(nvml: Any, handles: Sequence[Any]) -> dict[str, Slice]:
    """Return the slices of all boards by their UUID (``MIG-…``)."""
    found: dict[str, Slice] = {}
    for board, handle in enumerate(handles):
        if handle is not None and _is_cut(nvml, handle):
            for i in range(_most_slices(nvml, handle)):
                with contextlib.suppress(nvml.NVMLError):  # no slice at this place
                    one = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i)
                    found[nvml.nvmlDeviceGetUUID(one)] = Slice(board, _share(nvml, one))
    return found


def flagged(device: Device, chosen: Sequence[Slice], *, on_board: bool) -> Device:
    """Return a board's device with what a reader must know about its slices.

    Args:
        device: The board.
        chosen: The slices of it that were asked for; none when the whole board was.
        on_board: Whether the board is cut into slices at all.
    """
    if chosen:
        share = min(1.0, sum(one.share for one in chosen))
        note = (
            f"a MIG board: the whole board counts; the chosen slices are at least {share:.0%} of it"
        )
        return replace(device, least_share=share, note=note)
    if on_board:
        return replace(device, note="a MIG board: the whole board counts, with all its slices")
    return device


def _is_cut(nvml: Any, handle: Any) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _most_slices(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    except nvml.NVMLError:
        return 0


def _share(nvml: Any, one: Any) -> float:
    try:
        return float(nvml.nvmlDeviceGetAttributes(one).gpuInstanceSliceCount) / _MOST_SLICES
    except nvml.NVMLError:
        return 0.0
