"""``carbon-callbacks merge``: the total of each training over its ranks and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from carbon_callbacks.cli.skipped import print_skipped, unknown_note
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, say_wrapped, warn, write_data
from carbon_core.formatting import (
    duration,
    emissions,
    emissions_interval,
    energy,
    energy_interval,
    local_time,
)
from carbon_core.outputs.merging import MISSING, Merged, Part, merge
from carbon_core.outputs.receipt import segment_data, with_ends

_UNKNOWN = ("unknown", "unknown")
_COLUMNS = (
    Column("started", wraps=True),
    Column("rank", dropped=2),
    Column("status", wraps=True),
    Column("time", dropped=1),
    Column("energy", wraps=True),
    Column("emissions", wraps=True),
)


def run(directory: Path, *, as_json: bool) -> None:
    """Print the runs and the total of each training in a directory.

    Args:
        directory: An output directory, or its ``carbon_runs``.
        as_json: Print JSON instead of tables.
    """
    skipped: list[tuple[Path, str]] = []
    trainings = merge(directory, lambda path, reason: skipped.append((path, reason)))
    print_skipped(skipped)
    if not trainings:
        warn(f"no receipt or journal found in {directory}")
        raise typer.Exit(2)
    if as_json:
        write_data(json.dumps([_data(training) for training in trainings], indent=2))
        return
    for training in trainings:
        _print_table(training)


def _data(training: Merged) -> dict[str, Any]:
    return {
        **with_ends("energy", "kwh", training.energy if training.is_known else None),
        **with_ends("emissions", "kg", training.emissions if training.is_known else None),
        "parts": [_part(part) for part in training.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    segment = segment_data(part.segment)
    if not part.is_known:
        segment |= {**with_ends("energy", "kwh", None), **with_ends("emissions", "kg", None)}
    return {**part._asdict(), "segment": segment}


def _print_table(training: Merged) -> None:
    labels = [part.project_label for part in training.parts if part.project_label]
    totals = energy_interval(training.energy), emissions_interval(training.emissions)
    show(
        PlainConsole(),
        _COLUMNS,
        map(_cells, training.parts),
        title=", ".join(dict.fromkeys(labels)),
        total=("total", "", "", "", *(totals if training.is_known else _UNKNOWN)),
    )
    unknown = sum(not part.is_known for part in training.parts)
    if note := unknown_note(unknown, len(training.parts)):
        say_wrapped(note)
    for part in training.parts:
        if part.status == MISSING:
            say_wrapped(
                f"run {part.segment.run_id}: no file found; counted with its last known total"
            )
        if part.within:
            say_wrapped(
                f"run {part.segment.run_id}: within run {part.within[0]}, which has its energy, too"
            )


def _cells(part: Part) -> tuple[str, ...]:
    segment = part.segment
    rank = "-" if part.rank is None else str(part.rank)
    amounts = energy(segment.energy_kwh), emissions(segment.emissions_kg)
    figures = amounts if part.is_known else _UNKNOWN
    time = duration(segment.duration_s)
    return local_time(segment.started_at), rank, part.status, time, *figures
