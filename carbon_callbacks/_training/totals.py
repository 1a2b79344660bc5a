"""Totals of a training: of one rank, and of all ranks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from carbon_callbacks._training.forecast import Forecast
from carbon_core import grams

if TYPE_CHECKING:
    from carbon_core import Report, Segment

Figures = dict[str, float]

_UNIQUE = re.compile("gpu:GPU-[0-9a-zA-Z-]{8,}")


class Progress(NamedTuple):
    """Progress of a training, as far as its framework reports it.

    Attributes:
        fraction: Part of the whole training (0 to 1) that is done, by all its runs.
        samples: Training samples since this run began, of all ranks.
        tokens: Tokens since this run began, of all ranks.
        patience_used: How near early stopping is (0 to 1): evaluations without improvement, divided by
            the number after which it ends the training; None without early stopping.
        flops: Floating-point operations since this run began, of all ranks.
        dataset_samples: Samples of the training data set, each counted once, of all ranks; None if
            unknown.
    """

    fraction: float | None = None
    samples: float | None = None
    tokens: float | None = None
    patience_used: float | None = None
    flops: float | None = None
    dataset_samples: float | None = None


class Measured(NamedTuple):
    """Measurements of one rank, from which its metrics are computed.

    Attributes:
        report: Results of its run, of an epoch or of an evaluation.
        figures: `Report.metrics` of it, computed once.
    """

    report: Report
    figures: Mapping[str, float]


class RankTotals(NamedTuple):
    """Totals of one rank.

    Attributes:
        totals: Metrics of its run so far; empty where another rank measures its hardware.
        epoch: Metrics of the current epoch so far, or of the latest one between two epochs.
        phases: Energy of each phase.
        trained_kwh: Energy since the first epoch of this run began, or since its first step.
        trained_s: Seconds since then.
        own: Its run, as a segment; None where it measures nothing.
        earlier: The segments that it continues.
        windows: Metrics of its latest evaluations, by prefix.
        gpus: Ids of the GPUs that it counts, as far as they are unique in the world.
        is_unknown: Whether it should measure hardware and no meter has given a reading.
    """

    totals: Figures
    epoch: Figures
    phases: Figures
    trained_kwh: float = 0.0
    trained_s: float = 0.0
    own: Segment | None = None
    earlier: tuple[Segment, ...] = ()
    windows: Mapping[str, Figures] = {}
    gpus: tuple[str, ...] = ()
    is_unknown: bool = False

    def plain(self) -> dict[str, Any]:
        """Return the totals as JSON types."""
        own = self.own._asdict() if self.own else None
        return {**self._asdict(), "own": own, "earlier": [one._asdict() for one in self.earlier]}

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> RankTotals:
        """Return the totals from what `plain` returned."""
        from carbon_core import Segment

        own = Segment(**data["own"]) if data["own"] else None
        earlier = tuple(Segment(**one) for one in data["earlier"])
        gpus = tuple(data.get("gpus", ()))
        return cls(**{**data, "own": own, "earlier": earlier, "gpus": gpus})


def unique_gpus(report: Report | None) -> tuple[str, ...]:
    """Return the ids of a run's GPUs that contain a UUID or a serial number."""
    devices = report.window.end.devices if report is not None else ()
    return tuple({device.id: None for device in devices if _UNIQUE.match(device.id)})


def counted_twice(ranks: Iterable[RankTotals]) -> tuple[str, ...]:
    """Return the GPUs that several ranks count."""
    ranks_of = Counter(gpu for rank in ranks for gpu in rank.gpus)
    return tuple(gpu for gpu, count in ranks_of.items() if count > 1)


class TrainingForecast(NamedTuple):
    """Totals of the whole training at its end, as expected now, with their 95 % intervals.

    Attributes:
        energy_kwh: Energy at its end.
        emissions_kg: Emissions at its end.
        left_s: Seconds until then.
        stopped_kwh: Energy if the training stops now; None where nothing suggests that it may.
    """

    energy_kwh: Forecast
    emissions_kg: Forecast
    left_s: float
    stopped_kwh: Forecast | None = None


class TrainingTotals(NamedTuple):
    """Totals of all ranks, from which the remaining metrics are computed.

    Attributes:
        totals: Metrics of the run so far, combined over the ranks; empty where nothing is measured.
        epoch: The same of the current epoch so far, or of the latest one between two epochs.
        earlier: The segments that the run continues.
        progress: How far the training has come.
        forecast: Its expected totals; None where its end is not known.
        energy_per_improvement_kwh: Energy for each unit by which the chosen metric has improved.
        runs: The segments of this run, one for each rank that measures something.
    """

    totals: Figures
    epoch: Mapping[str, float] = {}
    earlier: tuple[Segment, ...] = ()
    progress: Progress = Progress()
    forecast: TrainingForecast | None = None
    energy_per_improvement_kwh: float | None = None
    runs: tuple[Segment, ...] = ()

    @property
    def energy_kwh(self) -> float:
        """Energy of the run so far in kWh; 0 where nothing is measured."""
        return self.totals.get("energy_kwh", 0.0)

    @property
    def kg_per_kwh(self) -> float | None:
        """Mean carbon intensity in kg CO2e/kWh; None without energy."""
        energy_kwh = self.energy_kwh
        return self.totals["emissions_kg"] / energy_kwh if energy_kwh > 0 else None

    @property
    def g_per_kwh(self) -> float | None:
        """Mean carbon intensity in g CO2e/kWh; None without energy."""
        kg_per_kwh = self.kg_per_kwh
        return None if kg_per_kwh is None else grams(kg_per_kwh)

    @property
    def all_segments_kwh(self) -> float | None:
        """Energy in kWh of this run and of those that it continues; None where nothing is measured."""
        if not self.totals:
            return None
        return self.totals["energy_kwh"] + sum(one.energy_kwh for one in self.earlier)

    @property
    def all_segments(self) -> tuple[Segment, ...]:
        """The segments of this run, and those that it continues; none where nothing is measured."""
        return (*self.earlier, *self.runs) if self.totals else ()

    @property
    def all_segments_kg(self) -> float | None:
        """Emissions in kg CO2e of this run and of those that it continues."""
        if not self.totals:
            return None
        return self.totals["emissions_kg"] + sum(one.emissions_kg for one in self.earlier)
