"""Reads the setting `calibration`: which devices the user has compared with a better meter.

    gpu: 1.03 ± 0.02 (wall meter); cpu: 0.97 ± 0.01

Each entry has a device, the gain (true energy by reported energy), its standard deviation and,
optionally, what it was compared with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from carbon_core.methods import Calibration
from carbon_core.plausible import number

if TYPE_CHECKING:
    from carbon_core.records import Device

WORDS = (
    "devices with gain and standard deviation, such as "
    "`gpu: 1.03 ± 0.02 (wall meter); cpu: 0.97 ± 0.01`: a device is cpu, gpu, ram or the id of one in a "
    "receipt, and occurs once; a gain is from 0.1 to 10, its standard deviation from 0 to 10"
)
_LEAST_GAIN, _LARGEST = 0.1, 10.0
_LONGEST, _LONGEST_SOURCE = 4096, 200
# Compiled when there is a calibration.
_BETWEEN = r"[;,\n](?![^(\n]*\))"
_ENTRY = (
    r"(?P<device>[^()]+?)\s*[:=]\s*(?P<gain>[\d.eE+-]+?)\s*(?:±|\+/?-)\s*(?P<sigma>[\d.eE+-]+)"
    r"\s*(?:\((?P<source>[^()]*)\))?"
)


def parse(value: Any) -> dict[str, Calibration]:
    """Return the calibrations by device: a component, or a device's id.

    Args:
        value: Text as above, a JSON object, or a mapping from a device to its gain and standard
            deviation: a mapping with `gain`, `sigma` and `source`, or a sequence in this order.

    Raises:
        ValueError: It is none, or has a device twice, or a number that is out of range.
        TypeError: It is of another type.
    """
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError("too long")
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value, object_pairs_hook=_without_repetition)
    entries = _of_text(value) if isinstance(value, str) else _of_mapping(value)
    found: dict[str, Calibration] = {}
    for device, gain, sigma, source in entries:
        name = _device(device)
        if name.lower() in {one.lower() for one in found}:
            raise ValueError(value)
        found[name] = _calibration(gain, sigma, source)
    # Settings keep it as text, which is read again.
    if len(text_of(found)) > _LONGEST:
        raise ValueError("too long")
    return found


def text_of(calibrations: Mapping[str, Calibration]) -> str:
    """Return calibrations as text that `parse` reads."""
    return "; ".join(
        f"{device}: {one.gain:.12g} ± {one.gain * one.sigma_ln:.6g}"
        + (f" ({one.source})" if one.source else "")
        for device, one in calibrations.items()
    )


def of_device(device: Device, calibrations: Mapping[str, Calibration]) -> Calibration | None:
    """Return the calibration of a device, that of its id before that of its component."""
    by_id = {name.lower(): one for name, one in calibrations.items()}
    return by_id.get(device.id.lower()) or by_id.get(device.component)


def _of_text(value: str) -> Iterator[tuple[str, Any, Any, Any]]:
    for part in filter(None, map(str.strip, re.split(_BETWEEN, value))):
        entry = re.fullmatch(_ENTRY, part)
        if entry is None:
            raise ValueError(value)
        yield entry["device"], float(entry["gain"]), float(entry["sigma"]), entry["source"] or ""


def _of_mapping(value: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    for device, one in value.items():
        if isinstance(one, Calibration):
            yield device, one.gain, one.gain * one.sigma_ln, one.source
        elif isinstance(one, Mapping):
            if not {"gain", "sigma"} <= set(one) <= {"gain", "sigma", "source"}:
                raise ValueError(value)
            yield device, one["gain"], one["sigma"], one.get("source") or ""
        elif isinstance(one, str):
            yield from _of_text(f"{device}: {one}")
        elif isinstance(one, Sequence):
            gain, sigma, source = (*one, "")[:3] if len(one) in (2, 3) else (None, None, None)
            yield device, gain, sigma, source
        else:
            raise TypeError(value)


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a device occurs twice")
    return found


def _device(name: Any) -> str:
    """Return a device as it is compared: a component in lower case, an id as written."""
    from carbon_core.records import COMPONENTS  # not loaded by a tracker without a run

    if not isinstance(name, str) or not name.isprintable():
        raise ValueError(name)
    component, separator, rest = name.strip().partition(":")
    component = component.strip().lower()
    if component not in COMPONENTS or (separator and not rest.strip()) or re.search(_BETWEEN, name):
        raise ValueError(name)
    return f"{component}:{rest.strip()}" if separator else component


def _calibration(gain: Any, sigma: Any, source: Any) -> Calibration:
    true_gain = number(gain, _LEAST_GAIN, _LARGEST)
    spread = number(sigma, 0.0, _LARGEST)
    is_number = not isinstance(gain, bool) and not isinstance(sigma, bool)
    if true_gain is None or spread is None or not is_number or not isinstance(source, str):
        raise ValueError("a number is out of range")
    # Parentheses enclose it in a text.
    source = " ".join(source.replace("(", "[").replace(")", "]").split())
    if len(source) > _LONGEST_SOURCE or not source.isprintable():
        raise ValueError(source)
    return Calibration(true_gain, min(_LARGEST, spread / true_gain), source)
