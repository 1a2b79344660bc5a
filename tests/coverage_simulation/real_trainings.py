"""Real small trainings, each estimated before it runs: handwritten digits, on this machine.

The energy that is measured afterwards is the truth, so that errors of the meter do not count: the
devices are calibrated with a standard deviation of almost 0. `tools/write_estimates.py` runs them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from carbon_core.estimation import from_runs
from carbon_core.outputs import past_runs
from carbon_core.records import Estimate
from carbon_core.report import Report
from carbon_core.run_facts import Work
from coverage_simulation.coverage import Family, Limits
from coverage_simulation.measuring import Figure

_LIMITS = Limits(coverage=0.90, ratio=float("inf"))
_EXACT = {"gain": 1.0, "sigma": 1e-4}
_SETTINGS: dict[str, Any] = {
    "calibration": {"cpu": _EXACT, "ram": _EXACT, "gpu": _EXACT},
    "log_level": "critical",
    "country_iso_code": "FRA",
    "measure_power_secs": 1,
    "tracking_mode": "process",  # the machine has other work, too
}
# So long a training takes, and the number of past ones.
_LEAST_S, _MOST_S = 4.0, 9.0
_PAST = 3
# Of the images; the others are validated. Training on one core disturbs other programs least.
_TRAINED, _TIMES = 2000, 4

REAL: dict[str, Family] = {}


def _digits() -> tuple[Any, Any]:
    import numpy
    from sklearn.datasets import load_digits

    data = load_digits()
    # Epochs are as long as a second, so that what a callback does at their ends does not count.
    images, targets = numpy.tile(data.data, (_TIMES, 1)), numpy.tile(data.target, _TIMES)
    chosen = slice(0, _TRAINED + _TRAINED // 5)
    return images[chosen].astype("float32") / 16.0, targets[chosen]


def _shape(rng: Random) -> dict[str, int]:
    return {
        "width": rng.choice((32, 64, 128, 256)),
        "depth": rng.randint(1, 4),
        "batch": rng.choice((8, 16, 32)),
    }


def _net(shape: dict[str, int]) -> Any:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    sizes = [64, *[shape["width"]] * shape["depth"]]
    hidden = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))


def _loaders(shape: dict[str, int]) -> tuple[Any, Any]:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y = map(torch.as_tensor, _digits())
    train, rest = (
        TensorDataset(x[:_TRAINED], y[:_TRAINED]),
        TensorDataset(x[_TRAINED:], y[_TRAINED:]),
    )
    return DataLoader(train, shape["batch"], shuffle=True), DataLoader(rest, shape["batch"])


def _lightning(
    shape: dict[str, int], epochs: int
) -> tuple[Callable[[], Any], Callable[[], Any], Any]:
    import torch
    from lightning.pytorch import LightningModule, Trainer

    from carbon_callbacks.lightning import EmissionsCallback

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net(shape)

        def training_step(self, batch: Any, index: int) -> Any:
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            self.net(batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    callback = EmissionsCallback(**_SETTINGS)
    trainer = Trainer(
        max_epochs=epochs, callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    model, loaders = Model(), _loaders(shape)
    return (
        lambda: callback.estimate(trainer, model, *loaders, steps=20),
        lambda: trainer.fit(model, *loaders),
        callback,
    )


def _hugging_face(
    shape: dict[str, int], epochs: int
) -> tuple[Callable[[], Any], Callable[[], Any], Any]:
    import torch
    from transformers import PretrainedConfig, Trainer, TrainingArguments

    from carbon_callbacks.transformers import EmissionsCallback

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net(shape)
            self.config = PretrainedConfig()

        def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
            logits = self.net(x)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    x, y = map(torch.as_tensor, _digits())
    samples = [{"x": one, "labels": label} for one, label in zip(x, y)]
    args = TrainingArguments(
        "out", num_train_epochs=epochs, per_device_train_batch_size=shape["batch"], report_to="none",
        save_strategy="no", eval_strategy="epoch", disable_tqdm=True, use_cpu=True,
        logging_strategy="no",
    )  # fmt: skip
    callback = EmissionsCallback(**_SETTINGS)
    trainer = Trainer(
        Model(),
        args,
        train_dataset=samples[:_TRAINED],
        eval_dataset=samples[_TRAINED:],
        callbacks=[callback],
    )
    return lambda: callback.estimate(trainer, steps=20), trainer.train, callback


def _keras(shape: dict[str, int], epochs: int) -> tuple[Callable[[], Any], Callable[[], Any], Any]:
    import keras
    import torch

    from carbon_callbacks.keras import EmissionsCallback

    torch.set_num_threads(1)
    x, y = _digits()
    hidden = [keras.layers.Dense(shape["width"], activation="relu") for _ in range(shape["depth"])]
    model = keras.Sequential([*hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    callback = EmissionsCallback(**_SETTINGS)
    fit = {
        "epochs": epochs, "batch_size": shape["batch"], "validation_data": (x[_TRAINED:], y[_TRAINED:]),
    }  # fmt: skip
    return (
        lambda: callback.estimate(model, x[:_TRAINED], y[:_TRAINED], steps=20, **fit),
        lambda: model.fit(x[:_TRAINED], y[:_TRAINED], verbose=0, callbacks=[callback], **fit),
        callback,
    )


@contextmanager
def _own_directory() -> Iterator[Path]:
    import os

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            yield Path(directory)
        finally:
            os.chdir(before)


def _epochs(make: Callable[..., Any], shape: dict[str, int], length_s: float) -> int:
    """Return the epochs of a training that takes about so long."""
    estimate, _, _ = make(shape, 4)
    return max(2, round(4 * length_s / estimate().duration_s.value))


def _figures(energy: Estimate, time: Estimate, report: Report) -> list[Figure]:
    return [
        Figure("energy", energy, report.energy_kwh.value),
        Figure("time", time, report.duration_s),
    ]


def _dry_run(make: Callable[..., Any]) -> Callable[[Random], list[Figure]]:
    def run(rng: Random) -> list[Figure]:
        with _own_directory():
            shape = _shape(rng)
            epochs = _epochs(make, shape, rng.uniform(_LEAST_S, _MOST_S))
            estimate, train, callback = make(shape, epochs)
            found = estimate()
            train()
            return _figures(found.energy_kwh, found.duration_s, callback.report)

    return run


def _past_runs(make: Callable[..., Any]) -> Callable[[Random], list[Figure]]:
    def run(rng: Random) -> list[Figure]:
        with _own_directory() as directory:
            shape = _shape(rng)
            most = _epochs(make, shape, _LEAST_S)
            for _ in range(_PAST):
                make(shape, rng.randint(max(1, most // 2), most))[1]()
            runs = [one for _, one in past_runs.in_directory(directory)]
            _, train, callback = make(shape, rng.randint(max(1, most // 2), 2 * most))
            train()
            (latest,) = (
                one
                for _, one in past_runs.in_directory(directory)
                if one.run.run_id == callback.report.run.run_id
            )
            found = from_runs(runs, Work(steps=latest.work.steps))
            return _figures(found.energy_kwh, found.duration_s, callback.report)

    return run


for _name, _make in (("Lightning", _lightning), ("Transformers", _hugging_face), ("Keras", _keras)):
    _title = f"real trainings, dry run, {_name}"
    REAL[_title] = Family(_title, _dry_run(_make), limits=_LIMITS)
REAL["real trainings, 3 past ones"] = Family(
    "real trainings, 3 past ones", _past_runs(_hugging_face), limits=_LIMITS
)
