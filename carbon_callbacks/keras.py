"""`EmissionsCallback` for Keras 3: ``model.fit(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from carbon_callbacks._training.improvement import ENERGY_PER_IMPROVEMENT
from carbon_callbacks._training.metrics import Progress
from carbon_callbacks._training.training import Training
from carbon_callbacks._training.watching import Watching
from carbon_core import with_settings

try:
    from keras.callbacks import Callback
except ImportError as error:
    raise ImportError(
        "carbon_callbacks.keras needs the package keras: pip install 'carbon-callbacks[keras]'"
    ) from error

__all__ = ["EmissionsCallback"]


@with_settings(Training)
class EmissionsCallback(Watching, Callback):
    """Measures `fit`, `evaluate` and `predict`, and adds the totals to the logs of each epoch.

    ``energy_kwh`` and the like appear in History and in the verbose line; EarlyStopping, CSVLogger and
    TensorBoard see them when they are listed after this callback. Keras tells nobody about an exception;
    the run is then closed by the next training, at exit, or at once in a ``with callback:`` block.

    A fit that begins at a later epoch (`BackupAndRestore`, or ``initial_epoch``) continues the last fit
    of the same project in the output directory, and adds up with it.

    No batch hook is overridden: Keras would call it in step with every batch.

    Args:
        name: Tells this callback from others; the project's name by default.
        forecast: Whether to log what the whole training will take.
        sync: Whether to wait for the accelerator's queue where a phase ends.
        improvement_of: A metric, such as ``val_loss``: the energy for each unit by which it has become
            better is logged.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        samples_per_epoch: Training samples of an epoch, which Keras tells nobody; with it, samples per
            kWh are logged.
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, *, samples_per_epoch: int | None = None, **overrides: Any) -> None:
        super().__init__(**overrides)
        self._samples_per_epoch = samples_per_epoch
        self._fitting = False
        self._first_epoch: int | None = None

    def set_model(self, model: Any) -> None:
        """Note that a call of the user's begins: a fit that raised is over."""
        super().set_model(model)
        self._fitting = False

    def _implements_train_batch_hooks(self) -> NoReturn:
        # What the package tf_keras asks of its callbacks, and Keras 3 does not.
        raise TypeError(
            "EmissionsCallback is for models of Keras 3; this one is of the package tf_keras. Unset "
            "TF_USE_LEGACY_KERAS, or measure with carbon_callbacks.EmissionsTracker around fit()"
        )

    def __getstate__(self) -> dict[str, Any]:
        # The model is its trainer's, and may be neither small nor picklable.
        return {**self.__dict__, "_model": None}

    # hook                        event

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._training.begin()
        self._fitting = True
        self._first_epoch = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch
            if epoch > 0:
                self._training.continue_last()
        self._training.epoch_begin(self._fraction(epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        epochs, samples = epoch + 1 - (self._first_epoch or 0), self._samples_per_epoch
        progress = Progress(self._fraction(epoch + 1), samples and samples * epochs)
        self._training.improve(logs)
        metrics = self._training.epoch_end(progress)
        if logs is not None:
            if self._training.improvement_of:
                logs[ENERGY_PER_IMPROVEMENT] = math.nan  # CSVLogger wants every name at once
            logs.update(metrics)
        if self._training.should_stop():
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._fitting = False
        self._training.end()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._enter("validate" if self._in_fit else "evaluate")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._leave()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._enter("predict")

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._leave()

    def _fraction(self, epochs: int) -> float | None:
        """Return the part of the training (0 to 1) that is done after some epochs."""
        total = (self.params or {}).get("epochs")
        return epochs / total if total else None

    @property
    def _in_fit(self) -> bool:
        return self._fitting and self._training.running

    def _enter(self, phase: str) -> None:
        """Enter a phase, which is a run of its own outside fit."""
        if not self._in_fit:
            self._training.begin()
        self._training.phase(phase)

    def _leave(self) -> None:
        if self._in_fit:
            self._training.phase("train")
        else:
            self._training.end()
