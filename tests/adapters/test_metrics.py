"""The table of metrics, and how the figures of several ranks become one."""

import math

import pytest

from carbon_callbacks._training import metrics
from carbon_callbacks._training.metrics import METRICS, across_ranks, monitored_names, of_training
from carbon_callbacks._training.selection import Selection
from carbon_callbacks._training.totals import TrainingTotals
from carbon_core import Segment

NAMES = [metric.name for metric in METRICS]


def test_rows_have_names_of_their_own_and_are_described_and_computed():
    assert len(set(NAMES)) == len(NAMES)
    for metric in METRICS:
        assert metric.unit
        assert metric.help.endswith(".")
        assert metric.name.endswith(("_kwh", "_kg", "_w", "_s")) or metric.name.startswith("j_per_")
        assert metric.of_rank or metric.of_training


def test_six_are_logged_by_default_and_all_of_the_monitored_are_among_them():
    brief = [metric.name for metric in METRICS if metric.brief]
    assert len(brief) == 6
    assert set(monitored_names()) <= set(brief)


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


def test_a_selection_by_name_keeps_what_has_no_row():
    figures = {"energy_kwh": 1.0, "power_w": 2.0, "phase_train_energy_kwh": 3.0}
    assert Selection(["power_w"]).of(figures) == {"power_w": 2.0, "phase_train_energy_kwh": 3.0}
