"""Selection of the GPUs to count: the setting `gpu_ids`, else the devices visible to CUDA, else all.

Rules of ``CUDA_VISIBLE_DEVICES`` from the CUDA C++ programming guide, "CUDA environment variables":
entries are indices or UUIDs (a unique prefix is enough), an empty value or -1 hides all, and the
first invalid entry ends the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from carbon_core.record import field, record

CUDA_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
ROCM_VARIABLES = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_MOST_DIGITS = 9
_NO_SLICES: Mapping[str, int] = {}


@record(frozen=True)
class Selection:
    """The selected GPUs.

    Attributes:
        indices: Indices in the driver's order, without duplicates.
        problem: Message about entries that could not be resolved, or an empty string.
        slices: Names of the selected MIG devices by the index of their GPU; none for a GPU that is
            selected as a whole.
    """

    indices: tuple[int, ...]
    problem: str = ""
    slices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def select(
    uuids: Sequence[str],
    gpu_ids: Sequence[int | str] | None,
    visible_devices: str | None,
    slices: Mapping[str, int] = _NO_SLICES,
) -> Selection:
    """Select GPUs.

    Args:
        uuids: UUIDs of all GPUs in the driver's order (``GPU-…``).
        gpu_ids: GPUs that the user selected (indices, UUIDs or their prefixes, MIG names), or None.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``, or None when it is unset.
        slices: Names of the MIG devices (``MIG-…``), each with the index of its GPU.
    """
    names = {name.lower(): _Place(i) for i, name in enumerate(uuids) if name}
    names |= {name.lower(): _Place(i, name) for name, i in slices.items()}
    if gpu_ids is not None:
        return _from_settings(uuids, names, gpu_ids)
    if visible_devices is not None:
        return _selection(_from_environment(len(uuids), names, visible_devices))
    return Selection(tuple(range(len(uuids))))


def select_amd(
    names: Sequence[str], gpu_ids: Sequence[int | str] | None, environ: Mapping[str, str]
) -> Selection:
    """Select AMD GPUs by the settings, else by the variables of ROCm, else all.

    ``ROCR_VISIBLE_DEVICES`` hides GPUs from the runtime; the indices of ``HIP_VISIBLE_DEVICES``, or
    else ``CUDA_VISIBLE_DEVICES``, refer to the remaining ones (ROCm documentation,
    "GPU isolation techniques").

    Args:
        names: ``GPU-`` and the serial of each GPU, in the driver's order.
        gpu_ids: GPUs that the user selected (indices, names or their prefixes), or None.
        environ: The environment variables.
    """
    if gpu_ids is not None:
        return select(names, gpu_ids, None)
    left = select(names, None, environ.get("ROCR_VISIBLE_DEVICES")).indices
    hip = environ.get("HIP_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    within = select([names[i] for i in left], None, hip).indices
    return Selection(tuple(left[i] for i in within))


@record(frozen=True)
class _Place:
    """A GPU, or one of its MIG devices by name."""

    index: int
    slice: str = ""


def _from_settings(
    uuids: Sequence[str], names: Mapping[str, _Place], gpu_ids: Sequence[int | str]
) -> Selection:
    found = {gpu_id: _place(len(uuids), names, _full_name(gpu_id)) for gpu_id in gpu_ids}
    unknown = [str(gpu_id) for gpu_id, place in found.items() if place is None]
    problem = ""
    if unknown:
        listed = ", ".join(f"{i} ({uuid})" for i, uuid in enumerate(uuids)) or "none"
        problem = f"gpu_ids: no GPU is called {', '.join(unknown)}; this machine has {listed}"
    return _selection((place for place in found.values() if place is not None), problem)


def _full_name(gpu_id: int | str) -> str:
    """Return an index or a name with its prefix, which is optional here, unlike in CUDA."""
    text = str(gpu_id)
    named = text.isdecimal() or text.upper().startswith(("GPU-", "MIG-"))
    return text if named else f"GPU-{text}"


def _from_environment(
    count: int, names: Mapping[str, _Place], visible_devices: str
) -> Iterable[_Place]:
    for entry in visible_devices.split(",") if visible_devices.strip() else ():
        place = _place(count, names, entry.strip())
        if place is None:
            return
        yield place


def _place(count: int, names: Mapping[str, _Place], text: str) -> _Place | None:
    if text.isdecimal():
        # Python refuses to convert thousands of digits.
        return _Place(int(text)) if len(text) <= _MOST_DIGITS and int(text) < count else None
    # A MIG device of the old naming scheme contains its GPU: MIG-GPU-<uuid>/<instance>/<compute>.
    board = text.removeprefix("MIG-") if text.upper().startswith("MIG-GPU-") else text
    prefix = board.split("/")[0].lower()
    matches = [place for name, place in names.items() if prefix and name.startswith(prefix)]
    return matches[0] if len(matches) == 1 else None


def _selection(places: Iterable[_Place], problem: str = "") -> Selection:
    chosen: dict[int, tuple[str, ...]] = {}
    whole: set[int] = set()
    for place in places:
        before = chosen.setdefault(place.index, ())
        if not place.slice:
            whole.add(place.index)
        elif place.slice not in before:
            chosen[place.index] = (*before, place.slice)
    slices = {i: names for i, names in chosen.items() if names and i not in whole}
    return Selection(tuple(chosen), problem, slices)
