"""`EmissionsCallback.estimate` in each framework: a training after it is the same as without it."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from carbon_core import CarbonError  # noqa: E402

STEPS = 5


def drawn() -> tuple[float, ...]:
    """Return a number of each generator, as a program would draw it next."""
    return random.random(), float(np.random.random()), float(torch.rand(1))


def seed() -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)


def files() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*"))


def weights_of(model) -> list:
    return [value.clone() for value in model.state_dict().values()]


def same(one, other) -> bool:
    return all(map(torch.equal, one, other))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Meters are not waited for."""
    from carbon_callbacks._training import dry_run

    monkeypatch.setattr(dry_run, "LEAST_S", 0.1)
    monkeypatch.setattr(dry_run, "_VALIDATION_S", 0.05)


def check(found, total: int) -> None:
    """Check that an estimate is one of a training of some steps, of a dry run of fewer."""
    planned = found.planned
    assert (planned.per, planned.amount) == ("step", total)
    assert "dry run" in planned.basis
    for one in (found.energy_kwh, found.duration_s, found.emissions_kg):
        assert 0 < one.low < one.value < one.high


# --- Lightning ---------------------------------------------------------------------------------------


class Lightning:
    """A training of 3 epochs of 40 batches, with validation."""

    total = 120

    def __init__(self, package: str, log_dir: str = "logs", **options):
        self.pl = pytest.importorskip(package)
        self.package = package
        self.options = options
        self.log_dir = log_dir

    def model(self):
        pl = self.pl

        class Model(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = torch.nn.Sequential(
                    torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1)
                )

            def training_step(self, batch, batch_idx):
                loss = self.net(batch[0]).square().mean()
                self.log("loss", loss)
                self.logger.experiment.add_scalar("own", 1.0)
                return loss

            def validation_step(self, batch, batch_idx):
                self.log("val_loss", self.net(batch[0]).square().mean())

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters())

        return Model()

    def loaders(self, generator=None):
        data = torch.utils.data.TensorDataset(torch.arange(640.0).reshape(160, 4) / 640)
        train = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, generator=generator)
        return train, torch.utils.data.DataLoader(data, batch_size=8)

    def trainer(self, callback):
        from importlib import import_module

        root = "lightning.pytorch" if self.package.startswith("lightning") else self.package
        logger = import_module(f"{root}.loggers").CSVLogger(self.log_dir)
        logger.experiment.add_scalar = lambda *args: None
        return self.pl.Trainer(
            **{
                "max_epochs": 3, "logger": logger, "callbacks": [callback], "accelerator": "cpu",
                "enable_progress_bar": False, "enable_model_summary": False, **self.options,
            }
        )  # fmt: skip


def lightning_callback(package: str, **settings):
    from importlib import import_module

    name = "lightning" if package.startswith("lightning") else package
    adapter = import_module(f"carbon_callbacks.{name}")
    return adapter.EmissionsCallback(save_to_file=False, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning_trains_the_same_after_an_estimate(package):
    results = []
    for estimates in (False, True):
        one = Lightning(package, log_dir=f"logs-{estimates}")
        seed()
        generator = torch.Generator().manual_seed(9)
        model, loaders = one.model(), one.loaders(generator)
        callback = lightning_callback(package)
        trainer = one.trainer(callback)
        if estimates:
            before, there = weights_of(model), files()
            check(callback.estimate(trainer, model, *loaders, steps=STEPS), one.total)
            assert same(weights_of(model), before)
            assert model._trainer is None
            assert model.training
            assert trainer.global_step == 0
            assert files() == there
            assert callback.report is None
        trainer.fit(model, *loaders)
        results.append((weights_of(model), drawn(), generator.get_state().tolist()))
    assert same(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


def loaders_of(training, generator):
    return training.loaders(generator)[0]


@pytest.mark.slow
def test_lightning_trains_the_same_with_the_generator_of_a_data_module():
    weights = []
    for estimates in (False, True):
        one = Lightning("lightning.pytorch", log_dir=f"logs-{estimates}", max_epochs=1)
        seed()
        model, data = one.model(), one.pl.LightningDataModule()
        data.generator = torch.Generator().manual_seed(9)
        data.train_dataloader = functools.partial(loaders_of, one, data.generator)
        callback = lightning_callback(one.package)
        trainer = one.trainer(callback)
        if estimates:
            callback.estimate(trainer, model, datamodule=data, steps=STEPS)
        trainer.fit(model, datamodule=data)
        weights.append(weights_of(model))
    assert same(*weights)


def test_lightning_validations_are_part_of_the_estimate():
    one = Lightning("lightning.pytorch", check_val_every_n_epoch=1, val_check_interval=0.5)
    from carbon_callbacks._lightning_dry_run import _validations

    callback = lightning_callback(one.package)
    trainer, model = one.trainer(callback), one.model()
    trainer.fit_loop.max_epochs = 3
    callback.estimate(trainer, model, *one.loaders(), steps=STEPS)
    trainer.fit(model, *one.loaders())
    assert _validations(trainer) == 6


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_epochs": -1}, "max_epochs"), ({"max_epochs": -1, "max_steps": 7}, "")],
)
def test_lightning_needs_an_end(options, reason):
    one = Lightning("lightning.pytorch", **options)
    callback = lightning_callback(one.package)
    trainer = one.trainer(callback)
    if not reason:
        check(callback.estimate(trainer, one.model(), *one.loaders(), steps=STEPS), 7)
        return
    with pytest.raises(CarbonError, match=reason):
        callback.estimate(trainer, one.model(), *one.loaders(), steps=STEPS)


def test_lightning_without_a_model_or_with_one_that_cannot_be_copied_is_an_error():
    one = Lightning("lightning.pytorch")
    callback = lightning_callback(one.package)
    trainer, model = one.trainer(callback), one.model()
    with pytest.raises(CarbonError, match="model is missing"):
        callback.estimate(trainer)
    model.generator = (i for i in range(3))
    with pytest.raises(CarbonError, match="cannot be copied"):
        callback.estimate(trainer, model, *one.loaders(), steps=STEPS)


# --- Hugging Face ------------------------------------------------------------------------------------


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 160

    def __getitem__(self, index):
        sample = torch.arange(4.0) + index
        return {"x": sample / 160, "labels": sample.sum() / 160}


def hf_trainer(callback, directory="out", **options):
    transformers = pytest.importorskip("transformers")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(
                torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1)
            )
            self.config = transformers.PretrainedConfig()

        def forward(self, x, labels=None):
            logits = self.net(x).squeeze(1)
            return {"loss": (logits - labels).square().mean(), "logits": logits}

    arguments = {
        "num_train_epochs": 3, "per_device_train_batch_size": 4, "save_strategy": "epoch",
        "eval_strategy": "epoch", "report_to": "none", "logging_steps": 5, "disable_tqdm": True,
        "use_cpu": True, **options,
    }  # fmt: skip
    model = Model()
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(directory, **arguments),
        train_dataset=Samples(),
        eval_dataset=Samples(),
        callbacks=[callback],
    )


def hf_callback(**settings):
    adapter = pytest.importorskip("carbon_callbacks.transformers")
    return adapter.EmissionsCallback(save_to_file=False, **settings)


def log_of(trainer):
    """Return the history without times and energy."""
    keys = ("loss", "eval_loss", "grad_norm", "step")
    return [{key: one[key] for key in keys if key in one} for one in trainer.state.log_history]


@pytest.mark.slow
def test_transformers_trains_the_same_after_an_estimate():
    results = []
    for estimates in (False, True):
        callback = hf_callback()
        seed()
        trainer = hf_trainer(callback, f"out-{estimates}")
        model = trainer.model
        if estimates:
            before, there, attributes = weights_of(model), files(), dict(vars(trainer))
            check(callback.estimate(trainer, steps=STEPS), 120)
            assert same(weights_of(model), before)
            assert files() == there
            assert vars(trainer).keys() == attributes.keys()
            assert all(value is attributes[name] for name, value in vars(trainer).items())
            assert trainer.optimizer is None
            assert trainer.state.global_step == 0
            assert callback.report is None
        trainer.train()
        results.append((weights_of(model), drawn(), log_of(trainer)))
    assert same(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


@pytest.mark.slow
def test_transformers_trains_the_same_with_generators_of_the_data():
    class Data(Samples):
        def __init__(self):
            self.generator = np.random.default_rng(1)

        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return {**sample, "x": sample["x"] + float(self.generator.random())}

    class Collator:
        generator = None  # made when it is needed, as by that of language models

        def __call__(self, samples):
            self.generator = self.generator or torch.Generator().manual_seed(2)
            factor = torch.rand(1, generator=self.generator)
            batch = torch.utils.data.default_collate(samples)
            return {**batch, "x": batch["x"] * factor}

    weights = []
    for estimates in (False, True):
        callback = hf_callback()
        seed()
        trainer = hf_trainer(callback, num_train_epochs=1, eval_strategy="no")
        trainer.train_dataset, trainer.data_collator = Data(), Collator()
        if estimates:
            callback.estimate(trainer, steps=STEPS)
        trainer.train()
        weights.append(weights_of(trainer.model))
    assert same(*weights)


def test_transformers_with_an_optimizer_of_its_own_leaves_it_as_it_was():
    callback = hf_callback()
    trainer = hf_trainer(callback, eval_strategy="no")
    trainer.optimizer = torch.optim.Adam(trainer.model.parameters())
    trainer.lr_scheduler = torch.optim.lr_scheduler.StepLR(trainer.optimizer, 1)
    before = weights_of(trainer.model)
    check(callback.estimate(trainer, steps=STEPS), 120)
    assert same(weights_of(trainer.model), before)
    assert trainer.optimizer.state_dict()["state"] == {}
    assert trainer.lr_scheduler.last_epoch == 0


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"eval_strategy": "no"}, 0),
        ({"eval_strategy": "epoch"}, 3),
        ({"eval_strategy": "steps", "eval_steps": 50}, 2),
        ({"eval_strategy": "steps", "eval_steps": 0.25}, 4),
        ({"eval_strategy": "no", "eval_on_start": True}, 1),
    ],
)
def test_transformers_evaluations_are_counted(options, count):
    from carbon_callbacks._hf_dry_run import _evaluations

    trainer = hf_trainer(hf_callback(), **options)
    trainer.state.max_steps, trainer.state.num_train_epochs = 120, 3
    assert _evaluations(trainer.args, trainer.state) == count


# --- Keras -------------------------------------------------------------------------------------------


def keras_model(keras):
    model = keras.Sequential(
        [keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(loss="mse", optimizer="adam")
    return model


def keras_data():
    return np.arange(640.0).reshape(160, 4) / 640, np.arange(160.0) / 160


@pytest.mark.slow
@pytest.mark.parametrize("is_built", [True, False])
def test_keras_fits_the_same_after_an_estimate(is_built):
    keras = pytest.importorskip("keras")
    from carbon_callbacks.keras import EmissionsCallback

    results = []
    for estimates in (False, True):
        keras.utils.set_random_seed(3)
        keras.backend.clear_session()
        model, (x, y) = keras_model(keras), keras_data()
        if is_built:
            model(x[:1])
        callback = EmissionsCallback(save_to_file=False)
        fit = {"epochs": 3, "batch_size": 4, "validation_split": 0.25}
        if estimates:
            before, there = model.get_weights(), files()
            check(callback.estimate(model, x, y, steps=STEPS, **fit), 90)
            assert all(map(np.array_equal, model.get_weights(), before))
            assert files() == there
            assert callback.report is None
            assert int(model.optimizer.iterations) == 0
        history = model.fit(x, y, verbose=0, callbacks=[callback], **fit)
        losses = history.history["loss"], history.history["val_loss"]
        results.append((model.get_weights(), losses, drawn(), keras.layers.Dense(1).name))
    assert all(map(np.array_equal, results[0][0], results[1][0]))
    assert results[0][1:] == results[1][1:]


@pytest.mark.slow
def test_keras_fits_the_same_with_a_data_set_that_has_an_order_and_a_generator():
    keras = pytest.importorskip("keras")
    from carbon_callbacks.keras import EmissionsCallback

    class Data(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.order, self.generator = list(range(4)), random.Random(1)

        def __len__(self):
            return len(self.order)

        def __getitem__(self, index):
            x, y = keras_data()
            begin = 40 * self.order[index]
            return x[begin : begin + 40] + self.generator.random(), y[begin : begin + 40]

        def on_epoch_end(self):
            random.shuffle(self.order)

    losses = []
    for estimates in (False, True):
        keras.utils.set_random_seed(3)
        model, data = keras_model(keras), Data()
        if estimates:
            callback = EmissionsCallback(save_to_file=False)
            callback.estimate(model, data, steps=2 * len(data), epochs=3, shuffle=False)
            assert data.order == [0, 1, 2, 3]
        losses.append(model.fit(data, epochs=3, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_keras_refuses_what_it_cannot_read_twice_or_has_no_end():
    keras = pytest.importorskip("keras")
    from carbon_callbacks.keras import EmissionsCallback

    callback, model = EmissionsCallback(save_to_file=False), keras_model(keras)
    x, y = keras_data()
    with pytest.raises(CarbonError, match="only once"):
        callback.estimate(model, ((x[:4], y[:4]) for _ in range(9)), steps=STEPS, epochs=2)


# --- a program ---------------------------------------------------------------------------------------

PROGRAMS = {
    "transformers": """
        import torch, transformers
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = torch.nn.Linear(4, 1)
            def forward(self, x, labels=None):
                return {"loss": (self.net(x).squeeze(1) - labels).square().mean()}
        data = [{"x": torch.ones(4), "labels": torch.ones(())} for _ in range(160)]
        args = transformers.TrainingArguments(
            "out", num_train_epochs=3, per_device_train_batch_size=4, report_to="none",
            save_strategy="no", use_cpu=True)
        trainer = transformers.Trainer(Model(), args, train_dataset=data)
        try:
            trainer.train()
        finally:
            open("saved", "w").write("untrained")
    """,
    "lightning": """
        from lightning.pytorch import Trainer
        from lightning.pytorch.demos.boring_classes import BoringModel
        try:
            Trainer(max_epochs=3, accelerator="cpu").fit(BoringModel())
        finally:
            open("saved", "w").write("untrained")
    """,
    "keras": """
        import keras, numpy as np
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(loss="mse")
        model.fit(np.ones((160, 8)), np.ones(160), epochs=3, batch_size=4)
        open("saved", "w").write("untrained")
    """,
}
TOTALS = {"transformers": 120, "lightning": 192, "keras": 120}


@pytest.mark.slow
@pytest.mark.parametrize("framework", PROGRAMS)
def test_the_first_training_of_a_program_becomes_a_dry_run(framework):
    import os
    import subprocess
    import sys
    import textwrap

    pytest.importorskip("typer", reason="the extra cli is not installed here")
    pytest.importorskip(framework)
    Path("train.py").write_text(textwrap.dedent(PROGRAMS[framework]))
    command = "import sys; from carbon_callbacks.cli import main; sys.exit(main())"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            command,
            "estimate",
            "--steps",
            "5",
            "--json",
            "--",
            sys.executable,
            "train.py",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["per"], data["amount"]) == ("step", TOTALS[framework])
    assert (
        data["energy_kwh"]["low_95"] < data["energy_kwh"]["value"] < data["energy_kwh"]["high_95"]
    )
    assert not Path("saved").exists()
    assert {path.name for path in Path().iterdir()} <= {"train.py", "out"}
