"""Merges the segments of a training that was interrupted and resumed, so that each counts once.

A checkpoint contains the segments at the time it was written. It may be loaded several times, on several
ranks, or into the run that wrote it, so segments are merged by id instead of added. Of two states of a
segment, the one with the longer duration is the later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from carbon_core.decoding import decoded
from carbon_core.records import Segment

VERSION = 1


def merged(segments: Iterable[Segment], *, without: Iterable[str] = ()) -> tuple[Segment, ...]:
    """Return each segment once, in its latest state, oldest first.

    Args:
        segments: Segments; may contain several states of one.
        without: Ids of segments to omit, such as those of running processes.
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
    """Return segments as plain types for a checkpoint or a JSON file."""
    return {"version": VERSION, "segments": [segment._asdict() for segment in segments]}


def segments_of(data: Any) -> tuple[Segment, ...]:
    """Return the segments of a state written by `state_of`.

    Raises:
        ValueError: The state is invalid or of another version.
    """
    if not isinstance(data, Mapping) or data.get("version") != VERSION:
        raise ValueError(f"not a state of carbon-callbacks, version {VERSION}: {data!r:.80}")
    try:
        return decoded(tuple[Segment, ...], data.get("segments"))
    except ValueError as error:
        raise ValueError(f"not a valid state of carbon-callbacks: {error}") from error
