"""What both packages of Lightning get: the contract, and Lightning's own loggers and hooks."""

import csv
import logging
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.shipped_contract import ShippedContract, ShippedFramework, bytes_of
from torch.utils.data import DataLoader, Dataset

from carbon_callbacks._training.metrics import SLASH_PREFIX as PREFIX
from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCH_S,
    TRAIN_BATCHES,
    VALIDATE_BATCH_S,
    VALIDATE_BATCHES,
    WATTS,
    WHOLE_EPOCH_KWH,
    Boom,
    Fault,
    Outcome,
    both,
    change_parts,
    clockwork,
    nothing,
    raising,
    receipts,
    rows,
    threads_of_ours,
)
from carbon_core.outputs.receipt import segment_data


class Samples(Dataset):
    """Pairs of a few numbers."""

    def __init__(self, count: int, on_batch: Any = nothing) -> None:
        numbers = torch.arange(count * 4, dtype=torch.float32).reshape(count, 4) / count
        self._samples, self._on_batch = numbers.sin(), on_batch

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        self._on_batch("load")
        return self._samples[index]


class LightningFramework(ShippedFramework):
    """Either package of Lightning.

    Args:
        package: Name of the package.
        pl: What its users call ``pl``.
        loggers: Its module of loggers.
    """

    interrupt = SystemExit

    def __init__(self, package: str, pl: Any, loggers: Any) -> None:
        self.package = package
        self.module = f"carbon_callbacks.{package}"
        self.extra = package.replace("_", "-")
        self.pl = pl
        self.csv_logger = loggers.CSVLogger

    def model(self, on_batch: Any = nothing) -> Any:
        """Return a new model from the same seed, with a layer that draws random numbers."""

        class Model(self.pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = torch.nn.Sequential(
                    torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
                )

            def _loss(self, what: str, batch: torch.Tensor) -> torch.Tensor:
                on_batch(what)
                return (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()

            def training_step(self, batch: Any, index: int) -> Any:
                return self._loss("train", batch)

            def validation_step(self, batch: Any, index: int) -> None:
                what = "sanity_check" if self.trainer.sanity_checking else "validate"
                self.log("val_loss", self._loss(what, batch))

            def test_step(self, batch: Any, index: int) -> None:
                self._loss("test", batch)

            def predict_step(self, batch: Any, index: int) -> Any:
                on_batch("predict")
                return self.net(batch)

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), lr=0.01)

        self.pl.seed_everything(7, verbose=False)
        return Model()

    def trainer(self, *callbacks: Any, **options: Any) -> Any:
        """Return a trainer that says little."""
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        base = {"max_epochs": EPOCHS, "logger": False, "log_every_n_steps": 1}
        if options.get("barebones"):
            quiet, base = {}, {"max_epochs": EPOCHS}
        return self.pl.Trainer(
            accelerator="cpu", devices=1, callbacks=list(callbacks), **{**quiet, **base, **options}
        )

    def fit(self, trainer: Any, model: Any, on_batch: Any = nothing, batches: int = 4) -> None:
        """Train with a shuffled loader."""
        train = DataLoader(Samples(2 * batches, on_batch), batch_size=2, shuffle=True)
        trainer.fit(model, train, self.loader())

    def loader(self) -> Any:
        """Return the batches that are not trained with."""
        return DataLoader(Samples(2 * VALIDATE_BATCHES), batch_size=2)

    def train(self, *callbacks, on_batch=nothing, epochs=EPOCHS, batches=TRAIN_BATCHES, **options):
        options.setdefault("logger", self.csv_logger(Path("logs").absolute()))
        trainer = self.trainer(*callbacks, max_epochs=epochs, **options)
        model = self.model(on_batch)
        self.fit(trainer, model, on_batch, batches)
        weights = bytes_of(model.state_dict())
        epochs_logged = logged_epochs(trainer) if trainer.loggers else []
        return Outcome(weights, trainer, epochs_logged)

    def train_again(self, outcome):
        trainer = outcome.trainer
        trainer.fit_loop.max_epochs += EPOCHS
        self.fit(trainer, trainer.lightning_module)

    def in_hook(self, act):
        class InHook(self.pl.Callback):
            def on_train_batch_end(self, trainer, *args: Any) -> None:
                if trainer.global_step == 2:
                    act()

        return InHook()


def logged(trainer: Any) -> list[dict[str, str]]:
    """Return the rows that the CSVLogger wrote."""
    with (Path(trainer.logger.log_dir) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def logged_epochs(trainer: Any) -> list[dict[str, float]]:
    """Return what was logged of ours at the end of each epoch."""
    ours = [
        {key.removeprefix(PREFIX): float(row[key]) for key in row if ours_in(row, key)}
        for row in logged(trainer)
    ]
    return [metrics for metrics in ours if "epoch_energy_kwh" in metrics]


def ours_in(row: dict[str, str], key: str) -> bool:
    """Whether a row has a figure of ours under a name."""
    return key.startswith(PREFIX) and bool(row[key])


class LightningContract(ShippedContract):
    """The contract, and what is Lightning's own."""

    framework: LightningFramework

    # --- its loggers ---------------------------------------------------------------------------

    def test_metrics_can_be_monitored(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        metrics = outcome.trainer.callback_metrics
        last = outcome.epochs[-1]
        assert float(metrics["carbon/energy_kwh"]) == pytest.approx(last["energy_kwh"])
        assert float(metrics["carbon/energy_kwh"]) <= callback.report.energy_kwh.value * (1 + 1e-6)

    def test_early_stopping_can_monitor_the_energy(self):
        stop = self.stopping("carbon/energy_kwh")
        outcome = self.framework.train(self.framework.callback(), stop, epochs=9)
        # The energy grows, so that the second epoch is the first without a lower one.
        assert outcome.trainer.current_epoch == 2
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_early_stopping_on_the_energy_survives_a_search_that_found_no_meter(self, monkeypatch):
        fail = raising(RuntimeError("broken"))
        change_parts(monkeypatch, lambda parts: replace(parts, detect=fail))
        self.framework.train(self.framework.callback(), self.stopping("carbon/energy_kwh"))

    def test_early_stopping_on_the_energy_survives_on_a_rank_that_does_not_measure(self, machine):
        machine.environ["LOCAL_RANK"] = "1"
        self.framework.train(self.framework.callback(), self.stopping("carbon/energy_kwh"))

    def stopping(self, monitor: str) -> Any:
        return self.framework.pl.callbacks.EarlyStopping(monitor, mode="min", patience=1)

    def test_the_energy_is_logged_if_early_stopping_may_end_the_training(self, machine):
        stop = self.framework.pl.callbacks.EarlyStopping(
            "carbon/energy_kwh", mode="min", patience=4, check_on_train_epoch_end=False
        )
        outcome = self.framework.train(
            self.framework.callback(log_metrics="all"),
            stop,
            on_batch=clockwork(machine.clock),
            epochs=5,
        )
        stopped = [one.get("forecast_if_stopped_kwh") for one in outcome.epochs]
        assert stopped[0] is None
        assert stopped[-1] == outcome.epochs[-1]["energy_kwh"]

    def test_checkpoint_can_monitor_the_energy(self):
        best = self.framework.pl.callbacks.ModelCheckpoint(
            "best", monitor="carbon/energy_kwh", save_top_k=1
        )
        self.framework.train(self.framework.callback(), best)
        assert best.best_model_score > 0
        assert Path(best.best_model_path).exists()

    def test_logger_gets_the_final_totals(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        last = logged(outcome.trainer)[-1]
        report = callback.report
        assert float(last["carbon/energy_kwh"]) == report.energy_kwh.value
        assert float(last["carbon/emissions_kg"]) == report.emissions_kg.value
        assert float(last["carbon/power_w"]) == report.power_w
        assert int(last["step"]) == EPOCHS * TRAIN_BATCHES - 1

    def test_logger_gets_the_totals_of_a_training_that_raised(self):
        logger = self.framework.csv_logger("logs")
        trainer = self.framework.trainer(callback := self.framework.callback(), logger=logger)
        with pytest.raises(Boom):
            self.framework.fit(
                trainer, self.framework.model(raise_at_second_epoch(trainer_of := []))
            )
        assert trainer_of
        last = logged(trainer)[-1]
        assert float(last["carbon/energy_kwh"]) == callback.report.energy_kwh.value

    def test_logger_that_refuses_the_totals_is_told_of_and_ends_nothing(self, caplog):
        logger = self.framework.csv_logger("logs")
        real = logger.log_metrics

        def refuse(metrics: Any, step: Any = None) -> None:
            if "carbon/energy_kwh" in metrics and "carbon/epoch_energy_kwh" not in metrics:
                raise ValueError("no more")
            real(metrics, step)

        logger.log_metrics = refuse
        outcome = self.framework.train(self.framework.callback(), logger=logger)
        assert outcome.trainer.state.finished
        assert len(rows()) == 1
        assert len([text for text in caplog.messages if "no more" in text]) == 1

    def test_nothing_is_logged_during_the_sanity_check(self):
        seen: list[Any] = []

        class Watch(self.framework.pl.Callback):
            def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
                seen.append({**trainer.callback_metrics, **trainer.logged_metrics})

        outcome = self.framework.train(self.framework.callback(), Watch())
        assert len(seen) == 1
        assert not [key for key in seen[0] if key.startswith(PREFIX)]
        assert {row["step"] for row in logged(outcome.trainer) if row["carbon/energy_kwh"]} == {
            str(TRAIN_BATCHES - 1),
            str(2 * TRAIN_BATCHES - 1),
        }

    @pytest.mark.parametrize(
        "options", [{"logger": False}, {"fast_dev_run": True}, {"barebones": True}]
    )
    def test_trainer_without_loggers_is_measured(self, options):
        trainer = self.framework.trainer(self.framework.callback(), **options)
        self.framework.fit(trainer, self.framework.model())
        assert trainer.state.finished
        (row,) = rows()
        assert float(row["energy_consumed"]) > 0

    def test_totals_reach_every_logger(self):
        loggers = [self.framework.csv_logger("one"), self.framework.csv_logger("two")]
        callback = self.framework.callback()
        outcome = self.framework.train(callback, logger=loggers)
        for logger in loggers:
            outcome.trainer.loggers = [logger]
            last = logged(outcome.trainer)[-1]
            assert float(last["carbon/energy_kwh"]) == callback.report.energy_kwh.value

    # --- its phases ----------------------------------------------------------------------------

    def test_sanity_check_is_a_phase_of_its_own(self, machine):
        callback = self.framework.callback()
        turn = clockwork(machine.clock)
        self.framework.train(
            callback, on_batch=lambda what: turn("validate" if "sanity" in what else what)
        )
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        joules = WATTS * VALIDATE_BATCHES * VALIDATE_BATCH_S
        assert phases["sanity_check"] == pytest.approx(joules)
        assert phases["validate"] == pytest.approx(EPOCHS * joules)

    def test_validation_within_an_epoch_goes_back_to_training(self, machine):
        callback = self.framework.callback()
        self.framework.train(callback, on_batch=clockwork(machine.clock), val_check_interval=2)
        counts = {phase.name: phase.count for phase in callback.report.phases}
        joules = {phase.name: phase.joules for phase in callback.report.phases}
        assert counts["validate"] == 2 * EPOCHS
        assert joules["train"] == pytest.approx(WATTS * EPOCHS * TRAIN_BATCHES)

    def test_checkpoints_are_a_phase_of_their_own(self, machine):
        callback = self.framework.callback()
        saving = self.framework.pl.callbacks.ModelCheckpoint("often", every_n_train_steps=1)
        self.framework.train(callback, saving, on_batch=clockwork(machine.clock))
        phases = {phase.name: phase for phase in callback.report.phases}
        assert phases["checkpoint"].count >= EPOCHS * TRAIN_BATCHES
        assert phases["train"].joules == pytest.approx(WATTS * EPOCHS * TRAIN_BATCHES)

    def test_validation_after_a_checkpoint_is_validation(self, machine):
        callback = self.framework.callback()
        saving = self.framework.pl.callbacks.ModelCheckpoint("often", every_n_train_steps=1)
        self.framework.train(
            callback, saving, on_batch=clockwork(machine.clock), val_check_interval=2
        )
        joules = {phase.name: phase.joules for phase in callback.report.phases}
        seconds = 2 * EPOCHS * VALIDATE_BATCHES * VALIDATE_BATCH_S
        assert joules["validate"] == pytest.approx(WATTS * seconds)

    @pytest.mark.parametrize("what", ["validate", "test", "predict"])
    def test_work_outside_fit_is_a_run_of_its_own(self, what, machine):
        callback = self.framework.callback()
        trainer = self.framework.trainer(callback)
        model = self.framework.model(lambda done: machine.clock.advance(5.0))
        getattr(trainer, what)(model, self.framework.loader(), **self.quiet(what))
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        assert phases[what] == pytest.approx(WATTS * VALIDATE_BATCHES * 5.0)
        assert "train" not in phases
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        assert not threads_of_ours()

    @pytest.mark.parametrize("what", ["validate", "test", "predict"])
    def test_work_outside_fit_that_raises_is_closed(self, what):
        callback = self.framework.callback()
        trainer = self.framework.trainer(callback)
        with pytest.raises(Boom):
            getattr(trainer, what)(
                self.framework.model(raising(Boom())), self.framework.loader(), **self.quiet(what)
            )
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()

    def quiet(self, what: str) -> dict[str, bool]:
        return {} if what == "predict" else {"verbose": False}

    def test_fit_and_then_test_are_two_runs(self, machine):
        callback = self.framework.callback()
        turn = clockwork(machine.clock)
        outcome = self.framework.train(callback, on_batch=turn)
        outcome.trainer.test(self.framework.model(), self.framework.loader(), verbose=False)
        first, second = receipts()
        assert "test" not in {phase["name"] for phase in first["phases"]}
        assert {phase["name"] for phase in second["phases"]} >= {"test"}
        assert callback.report.run.run_id == second["run"]["run_id"]

    # --- its ends ------------------------------------------------------------------------------

    def test_exception_in_teardown_leaves_one_row(self):
        model = self.framework.model()
        model.teardown = raising(Boom("late"))
        with pytest.raises(Boom, match="late"):
            self.framework.fit(self.framework.trainer(self.framework.callback()), model)
        assert len(rows()) == 1
        assert not threads_of_ours()

    def test_exception_before_the_fit_starts_leaves_nothing(self):
        model = self.framework.model()
        model.setup = raising(Boom("early"))
        with pytest.raises(Boom, match="early"):
            self.framework.fit(self.framework.trainer(self.framework.callback()), model)
        assert not Path("emissions.csv").exists()
        assert not threads_of_ours()

    @pytest.mark.parametrize("hook", ["configure_optimizers", "on_train_start", "on_train_end"])
    def test_exception_in_a_hook_of_the_model_arrives_and_leaves_no_thread(self, hook):
        error = Boom(hook)
        model = self.framework.model()
        setattr(model, hook, raising(error))
        with pytest.raises(Boom) as caught:
            self.framework.fit(self.framework.trainer(self.framework.callback()), model)
        assert caught.value is error
        # The optimizers are made before the fit starts, and with it the run.
        expected = [] if hook == "configure_optimizers" else ["failed"]
        assert [receipt["status"] for receipt in receipts()] == expected
        assert not threads_of_ours()

    def test_a_callback_that_hides_the_exception_from_the_others_is_made_up_for(self, machine):
        class Hiding(self.framework.pl.Callback):
            def on_exception(self, *args: Any) -> None:
                raise Boom("while another was handled")

        callback, turn = self.framework.callback(), clockwork(machine.clock)
        with pytest.raises(Boom, match="while another"):
            until_it_raises = both(turn, Fault("train", Boom("first")))
            self.framework.train(Hiding(), callback, on_batch=until_it_raises)
        assert [receipt["status"] for receipt in receipts()] == ["failed"]
        assert not threads_of_ours()
        self.framework.train(callback, on_batch=turn)
        assert [receipt["status"] for receipt in receipts()] == ["failed", "completed"]
        assert not threads_of_ours()

    def test_stop_within_an_epoch_ends_a_completed_run(self):
        class Stop(self.framework.pl.Callback):
            def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
                trainer.should_stop = True

        self.framework.train(self.framework.callback(), Stop())
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_exit_arrives_and_interrupts_the_run(self):
        with pytest.raises(SystemExit) as caught:
            self.framework.train(
                self.framework.callback(), self.framework.in_hook(raising(SystemExit(3)))
            )
        assert caught.value.code == 3
        assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
        assert not threads_of_ours()

    # --- its checkpoints and keys --------------------------------------------------------------

    def test_training_resumes_from_a_checkpoint_written_with_it(self):
        saving = self.framework.pl.callbacks.ModelCheckpoint(
            "kept", filename="last", save_last=True
        )
        self.framework.train(self.framework.callback(), saving)
        trainer = self.framework.trainer(self.framework.callback(), max_epochs=3)
        train = DataLoader(Samples(2 * TRAIN_BATCHES), batch_size=2)
        trainer.fit(
            self.framework.model(), train, self.framework.loader(), ckpt_path="kept/last.ckpt"
        )
        assert trainer.current_epoch == 3
        assert len(rows()) == 2

    def test_a_training_that_failed_and_resumed_adds_up_with_the_tail_after_its_checkpoint(
        self, machine
    ):
        first, second = self.fail_and_resume(
            machine, self.framework.callback(), self.framework.callback()
        )
        assert [one.run_id for one in second.earlier] == [first.run.run_id]
        assert second.training_kwh == first.energy_kwh.value + second.energy_kwh.value
        # The first start drew more than its checkpoint knows: the fourth batch raised in epoch two.
        (kept,) = self.checkpoint()["segments"]
        assert 0 < kept["energy_kwh"] < first.energy_kwh.value
        assert receipts()[-1]["training"]["energy_kwh"] == second.training_kwh
        assert receipts()[-1]["earlier_starts"] == [segment_data(first.segment)]

    def test_what_all_starts_took_is_logged_beside_what_this_start_took(self, machine):
        first, second = self.fail_and_resume(
            machine, self.framework.callback(), self.framework.callback()
        )
        last = logged(self.resumed)[-1]
        assert float(last["carbon/energy_kwh"]) == second.energy_kwh.value
        assert float(last["carbon/all_starts_energy_kwh"]) == pytest.approx(second.training_kwh)
        assert float(last["carbon/all_starts_energy_kwh"]) > first.energy_kwh.value

    def test_without_its_files_a_training_resumes_with_what_the_checkpoint_knows(self, machine):
        callbacks = [self.framework.callback(output_dir=name) for name in ("one", "two")]
        first, second = self.fail_and_resume(machine, *callbacks)
        (kept,) = self.checkpoint()["segments"]
        assert second.training_kwh == kept["energy_kwh"] + second.energy_kwh.value
        assert second.training_kwh < first.energy_kwh.value + second.energy_kwh.value

    def test_a_state_counts_once_however_often_it_is_loaded(self, machine):
        callback = self.framework.callback()
        again = self.framework.in_hook(
            lambda: [callback.load_state_dict(self.checkpoint()) for _ in range(3)]
        )
        first, second = self.fail_and_resume(machine, self.framework.callback(), callback, again)
        assert [one.run_id for one in second.earlier] == [first.run.run_id]

    def test_a_run_s_own_state_loaded_into_it_changes_nothing(self, machine):
        callback = self.framework.callback()
        reload = self.framework.in_hook(lambda: callback.load_state_dict(callback.state_dict()))
        self.framework.train(callback, reload, on_batch=clockwork(machine.clock))
        assert callback.report.earlier == ()

    def test_a_training_that_begins_anew_continues_nothing(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        callback.load_state_dict(callback.state_dict())
        self.framework.train_again(outcome)
        assert callback.report.earlier == ()

    def test_a_test_of_the_best_checkpoint_is_no_part_of_the_training(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        outcome.trainer.test(ckpt_path="best", dataloaders=self.framework.loader(), verbose=False)
        fit, test = receipts()
        assert test["earlier_starts"] == []
        assert (fit["status"], test["status"]) == ("completed", "completed")

    def test_a_state_of_no_use_is_told_of_and_trains_on(self, machine, caplog):
        callback = self.framework.callback()
        spoil = self.framework.in_hook(lambda: callback.load_state_dict({"version": 99}))
        with caplog.at_level(logging.WARNING, "carbon_callbacks"):
            self.framework.train(callback, spoil)
        assert (
            len([text for text in caplog.messages if "the checkpoint's state is invalid" in text])
            == 1
        )
        assert callback.report.status == "completed"

    def test_a_checkpoint_loads_with_weights_only(self):
        self.framework.train(self.framework.callback(), self.saving())
        loaded = torch.load("kept/last.ckpt", weights_only=True)
        assert loaded["callbacks"]["EmissionsCallback{'name': 'codecarbon'}"]["version"] == 1

    def test_the_search_for_a_batch_size_is_no_part_of_the_training(self, machine):
        callback = self.framework.callback()
        search = self.framework.pl.callbacks.BatchSizeFinder(
            mode="power", steps_per_trial=1, max_trials=2
        )
        model = self.framework.model(clockwork(machine.clock))
        model.batch_size = 2
        model.train_dataloader = lambda: DataLoader(Samples(8), batch_size=model.batch_size)
        model.val_dataloader = self.framework.loader
        trainer = self.framework.trainer(search, callback, max_epochs=1)
        trainer.fit(model)
        (receipt,) = receipts()
        batches_s = 8 / model.batch_size * TRAIN_BATCH_S
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        assert phases["train"] == pytest.approx(WATTS * batches_s)
        assert receipt["earlier_starts"] == []
        assert receipt["status"] == "completed"

    @pytest.mark.parametrize("what", ["scale_batch_size", "lr_find"])
    def test_a_search_of_the_tuner_alone_is_not_measured(self, what, machine):
        model = self.framework.model(clockwork(machine.clock))
        model.batch_size, model.lr = 2, 0.01
        model.train_dataloader = lambda: DataLoader(Samples(8), batch_size=model.batch_size)
        model.val_dataloader = self.framework.loader
        trainer = self.framework.trainer(self.framework.callback(), max_epochs=1)
        tuner = import_module(f"{self.framework.pl.__name__}.tuner").Tuner(trainer)
        few = {"num_training": 3} if what == "lr_find" else {"max_trials": 1, "steps_per_trial": 1}
        getattr(tuner, what)(model, **few)
        searched = len(receipts())
        trainer.fit(model)
        assert [receipt["status"] for receipt in receipts()][searched:] == ["completed"]
        assert not threads_of_ours()

    def test_the_search_for_a_learning_rate_is_no_part_of_the_training(self, machine):
        callback = self.framework.callback()
        search = self.framework.pl.callbacks.LearningRateFinder(num_training_steps=3)
        seen: list[str] = []

        class Starts(self.framework.pl.Callback):
            def on_train_start(self, *args: Any) -> None:
                seen.clear()

        model = self.framework.model(both(clockwork(machine.clock), seen.append))
        model.lr = 0.01
        trainer = self.framework.trainer(search, callback, Starts(), max_epochs=1)
        self.framework.fit(trainer, model)
        (receipt,) = receipts()
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        # Some versions of Lightning train less than an epoch after the search.
        assert phases["train"] == pytest.approx(WATTS * seen.count("train") * TRAIN_BATCH_S)
        assert "train" in seen
        assert receipt["earlier_starts"] == []

    def saving(self) -> Any:
        return self.framework.pl.callbacks.ModelCheckpoint("kept", filename="last", save_last=True)

    def checkpoint(self) -> Any:
        """Return what the first start kept, as it was when that start failed."""
        state = torch.load("kept/last.ckpt", weights_only=True)
        return state["callbacks"]["EmissionsCallback{'name': 'codecarbon'}"]

    def fail_and_resume(self, machine: Any, one: Any, other: Any, *more: Any) -> tuple[Any, Any]:
        """Train until the second epoch raises, then on from the first one's checkpoint."""
        turn = clockwork(machine.clock)
        with pytest.raises(Boom):
            fault = both(turn, raise_at_second_epoch([]))
            self.framework.train(one, self.saving(), on_batch=fault)
        trainer = self.framework.trainer(
            other, *more, max_epochs=3, logger=self.framework.csv_logger("b")
        )
        train = DataLoader(Samples(2 * TRAIN_BATCHES), batch_size=2)
        model = self.framework.model(turn)
        trainer.fit(model, train, self.framework.loader(), ckpt_path="kept/last.ckpt")
        assert trainer.current_epoch == 3
        self.resumed = trainer
        return one.report, other.report

    def test_two_callbacks_with_one_name_are_refused_by_the_trainer(self):
        callbacks = [self.framework.callback(name="mine") for _ in range(2)]
        with pytest.raises(RuntimeError, match="state_key"):
            self.framework.trainer(*callbacks)

    def test_two_callbacks_can_measure_one_training(self):
        callbacks = [self.framework.callback(project_name=name) for name in ("one", "two")]
        self.framework.train(*callbacks)
        assert sorted(row["project_name"] for row in rows()) == ["one", "two"]

    # --- the other package ---------------------------------------------------------------------

    def other_trainer(self, callbacks: Any) -> Any:
        """Return a Trainer of the other package."""
        both = {
            "lightning": pytest.importorskip("pytorch_lightning"),
            "pytorch_lightning": pytest.importorskip("lightning.pytorch"),
        }
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        return both[self.framework.package].Trainer(callbacks=callbacks, accelerator="cpu", **quiet)

    def test_alone_in_a_trainer_of_the_other_package_it_says_what_to_import(self):
        with pytest.raises(TypeError, match=r"import it from .*carbon_callbacks\.lightning"):
            self.other_trainer(self.framework.callback())

    def test_in_a_list_it_measures_a_trainer_of_the_other_package_too(self):
        trainer = self.other_trainer([self.framework.callback()])
        package = type(trainer).__module__.removesuffix(".trainer.trainer")
        boring = import_module(f"{package}.demos.boring_classes")
        trainer.fit_loop.max_epochs = 1
        trainer.fit(boring.BoringModel())
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    # --- without a line in the program ---------------------------------------------------------

    @pytest.mark.parametrize(("value", "runs"), [(None, 0), ("0", 0), ("1", 1), ("true", 1)])
    def test_the_environment_may_have_every_trainer_measured(self, value, runs, monkeypatch):
        if value is not None:
            monkeypatch.setenv("CARBON_CALLBACKS_AUTO", value)
        self.framework.train()
        assert len(receipts()) == runs

    def test_an_automatic_callback_leaves_a_trainer_to_the_one_that_it_was_given(self, monkeypatch):
        monkeypatch.setenv("CARBON_CALLBACKS_AUTO", "1")
        outcome = self.framework.train(self.framework.callback(project_name="mine"))
        assert [row["project_name"] for row in rows()] == ["mine"]
        assert len(outcome.epochs) == EPOCHS

    def test_a_fault_of_an_automatic_callback_breaks_no_trainer(self, monkeypatch):
        monkeypatch.setenv("CARBON_CALLBACKS_AUTO", "1")
        adapter = sys.modules[self.framework.module]
        monkeypatch.setattr(adapter, "AutomaticCallback", raising(OSError("on purpose")))
        self.framework.train()
        assert not receipts()

    # --- what the energy has bought ------------------------------------------------------------

    def test_energy_for_each_unit_by_which_a_metric_became_better(self, machine):
        callback = self.framework.callback(improvement_of="val_loss")
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock), epochs=3)
        losses = [float(row["val_loss"]) for row in logged(outcome.trainer) if row["val_loss"]]
        assert losses[0] > losses[1] > losses[2]
        assert "energy_per_improvement_kwh" not in outcome.epochs[0]
        per_unit = outcome.epochs[2]["energy_per_improvement_kwh"]
        assert per_unit == pytest.approx(2 * WHOLE_EPOCH_KWH / (losses[0] - losses[2]))

    @pytest.mark.parametrize(
        ("options", "batches"),
        [
            ({}, 3 * TRAIN_BATCHES),
            ({"val_check_interval": 0.25}, 3 * TRAIN_BATCHES // 4),
            ({"check_val_every_n_epoch": 2}, 6 * TRAIN_BATCHES),
        ],
        ids=["each epoch", "within an epoch", "every second epoch"],
    )
    def test_it_stops_at_the_validation_at_which_a_metric_improves_too_little(
        self, options, batches, machine
    ):
        bound = {"min_improvement_per_kwh": 1e14, "patience": 2, "on_low_improvement": "stop"}
        callback = self.framework.callback(improvement_of="val_loss", **bound)
        on_batch = clockwork(machine.clock)
        outcome = self.framework.train(callback, on_batch=on_batch, epochs=9, **options)
        assert outcome.trainer.global_step == batches
        assert [receipt["status"] for receipt in receipts()] == ["completed"]

    def test_a_checkpoint_has_the_evaluations_so_far(self, machine):
        bound = {"improvement_of": "val_loss", "min_improvement_per_kwh": 1e-9}
        on_batch = clockwork(machine.clock)
        outcome = self.framework.train(
            self.framework.callback(**bound), on_batch=on_batch, epochs=2
        )
        outcome.trainer.save_checkpoint("kept.ckpt")
        state = torch.load("kept.ckpt", weights_only=True)["callbacks"]
        (ours,) = (one for key, one in state.items() if "EmissionsCallback" in key)
        assert len(ours["improvement"]["recent"]) == 2

    def test_what_is_monitored_of_an_epoch_is_of_that_epoch_already_when_it_is_validated(
        self, machine
    ):
        seen: list[float] = []

        class Sees(self.framework.pl.Callback):
            def on_validation_end(self, trainer: Any, *args: Any) -> None:
                if not trainer.sanity_checking:
                    seen.append(float(trainer.callback_metrics["carbon/epoch_energy_kwh"]))

        lengths = iter([1.0] * TRAIN_BATCHES + [3.0] * TRAIN_BATCHES)

        def on_batch(what: str) -> None:
            machine.clock.advance(next(lengths) if what == "train" else 0.0)

        self.framework.train(self.framework.callback(), Sees(), on_batch=on_batch, epochs=2)
        kwh = [WATTS * TRAIN_BATCHES * seconds / 3.6e6 for seconds in (1.0, 3.0)]
        assert seen == pytest.approx(kwh)

    def test_the_final_totals_have_the_energy_of_each_phase(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        last = {key: row[key] for row in logged(outcome.trainer) for key in row if row[key]}
        for phase in callback.report.phases:
            logged_kwh = float(last[f"{PREFIX}phase_{phase.name}_energy_kwh"])
            assert logged_kwh == pytest.approx(phase.joules / 3.6e6)

    def test_callback_is_of_its_own_package_alone(self):
        lightning = pytest.importorskip("lightning.pytorch")
        pytorch_lightning = pytest.importorskip("pytorch_lightning")
        mine, other = lightning.Callback, pytorch_lightning.Callback
        if self.framework.package == "pytorch_lightning":
            mine, other = other, mine
        assert isinstance(self.framework.callback(), mine)
        assert not isinstance(self.framework.callback(), other)


def raise_at_second_epoch(raised: list[bool]) -> Any:
    """Return what raises in the first batch of the second epoch."""
    seen: list[str] = []

    def on_batch(what: str) -> None:
        seen.append(what)
        if seen.count("train") > TRAIN_BATCHES:
            raised.append(True)
            raise Boom("second epoch")

    return on_batch
