"""The table of metrics, and how the figures of several ranks become one."""

import math
from collections import Counter

import pytest

from carbon_callbacks._training import metrics
from carbon_callbacks._training.metrics import METRICS, across_ranks, of_training
from carbon_callbacks._training.selection import Selection
from carbon_callbacks._training.totals import TrainingTotals
from carbon_core import ConfigError, Segment
from carbon_core.config.resolve import resolve

NAMES = [metric.name for metric in METRICS]


def test_rows_have_names_of_their_own_and_are_described_and_computed():
    assert len(set(NAMES)) == len(NAMES)
    for metric in METRICS:
        assert metric.unit
        assert metric.help.endswith(".")
        assert metric.name.endswith(("_kwh", "_kg", "_w", "_s")) or metric.name.startswith("j_per_")
        assert metric.of_rank or metric.of_training


def test_at_most_six_are_logged_by_default_and_two_at_least():
    levels = Counter(metric.level for metric in METRICS)
    by_argument = sum(metric.topic == "improvement" for metric in METRICS)
    assert levels["minimal"] == 2
    assert levels["minimal"] + levels["standard"] + by_argument <= 6


@pytest.mark.parametrize(("rule", "value"), [("sum", 6.0), ("mean", 2.0), ("max", 3.0)])
def test_ranks_are_combined_as_the_row_says(rule, value, monkeypatch):
    row = metrics.Metric("utilisation", "1", "Busy.", lambda rank: 1.0, rule)
    monkeypatch.setattr(metrics, "METRICS", [*METRICS, row])
    ranks = [{"utilisation": one} for one in (1.0, 2.0, 3.0)]
    assert across_ranks(ranks) == {"utilisation": value}


def test_the_intensity_follows_from_what_was_added_up():
    ranks = [
        {"energy_kwh": 1.0, "emissions_kg": 0.1, "intensity_g_per_kwh": 100.0},
        {"energy_kwh": 3.0, "emissions_kg": 0.9, "intensity_g_per_kwh": 300.0},
        {},
    ]
    combined = of_training(TrainingTotals(across_ranks(ranks)))
    assert combined["energy_kwh"] == 4.0
    assert combined["intensity_g_per_kwh"] == pytest.approx(250.0)


def test_totals_of_ranks_and_starts_have_the_ends_of_their_interval():
    def run(name, kwh):
        errors = {"nvml.energy": 0.1 * kwh}, {"France": 0.02 * kwh}
        return Segment(name, "2026-01-01T00:00:00+00:00", 60.0, kwh, kwh / 10, *errors)

    ranks = [run("a", 1.0), run("b", 3.0)]
    totals = {"energy_kwh": 4.0, "emissions_kg": 0.4}
    found = of_training(TrainingTotals(totals, earlier=(run("c", 4.0),), runs=tuple(ranks)))
    factor = math.exp(1.959964 * 0.1)
    assert found["energy_low_kwh"] == pytest.approx(4.0 / factor)
    assert found["energy_high_kwh"] == pytest.approx(4.0 * factor)
    assert found["all_starts_energy_high_kwh"] == pytest.approx(8.0 * factor)
    both = math.exp(1.959964 * math.hypot(0.1, 0.2))
    assert found["emissions_low_kg"] == pytest.approx(0.4 / both)
    assert found["all_starts_emissions_high_kg"] == pytest.approx(0.8 * both)


def test_what_is_not_measured_has_no_interval():
    assert of_training(TrainingTotals({})) == {}


def test_energies_of_phases_add_up():
    assert across_ranks([{"phase_train_energy_kwh": 1.0}, {"phase_train_energy_kwh": 2.0}]) == {
        "phase_train_energy_kwh": 3.0
    }


FIGURES = {
    "energy_kwh": 1.0,
    "emissions_kg": 2.0,
    "power_w": 3.0,
    "energy_low_kwh": 4.0,
    "forecast_emissions_kg": 5.0,
    "phase_train_energy_kwh": 6.0,
}


@pytest.mark.parametrize(
    ("chosen", "during", "at_end"),
    [
        ("minimal", {1.0, 2.0}, {1.0, 2.0}),
        ("standard", {1.0, 2.0, 3.0}, {1.0, 2.0, 3.0, 4.0, 6.0}),
        ("all", {1.0, 2.0, 3.0, 4.0, 5.0}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}),
        (["power_w"], {3.0}, {3.0}),
        (["minimal", "power_w"], {1.0, 2.0, 3.0}, {1.0, 2.0, 3.0}),
        (["standard", "energy_low_kwh"], {1.0, 2.0, 3.0, 4.0}, {1.0, 2.0, 3.0, 4.0, 6.0}),
        (["power_w", "phase_train_energy_kwh"], {3.0}, {3.0, 6.0}),
        ([], set(), set()),
    ],
)
def test_what_is_chosen_is_logged(chosen, during, at_end):
    selection = Selection(chosen)
    assert set(selection.of(FIGURES).values()) == during
    assert set(selection.at_end(FIGURES).values()) == at_end


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ("all", {"energy_kwh", "emissions_kg"}),
        ("minimal", {"energy_kwh", "emissions_kg"}),
        (["emissions_kg", "power_w"], {"emissions_kg"}),
        (["power_w", "forecast_left_s", "epoch_energy_kwh"], {"power_w", "epoch_energy_kwh"}),
    ],
)
def test_a_progress_bar_shows_two_of_what_is_chosen(chosen, shown):
    assert Selection(chosen).in_bar == shown
    assert not Selection(chosen, progress_bar=False).in_bar


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("All", "all"),
        (" minimal ", "minimal"),
        ("energy_kwh", ["energy_kwh"]),
        ("carbon_energy_kwh, carbon/power_w", ["energy_kwh", "power_w"]),
        (["standard", "energy_low_kwh"], ["standard", "energy_low_kwh"]),
        ("phase_train_energy_kwh", ["phase_train_energy_kwh"]),
        ([], []),
        (None, "standard"),
    ],
)
def test_metrics_are_named_as_in_the_table_or_as_logged(given, used):
    assert resolve({"log_metrics": given}, environ={}).settings.log_metrics == used


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("standrd", "did you mean 'standard'"),
        (["energy_kwh", "forcast_energy_kwh"], "did you mean 'forecast_energy_kwh'"),
        ("train_energy_kwh", "'ram_energy_kwh'"),
        ("brief", "there is no metric 'brief'"),
        ("energy_kwh,,power_w", "there is no metric ''"),
        ([["energy_kwh"]], "a list of names of metrics"),
        (7, "a list of names of metrics"),
        ("", "there is no metric ''"),
        ("x" * 4000, "there is no metric 'xxx"),
    ],
)
def test_an_unknown_metric_is_refused_with_a_similar_one(given, hint):
    with pytest.raises(ConfigError, match=r"log_metrics must be minimal, standard, all") as refused:
        resolve({"log_metrics": given}, environ={})
    assert hint in str(refused.value)
    assert len(str(refused.value)) < 600


def test_an_unknown_metric_in_a_variable_is_a_warning_and_raises_when_strict():
    environ = {"CODECARBON_LOG_METRICS": "energy_kwh,joules"}
    found = resolve({}, environ=environ)
    assert found.settings.log_metrics == "standard"
    assert "there is no metric 'joules'" in found.warnings[0]
    with pytest.raises(ConfigError, match="joules"):
        resolve({}, environ={**environ, "CODECARBON_STRICT_CONFIG": "1"})
