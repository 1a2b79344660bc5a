"""The metrics that are logged: one table, and one prefix, for every framework.

A row names a metric, describes it and computes it; code, documentation and tests follow from the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from carbon_callbacks._training.totals import Figures, Measured, TrainingTotals
from carbon_core import emissions_of_segments, energy_of_segments, joules, kwh, register_metrics

if TYPE_CHECKING:
    from carbon_core import Estimate, Report

Topic = Literal[
    "totals", "epoch", "segments", "forecast", "early stopping", "samples", "tokens", "improvement"
]
Level = Literal["minimal", "standard", "all"]
OfRank = Callable[[Measured], "float | None"]
OfTraining = Callable[[TrainingTotals], "float | None"]

# Before every logged name: `carbon/energy_kwh` where slashes separate the parts of a name (Lightning,
# loggers of custom loops), `carbon_energy_kwh` where underscores do (Hugging Face, Keras).
SLASH_PREFIX = "carbon/"
PREFIX = "carbon_"
ENERGY_PER_IMPROVEMENT = "energy_per_improvement_kwh"


class Metric(NamedTuple):
    """A metric that is logged.

    Attributes:
        name: Its name, without the prefix.
        unit: Its unit.
        help: Its description.
        of_rank: Computes it on each rank; None (or a result of None) where it has no value of a rank.
        across_ranks: How the values of the ranks are combined.
        of_training: Computes it from the totals of all ranks; a result of None leaves what `of_rank`
            gave.
        topic: What it belongs to; what is not known of a training has no metrics of that topic.
        level: The least value of `log_metrics` with which it is logged during a training.
        monitored: Whether callbacks can monitor it at every check, in Lightning.
        per_window: Whether an epoch and an evaluation have it, too, under their own prefix.
        rising: Whether it never falls while a training is running.
    """

    name: str
    unit: str
    help: str
    of_rank: OfRank | None = None
    across_ranks: Literal["sum", "mean", "max"] = "sum"
    of_training: OfTraining | None = None
    topic: Topic = "totals"
    level: Level = "all"
    monitored: bool = False
    per_window: bool = False
    rising: bool = False


def _measured(name: str) -> OfRank:
    return lambda rank: rank.figures.get(name)


def _of_epoch(name: str) -> OfTraining:
    return lambda training: training.epoch.get(name)


def _forecast(name: str, end: str = "value") -> OfTraining:
    def value(training: TrainingTotals) -> float | None:
        figure = getattr(training.forecast, name, None)
        return None if figure is None else getattr(figure, end)

    return value


def _left_s(training: TrainingTotals) -> float | None:
    return training.forecast.left_s if training.forecast is not None else None


def _per_kwh(count: Literal["samples", "tokens"]) -> OfTraining:
    def value(training: TrainingTotals) -> float | None:
        number: float | None = getattr(training.progress, count)
        return number / training.energy_kwh if number and training.energy_kwh > 0 else None

    return value


def _joules_per(count: Literal["samples", "tokens"]) -> OfTraining:
    def value(training: TrainingTotals) -> float | None:
        number: float | None = getattr(training.progress, count)
        return joules(training.energy_kwh) / number if number and training.energy_kwh > 0 else None

    return value


def _end_of(of: Callable[[TrainingTotals], Estimate | None], end: str) -> OfTraining:
    def value(training: TrainingTotals) -> float | None:
        found = of(training)
        return None if found is None else getattr(found, end)

    return value


def _ends(
    name: str, unit: str, topic: Topic, of: Callable[[TrainingTotals], Estimate | None]
) -> list[Metric]:
    """Return the rows of the ends of a total's 95 % interval.

    Args:
        name: The total, without its unit.
        unit: Unit at the end of its name.
        topic: Topic of the total.
        of: Returns it with its interval; None where it has none.
    """
    shown = {"kwh": "kWh", "kg": "kg CO2e"}[unit]
    ends = {"low": "Lower", "high": "Upper"}
    return [
        Metric(
            f"{name}_{end}_{unit}", shown, f"{word} end of the 95 % interval of `{name}_{unit}`.",
            of_training=_end_of(of, end), topic=topic,
        )
        for end, word in ends.items()
    ]  # fmt: skip


def _run_kwh(training: TrainingTotals) -> Estimate | None:
    return energy_of_segments(training.runs) if training.totals and training.runs else None


def _run_kg(training: TrainingTotals) -> Estimate | None:
    return emissions_of_segments(training.runs) if training.totals and training.runs else None


def _all_kwh(training: TrainingTotals) -> Estimate | None:
    return energy_of_segments(training.all_segments) if training.runs else None


def _all_kg(training: TrainingTotals) -> Estimate | None:
    return emissions_of_segments(training.all_segments) if training.runs else None


_SINCE = "since the start of this run"
_WITH_EARLIER = "of this run and those that it resumes"
# A row that is appended before a callback is made is logged by it.
METRICS: list[Metric] = [
    Metric(
        "energy_kwh", "kWh", f"Energy {_SINCE}.", _measured("energy_kwh"),
        level="minimal", monitored=True, per_window=True, rising=True,
    ),
    Metric(
        "emissions_kg", "kg CO2e", f"Emissions {_SINCE}.", _measured("emissions_kg"),
        level="minimal", monitored=True, per_window=True, rising=True,
    ),
    *_ends("energy", "kwh", "totals", _run_kwh),
    *_ends("emissions", "kg", "totals", _run_kg),
    Metric("power_w", "W", f"Mean power {_SINCE}.", _measured("power_w"), level="standard"),
    Metric(
        "intensity_g_per_kwh", "g CO2e/kWh", "Mean carbon intensity of this run.",
        _measured("intensity_g_per_kwh"), "mean", lambda training: training.g_per_kwh,
    ),
    Metric(
        "cpu_energy_kwh", "kWh", "Energy of the processors.", _measured("cpu_energy_kwh"),
        rising=True,
    ),
    Metric(
        "gpu_energy_kwh", "kWh", "Energy of the GPUs.", _measured("gpu_energy_kwh"), rising=True
    ),
    Metric(
        "ram_energy_kwh", "kWh", "Energy of the memory.", _measured("ram_energy_kwh"), rising=True
    ),
    Metric(
        "epoch_energy_kwh", "kWh", "Energy of the epoch so far; of all of it at its end.",
        of_training=_of_epoch("energy_kwh"), topic="epoch", level="standard", monitored=True,
    ),
    Metric(
        "epoch_emissions_kg", "kg CO2e", "Emissions of the epoch so far; of all of it at its end.",
        of_training=_of_epoch("emissions_kg"), topic="epoch", monitored=True,
    ),
    Metric(
        "all_starts_energy_kwh", "kWh", f"Energy {_WITH_EARLIER}.",
        of_training=lambda training: training.all_segments_kwh, topic="segments", rising=True,
    ),
    Metric(
        "all_starts_emissions_kg", "kg CO2e", f"Emissions {_WITH_EARLIER}.",
        of_training=lambda training: training.all_segments_kg, topic="segments", rising=True,
    ),
    *_ends("all_starts_energy", "kwh", "segments", _all_kwh),
    *_ends("all_starts_emissions", "kg", "segments", _all_kg),
    Metric(
        "samples_per_kwh", "1/kWh", "Training samples for each kWh.",
        of_training=_per_kwh("samples"), topic="samples",
    ),
    Metric(
        "j_per_sample", "J", "Energy for each training sample.",
        of_training=_joules_per("samples"), topic="samples",
    ),
    Metric(
        "tokens_per_kwh", "1/kWh", "Tokens for each kWh.",
        of_training=_per_kwh("tokens"), topic="tokens",
    ),
    Metric(
        "j_per_token", "J", "Energy for each token.",
        of_training=_joules_per("tokens"), topic="tokens",
    ),
    Metric(
        "forecast_energy_kwh", "kWh", "Energy of the whole training, by its end.",
        of_training=_forecast("energy_kwh"), topic="forecast", level="standard",
    ),
    Metric(
        "forecast_energy_low_kwh", "kWh", "Lower end of its 95 % interval.",
        of_training=_forecast("energy_kwh", "low"), topic="forecast",
    ),
    Metric(
        "forecast_energy_high_kwh", "kWh", "Upper end of its 95 % interval.",
        of_training=_forecast("energy_kwh", "high"), topic="forecast",
    ),
    Metric(
        "forecast_emissions_kg", "kg CO2e", "Emissions of the whole training, by its end.",
        of_training=_forecast("emissions_kg"), topic="forecast",
    ),
    Metric(
        "forecast_emissions_low_kg", "kg CO2e", "Lower end of its 95 % interval.",
        of_training=_forecast("emissions_kg", "low"), topic="forecast",
    ),
    Metric(
        "forecast_emissions_high_kg", "kg CO2e", "Upper end of its 95 % interval.",
        of_training=_forecast("emissions_kg", "high"), topic="forecast",
    ),
    Metric(
        "forecast_left_s", "s", "Time until its end.",
        of_training=_left_s, topic="forecast",
    ),
    Metric(
        "forecast_if_stopped_kwh", "kWh", "Energy of the training if early stopping ends it now.",
        of_training=_forecast("stopped_kwh"), topic="early stopping",
    ),
    Metric(
        "forecast_if_stopped_low_kwh", "kWh", "Lower end of its 95 % interval.",
        of_training=_forecast("stopped_kwh", "low"), topic="early stopping",
    ),
    Metric(
        "forecast_if_stopped_high_kwh", "kWh", "Upper end of its 95 % interval.",
        of_training=_forecast("stopped_kwh", "high"), topic="early stopping",
    ),
    Metric(
        ENERGY_PER_IMPROVEMENT, "kWh", "Energy for each unit by which a metric has improved.",
        of_training=lambda training: training.energy_per_improvement_kwh, topic="improvement",
    ),
]  # fmt: skip

register_metrics(lambda: (metric.name for metric in METRICS))

_COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
}


def monitored_names() -> list[str]:
    """Return the names of the metrics that callbacks can monitor at every check."""
    return [metric.name for metric in METRICS if metric.monitored]


def with_prefix(figures: Mapping[str, float], prefix: str) -> Figures:
    """Return metrics under the names that a framework logs."""
    return {prefix + name: value for name, value in figures.items()}


def of_report(report: Report | None) -> Figures:
    """Return the metrics of one rank, or of one of its windows; {} where nothing is measured."""
    if report is None or not report.is_known or not report.components:
        return {}
    rank = Measured(report, report.metrics)
    figures: Figures = {}
    for metric in METRICS:
        if metric.of_rank is not None and (value := metric.of_rank(rank)) is not None:
            figures[metric.name] = value
    return figures


def across_ranks(ranks: Iterable[Figures]) -> Figures:
    """Combine the metrics of several ranks, by the rule in its row of the table."""
    values: dict[str, list[float]] = {}
    for figures in ranks:
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    rules = {metric.name: _COMBINE[metric.across_ranks] for metric in METRICS}
    # The energy of a phase is in no row of the table; it adds up.
    return {name: float(rules.get(name, sum)(each)) for name, each in values.items()}


def of_training(training: TrainingTotals) -> Figures:
    """Return all metrics of a training: the combined ones, and those that follow from them."""
    figures = dict(training.totals)
    for metric in METRICS:
        if metric.of_training is not None and (value := metric.of_training(training)) is not None:
            figures[metric.name] = value
    return figures


def of_window(figures: Figures, prefix: str) -> Figures:
    """Return the metrics that are logged of an evaluation."""
    per_window = (metric.name for metric in METRICS if metric.per_window)
    return with_prefix({name: figures[name] for name in per_window if name in figures}, prefix)


def of_phases(report: Report | None) -> Figures:
    """Return the energy of each phase."""
    if report is None or not report.is_known or not report.components:
        return {}
    factor = report.run.pue
    return {f"phase_{one.name}_energy_kwh": kwh(one.joules) * factor for one in report.phases}


def never_less(figures: Figures, before: Mapping[str, float]) -> Figures:
    """Return metrics in which no running total is less than before."""
    rising = (metric.name for metric in METRICS if metric.rising)
    held = {name: before[name] for name in rising if name in figures and name in before}
    return {**figures, **{name: max(value, figures[name]) for name, value in held.items()}}
