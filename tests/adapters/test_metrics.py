"""The table of metrics, and how the figures of several ranks become one."""

import pytest

from carbon_callbacks._training import metrics
from carbon_callbacks._training.metrics import METRICS, across_ranks, monitored_names, of_training
from carbon_callbacks._training.selection import Selection
from carbon_callbacks._training.totals import TrainingTotals

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
        {"energy_kwh": 1.0, "emissions_kg": 0.1, "carbon_intensity_g_per_kwh": 100.0},
        {"energy_kwh": 3.0, "emissions_kg": 0.9, "carbon_intensity_g_per_kwh": 300.0},
        {},
    ]
    combined = of_training(TrainingTotals(across_ranks(ranks)))
    assert combined["energy_kwh"] == 4.0
    assert combined["carbon_intensity_g_per_kwh"] == pytest.approx(250.0)


def test_energies_of_phases_add_up():
    assert across_ranks([{"train_energy_kwh": 1.0}, {"train_energy_kwh": 2.0}]) == {
        "train_energy_kwh": 3.0
    }


def test_a_selection_by_name_keeps_what_has_no_row():
    figures = {"energy_kwh": 1.0, "power_w": 2.0, "train_energy_kwh": 3.0}
    assert Selection(["power_w"]).of(figures) == {"power_w": 2.0, "train_energy_kwh": 3.0}
