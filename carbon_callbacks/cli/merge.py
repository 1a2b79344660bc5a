"""``carbon-callbacks merge``: the total of each training over its ranks and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from carbon_callbacks.cli.skipped import print_skipped, unknown_note
from carbon_callbacks.cli.terminal import PlainConsole, say, warn, write_data
from carbon_core.formatting import emissions, emissions_interval, energy, energy_interval
from carbon_core.outputs.merging import MISSING, Merged, Part, merge
from carbon_core.outputs.receipt import segment_data, with_ends

_UNKNOWN = ("unknown", "unknown")


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
    projects = ", ".join(
        dict.fromkeys(part.project_name for part in training.parts if part.project_name)
    )
    table = Table(
        "started (UTC)", "rank", "status", "seconds", "energy", "emissions", title=projects
    )
    for part in training.parts:
        segment = part.segment
        rank = "-" if part.rank is None else str(part.rank)
        seconds = f"{segment.duration_s:.0f}"
        amounts = energy(segment.energy_kwh), emissions(segment.emissions_kg)
        figures = amounts if part.is_known else _UNKNOWN
        table.add_row(segment.started_at[:19], rank, part.status, seconds, *figures)
    table.add_section()
    totals = energy_interval(training.energy), emissions_interval(training.emissions)
    table.add_row("total", "", "", "", *(totals if training.is_known else _UNKNOWN))
    PlainConsole().print(table)
    unknown = sum(not part.is_known for part in training.parts)
    if note := unknown_note(unknown, len(training.parts)):
        say(note)
    for part in training.parts:
        if part.status == MISSING:
            say(f"run {part.segment.run_id}: no file found; counted with its last known total")
