"""The metrics that are logged: one table, the same names in every framework, before its own prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from carbon_core import ConfigError, Report, Segment, grams, joules, kwh

Figures = dict[str, float]
Topic = Literal["totals", "epoch", "segments", "forecast", "samples", "tokens", "improvement"]

EPOCH_PREFIX = "epoch_"
ENERGY_PER_IMPROVEMENT = "energy_per_improvement_kwh"
_INTENSITY = "carbon_intensity_g_per_kwh"


class Metric(NamedTuple):
    """A metric that is logged.

    Attributes:
        name: Its name, before the framework's prefix.
        unit: Its unit.
        help: What it is.
        topic: What it belongs to; what is not known of a training has no metrics of that topic.
        across_ranks: How the ranks' values become one; ``derived`` ones follow from the others.
        brief: Whether it is logged unless ``metrics`` chooses others.
        monitored: Whether callbacks can monitor it at every check, in Lightning.
        per_window: Whether an epoch and an evaluation have it, too, under their own prefix.
        rising: Whether it never falls while a training is running.
    """

    name: str
    unit: str
    help: str
    topic: Topic = "totals"
    across_ranks: Literal["sum", "mean", "max", "derived"] = "sum"
    brief: bool = False
    monitored: bool = False
    per_window: bool = False
    rising: bool = False


_SINCE = "since the start of this run"
_WITH_EARLIER = "of this run and those that it resumes"
METRICS = (
    Metric(
        "energy_kwh", "kWh", f"Energy {_SINCE}.",
        brief=True, monitored=True, per_window=True, rising=True,
    ),
    Metric(
        "emissions_kg", "kg CO2e", f"Emissions {_SINCE}.",
        brief=True, monitored=True, per_window=True, rising=True,
    ),
    Metric("power_w", "W", f"Mean power {_SINCE}.", brief=True),
    Metric(_INTENSITY, "g CO2e/kWh", "Mean carbon intensity of this run.", across_ranks="derived"),
    Metric("cpu_energy_kwh", "kWh", "Energy of the processors.", rising=True),
    Metric("gpu_energy_kwh", "kWh", "Energy of the GPUs.", rising=True),
    Metric("ram_energy_kwh", "kWh", "Energy of the memory.", rising=True),
    Metric(
        "epoch_energy_kwh", "kWh", "Energy of the latest finished epoch.", "epoch",
        brief=True, monitored=True,
    ),
    Metric(
        "epoch_emissions_kg", "kg CO2e", "Emissions of the latest finished epoch.", "epoch",
        brief=True, monitored=True,
    ),
    Metric(
        "all_starts_energy_kwh", "kWh", f"Energy {_WITH_EARLIER}.", "segments", "derived",
        rising=True,
    ),
    Metric(
        "all_starts_emissions_kg", "kg CO2e", f"Emissions {_WITH_EARLIER}.", "segments", "derived",
        rising=True,
    ),
    Metric("samples_per_kwh", "1/kWh", "Training samples for each kWh.", "samples", "derived"),
    Metric("j_per_sample", "J", "Energy for each training sample.", "samples", "derived"),
    Metric("tokens_per_kwh", "1/kWh", "Tokens for each kWh.", "tokens", "derived"),
    Metric("j_per_token", "J", "Energy for each token.", "tokens", "derived"),
    Metric(
        "forecast_energy_kwh", "kWh", "Energy of the whole training, by its end.", "forecast",
        "derived", brief=True,
    ),
    Metric(
        "forecast_energy_low_kwh", "kWh", "Lower end of its 95 % interval.", "forecast", "derived"
    ),
    Metric(
        "forecast_energy_high_kwh", "kWh", "Upper end of its 95 % interval.", "forecast", "derived"
    ),
    Metric(
        "forecast_emissions_kg", "kg CO2e", "Emissions of the whole training, by its end.",
        "forecast", "derived",
    ),
    Metric("forecast_left_s", "s", "Time until its end.", "forecast", "derived"),
    Metric(
        ENERGY_PER_IMPROVEMENT, "kWh", "Energy for each unit by which a metric has improved.",
        "improvement", "derived",
    ),
)  # fmt: skip
NAMES = tuple(metric.name for metric in METRICS)
MONITORED = tuple(metric.name for metric in METRICS if metric.monitored)
_PER_WINDOW = tuple(metric.name for metric in METRICS if metric.per_window)
_RISING = tuple(metric.name for metric in METRICS if metric.rising)
_COMBINED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "derived": lambda values: values[-1],
}
# The energy of a phase is in no row of the table; it adds up.
_ACROSS = {metric.name: _COMBINED[metric.across_ranks] for metric in METRICS}


class Selection:
    """The metrics that are logged.

    Args:
        metrics: ``"brief"`` (the six that matter most), ``"all"``, or the names of some.

    Raises:
        ConfigError: A name is unknown.
    """

    def __init__(self, metrics: str | Sequence[str] = "brief") -> None:
        known = {"brief": tuple(one.name for one in METRICS if one.brief), "all": NAMES}
        chosen = known.get(metrics) if isinstance(metrics, str) else tuple(metrics)
        unknown = [name for name in chosen or () if name not in NAMES]
        if chosen is None or unknown:
            what = repr(metrics) if chosen is None else ", ".join(map(repr, unknown))
            raise ConfigError(
                f"metrics must be 'brief', 'all', or a list of {', '.join(NAMES)}; got {what}"
            )
        # What was asked for by its own setting, or has no fixed name, is logged in any case.
        self._hidden = frozenset(NAMES) - frozenset(chosen) - {ENERGY_PER_IMPROVEMENT}

    def of(self, figures: Figures) -> Figures:
        """Return the chosen ones among some figures."""
        return {name: value for name, value in figures.items() if name not in self._hidden}

    def has(self, topic: Topic) -> bool:
        """Return whether any metric of a topic is chosen."""
        return any(m.topic == topic and m.name not in self._hidden for m in METRICS)

    def names(self, without: Iterable[Topic]) -> list[str]:
        """Return the names that are chosen.

        Args:
            without: Topics of which nothing will be known.
        """
        out = frozenset(without)
        return [m.name for m in METRICS if m.name not in self._hidden and m.topic not in out]


class Progress(NamedTuple):
    """How far a training has come, as far as its framework knows.

    Attributes:
        fraction: Part of the whole training (0 to 1) that is done, by all its runs together.
        samples: Training samples since this run began, of all ranks together.
        tokens: Tokens since this run began, of all ranks together.
    """

    fraction: float | None = None
    samples: float | None = None
    tokens: float | None = None


class RankTotals(NamedTuple):
    """What one rank measured of a training.

    Attributes:
        totals: Figures of its run so far; empty where another rank measures its hardware.
        epoch: Figures of the latest finished epoch.
        phases: Energy of each phase.
        trained_kwh: Energy since the first epoch of this run began.
        trained_s: Seconds since then.
        own: Its run, as a segment; None where it measures nothing.
        earlier: The segments that it continues.
        windows: Figures of its latest evaluations, by prefix.
    """

    totals: Figures
    epoch: Figures
    phases: Figures
    trained_kwh: float = 0.0
    trained_s: float = 0.0
    own: Segment | None = None
    earlier: tuple[Segment, ...] = ()
    windows: Mapping[str, Figures] = {}

    def plain(self) -> dict[str, Any]:
        """Return the totals as types that JSON knows."""
        own = self.own._asdict() if self.own else None
        return {**self._asdict(), "own": own, "earlier": [one._asdict() for one in self.earlier]}

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> RankTotals:
        """Return the totals that `plain` gave."""
        own = Segment(**data["own"]) if data["own"] else None
        earlier = tuple(Segment(**one) for one in data["earlier"])
        return cls(**{**data, "own": own, "earlier": earlier})


def figures_of(report: Report | None) -> Figures:
    """Return a report's figures under the names that all frameworks' loggers get."""
    return report.metrics if report is not None else {}


def across_ranks(figures: Iterable[Figures]) -> Figures:
    """Return the figures of several ranks together, each as its row of the table says."""
    values: dict[str, list[float]] = {}
    for one in figures:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    total = {name: float(_ACROSS.get(name, sum)(each)) for name, each in values.items()}
    if total.get("energy_kwh"):
        total[_INTENSITY] = grams(total["emissions_kg"]) / total["energy_kwh"]
    return total


def never_less(figures: Figures, before: Mapping[str, float]) -> Figures:
    """Return figures in which no running total is less than before."""
    held = {name: before[name] for name in _RISING if name in figures and name in before}
    return {**figures, **{name: max(value, figures[name]) for name, value in held.items()}}


def kg_per_kwh(totals: Mapping[str, float]) -> float:
    """Return the mean intensity of some totals in kg CO2e per kWh."""
    energy_kwh = totals.get("energy_kwh", 0.0)
    return totals["emissions_kg"] / energy_kwh if energy_kwh > 0 else 0.0


def of_window(figures: Figures, prefix: str) -> Figures:
    """Return what is logged of an epoch or an evaluation."""
    return {prefix + name: figures[name] for name in _PER_WINDOW if name in figures}


def of_phases(report: Report | None) -> Figures:
    """Return the energy of each phase."""
    if report is None or not report.components:
        return {}
    factor = report.run.pue
    return {f"{one.name}_energy_kwh": kwh(one.joules) * factor for one in report.phases}


def of_all_starts(totals: Mapping[str, float], earlier: Iterable[Segment]) -> Figures:
    """Return the totals of a training that was interrupted and resumed, this run included."""
    if not totals:
        return {}
    segments = tuple(earlier)
    return {
        "all_starts_energy_kwh": totals["energy_kwh"] + sum(one.energy_kwh for one in segments),
        "all_starts_emissions_kg": totals["emissions_kg"]
        + sum(one.emissions_kg for one in segments),
    }


def of_work(totals: Mapping[str, float], progress: Progress) -> Figures:
    """Return samples and tokens by energy; nothing where their number is not known."""
    energy_kwh = totals.get("energy_kwh", 0.0)
    figures: Figures = {}
    for unit, count in (("sample", progress.samples), ("token", progress.tokens)):
        if energy_kwh > 0 and count:
            figures[f"{unit}s_per_kwh"] = count / energy_kwh
            figures[f"j_per_{unit}"] = joules(energy_kwh) / count
    return figures
