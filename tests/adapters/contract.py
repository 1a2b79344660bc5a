"""What every adapter promises, tested with real trainings of a tiny model.

A test module makes a `World` for its framework and inherits from `Contract`. The model of a world
calls `on_batch` with what it is doing: ``train``, ``validate``, ``load`` and so on.
"""

import copy
import csv
import gc
import json
import logging
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import carbon_core
from carbon_core import ConfigError, status_of
from carbon_core.assemble import trackers
from carbon_core.outputs.csv_file import COLUMNS
from carbon_core.sampler import Sampler

EPOCHS = 2
TRAIN_BATCHES = 4
VALIDATE_BATCHES = 2
TRAIN_BATCH_S = 1.0
VALIDATE_BATCH_S = 10.0
WATTS = 100.0
JOULES_PER_KWH = 3.6e6
WHOLE_EPOCH_KWH = (
    WATTS * (TRAIN_BATCHES * TRAIN_BATCH_S + VALIDATE_BATCHES * VALIDATE_BATCH_S) / JOULES_PER_KWH
)
TOTALS = {"energy_kwh", "emissions_kg", "power_w", "carbon_intensity_g_per_kwh", "cpu_energy_kwh"}
FORECAST = {
    "forecast_energy_kwh",
    "forecast_energy_low_kwh",
    "forecast_energy_high_kwh",
    "forecast_emissions_kg",
    "forecast_left_s",
}
ALL_STARTS = {"all_starts_energy_kwh", "all_starts_emissions_kg"}
PER_EPOCH = {"epoch_energy_kwh", "epoch_emissions_kg"}

OnBatch = Callable[[str], None]

# Threads that a test which failed has left behind: no concern of those that come after it.
left_behind: set[threading.Thread] = set()
torch.set_num_threads(1)


def nothing(what: str) -> None:
    """Do nothing at a batch."""


def generators() -> tuple[Any, ...]:
    """Return the state of the random generators."""
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


@dataclass
class Outcome:
    """What a training left.

    Attributes:
        weights: Every tensor of the model.
        trainer: The framework's own object, to train again with.
        epochs: The metrics logged for each epoch, without the framework's prefix.
        random: State of the generators afterwards.
    """

    weights: dict[str, torch.Tensor]
    trainer: Any
    epochs: list[dict[str, float]] = field(default_factory=list)
    random: tuple[Any, ...] = field(default_factory=generators)

    def same_as(self, other: "Outcome") -> bool:
        """Whether both trainings came to the same bits."""
        assert self.weights.keys() == other.weights.keys()
        assert self.weights
        return all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)


class World:
    """One framework, made small.

    Attributes:
        module: The adapter's module.
        package: The name that is imported.
        extra: What pip installs with it.
        stops_at_steps: Whether it looks at a budget at every step, or at the ends of epochs only.
        interrupt: What a KeyboardInterrupt arrives as.
        work: Names of what it knows of the work done.
        unknown: Metrics that are always logged, as NaN where they are not known.
        epoch_s: Seconds of an epoch's window when batches take their nominal time.
    """

    module: str
    package: str
    extra: str
    stops_at_steps = True
    interrupt: type[BaseException] = KeyboardInterrupt
    work: frozenset[str] = frozenset({"samples_per_kwh", "j_per_sample"})
    unknown: frozenset[str] = frozenset()
    epoch_s = TRAIN_BATCHES * TRAIN_BATCH_S + VALIDATE_BATCHES * VALIDATE_BATCH_S

    def callback(self, **settings: Any) -> Any:
        """Return the adapter's callback."""
        return sys.modules[self.module].EmissionsCallback(**settings)

    def train(
        self,
        *callbacks: Any,
        on_batch: OnBatch = nothing,
        epochs: int = EPOCHS,
        batches: int = TRAIN_BATCHES,
    ) -> Outcome:
        """Train a new model from the same seed."""
        raise NotImplementedError

    def train_again(self, outcome: Outcome) -> None:
        """Train once more with the same trainer and the same callbacks."""
        raise NotImplementedError

    def in_hook(self, act: Callable[[], None]) -> Any:
        """Return a callback of the framework that acts in the middle of an epoch."""
        raise NotImplementedError

    def arrives(self, where: str, error: BaseException) -> type[BaseException]:
        """Return as what an error arrives that was raised by a batch of a kind."""
        return self.interrupt if isinstance(error, KeyboardInterrupt) else type(error)


class Boom(Exception):
    """The user's own exception."""


class Fault:
    """Raises at the third batch of a kind."""

    def __init__(self, where: str, error: BaseException) -> None:
        self._where, self._error, self._seen = where, error, 0

    def __call__(self, what: str) -> None:
        self._seen += what == self._where
        if what == self._where and self._seen > 2:
            raise self._error


class Contract:
    """The tests; `world` is the framework."""

    world: World

    # --- harmless ------------------------------------------------------------------------------

    def test_weights_and_random_numbers_are_the_same_with_it(self):
        bare = self.world.train()
        measured = self.world.train(self.world.callback())
        assert measured.same_as(bare)
        assert equal_states(measured.random, bare.random)

    def test_process_is_left_as_it_was(self, place):
        self.world.train()
        before = process_state()
        self.world.train(self.world.callback())
        assert process_state() == before
        assert not threads_of_ours()
        assert not open_files_under(place)

    def test_meters_are_found_and_all_is_loaded_before_the_first_batch(self):
        tests = type(self)
        program = (
            f"from adapters.{tests.__module__.rpartition('.')[2]} import {tests.__name__} as tests\n"
            "import sys\n"
            "callback, seen = tests.world.callback(), []\n"
            "def on_batch(what):\n"
            "    if what == 'train' and not seen:\n"
            "        run = callback._training.tracker._run\n"
            "        seen.extend([run._sampler.started.is_set(), set(sys.modules)])\n"
            "tests.world.train(callback, on_batch=on_batch)\n"
            "ours = ('carbon_core.hardware', 'psutil', 'pynvml', 'filelock')\n"
            "print(seen[0], [name for name in set(sys.modules) - seen[1] if name.startswith(ours)])\n"
        )
        assert run_python(program).stdout.splitlines()[-1] == "True []"

    def test_marks_do_not_grow_with_batches(self, monkeypatch):
        marks = count_marks(monkeypatch)
        self.world.train(self.world.callback(), batches=2)
        few = len(marks)
        marks.clear()
        self.world.train(self.world.callback(), batches=20)
        assert len(marks) == few > 0

    def test_wrong_argument_raises_before_training(self):
        with pytest.raises(ConfigError, match=r"measure_power_secs must be .*'fast'"):
            self.world.callback(measure_power_secs="fast")

    def test_misspelt_argument_is_told_its_name(self):
        with pytest.raises(ConfigError, match="did you mean 'measure_power_secs'"):
            self.world.callback(measure_power_sec=15)

    def test_wrong_variable_warns_and_trains_on(self, monkeypatch, caplog):
        monkeypatch.setenv("CODECARBON_PUE", "abc")
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            self.world.train(self.world.callback())
        assert len([text for text in caplog.messages if "CODECARBON_PUE" in text]) == 1
        assert [row["pue"] for row in rows()] == ["1.0"]

    @pytest.mark.parametrize("fault", ["output_dir", "meter", "search", "parts", "outputs"])
    def test_fault_of_ours_is_told_and_never_reaches_training(self, fault, monkeypatch, caplog):
        settings = break_something(fault, monkeypatch)
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            measured = self.world.train(self.world.callback(**settings))
        assert measured.same_as(self.world.train())
        told = [text for text in caplog.messages if "broken" in text]
        assert len(told) == 1, caplog.messages

    def test_fault_of_ours_in_a_later_hook_never_reaches_training(self, monkeypatch, caplog):
        callback = self.world.callback()

        def break_reports():
            monkeypatch.setattr(
                callback._training.tracker, "report", raising(RuntimeError("broken"))
            )

        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            measured = self.world.train(callback, self.world.in_hook(break_reports))
        assert measured.same_as(self.world.train())
        assert len([text for text in caplog.messages if "broken" in text]) == 1
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_slow_search_for_meters_delays_nobody_and_loses_nothing(self, monkeypatch):
        found = threading.Event()
        hold_search(monkeypatch, found)
        callback = self.world.callback()
        seen: list[bool] = []

        def let_go() -> None:
            seen.append(found.is_set())
            found.set()

        measured = self.world.train(callback, self.world.in_hook(let_go), epochs=3)
        assert seen[0] is False
        assert measured.same_as(self.world.train(epochs=3))
        assert phase_joules(callback.report) == pytest.approx(callback.report.window.joules)
        assert "energy_kwh" in measured.epochs[-1]

    # --- budget --------------------------------------------------------------------------------

    @pytest.mark.parametrize("unit", ["budget_kwh", "budget_kg_co2e"])
    def test_a_training_that_used_up_its_budget_stops_as_the_framework_would(self, unit, machine):
        callback = self.world.callback(
            **{unit: 1.1 * WHOLE_EPOCH_KWH}, force_carbon_intensity_g_co2e_kwh=1000
        )
        outcome = self.world.train(callback, on_batch=clockwork(machine.clock), epochs=6)
        assert len(outcome.epochs) == 2
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        assert 1.1 < callback.report.energy_kwh.value / WHOLE_EPOCH_KWH <= 2.01

    def test_a_budget_that_is_used_up_within_an_epoch_stops_it_as_soon_as_may_be(self, machine):
        callback = self.world.callback(budget_kwh=0.05 * WHOLE_EPOCH_KWH)
        look = self.world.in_hook(lambda: callback._training.tracker.report())
        batches: list[str] = []
        on_batch = both(clockwork(machine.clock), batches.append)
        self.world.train(callback, look, on_batch=on_batch, epochs=3, batches=8)
        trained = batches.count("train")
        assert trained < 8 if self.world.stops_at_steps else trained == 8
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_a_budget_may_only_warn(self, machine, caplog):
        callback = self.world.callback(budget_kwh=1.1 * WHOLE_EPOCH_KWH, on_budget="warn")
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            outcome = self.world.train(callback, on_batch=clockwork(machine.clock), epochs=4)
        assert len(outcome.epochs) == 4
        told = [text for text in caplog.messages if "(budget_kwh)" in text]
        assert "energy budget 100% used: " in told[-1]
        assert len(told) == len(set(told)) <= 3

    def test_a_budget_that_is_kept_changes_nothing(self, machine, caplog):
        bare = self.world.train()
        callback = self.world.callback(budget_kwh=100 * WHOLE_EPOCH_KWH)
        assert self.world.train(callback, on_batch=clockwork(machine.clock)).same_as(bare)
        assert not [text for text in caplog.messages if "budget" in text]

    # --- what is measured ----------------------------------------------------------------------

    def test_one_line_with_defaults_leaves_a_row_and_a_receipt(self):
        self.world.train(self.world.callback())
        (row,) = rows()
        (receipt,) = receipts()
        assert tuple(row) == COLUMNS
        assert len(COLUMNS) == 38
        assert float(row["energy_consumed"]) > 0
        assert receipt["run"]["run_id"] == row["run_id"]
        assert receipt["status"] == "completed"
        assert {"train", "validate"} <= {phase["name"] for phase in receipt["phases"]}
        assert not list(Path("carbon_runs").glob("*.journal.jsonl.lock"))

    def test_phases_add_up_to_the_total(self):
        callback = self.world.callback()
        self.world.train(callback)
        report = callback.report
        assert phase_joules(report) == pytest.approx(report.window.joules, rel=1e-6)
        phases_s = sum(phase.duration_s for phase in report.phases)
        assert phases_s == pytest.approx(report.duration_s, rel=1e-6)

    def test_each_phase_has_what_was_drawn_in_it(self, machine):
        callback = self.world.callback()
        self.world.train(callback, on_batch=clockwork(machine.clock))
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        train_s = EPOCHS * TRAIN_BATCHES * TRAIN_BATCH_S
        validate_s = EPOCHS * VALIDATE_BATCHES * VALIDATE_BATCH_S
        assert phases["train"] == pytest.approx(WATTS * train_s)
        assert phases["validate"] == pytest.approx(WATTS * validate_s)
        assert sum(phases.values()) == pytest.approx(callback.report.window.joules)

    def test_row_and_report_have_the_exact_energy(self, machine):
        callback = self.world.callback(pue=1.5, force_carbon_intensity_g_co2e_kwh=400)
        self.world.train(callback, on_batch=clockwork(machine.clock))
        (row,) = rows()
        kwh = WATTS * callback.report.duration_s * 1.5 / JOULES_PER_KWH
        assert callback.report.energy_kwh.value == pytest.approx(kwh)
        assert float(row["energy_consumed"]) == pytest.approx(kwh)
        assert float(row["emissions"]) == pytest.approx(kwh * 0.4)

    def test_each_epoch_is_logged_with_the_full_set_of_names(self, machine):
        outcome = self.world.train(
            self.world.callback(metrics="all"), on_batch=clockwork(machine.clock), epochs=3
        )
        assert len(outcome.epochs) == 3
        known = TOTALS | PER_EPOCH | ALL_STARTS | FORECAST | self.world.work
        for metrics in outcome.epochs:
            assert metrics.keys() == known | self.world.unknown
            assert not [name for name in known if math.isnan(metrics[name])]

    def test_by_default_six_metrics_are_logged(self, machine):
        outcome = self.world.train(self.world.callback(), on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert len(metrics) == 6
            assert metrics.keys() > {"energy_kwh", "emissions_kg", "epoch_energy_kwh"}

    def test_metrics_may_be_chosen_by_name(self, machine):
        chosen = ["energy_kwh", "j_per_sample", "epoch_energy_kwh"]
        callback = self.world.callback(metrics=chosen)
        outcome = self.world.train(callback, on_batch=clockwork(machine.clock))
        for metrics in outcome.epochs:
            assert metrics.keys() == set(chosen) - ({"j_per_sample"} - self.world.work)

    def test_an_unknown_metric_is_refused(self):
        with pytest.raises(ConfigError, match=r"metrics must be .*energy_kwh.*got 'joules'"):
            self.world.callback(metrics=["energy_kwh", "joules"])

    def test_epoch_energies_are_exact(self, machine):
        callback = self.world.callback(metrics="all")
        outcome = self.world.train(callback, on_batch=clockwork(machine.clock), epochs=3)
        kwh = WATTS * self.world.epoch_s / JOULES_PER_KWH
        for metrics in outcome.epochs:
            assert metrics["epoch_energy_kwh"] == pytest.approx(kwh)
            assert metrics["power_w"] == pytest.approx(WATTS)
            assert metrics["cpu_energy_kwh"] == pytest.approx(metrics["energy_kwh"])

    def test_epochs_of_a_real_machine_are_positive_and_within_the_total(self):
        callback = self.world.callback()
        outcome = self.world.train(callback, epochs=3)
        own = [metrics["epoch_energy_kwh"] for metrics in outcome.epochs]
        so_far = [metrics["energy_kwh"] for metrics in outcome.epochs]
        total = callback.report.energy_kwh.value
        assert len(own) == 3
        assert min(own) > 0
        assert sum(own) <= total * (1 + 1e-6)
        assert so_far == sorted(so_far)
        assert so_far[-1] <= total * (1 + 1e-6)

    def test_rank_whose_node_another_one_measures_writes_nothing(self, machine):
        machine.environ["LOCAL_RANK"] = "1"
        measured = self.world.train(self.world.callback())
        assert measured.same_as(self.world.train())
        assert not Path("emissions.csv").exists()
        assert not Path("carbon_runs").exists()

    def test_results_stay_together_when_the_program_changes_its_directory(self, place):
        elsewhere = place / "elsewhere"
        elsewhere.mkdir()
        self.world.train(
            self.world.callback(save_to_file=True),
            self.world.in_hook(lambda: os.chdir(elsewhere)),
        )
        os.chdir(place)
        assert len(rows()) == 1
        assert len(receipts()) == 1
        assert not list(Path("carbon_runs").glob("*.journal.jsonl.lock"))
        assert not (elsewhere / "emissions.csv").exists()

    # --- one callback, many trainings ----------------------------------------------------------

    def test_second_training_of_a_trainer_is_a_run_of_its_own(self, machine):
        callback = self.world.callback()
        outcome = self.world.train(callback, on_batch=clockwork(machine.clock))
        first = callback.report
        self.world.train_again(outcome)
        assert_two_runs(first, callback.report)

    def test_second_trainer_is_a_run_of_its_own(self, machine):
        callback = self.world.callback()
        self.world.train(callback, on_batch=clockwork(machine.clock))
        first = callback.report
        second = self.world.train(callback, on_batch=clockwork(machine.clock))
        assert_two_runs(first, callback.report)
        assert second.epochs[0]["energy_kwh"] < first.energy_kwh.value

    # --- exceptions ----------------------------------------------------------------------------

    @pytest.mark.parametrize("where", ["train", "validate", "load"])
    def test_exception_arrives_unchanged_and_closes_the_run(self, where, place):
        error = Boom("boom", 7)
        callback = self.world.callback()
        before = process_state()
        arrives = self.world.arrives(where, error)
        with pytest.raises(arrives) as caught:
            self.world.train(callback, on_batch=Fault(where, error))
        assert caught.value is error or arrives is not Boom
        assert error.args == ("boom", 7)
        self.assert_closed("failed", place, before)

    @pytest.mark.parametrize("where", ["train", "validate", "load"])
    def test_interrupt_arrives_and_closes_the_run(self, where, place):
        error = KeyboardInterrupt("boom")
        callback = self.world.callback()
        before = process_state()
        arrives = self.world.arrives(where, error)
        with pytest.raises(arrives) as caught:
            self.world.train(callback, on_batch=Fault(where, error))
        assert caught.value is error or arrives is not KeyboardInterrupt
        # Lightning switches Ctrl-C off after it was pressed.
        signal.signal(signal.SIGINT, before[1][signal.SIGINT])
        # Where the framework turns it into an error of its own, nobody can tell it from one.
        self.assert_closed(status_of(caught.value), place, before)

    def test_running_out_of_memory_closes_the_run(self, place):
        error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        callback = self.world.callback()
        before = process_state()
        with pytest.raises(torch.OutOfMemoryError) as caught:
            self.world.train(callback, on_batch=Fault("train", error))
        assert caught.value is error
        self.assert_closed("failed", place, before)

    def test_exception_of_another_callback_closes_the_run(self, place):
        error = Boom("theirs")
        callback = self.world.callback()
        before = process_state()
        with pytest.raises(Boom) as caught:
            self.world.train(callback, self.world.in_hook(raising(error)))
        assert caught.value is error
        self.assert_closed("failed", place, before)

    def test_end_of_the_process_changes_nothing_for_a_run_that_raised(self):
        tests = type(self)
        program = (
            f"from adapters.{tests.__module__.rpartition('.')[2]} import {tests.__name__} as tests\n"
            "from adapters.contract import Boom, Fault\n"
            "callback = tests.world.callback()\n"
            "tests.world.train(callback, on_batch=Fault('train', Boom('at the end')))\n"
        )
        done = run_python(program)
        assert done.returncode == 1
        assert "Boom: at the end" in done.stderr
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert len(rows()) == 1

    def test_block_around_a_training_that_ends_well_changes_nothing(self):
        with self.world.callback() as callback:
            self.world.train(callback)
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_block_without_a_training_writes_nothing(self, place):
        with self.world.callback():
            pass
        assert not list(place.iterdir())

    def test_training_after_one_that_raised_is_measured(self, machine):
        callback = self.world.callback()
        until_it_raises = both(clockwork(machine.clock), Fault("train", Boom()))
        with pytest.raises(Boom):
            self.world.train(callback, on_batch=until_it_raises)
        first = callback.report
        outcome = self.world.train(callback, on_batch=clockwork(machine.clock))
        assert_two_runs(first, callback.report, "failed")
        assert len(outcome.epochs) == EPOCHS

    def assert_closed(self, status: str, place: Path, before: Any) -> None:
        assert [receipt["status"] for receipt in receipts()] == [status]
        assert len(rows()) == 1
        assert not threads_of_ours()
        assert not open_files_under(place)
        assert process_state() == before

    # --- copies --------------------------------------------------------------------------------

    @pytest.mark.parametrize("duplicate", ["pickle", "deepcopy"])
    def test_copies_are_inert_whenever_they_are_made(self, duplicate):
        duplicate = {"pickle": via_pickle, "deepcopy": copy.deepcopy}[duplicate]
        callback = self.world.callback(project_name="mine")
        copies = [duplicate(callback)]

        def copy_now() -> None:
            copies.append(duplicate(callback))

        self.world.train(callback, self.world.in_hook(copy_now))
        assert len(copies) >= 2
        copies.append(duplicate(callback))
        assert not any(one._training.running for one in copies)
        assert copies[1].report is None
        del copies[:2]
        gc.collect()
        assert len(rows()) == 1

        self.world.train(copies[-1])
        assert [row["project_name"] for row in rows()] == ["mine", "mine"]
        assert len({row["run_id"] for row in rows()}) == 2

    def test_copy_made_during_training_measures_its_own(self, machine):
        callback = self.world.callback()
        copies: list[Any] = []
        turn = clockwork(machine.clock)

        def copy_now() -> None:
            copies.append(via_pickle(callback))

        self.world.train(callback, self.world.in_hook(copy_now), on_batch=turn)
        self.world.train(copies[0], on_batch=turn)
        assert_two_runs(callback.report, copies[0].report)

    def test_copy_holds_no_secret(self):
        callback = self.world.callback(electricitymaps_api_token="s3cr3t-t0ken")
        assert b"s3cr3t-t0ken" not in pickle.dumps(callback)
        assert "s3cr3t-t0ken" not in repr(vars(copy.deepcopy(callback)))

    # --- without the framework -----------------------------------------------------------------

    def test_adapter_without_its_framework_says_what_to_install(self):
        program = (
            f"import sys; sys.modules[{self.world.package!r}] = None\n"
            f"try:\n    import {self.world.module}\n"
            "except ImportError as error:\n    print(error)\n"
        )
        lines = run_python(program).stdout
        assert f"pip install 'carbon-callbacks[{self.world.extra}]'" in lines
        assert f"{self.world.module} needs the package" in lines


def assert_two_runs(first: Any, second: Any, first_status: str = "completed") -> None:
    """Check that two reports are of two whole runs, and that both are in the files."""
    assert [row["run_id"] for row in rows()] == [first.run.run_id, second.run.run_id]
    assert first.run.run_id != second.run.run_id
    assert (first.status, second.status) == (first_status, "completed")
    assert first.window.joules > 0
    assert second.window.joules > 0
    assert {receipt["run"]["run_id"] for receipt in receipts()} == {
        first.run.run_id,
        second.run.run_id,
    }


def rows(path: Path = Path("emissions.csv")) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def receipts() -> list[dict[str, Any]]:
    """Return all receipts, oldest run first."""
    found = [json.loads(path.read_text()) for path in Path("carbon_runs").glob("*.receipt.json")]
    order = [row["run_id"] for row in rows()]
    return sorted(found, key=lambda receipt: order.index(receipt["run"]["run_id"]))


def phase_joules(report: Any) -> float:
    """Return what the phases add up to."""
    return sum(phase.joules for phase in report.phases)


def clockwork(clock: Any) -> OnBatch:
    """Return what lets each batch take its nominal time."""
    seconds = {"train": TRAIN_BATCH_S, "validate": VALIDATE_BATCH_S}
    return lambda what: clock.advance(seconds.get(what, 0.0))


def both(one: OnBatch, other: OnBatch) -> OnBatch:
    """Return what does one thing and then the other."""

    def do(what: str) -> None:
        one(what)
        other(what)

    return do


def via_pickle(value: Any) -> Any:
    """Return a copy that went through pickle."""
    return pickle.loads(pickle.dumps(value))


def equal_states(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether the random generators are where they were."""
    return (
        torch.equal(one[0], other[0])
        and one[1] == other[1]
        and all(np.array_equal(a, b) for a, b in zip(one[2], other[2]))
    )


def process_state() -> tuple[Any, ...]:
    """Return what belongs to the process and is none of our business."""
    # PYTEST_CURRENT_TEST changes with the test's own progress.
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    logger = logging.getLogger("carbon_callbacks")
    return environ, handlers, Path.cwd(), tuple(logger.handlers), sys.excepthook


def threads_of_ours() -> list[threading.Thread]:
    """Return our threads that are alive."""
    threads = set(threading.enumerate()) - left_behind
    return [thread for thread in threads if thread.name.startswith("carbon-")]


def collect() -> None:
    """End the runs that nobody holds any more; a thread of the framework may hold one a moment."""
    for _ in range(10):
        if not threads_of_ours():
            return
        gc.collect()
        for thread in threads_of_ours():
            thread.join(0.1)


def open_files_under(directory: Path) -> list[str]:
    """Return our files under a directory that this process holds open."""
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    ours = ("carbon_runs", "emissions.csv")
    return [
        link
        for link in links
        if link.startswith(f"{directory}/") and any(name in link for name in ours)
    ]


def count_marks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that every mark of the training thread is added to."""
    marks: list[Any] = []
    real = Sampler.mark

    def mark(self: Sampler, mark: Any) -> None:
        marks.append(mark)
        real(self, mark)

    monkeypatch.setattr(Sampler, "mark", mark)
    return marks


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def change_parts(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Let runs be made of other parts."""
    real = trackers.make_parts
    monkeypatch.setattr(trackers, "make_parts", lambda *a, **k: change(real(*a, **k)))


def break_something(what: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Break a part at the edge of the machine; return the settings that go with it."""
    from carbon_core.hardware.base import Detection
    from carbon_core.testing import FakeMeter

    fail = raising(RuntimeError("broken"))
    if what == "output_dir":
        Path("broken").write_text("a file where a directory should be")
        return {"output_dir": "broken/results"}
    if what == "parts":
        monkeypatch.setattr(trackers, "make_parts", fail)
    if what == "search":
        change_parts(monkeypatch, lambda parts: replace(parts, detect=fail))
    if what == "meter":
        change_parts(
            monkeypatch,
            lambda parts: replace(parts, detect=lambda: Detection((FakeMeter(parts.clock, fail),))),
        )
    if what == "outputs":
        change_parts(
            monkeypatch, lambda parts: replace(parts, make_outputs=lambda: [_BrokenOutput()])
        )
    return {}


class _BrokenOutput:
    """An output that fails at its end in a way that nobody foresaw."""

    def open(self, report: Any) -> None:
        pass

    def update(self, report: Any) -> None:
        pass

    def flush(self, report: Any) -> None:
        pass

    def close(self, report: Any) -> None:
        raise RuntimeError("broken")


def hold_search(monkeypatch: pytest.MonkeyPatch, found: threading.Event) -> None:
    """Let the search for meters take until an event."""

    def hold(parts: Any) -> Any:
        def detect() -> Any:
            found.wait(30)
            return parts.detect()

        return replace(parts, detect=detect)

    change_parts(monkeypatch, hold)


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with this package and these tests in a process of its own."""
    root = Path(__file__).parents[2]
    places = (Path(carbon_core.__file__).parents[1], root, root / "tests")
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(place) for place in places)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
