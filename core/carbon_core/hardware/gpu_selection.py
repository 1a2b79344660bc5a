"""Which GPUs count: the user's `gpu_ids`, else the devices that CUDA would show, else all.

Rules of ``CUDA_VISIBLE_DEVICES`` from the CUDA C++ programming guide, "CUDA environment variables":
entries are indices or UUIDs (a unique prefix will do), an empty value or -1 hides all, and the
first invalid entry ends the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """The chosen GPUs.

    Attributes:
        indices: Positions in the driver's own order, no position twice.
        problem: What could not be resolved, in words, or an empty string.
    """

    indices: tuple[int, ...]
    problem: str = ""


def select(
    uuids: Sequence[str], gpu_ids: Sequence[int | str] | None, visible_devices: str | None
) -> Selection:
    """Choose among GPUs.

    Args:
        uuids: UUIDs of all GPUs in the driver's order (``GPU-…``).
        gpu_ids: The user's own choice (indices, UUIDs or their prefixes, MIG names), or None.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``, or None when it is unset.
    """
    if gpu_ids is not None:
        return _from_settings(uuids, gpu_ids)
    if visible_devices is not None:
        return _from_environment(uuids, visible_devices)
    return Selection(tuple(range(len(uuids))))


def _from_settings(uuids: Sequence[str], gpu_ids: Sequence[int | str]) -> Selection:
    found = {gpu_id: _position(uuids, _full_name(gpu_id)) for gpu_id in gpu_ids}
    unknown = [str(gpu_id) for gpu_id, position in found.items() if position is None]
    known = (position for position in found.values() if position is not None)
    problem = ""
    if unknown:
        problem = (
            f"gpu_ids: no GPU is called {', '.join(unknown)}; this machine has {_names(uuids)}"
        )
    return Selection(tuple(dict.fromkeys(known)), problem)


def _full_name(gpu_id: int | str) -> int | str:
    """Return an index or a name with its kind, which people may leave out, unlike CUDA."""
    text = str(gpu_id)
    return (
        gpu_id if text.isdecimal() or text.upper().startswith(("GPU-", "MIG-")) else f"GPU-{text}"
    )


def _from_environment(uuids: Sequence[str], visible_devices: str) -> Selection:
    indices: list[int] = []
    for entry in visible_devices.split(",") if visible_devices.strip() else ():
        position = _position(uuids, entry.strip())
        if position is None:
            break
        indices.append(position)
    return Selection(tuple(dict.fromkeys(indices)))


def _position(uuids: Sequence[str], gpu_id: int | str) -> int | None:
    text = str(gpu_id)
    if text.isdecimal():
        return int(text) if int(text) < len(uuids) else None
    # A slice of the old naming scheme carries its board: MIG-GPU-<uuid>/<instance>/<compute>.
    prefix = text.removeprefix("MIG-").split("/")[0].lower()
    matches = [i for i, uuid in enumerate(uuids) if prefix and uuid.lower().startswith(prefix)]
    return matches[0] if len(matches) == 1 else None


def _names(uuids: Sequence[str]) -> str:
    return ", ".join(f"{i} ({uuid})" for i, uuid in enumerate(uuids)) or "none"
