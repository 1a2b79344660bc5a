"""A dry run with a copy of a LightningModule and another Trainer with the same options."""

from __future__ import annotations

import copy
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from carbon_callbacks._training.dry_run import DryRun
from carbon_callbacks._training.kept_state import own_containers
from carbon_core import CarbonError

_SAME_OPTIONS = (
    "max_epochs", "max_steps", "limit_train_batches", "val_check_interval", "check_val_every_n_epoch",
    "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision",
)  # fmt: skip


class _EnoughError(Exception):
    """Ends a dry run."""


class LightningDryRun:
    """Trains some steps of a model's copy, then validates some batches.

    Args:
        trainer: The Trainer that will train; it is not used.
        model: The model, which is copied.
        train_dataloaders: As for `Trainer.fit`, likewise the others.
        val_dataloaders: As above.
        datamodule: As above.

    Raises:
        CarbonError: A dry run of this training is not possible.
    """

    def __init__(
        self,
        trainer: Any,
        model: Any,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
    ) -> None:
        if trainer.world_size > 1:
            raise CarbonError(
                "a dry run on several devices is not possible: estimate from past runs"
            )
        if model is None:
            raise CarbonError("the model is missing: estimate(trainer, model, ...), as for fit()")
        if hasattr(train_dataloaders, "train_dataloader"):
            train_dataloaders, datamodule = None, train_dataloaders
        home = next(one for one in type(trainer).__mro__ if one.__name__ == "Trainer")
        self._package = home.__module__.partition(".trainer.")[0]
        self._trainer = trainer
        self._class = home
        self._data = _own_loaders(train_dataloaders), _own_loaders(val_dataloaders)
        self._datamodule = copy.copy(datamodule)
        try:
            self._model = copy.deepcopy(model)
        except Exception as error:
            raise CarbonError(f"the model cannot be copied: {error!r}") from error
        # Its own callbacks may write files.
        self._model.configure_callbacks = list

    def run(self, dry: DryRun) -> None:
        """Train and validate.

        Args:
            dry: Measures it.
        """
        with tempfile.TemporaryDirectory() as directory, _quiet(self._package):
            trainer = self._made(directory, self._steps(dry), limit_val_batches=0)
            with dry.measure():
                self._train(trainer, dry, directory)

    def _train(self, trainer: Any, dry: DryRun, directory: str) -> None:
        with suppress(_EnoughError):
            trainer.fit(self._model, self._data[0], datamodule=self._datamodule)
        dry.end_steps()
        count = _validations(trainer)
        if count and self._trainer.limit_val_batches and self._has_validation():
            trainer = self._made(
                directory,
                self._batches(dry, count),
                limit_val_batches=self._trainer.limit_val_batches,
            )
            with suppress(_EnoughError):
                trainer.validate(
                    self._model, self._data[1], datamodule=self._datamodule, verbose=False
                )
            dry.end_validation()

    def _has_validation(self) -> bool:
        own: Any = import_module(f"{self._package}.core.module").LightningModule
        if type(self._model).validation_step is own.validation_step:
            return False
        sources = [one for one in (self._model, self._datamodule) if one is not None]
        return self._data[1] is not None or any(
            type(one).val_dataloader is not own.val_dataloader for one in sources
        )

    def _made(self, directory: str, probe: Any, **options: Any) -> Any:
        """Return a Trainer with the options of the training, that writes nothing.

        Args:
            directory: Of its files, if there are any.
            probe: Its only callback.
            **options: Further options.
        """
        logger = import_module(f"{self._package}.loggers.logger").DummyLogger()
        root = self._trainer.strategy.root_device
        made = self._class(
            **{name: getattr(self._trainer, name) for name in _SAME_OPTIONS},
            **options,
            accelerator=self._trainer.accelerator,
            devices=1 if root.index is None else [root.index],
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=directory,
            detect_anomaly=self._trainer._detect_anomaly,
        )
        # Programs may add callbacks to every Trainer; such as this package's own.
        made.callbacks = [probe]
        return made

    def _steps(self, dry: DryRun) -> Any:
        base: Any = import_module(f"{self._package}.callbacks").Callback

        class Steps(base):  # type: ignore[misc]
            def on_train_start(self, trainer: Any, pl_module: Any) -> None:
                dry.begin_steps(_steps_of(trainer))

            def on_train_batch_end(self, *args: Any) -> None:
                if dry.step():
                    dry.end_steps()
                    raise _EnoughError

        return Steps()

    def _batches(self, dry: DryRun, count: int) -> Any:
        base: Any = import_module(f"{self._package}.callbacks").Callback

        class Batches(base):  # type: ignore[misc]
            def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
                batches = sum(trainer.num_val_batches)
                if not 0 < batches < math.inf:
                    raise _EnoughError
                dry.begin_validation(count * batches)

            def on_validation_batch_end(self, *args: Any) -> None:
                if dry.validated():
                    dry.end_validation()
                    raise _EnoughError

        return Batches()


def _steps_of(trainer: Any) -> float:
    """Return the batches of a whole training.

    Raises:
        CarbonError: It has no end that is known before.
    """
    lengths = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        lengths.append(trainer.num_training_batches * trainer.max_epochs)
    if trainer.max_steps >= 0:
        lengths.append(trainer.max_steps * trainer.accumulate_grad_batches)
    length: float = min(lengths, default=math.inf)
    if not 0 < length < math.inf:
        raise CarbonError("the length of the training is unknown: set max_epochs or max_steps")
    return length


def _validations(trainer: Any) -> int:
    """Return how often a whole training validates, from a Trainer that has begun it."""
    steps, per_epoch = _steps_of(trainer), trainer.num_training_batches
    every, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if every is None:  # by time
        return 0
    if epochs is None:
        return int(steps // every)
    in_epoch = max(1, int(per_epoch // every)) if every < math.inf else 1
    of_all = steps / per_epoch if per_epoch < math.inf else 0.0
    return int((of_all + 1e-9) / epochs) * in_epoch


def _own_loaders(value: Any) -> Any:
    """Return data loaders with workers and iterators of their own; other data as they are."""
    return own_containers(
        value, lambda one: copy.copy(one) if hasattr(one, "batch_sampler") else one
    )


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """Keep out what a Trainer prints about devices and options: the training itself prints it, too."""
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
