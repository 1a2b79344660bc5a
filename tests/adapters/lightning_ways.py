"""Ways of using Lightning in which a callback must change nothing, or still be exact."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.lightning_contract import PREFIX, LightningFramework, Samples, logged
from torch.utils.data import DataLoader, IterableDataset, WeightedRandomSampler

from carbon_callbacks.testing import (
    EPOCHS,
    TRAIN_BATCH_S,
    TRAIN_BATCHES,
    WATTS,
    clockwork,
    receipts,
    threads_of_ours,
)


class LightningWays:
    """The tests; `framework` is one of the packages."""

    framework: LightningFramework

    def fit(self, callback: Any, machine: Any, loader: Any = None, **options: Any) -> Any:
        """Train with a loader, and return the Trainer."""
        trainer = self.framework.trainer(
            callback, logger=self.framework.csv_logger("logs"), **options
        )
        model = self.framework.model(clockwork(machine.clock))
        loader = DataLoader(Samples(8), batch_size=2) if loader is None else loader
        trainer.fit(model, loader, self.framework.loader())
        return trainer

    # --- monitors ------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", ["carbon/energy_kwh", "carbon_energy_kwh"])
    @pytest.mark.parametrize(
        "options", [{"val_check_interval": 0.5}, {"check_val_every_n_epoch": 1}]
    )
    def test_monitors_find_the_energy_at_every_check(self, name, options, machine):
        stop = self.framework.pl.callbacks.EarlyStopping(
            name, mode="max", patience=9, check_on_train_epoch_end=False
        )
        saves = self.framework.pl.callbacks.ModelCheckpoint(
            "kept", monitor=name, mode="max", every_n_train_steps=1, save_top_k=-1
        )
        outcome = self.framework.train(
            self.framework.callback(), stop, saves, on_batch=clockwork(machine.clock), **options
        )
        assert outcome.trainer.state.finished
        assert stop.best_score > 0
        assert saves.best_model_score > 0

    def test_names_of_checkpoints_make_no_directories(self, machine):
        saves = self.framework.pl.callbacks.ModelCheckpoint(
            "kept", filename="{epoch}-{carbon_energy_kwh:.6f}", monitor="carbon_energy_kwh"
        )
        self.framework.train(self.framework.callback(), saves, on_batch=clockwork(machine.clock))
        (kept,) = Path("kept").rglob("*.ckpt")
        assert kept.parent == Path("kept")
        assert kept.name.startswith("epoch=0-carbon_energy_kwh=0.0")

    # --- loggers -------------------------------------------------------------------------------

    def test_totals_are_logged_at_the_step_of_the_framework(self, machine):
        class TwoOptimizers(type(self.framework.model())):
            automatic_optimization = False

            def training_step(self, batch: Any, index: int) -> None:
                machine.clock.advance(1.0)
                for optimizer in self.optimizers():
                    optimizer.zero_grad()
                    loss = self.net(batch).square().mean()
                    self.manual_backward(loss)
                    optimizer.step()
                self.log("mine", loss, on_epoch=True, on_step=False)

            def configure_optimizers(self) -> Any:
                return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]

        trainer = self.framework.trainer(
            self.framework.callback(), logger=self.framework.csv_logger("logs")
        )
        trainer.fit(TwoOptimizers(), DataLoader(Samples(8), batch_size=2))
        rows = logged(trainer)
        steps = [int(row["step"]) for row in rows if row["mine"]]
        assert int(rows[-1]["step"]) == steps[-1] == EPOCHS * TRAIN_BATCHES - 1
        assert float(rows[-1][f"{PREFIX}energy_kwh"]) > 0

    @pytest.mark.parametrize(
        ("settings", "shown"),
        [
            ({}, {"energy_kwh", "emissions_kg"}),
            ({"log_metrics": ["power_w"]}, {"power_w"}),
            ({"progress_bar": False}, set()),
        ],
        ids=("standard", "chosen", "none"),
    )
    def test_the_progress_bar_shows_energy_and_emissions(self, settings, shown, machine):
        on_batch = clockwork(machine.clock)
        callback = self.framework.callback(**settings)
        trainer = self.framework.train(callback, on_batch=on_batch).trainer
        ours = {name for name in trainer.progress_bar_metrics if "carbon" in name}
        assert ours == {PREFIX + name for name in shown}

    def test_the_progress_bar_has_units_that_suit_the_figures(self, machine):
        shown = {}

        class Bar(self.framework.pl.callbacks.ProgressBar):
            def get_metrics(self, trainer, model):
                shown.update(super().get_metrics(trainer, model))
                return shown

            def on_train_epoch_end(self, trainer, model):
                self.get_metrics(trainer, model)

            def disable(self):
                """Do nothing: there is no bar."""

        callback, on_batch = self.framework.callback(), clockwork(machine.clock)
        self.framework.train(callback, Bar(), on_batch=on_batch, enable_progress_bar=True)
        texts = {name: text for name, text in shown.items() if "carbon" in name}
        assert texts.keys() == {"carbon/energy", "carbon/emissions"}
        assert texts["carbon/energy"].endswith("Wh")
        assert texts["carbon/emissions"].endswith("g CO2e")

    def test_at_the_end_the_totals_are_logged_unless_fewer_metrics_are_chosen(self, machine):
        def last(**settings: Any) -> set[str]:
            on_batch = clockwork(machine.clock)
            callback = self.framework.callback(**settings)
            trainer = self.framework.train(callback, on_batch=on_batch).trainer
            row = logged(trainer)[-1]
            return {key.removeprefix(PREFIX) for key in row if key.startswith(PREFIX) and row[key]}

        assert last(log_metrics="minimal") == {"energy_kwh", "emissions_kg"}
        assert last(log_metrics=["power_w"]) == {"power_w"}
        standard = last()
        assert standard >= {"energy_low_kwh", "emissions_high_kg", "phase_train_energy_kwh"}
        assert not [name for name in standard if name.startswith("forecast")]

    def test_evaluations_do_not_continue_the_curves_of_the_training(self, machine):
        callback = self.framework.callback()
        outcome = self.framework.train(callback, on_batch=clockwork(machine.clock))
        total = callback.report.energy_kwh.value
        for what in ("validate", "test"):
            model = self.framework.model(lambda what: machine.clock.advance(1.0))
            getattr(outcome.trainer, what)(model, self.framework.loader(), verbose=False)
        rows = logged(outcome.trainer)
        totals = [float(row[f"{PREFIX}energy_kwh"]) for row in rows if row[f"{PREFIX}energy_kwh"]]
        assert totals == sorted(totals)
        assert totals[-1] == total
        assert [row for row in rows if row[f"{PREFIX}test/energy_kwh"]]

    def test_a_logger_with_arguments_by_name_only_gets_the_energy(self, machine):
        logger = self.framework.csv_logger("logs")
        real = logger.log_metrics
        logger.log_metrics = lambda *, metrics, step: real(metrics, step)
        outcome = self.framework.train(
            self.framework.callback(), on_batch=clockwork(machine.clock), logger=logger
        )
        assert float(logged(outcome.trainer)[-1][f"{PREFIX}energy_kwh"]) > 0

    def test_a_module_whose_log_has_other_arguments_gets_its_energy_logged(self, machine, caplog):
        model = self.framework.model(clockwork(machine.clock))
        type(model).log = lambda self, key: None
        trainer = self.framework.trainer(
            self.framework.callback(), logger=self.framework.csv_logger("logs")
        )
        model._loss = lambda what, batch: machine.clock.advance(1) or model.net(batch).mean()
        trainer.fit(model, DataLoader(Samples(8), batch_size=2))
        assert float(trainer.callback_metrics["carbon/energy_kwh"]) > 0
        assert not [text for text in caplog.messages if "a hook failed" in text]

    # --- what it counts ------------------------------------------------------------------------

    def samples(self, trainer: Any) -> float | None:
        """Return the samples that the last entry is based on."""
        last = logged(trainer)[-1]
        per_kwh = last.get(f"{PREFIX}samples_per_kwh")
        return float(per_kwh) * float(last[f"{PREFIX}energy_kwh"]) if per_kwh else None

    @pytest.mark.parametrize(
        ("loader", "options", "samples", "of_data"),
        [
            (lambda: DataLoader(Samples(9), batch_size=2), {}, EPOCHS * 9, 9),
            (lambda: DataLoader(Samples(9), batch_size=2, drop_last=True), {}, EPOCHS * 8, 9),
            (lambda: DataLoader(Samples(8), batch_size=2), {"max_steps": 3}, 6, 8),
            (lambda: DataLoader(Samples(8), 2), {"limit_train_batches": 3}, EPOCHS * 6, 8),
            (
                lambda: DataLoader(Samples(8), 2, sampler=WeightedRandomSampler([1.0] * 8, 20)),
                {},
                40,
                None,
            ),
            (lambda: Stream(), {}, EPOCHS * 8, None),
        ],
        ids=["rest", "drop_last", "max_steps", "limit", "sampler", "stream"],
    )
    def test_samples_are_counted(self, loader, options, samples, of_data, machine):
        trainer = self.fit(self.framework.callback(), machine, loader(), **options)
        assert receipts()[-1]["dataset_samples"] == of_data
        assert self.samples(trainer) == (pytest.approx(samples) if samples else None)

    def test_a_limit_in_time_is_forecast(self, machine):
        callback = self.framework.callback(log_metrics="all")
        trainer = self.fit(callback, machine, max_epochs=-1, max_time={"seconds": 1}, max_steps=-1)
        last = [row for row in logged(trainer) if row[f"{PREFIX}forecast_left_s"]][-1]
        # The machine's clock runs much faster than the Trainer's.
        assert float(last[f"{PREFIX}forecast_energy_kwh"]) >= float(last[f"{PREFIX}energy_kwh"])

    def test_optimizers_that_lightning_does_not_know_make_no_progress_of_none(self, machine):
        class Own(type(self.framework.model())):
            automatic_optimization = False

            def training_step(self, batch: Any, index: int) -> None:
                loss = self.net(batch).square().mean()
                loss.backward()

            def configure_optimizers(self) -> None:
                return None

        callback = self.framework.callback(log_metrics="all")
        trainer = self.framework.trainer(
            callback, logger=self.framework.csv_logger("logs"), max_steps=100
        )
        trainer.fit(Own(), DataLoader(Samples(8), batch_size=2))
        assert callback.report.status == "completed"

    def test_a_data_set_whose_length_raises_is_trained_with_and_nothing_is_said(
        self, machine, caplog
    ):
        trainer = self.fit(
            self.framework.callback(),
            machine,
            DataLoader(Unsized(8), batch_size=2, sampler=range(8)),
        )
        assert self.samples(trainer) == pytest.approx(EPOCHS * 8)
        assert [receipt["status"] for receipt in receipts()] == ["completed"]
        assert not [text for text in caplog.messages if "a hook failed" in text]

    # --- every Trainer without a line ----------------------------------------------------------

    def test_one_list_of_callbacks_for_two_trainers_is_measured_once_each(
        self, monkeypatch, machine
    ):
        monkeypatch.setenv("CARBON_CALLBACKS_AUTO", "1")
        callbacks: list[Any] = []
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        for _ in range(3):
            trainer = self.framework.pl.Trainer(
                callbacks=callbacks, max_epochs=1, accelerator="cpu", devices=1, **quiet
            )
            trainer.fit(self.framework.model(), DataLoader(Samples(8), batch_size=2))
        assert len(receipts()) == 3

    def test_an_automatic_callback_resumes(self, monkeypatch, machine):
        monkeypatch.setenv("CARBON_CALLBACKS_AUTO", "1")
        on_batch = clockwork(machine.clock)
        saves = self.framework.pl.callbacks.ModelCheckpoint("kept", filename="last")
        self.framework.train(saves, on_batch=on_batch)
        trainer = self.framework.trainer(max_epochs=3)
        train = DataLoader(Samples(2 * TRAIN_BATCHES), batch_size=2)
        trainer.fit(
            self.framework.model(on_batch),
            train,
            self.framework.loader(),
            ckpt_path="kept/last.ckpt",
        )
        first, second = receipts()
        assert [one["run_id"] for one in second["earlier_starts"]] == [first["run"]["run_id"]]

    def test_the_rest_of_an_epoch_is_training_and_has_a_forecast(self, machine):
        on_batch = clockwork(machine.clock)
        saves = self.framework.pl.callbacks.ModelCheckpoint(
            "kept", filename="{step}", every_n_train_steps=30, save_top_k=-1
        )
        self.framework.train(
            self.framework.callback(), saves, on_batch=on_batch, epochs=1, batches=40
        )
        callback = self.framework.callback(log_metrics="all")
        logger = self.framework.csv_logger("logs")
        trainer = self.framework.trainer(callback, max_epochs=1, logger=logger)
        train = DataLoader(Samples(80), batch_size=2)
        trainer.fit(self.framework.model(on_batch), train, ckpt_path="kept/step=30.ckpt")
        phases = {phase.name: phase.joules for phase in callback.report.phases}
        assert phases["train"] == pytest.approx(WATTS * 10 * TRAIN_BATCH_S, rel=0.2)
        metrics = trainer.callback_metrics
        assert {PREFIX + "forecast_energy_kwh", PREFIX + "epoch_energy_kwh"} <= set(metrics)

    # --- its ends ------------------------------------------------------------------------------

    def test_a_callback_that_was_removed_during_training_ends_with_it(self):
        callback = self.framework.callback()

        class Removes(self.framework.pl.Callback):
            def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
                if callback in trainer.callbacks:
                    trainer.callbacks.remove(callback)

        self.framework.train(callback, Removes())
        assert [receipt["status"] for receipt in receipts()] == ["interrupted"]
        assert not threads_of_ours()

    def test_pruned_trials_are_pruned(self):
        optuna = pytest.importorskip("optuna")

        class Prunes(self.framework.pl.Callback):
            def on_validation_end(self, trainer: Any, *args: Any) -> None:
                if not trainer.sanity_checking:
                    raise optuna.TrialPruned

        with pytest.raises(optuna.TrialPruned):
            self.framework.train(self.framework.callback(), Prunes())
        assert [receipt["status"] for receipt in receipts()] == ["pruned"]

    def test_fabric_gets_one_clear_line(self, caplog):
        package = self.framework.pl.__name__.replace("lightning.pytorch", "lightning")
        fabric = pytest.importorskip(
            "lightning.fabric" if package == "lightning" else "lightning_fabric"
        )
        loop = fabric.Fabric(accelerator="cpu", devices=1, callbacks=[self.framework.callback()])
        for hook in ("on_fit_start", "on_train_batch_end", "on_train_epoch_end", "on_fit_end"):
            loop.call(hook)
            loop.call(hook, loop, model=None, batch=[1])
        assert (
            len([text for text in caplog.messages if "with Fabric, use carbon_callbacks" in text])
            == 1
        )
        assert not receipts()


class Unsized(Samples):
    """A data set that does not know its length."""

    def __len__(self) -> int:
        raise RuntimeError("no length")


class Stream(IterableDataset):
    """Batches that are made as they come."""

    def __iter__(self) -> Any:
        for start in range(0, 8, 2):
            yield torch.stack([Samples(8)[start + one] for one in range(2)])
