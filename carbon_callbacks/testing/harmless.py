"""The callback changes nothing but its logs, and stops a training only within its budget."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path

import pytest

from carbon_callbacks._training import step_laps
from carbon_callbacks.testing.adapted import Adapted
from carbon_callbacks.testing.framework import WHOLE_EPOCH_KWH, both, clockwork, raising
from carbon_callbacks.testing.machine import (
    Machine,
    break_something,
    count_marks,
    hold_search,
    open_files_under,
    phase_joules,
    process_state,
    receipts,
    rows,
    run_python,
    threads_of_ours,
)
from carbon_core import ConfigError


class HarmlessContract(Adapted):
    """Weights, random numbers, the process and the training thread are as without the callback."""

    def test_weights_and_random_numbers_are_the_same_with_it(self) -> None:
        bare = self.framework.train()
        measured = self.framework.train(self.framework.callback())
        assert measured.same_as(bare)
        assert measured.random == bare.random

    def test_process_is_left_as_it_was(self, place: Path) -> None:
        self.framework.train()
        before = process_state()
        self.framework.train(self.framework.callback())
        assert process_state() == before
        assert not threads_of_ours()
        assert not open_files_under(place)

    def test_meters_are_found_and_all_is_loaded_before_the_first_batch(self) -> None:
        program = self.in_another_process() + (
            "callback, seen = tests.framework.callback(), []\n"
            "def on_batch(what):\n"
            "    if what == 'train' and not seen:\n"
            "        run = tests.framework.training(callback).tracker._run\n"
            "        seen.extend([run._sampler.started.is_set(), set(sys.modules)])\n"
            "tests.framework.train(callback, on_batch=on_batch)\n"
            "checked = ('carbon_core.hardware', 'psutil', 'pynvml', 'filelock')\n"
            "print(seen[0], [name for name in set(sys.modules) - seen[1] if name.startswith(checked)])\n"
        )
        assert run_python(program).stdout.splitlines()[-1] == "True []"

    def test_marks_do_not_grow_with_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Laps at steps come with time, at most four a second.
        monkeypatch.setattr(step_laps, "_LEAST_S", math.inf)
        marks = count_marks(monkeypatch)
        self.framework.train(self.framework.callback(), batches=2)
        few = len(marks)
        marks.clear()
        self.framework.train(self.framework.callback(), batches=20)
        assert len(marks) == few > 0

    def test_wrong_argument_raises_before_training(self) -> None:
        with pytest.raises(ConfigError, match=r"measure_power_secs must be .*'fast'"):
            self.framework.callback(measure_power_secs="fast")

    def test_misspelt_argument_is_told_its_name(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'measure_power_secs'"):
            self.framework.callback(measure_power_sec=15)

    def test_wrong_variable_warns_and_trains_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("CODECARBON_PUE", "abc")
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            self.framework.train(self.framework.callback())
        assert len([text for text in caplog.messages if "CODECARBON_PUE" in text]) == 1
        assert [row["pue"] for row in rows()] == ["1.0"]

    @pytest.mark.parametrize("fault", ["output_dir", "meter", "search", "parts", "outputs"])
    def test_fault_of_ours_is_told_and_never_reaches_training(
        self, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = break_something(fault, monkeypatch)
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            measured = self.framework.train(self.framework.callback(**settings))
        assert measured.same_as(self.framework.train())
        told = [text for text in caplog.messages if "broken" in text]
        assert len(told) == 1, caplog.messages

    @pytest.mark.usefixtures("hooks")
    def test_fault_of_ours_in_a_later_hook_never_reaches_training(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        callback = self.framework.callback()

        def break_reports() -> None:
            monkeypatch.setattr(
                self.framework.training(callback).tracker, "report", raising(RuntimeError("broken"))
            )

        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            measured = self.framework.train(callback, self.framework.in_hook(break_reports))
        assert measured.same_as(self.framework.train())
        assert len([text for text in caplog.messages if "broken" in text]) == 1
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_slow_search_for_meters_delays_nobody_and_loses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = threading.Event()
        hold_search(monkeypatch, found)
        callback = self.framework.callback()
        seen: list[bool] = []

        def let_go() -> None:
            seen.append(found.is_set())
            found.set()

        measured = self.framework.train(callback, self.framework.in_hook(let_go), epochs=3)
        assert seen[0] is False
        assert measured.same_as(self.framework.train(epochs=3))
        assert phase_joules(callback.report) == pytest.approx(callback.report.window.joules)
        assert not self.framework.logs_epochs or "energy_kwh" in measured.epochs[-1]


class BudgetContract(Adapted):
    """A budget stops a training as the framework would stop by itself."""

    @pytest.mark.usefixtures("stops")
    @pytest.mark.parametrize("unit", ["budget_kwh", "budget_kg_co2e"])
    def test_a_training_that_used_up_its_budget_stops_as_the_framework_would(
        self, unit: str, machine: Machine
    ) -> None:
        callback = self.framework.callback(
            **{unit: 1.1 * WHOLE_EPOCH_KWH}, force_carbon_intensity_g_co2e_kwh=1000
        )
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock), epochs=6)
        assert len(outcome.epochs) == 2
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        assert 1.1 < callback.report.energy_kwh.value / WHOLE_EPOCH_KWH <= 2.01

    @pytest.mark.usefixtures("stops")
    def test_a_budget_that_is_used_up_within_an_epoch_stops_it_as_soon_as_may_be(
        self, machine: Machine
    ) -> None:
        callback = self.framework.callback(budget_kwh=0.05 * WHOLE_EPOCH_KWH)
        look = self.framework.in_hook(self.framework.training(callback).tracker.report)
        batches: list[str] = []
        on_batch = both(clockwork(machine.clock), batches.append)
        self.framework.train(callback, look, on_batch=on_batch, epochs=3, batches=8)
        trained = batches.count("train")
        assert trained < 8 if self.framework.stops_at_steps else trained == 8
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_a_budget_may_only_warn(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        callback = self.framework.callback(budget_kwh=1.1 * WHOLE_EPOCH_KWH, on_budget="warn")
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            outcome = self.framework.train(callback, on_batch=clockwork(machine.clock), epochs=4)
        assert len(outcome.epochs) == (4 if self.framework.logs_epochs else 0)
        told = [text for text in caplog.messages if "(budget_kwh)" in text]
        assert "energy budget 100% used: " in told[-1]
        assert len(told) == len(set(told)) <= 3

    def test_a_budget_that_is_kept_changes_nothing(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        bare = self.framework.train()
        callback = self.framework.callback(budget_kwh=100 * WHOLE_EPOCH_KWH)
        assert self.framework.train(callback, on_batch=clockwork(machine.clock)).same_as(bare)
        assert not [text for text in caplog.messages if "budget" in text]
