"""Energy, phases and logged metrics are exact and complete."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from carbon_callbacks.testing.adapted import Adapted
from carbon_callbacks.testing.framework import JOULES_PER_KWH, WATTS, clockwork
from carbon_callbacks.testing.machine import Machine, assert_two_runs, phase_joules, receipts, rows
from carbon_core import ConfigError
from carbon_core.outputs.emissions_data import COLUMNS

TOTALS = {
    "energy_kwh",
    "energy_low_kwh",
    "energy_high_kwh",
    "emissions_kg",
    "emissions_low_kg",
    "emissions_high_kg",
    "power_w",
    "intensity_g_per_kwh",
    "cpu_energy_kwh",
}
FORECAST = {
    "forecast_energy_kwh",
    "forecast_energy_low_kwh",
    "forecast_energy_high_kwh",
    "forecast_emissions_kg",
    "forecast_emissions_low_kg",
    "forecast_emissions_high_kg",
    "forecast_left_s",
}
ALL_STARTS = {
    "all_starts_energy_kwh",
    "all_starts_energy_low_kwh",
    "all_starts_energy_high_kwh",
    "all_starts_emissions_kg",
    "all_starts_emissions_low_kg",
    "all_starts_emissions_high_kg",
}
PER_EPOCH = {"epoch_energy_kwh", "epoch_emissions_kg"}


class MeasuredContract(Adapted):
    """Files, phases, totals and metrics of a training."""

    def test_one_line_with_defaults_leaves_a_row_and_a_receipt(self) -> None:
        self.framework.train(self.framework.callback())
        (row,) = rows()
        (receipt,) = receipts()
        assert tuple(row) == COLUMNS
        assert len(COLUMNS) == 38
        assert float(row["energy_consumed"]) > 0
        assert receipt["run"]["run_id"] == row["run_id"]
        assert receipt["status"] == "completed"
        assert self.framework.phases <= {phase["name"] for phase in receipt["phases"]}
        assert not list(Path("carbon_runs").glob("*.journal.jsonl.lock"))

    def test_phases_add_up_to_the_total(self) -> None:
        callback = self.framework.callback()
        self.framework.train(callback)
        report = callback.report
        assert phase_joules(report) == pytest.approx(report.window.joules, rel=1e-6)
        phases_s = sum(phase.duration_s for phase in report.phases)
        assert phases_s == pytest.approx(report.duration_s, rel=1e-6)

    def test_each_phase_has_what_was_drawn_in_it(self, machine: Machine) -> None:
        callback = self.framework.callback()
        self.framework.train(callback, on_batch=clockwork(machine.clock))
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        for name, seconds in self.framework.phases_s().items():
            assert phases[name] == pytest.approx(WATTS * seconds)
        assert sum(phases.values()) == pytest.approx(callback.report.window.joules)

    def test_row_and_report_have_the_exact_energy(self, machine: Machine) -> None:
        callback = self.framework.callback(pue=1.5, force_carbon_intensity_g_co2e_kwh=400)
        self.framework.train(callback, on_batch=clockwork(machine.clock))
        (row,) = rows()
        kwh = WATTS * callback.report.duration_s * 1.5 / JOULES_PER_KWH
        assert callback.report.energy_kwh.value == pytest.approx(kwh)
        assert float(row["energy_consumed"]) == pytest.approx(kwh)
        assert float(row["emissions"]) == pytest.approx(kwh * 0.4)

    @pytest.mark.usefixtures("epochs")
    def test_each_epoch_is_logged_with_the_full_set_of_names(self, machine: Machine) -> None:
        outcome = self.framework.train(
            self.framework.callback(log_metrics="all"), on_batch=clockwork(machine.clock), epochs=3
        )
        assert len(outcome.epochs) == 3
        known = TOTALS | PER_EPOCH | ALL_STARTS | FORECAST | self.framework.work
        for metrics in outcome.epochs:
            assert metrics.keys() == known | self.framework.unknown
            assert not [name for name in known if math.isnan(metrics[name])]

    @pytest.mark.usefixtures("epochs")
    def test_by_default_at_most_six_metrics_are_logged(self, machine: Machine) -> None:
        outcome = self.framework.train(self.framework.callback(), on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert len(metrics) <= 6
            assert metrics.keys() > {"energy_kwh", "emissions_kg", "epoch_energy_kwh"}

    @pytest.mark.usefixtures("epochs")
    def test_the_minimum_is_energy_and_emissions(self, machine: Machine) -> None:
        callback = self.framework.callback(log_metrics="minimal")
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert metrics.keys() == {"energy_kwh", "emissions_kg"}

    @pytest.mark.usefixtures("epochs")
    def test_metrics_may_be_chosen_by_a_variable(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CODECARBON_LOG_METRICS", "energy_kwh, carbon_power_w")
        outcome = self.framework.train(self.framework.callback(), on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert metrics.keys() == {"energy_kwh", "power_w"}

    @pytest.mark.usefixtures("epochs")
    def test_metrics_may_be_chosen_by_name(self, machine: Machine) -> None:
        chosen = ["energy_kwh", "j_per_sample", "epoch_energy_kwh"]
        callback = self.framework.callback(log_metrics=chosen)
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert metrics.keys() == set(chosen) - ({"j_per_sample"} - self.framework.work)

    def test_an_unknown_metric_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"log_metrics must be .*did you mean 'power_w'"):
            self.framework.callback(log_metrics=["energy_kwh", "powr_w"])

    @pytest.mark.usefixtures("epochs")
    def test_an_unknown_metric_in_a_variable_is_a_warning(
        self,
        machine: Machine,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("CODECARBON_LOG_METRICS", "energy_kwh,joules")
        outcome = self.framework.train(self.framework.callback(), on_batch=clockwork(machine.clock))
        assert "log_metrics must be" in caplog.text
        assert "there is no metric 'joules'" in caplog.text
        assert all("epoch_energy_kwh" in metrics for metrics in outcome.epochs)

    @pytest.mark.usefixtures("epochs")
    def test_epoch_energies_are_exact(self, machine: Machine) -> None:
        callback = self.framework.callback(log_metrics="all")
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock), epochs=3)
        kwh = WATTS * self.framework.epoch_s / JOULES_PER_KWH
        for metrics in outcome.epochs:
            assert metrics["epoch_energy_kwh"] == pytest.approx(kwh)
            assert metrics["power_w"] == pytest.approx(WATTS)
            assert metrics["cpu_energy_kwh"] == pytest.approx(metrics["energy_kwh"])

    @pytest.mark.usefixtures("epochs")
    def test_epochs_of_a_real_machine_are_positive_and_within_the_total(self) -> None:
        callback = self.framework.callback()
        outcome = self.framework.train(callback, epochs=3)
        own = [metrics["epoch_energy_kwh"] for metrics in outcome.epochs]
        so_far = [metrics["energy_kwh"] for metrics in outcome.epochs]
        total = callback.report.energy_kwh.value
        assert len(own) == 3
        assert min(own) > 0
        assert sum(own) <= total * (1 + 1e-6)
        assert so_far == sorted(so_far)
        assert so_far[-1] <= total * (1 + 1e-6)

    def test_rank_whose_node_another_one_measures_writes_nothing(self, machine: Machine) -> None:
        machine.environ["LOCAL_RANK"] = "1"
        measured = self.framework.train(self.framework.callback())
        assert measured.same_as(self.framework.train())
        assert not Path("emissions.csv").exists()
        assert not Path("carbon_runs").exists()

    def test_results_stay_together_when_the_program_changes_its_directory(
        self, place: Path
    ) -> None:
        elsewhere = place / "elsewhere"
        elsewhere.mkdir()
        self.framework.train(
            self.framework.callback(save_to_file=True),
            self.framework.in_hook(lambda: os.chdir(elsewhere)),
        )
        os.chdir(place)
        assert len(rows()) == 1
        assert len(receipts()) == 1
        assert not list(Path("carbon_runs").glob("*.journal.jsonl.lock"))
        assert not (elsewhere / "emissions.csv").exists()


class RepeatedContract(Adapted):
    """Each training of a callback is a run of its own."""

    def test_second_training_of_a_trainer_is_a_run_of_its_own(self, machine: Machine) -> None:
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        first = callback.report
        self.framework.train_again(outcome)
        assert_two_runs(first, callback.report)

    @pytest.mark.usefixtures("epochs")
    def test_second_trainer_is_a_run_of_its_own(self, machine: Machine) -> None:
        callback = self.framework.callback()
        self.framework.train(callback, on_batch=clockwork(machine.clock))
        first = callback.report
        second = self.framework.train(callback, on_batch=clockwork(machine.clock))
        assert_two_runs(first, callback.report)
        assert second.epochs[0]["energy_kwh"] < first.energy_kwh.value
