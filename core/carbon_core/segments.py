"""The segments of a training that was interrupted and resumed: kept by their ids, each counted once.

A checkpoint holds what was known when it was written. It may be loaded often, on several ranks, or into
the very run that wrote it; so segments are merged by id, never added to a sum. Of two states of one
segment the longer one is the later one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from carbon_core.records import Segment

VERSION = 1
# An id names files; one that comes from a checkpoint must not lead out of the directory.
_SAFE_ID = re.compile("[A-Za-z0-9-]{1,100}")


def is_safe_id(run_id: str) -> bool:
    """Tell whether a run's id may be part of a file's name."""
    return _SAFE_ID.fullmatch(run_id) is not None


def merged(segments: Iterable[Segment], *, without: Iterable[str] = ()) -> tuple[Segment, ...]:
    """Return each segment once, in its latest known state, oldest first.

    Args:
        segments: Segments, perhaps several states of one.
        without: Ids of runs that are to be left out: those that go on.
    """
    latest: dict[str, Segment] = {}
    for segment in segments:
        known = latest.get(segment.run_id)
        if known is None or segment.duration_s > known.duration_s:
            latest[segment.run_id] = segment
    for run_id in without:
        latest.pop(run_id, None)
    return tuple(sorted(latest.values(), key=lambda segment: segment.started_at))


def state_of(segments: Iterable[Segment]) -> dict[str, Any]:
    """Return segments as plain types, which any checkpoint or JSON file can hold."""
    return {"version": VERSION, "segments": [segment._asdict() for segment in segments]}


def segments_of(data: Any) -> tuple[Segment, ...]:
    """Return the segments that `state_of` wrote.

    Raises:
        ValueError: The data are not of this shape, or of a version to come.
    """
    if not isinstance(data, Mapping) or data.get("version") != VERSION:
        raise ValueError(f"no state of this version ({VERSION}) of carbon-callbacks: {data!r:.80}")
    try:
        return tuple(_checked(Segment(**one)) for one in data["segments"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no usable state of carbon-callbacks: {error}") from error


def _checked(segment: Segment) -> Segment:
    figures = segment.duration_s, segment.energy_kwh, segment.emissions_kg
    if not is_safe_id(segment.run_id) or not all(0 <= one < math.inf for one in figures):
        raise ValueError(f"no usable segment of a run: {segment!r:.200}")
    return segment
