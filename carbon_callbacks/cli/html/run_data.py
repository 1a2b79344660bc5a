"""One run as JSON data of the page: its row, its details and its timeline."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta, timezone
from typing import Any

from carbon_callbacks.cli.html.run_view import RunView
from carbon_core.hours import utc
from carbon_core.outputs.history import PastRun
from carbon_core.outputs.merging import MISSING, Merged, Part
from carbon_core.outputs.receipt_reading import IntensityPart, Receipt
from carbon_core.outputs.timeline import Span
from carbon_core.plausible import number
from carbon_core.records import Estimate
from carbon_core.uncertainty import emissions_of_segments, energy_of_segments

# Columns of the table of runs; `page.js` makes objects of the rows.
FIELDS = (
    "id", "project", "time", "status", "duration_s", "kwh", "kg", "grades", "detail", "parts",
    "kind", "counted",
)  # fmt: skip
_MOST_PARTS = 400
_BUDGETS = ("budget_kwh", "budget_kg_co2e")


class Table:
    """Values that many runs share, each written once; a run has their indexes."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._indexes: dict[Hashable, int] = {}

    def index(self, value: Hashable) -> int:
        """Return the index of a value, which is added if it is new."""
        found = self._indexes.get(value)
        if found is None:
            found = self._indexes[value] = len(self.rows)
            self.rows.append(value)
        return found


class Shared:
    """The tables of values that runs share.

    Attributes:
        words: Names of phases, components, tasks, kinds of end.
        devices: Name, component, method, grade and note of each device.
        grids: Facts of each grid intensity.
        machines: Facts of each machine.
        refusals: Meters that are not used, with reason and remedy.
    """

    def __init__(self) -> None:
        self.words = Table()
        self.devices = Table()
        self.grids = Table()
        self.machines = Table()
        self.refusals = Table()

    @property
    def data(self) -> dict[str, list[Any]]:
        """The tables by name."""
        return {name: table.rows for name, table in vars(self).items()}


def row_of_run(run: PastRun, project: int, grades: str, shared: Shared) -> list[Any]:
    """Return the row of a run in the table of all runs.

    Args:
        run: The run.
        project: Index of its project.
        grades: Letters of its grades, that of most of the energy first.
        shared: Tables of shared values.
    """
    has_interval = run.sigmas_ln is not None
    return [
        run.run_id,
        project,
        _time(run),
        shared.words.index(run.status),
        rounded(run.duration_s),
        figure(run.energy_kwh, has_interval) if run.is_known else None,
        figure(run.emissions_kg, has_interval) if run.is_known else None,
        shared.words.index(grades),
        0,
        0,
        shared.words.index(run.kind),
        rounded(run.counted),
    ]


def row_of_training(training: Merged, rows: Mapping[str, list[Any]], shared: Shared) -> list[Any]:
    """Return the row of a training of several runs; its last part holds the rows of all.

    Args:
        training: Its parts.
        rows: The row of each run whose file is known.
        shared: Tables of shared values.
    """
    parts = [_row_of_part(part, rows.get(part.segment.run_id), shared) for part in training.parts]
    last = next(row for row in reversed(parts) if row[1] is not None)
    return [
        last[0],
        last[1],
        parts[0][2],
        last[3],
        rounded(_duration_s(training)),
        figure(training.energy, True) if training.is_known else None,
        figure(training.emissions, True) if training.is_known else None,
        last[7],
        0,
        parts[-_MOST_PARTS:],
        last[FIELDS.index("kind")],
        rounded(_counted(parts)),
    ]


def _row_of_part(part: Part, row: list[Any] | None, shared: Shared) -> list[Any]:
    """Return the row of a part, from its file if that has its last totals."""
    segment = part.segment
    duration_s = rounded(segment.duration_s)
    if row is None:
        return [
            segment.run_id, None, _instant(segment.started_at), shared.words.index(MISSING), duration_s,
            [rounded(segment.energy_kwh)], [rounded(segment.emissions_kg)], shared.words.index(""), 0, 0,
            shared.words.index(""), 1,
        ]  # fmt: skip
    if row[4] == duration_s:
        return row
    energy, emissions = energy_of_segments([segment]), emissions_of_segments([segment])
    return [*row[:4], duration_s, figure(energy, True), figure(emissions, True), *row[7:]]


def detail(found: Receipt, shared: Shared, most_rows: int) -> dict[str, Any]:
    """Return what the page shows of a run when it is opened; keys without a value are left out."""
    word, run = shared.words.index, found.run
    budgets = [number(run.settings.get(name)) for name in _BUDGETS]
    data = {
        "devices": [
            [
                shared.devices.index((one.name, one.component, one.method, one.grade, one.note)),
                rounded((one.measured_j + one.extrapolated_j) / 3.6e6 * run.pue),
                rounded(one.missing_s),
            ]
            for one in found.devices[:most_rows]
        ],
        "phases": [
            [word(one.name), one.count, rounded(one.duration_s), *_ends(one)]
            for one in found.phases[:most_rows]
        ],
        "components": [[word(name), *_ends(one)] for name, one in found.components.items()],
        "tasks": [
            [word(one.name), rounded(one.duration_s), *_ends(one)]
            for one in found.tasks[:most_rows]
        ],
        "grids": [
            [shared.grids.index(_grid(one)), rounded(one.energy_kwh)]
            for one in found.intensities[:most_rows]
        ],
        "machine": shared.machines.index(_machine(found)),
        "refused": [
            shared.refusals.index((one.component, one.meter, one.reason, one.remedy))
            for one in found.refused_meters[:most_rows]
        ],
        "pue": run.pue if run.pue != 1.0 else None,
        "net": _three(found, "net_energy"),
        "node": _three(found, "node_energy"),
        "basis": word(found.node_energy_basis) if found.node_energy_basis else None,
        "not_metered": word(found.not_metered),
        "budgets": budgets if any(budgets) else None,
        "shares": {name: round(share, 3) for name, share in found.share_by_grade.items()},
        "metrics": {word(name): rounded(value) for name, value in found.logged_metrics.items()},
    }
    return {key: value for key, value in data.items() if value not in (None, [], {})}


def timeline(view: RunView, shared: Shared) -> dict[str, Any] | None:
    """Return the timeline of a run: mean power by step and device, spans; None without a journal.

    Spans that are too short to see are merged into the previous ones.
    """
    if not view.timeline.curves or not view.receipt.is_known:
        return None
    word, shortest_s = shared.words.index, view.step_s / 2
    return {
        "step_s": rounded(view.step_s, 9),
        "watts": [[rounded(w, 4) for w in powers] for powers in view.powers_w],
        "phases": _spans(coarse(view.timeline.phases, shortest_s), word),
        "windows": _spans(view.timeline.windows, word),
        "missing": [
            [rounded(span.begin_s), rounded(span.end_s)] for span in view.timeline.missing[:200]
        ],
        "grid": [[rounded(t_s), rounded(value)] for t_s, value in view.intensities],
    }


def coarse(spans: Sequence[Span], shortest_s: float) -> list[Span]:
    """Merge phases that are too short to see into the previous ones."""
    kept: list[Span] = []
    for span in spans:
        joins = kept and (span.name == kept[-1].name or span.end_s - span.begin_s < shortest_s)
        if joins:
            kept[-1] = kept[-1]._replace(end_s=span.end_s)
        else:
            kept.append(span)
    return kept


def rounded(value: float | None, digits: int = 5) -> float | int | None:
    """Return a number with few digits, so that the page is small; whole numbers without a point."""
    if value is None:
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _spans(spans: Sequence[Span], word: Callable[[str], int]) -> list[list[Any]]:
    return [
        [word(span.name), rounded(span.begin_s), rounded(span.end_s)]
        for span in spans[:_MOST_PARTS]
    ]


def _time(run: PastRun) -> str:
    """Return the time of a run: UTC ends in Z; rows of CSV files have local times without a zone."""
    return run.time[:19] if run.path is None else _instant(run.time)


def _instant(time: str) -> str:
    return f"{utc(time).astimezone(timezone.utc).isoformat()[:19]}Z"


def figure(estimate: Estimate, has_interval: bool) -> list[Any]:
    """Return a figure with its interval; a figure alone has none."""
    return [rounded(one) for one in (estimate if has_interval else estimate[:1])]


def _ends(row: Any) -> Iterable[Any]:
    low, high = row.energy_low_kwh, row.energy_high_kwh
    figures = (row.energy_kwh,) if low is None or high is None else (row.energy_kwh, low, high)
    return map(rounded, figures)


def _counted(rows: Sequence[list[Any]]) -> float:
    """Return the share of a training's energy that no run outside of it includes."""
    energies = [(row[5][0], row[FIELDS.index("counted")]) for row in rows if row[5]]
    total = sum(kwh for kwh, _ in energies)
    return sum(kwh * counted for kwh, counted in energies) / total if total else 1.0


def _three(found: Receipt, name: str) -> list[Any] | None:
    value, *ends = (getattr(found, f"{name}{end}_kwh") for end in ("", "_low", "_high"))
    return None if value is None else [rounded(one) for one in (value, *ends) if one is not None]


def _grid(one: IntensityPart) -> tuple[Any, ...]:
    return (
        one.place, rounded(one.g_per_kwh), one.kind, one.scope, one.source, one.year, one.licence,
        one.note, rounded(one.sigma_ln),
    )  # fmt: skip


def _machine(found: Receipt) -> tuple[Any, ...]:
    host, run = found.host, found.run
    counts = {name: host.gpu_models.count(name) for name in host.gpu_models}
    gpus = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())
    memory = rounded(host.ram_total_gb, 3)
    return host.cpu_model, host.cpu_count, memory, gpus, run.os, run.python_version


def _duration_s(training: Merged) -> float:
    """Return how long any part of a training was running: ranks run at the same time."""
    total_s, until = 0.0, None
    for part in training.parts:  # in the order of their starts
        start = utc(part.segment.started_at)
        end = start + timedelta(seconds=part.segment.duration_s)
        begin = start if until is None else max(start, until)
        if end > begin:
            total_s += (end - begin).total_seconds()
            until = end
    return total_s
