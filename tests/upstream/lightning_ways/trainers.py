"""The two packages of Lightning, a tiny model, and the table of the ways to train it."""

import re
import sys
from functools import cached_property
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from upstream.harness import Framework, Ways

WAYS = Ways()
SAMPLES = 16
OWN = object()
torch.set_num_threads(1)


class Samples(Dataset):
    """Vectors of four numbers."""

    def __init__(self, count: int = SAMPLES) -> None:
        self._samples = torch.arange(count * 4, dtype=torch.float32).reshape(count, 4).sin()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._samples[index]


def loader(count: int = SAMPLES, batch_size: int = 4, **options: Any) -> DataLoader:
    """Return batches of four samples."""
    return DataLoader(Samples(count), batch_size=batch_size, **options)


class Lightning(Framework):
    """One of the two packages.

    Args:
        package: What its users import as ``pl``.
        adapter: The adapter's module.
    """

    def __init__(self, package: str, adapter: str) -> None:
        self.name = package.replace(".pytorch", "")
        self.package, self._adapter = package, adapter
        self.pl = import_module(package)
        self.callbacks = import_module(f"{package}.callbacks")
        self.loggers_module = import_module(f"{package}.loggers")
        fabric = "lightning.fabric" if self.name == "lightning" else "lightning_fabric"
        self.loggers = (package, fabric, "lightning", "lightning.pytorch.utilities.rank_zero")
        self.classes = (
            self.pl.Trainer,
            self.pl.LightningModule,
            self.pl.Callback,
            self.callbacks.ModelCheckpoint,
            self.callbacks.EarlyStopping,
        )

    def new_callback(self, **settings: Any) -> Any:
        settings.setdefault("log_level", "warning")
        return import_module(self._adapter).EmissionsCallback(**settings)

    def reset(self) -> None:
        for cache in self._caches:
            cache.clear()

    @cached_property
    def _caches(self) -> list[Any]:
        """The sets of warnings that Lightning shows once per process."""
        prefixes = (self.package, *self.loggers)
        modules = [one for name, one in list(sys.modules.items()) if name.startswith(prefixes)]
        spaces = [vars(one) for one in modules if one is not None]
        spaces += [vars(one) for space in spaces for one in space.values() if isinstance(one, type)]
        found = {
            id(one): one
            for space in spaces
            for one in space.values()
            if type(one).__name__ == "WarningCache"
        }
        return list(found.values())

    def file_name(self, name: str) -> str:
        return re.sub(r"events\.out\.tfevents\..*", "events.out.tfevents", name)

    def content(self, path: Any) -> Any:
        if path.suffix in (".ckpt", ".pt"):
            return torch.load(path, map_location="cpu", weights_only=False)
        if "tfevents" in path.name:
            return _scalars(path)
        return super().content(path)

    @cached_property
    def made(self) -> SimpleNamespace:
        """The classes of the ways, made for this package."""
        pl = self.pl

        class Model(pl.LightningModule):
            """A small net with dropout, which logs its losses.

            Attributes:
                at: Called with the name of each step, by those who want to intervene.
            """

            def __init__(self, lr: float = 0.05) -> None:
                super().__init__()
                self.net = torch.nn.Sequential(
                    torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
                )
                self.lr = lr
                self.at: Any = None

            def loss(self, what: str, batch: Any) -> torch.Tensor:
                if self.at is not None:
                    self.at(what)
                return (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                loss = self.loss("training_step", batch)
                self.log("train_loss", loss)
                return loss

            def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
                self.log("val_loss", self.loss("validation_step", batch))

            def test_step(self, batch: Any, batch_idx: int) -> None:
                self.log("test_loss", self.loss("test_step", batch))

            def predict_step(self, batch: Any, batch_idx: int) -> Any:
                if self.at is not None:
                    self.at("predict_step")
                return self.net(batch)

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), lr=self.lr)

        class Recorder(self.loggers_module.Logger):
            """A logger as its user writes it, with exactly the arguments that are documented."""

            def __init__(self, log: Any, name: str = "recorder") -> None:
                super().__init__()
                self._log, self._name = log, name

            @property
            def name(self) -> str:
                return self._name

            @property
            def version(self) -> str:
                return "0"

            def log_hyperparams(self, params: Any) -> None:
                pass

            def log_metrics(self, metrics: Any, step: Any) -> None:
                self._log.add(metrics, step)

        return SimpleNamespace(Model=Model, Recorder=Recorder)


def _scalars(path: Any) -> dict[str, list[tuple[int, float]]]:
    """Return the curves of a file of TensorBoard: steps and values by tag."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    curves: dict[str, list[tuple[int, float]]] = {}
    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    curves.pop("epoch", None)  # Lightning writes it beside each entry, so beside ours, too
    return curves


def trainer(place: Any, *callbacks: Any, first: bool = True, **options: Any) -> Any:
    """Return a Trainer with our callback and others.

    Args:
        place: Where the way runs.
        *callbacks: The way's own callbacks.
        first: Whether ours stand before them.
        **options: Arguments of the Trainer.
    """
    ours = options.pop("ours", place.callbacks)
    both = [*ours, *callbacks] if first else [*callbacks, *ours]
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "default_root_dir": place.path,
        "callbacks": both,
    }
    if not options.get("barebones"):
        defaults.update(
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=place.framework.made.Recorder(place.log("recorder")),
        )
    return place.framework.pl.Trainer(**{**defaults, **options})


def model(place: Any, *bases: type, **arguments: Any) -> Any:
    """Return a new model; classes given are mixed into it."""
    if not bases:
        return place.framework.made.Model(**arguments)
    return type("Model", (*bases, place.framework.made.Model), {})(**arguments)


def fit(place: Any, *callbacks: Any, net: Any = None, data: Any = None, **options: Any) -> Any:
    """Train; put what is to be compared into the place, also where it raises.

    Args:
        place: Where the way runs.
        *callbacks: The way's own callbacks.
        net: The model; a new one by default.
        data: The loader to train with, or that and the one to validate with; `OWN` if the model has
            loaders; a data module.
        **options: Arguments of the Trainer (or a Trainer), and ``ckpt_path``.

    Returns:
        The Trainer.
    """
    ckpt_path = options.pop("ckpt_path", None)
    made = options.pop("trainer", None) or trainer(place, *callbacks, **options)
    net = model(place) if net is None else net
    if data is OWN:
        given = {}
    elif isinstance(data, place.framework.pl.LightningDataModule):
        given = {"datamodule": data}
    else:
        train, validate = data if isinstance(data, tuple) else (data, None)
        given = {
            "train_dataloaders": loader(shuffle=True) if train is None else train,
            "val_dataloaders": loader(8) if validate is None else validate,
        }
    try:
        made.fit(net, ckpt_path=ckpt_path, **given)
    finally:
        record(place, made, net)
    return made


def record(place: Any, made: Any, net: Any) -> None:
    """Put what a Trainer and its model have become into the place."""
    seen = place.seen
    seen.weights["model"] = {name: one.clone() for name, one in net.state_dict().items()}
    seen.weights["optimizers"] = [one.state_dict() for one in made.optimizers]
    seen.metrics.update(
        callback=dict(made.callback_metrics),
        logged=dict(made.logged_metrics),
        progress_bar=dict(made.progress_bar_metrics),
        status={
            "epoch": made.current_epoch,
            "step": made.global_step,
            "status": str(made.state.status),
            "fn": str(made.state.fn),
            "stage": str(made.state.stage),
            "should_stop": made.should_stop,
            "batches": made.num_training_batches,
            "callbacks": [type(one).__name__ for one in made.callbacks if one not in _ours(made)],
        },
    )
    place.inspect(trainer=made, model=net)
    place.watch(trainer=made, model=net)
    if made.optimizers:
        place.watch(optimizer=made.optimizers[0])


def _ours(made: Any) -> list[Any]:
    return [one for one in made.callbacks if type(one).__module__.startswith("carbon_callbacks")]
