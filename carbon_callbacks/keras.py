"""`EmissionsCallback` for Keras 3: ``model.fit(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from carbon_callbacks._keras_batches import CountsBatches
from carbon_callbacks._keras_trials import Trial, current_trial
from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import innermost, wrap_method
from carbon_callbacks._training.early_stopping import patience_used
from carbon_callbacks._training.fits import note_fit, segments_of_model
from carbon_callbacks._training.metrics import PREFIX, Topic, with_prefix
from carbon_callbacks._training.totals import Progress
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_core import TrainingEstimate

try:
    from keras import Model
    from keras.callbacks import Callback, CallbackList, ProgbarLogger
except (ImportError, ValueError) as error:
    from carbon_callbacks._missing import keras_problem

    raise ImportError(keras_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

wrap_method(Model, "fit")
wrap_method(Model, "evaluate")
wrap_method(Model, "predict")


def _batch_begins(begin: Any, listed: Any, /, batch: int, *args: Any, **kwargs: Any) -> Any:
    """Count batches in the list that Keras calls in any case: a hook of a callback may cost it more."""
    for callback in listed.callbacks:
        if isinstance(callback, CountsBatches):
            callback.note_batch(batch, listed)
    return begin(listed, batch, *args, **kwargs)


wrap_method(CallbackList, "on_train_batch_begin", _batch_begins)

# The metrics that the line of an epoch does not show.
_not_shown: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def _print_epoch(on_end: Any, bar: Any, /, epoch: int, logs: Any = None) -> Any:
    """Print the line of an epoch without those added metrics that it does not show."""
    names = _not_shown.pop(bar, ())
    return on_end(bar, epoch, {name: logs[name] for name in logs or {} if name not in names})


wrap_method(ProgbarLogger, "on_epoch_end", _print_epoch)


@with_settings(Training)
class EmissionsCallback(CallbackBase, CountsBatches, Callback):
    """Measures `fit`, `evaluate` and `predict`, and adds the totals to the logs of each epoch.

    ``carbon_energy_kwh`` and the like appear in History and the verbose line; EarlyStopping, CSVLogger
    and TensorBoard see them when they are listed after this callback. Every epoch has the same names;
    what is not available yet is NaN. Where `fit` raises, the run is closed at once.

    A fit that begins at a later epoch continues an earlier one, and their energy is added: one of the
    same model in this process, or the latest one of the same project and output directory that did not
    complete (`BackupAndRestore`). A trial of KerasTuner continues the trial whose weights it loads.

    No batch hook is overridden: Keras may synchronise with the device to call one. Batches are counted
    in the method that calls the hooks.

    Args:
        samples_per_epoch: Training samples of an epoch, which Keras reports to no callback; with it,
            samples per kWh can be logged.
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self, *, samples_per_epoch: int | None = None, **overrides: Unpack[CallbackArguments]
    ) -> None:
        super().__init__(**overrides)
        self._samples_per_epoch = samples_per_epoch
        self._fit: Fit | None = None
        self._unknown: list[Topic] = ["tokens"] if samples_per_epoch else ["tokens", "samples"]
        self._names = self._training.metric_names([*self._unknown, "early stopping"])

    def _implements_train_batch_hooks(self) -> NoReturn:
        # The package tf_keras calls this on its callbacks, and Keras 3 does not.
        raise TypeError(
            "EmissionsCallback is for models of Keras 3; this one is of the package tf_keras. Unset "
            "TF_USE_LEGACY_KERAS, or measure with carbon_callbacks.EmissionsTracker around fit()"
        )

    def __getstate__(self) -> dict[str, Any]:
        # The model is its trainer's, and may be neither small nor picklable.
        return {**self.__dict__, "_model": None, "_fit": None}

    def estimate(
        self,
        model: Any,
        x: Any = None,
        y: Any = None,
        *,
        steps: int = 50,
        **fit_arguments: Any,
    ) -> TrainingEstimate:
        """Estimate a fit by a dry run of some batches on a copy of the model; nothing is saved.

        Args:
            model: The compiled model.
            x: As for `Model.fit`, likewise `y` and the other arguments; callbacks are left out.
            y: As above.
            steps: Batches to train at least.
            **fit_arguments: As above, such as ``epochs`` and ``batch_size``.

        Raises:
            CarbonError: A dry run of this fit is not possible; the message has the reason.
        """
        from carbon_callbacks._keras_dry_run import KerasDryRun
        from carbon_callbacks._training.dry_run import estimate

        run = KerasDryRun(Callback, model, x, y, fit_arguments)
        return estimate(self._training, steps, run.run, x, y, fit_arguments)

    def set_model(self, model: Any) -> None:
        """Set the model that is trained or evaluated; the meters are found meanwhile."""
        super().set_model(model)
        self._training.prepare()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._fit is not None and self._training.running and self._fit.is_outside:
            self._fit.nested += 1  # another callback trains something within this fit
            return
        trial = Trial()
        with self._training.guard():
            trial = current_trial()
        self._fit = Fit(self.model, self.params, trial)
        self._training.tracker.note_model(self._fit.model)
        self._training.begin(trial=trial.trial_id, on_exit=self._exit)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        fit = self._own_fit
        if fit is None:
            return
        if fit.first_epoch is None:
            fit.first_epoch = epoch
            if epoch > 0:
                self._continue(fit)
        fit.epoch = epoch
        self._training.epoch_begin(fit.fraction(epoch))

    def note_batch(self, batch: int, listed: Any) -> None:
        """Note that a batch of training begins.

        Args:
            batch: Its number within the epoch.
            listed: The list of callbacks of the fit.
        """
        fit = self._own_fit
        if fit is None:
            return
        fit.batches += 1
        if fit.batches > self._training.steps.due:
            with self._training.guard():
                self._training.note_step(fit.batches - 1, fit.fraction_at(batch))
        if fit.batches == 1:
            fit.note_callbacks(listed.callbacks)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        fit = self._own_fit
        if fit is None:
            return
        epochs, samples = epoch + 1 - (fit.first_epoch or 0), self._samples_per_epoch
        used = fit.patience_used
        fraction = fit.fraction(epoch + 1)
        progress = Progress(
            fraction, samples and samples * epochs, None, used, dataset_samples=samples
        )
        self._training.improve(logs)
        self._training.epoch_end()
        metrics = self._training.selection.of(self._training.metrics(progress))
        if logs is not None:
            # Tables need every column from the first row on. Metrics of the model keep their values.
            names = self._names if used is None else self._training.metric_names(self._unknown)
            ours = with_prefix({**dict.fromkeys(names, math.nan), **metrics}, PREFIX)
            shown = with_prefix(dict.fromkeys(self._training.selection.in_bar, 0.0), PREFIX)
            fit.hide(ours.keys() - shown.keys() - logs.keys())
            logs |= {**ours, **logs}
        if self._training.should_stop():
            fit.stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._fit is not None and self._fit.nested:
            self._fit.nested -= 1
            return
        fit, self._fit = self._fit, None
        self._training.steps.count = fit.batches if fit is not None else 0
        self._training.end()
        with self._training.guard():
            if fit is not None and self.report is not None:
                note_fit(fit.model, self.report.segments)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._enter("validate" if self._in_fit else "evaluate")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._leave()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._enter("predict")

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._leave()

    @property
    def _own_fit(self) -> Fit | None:
        """The fit that is measured, unless another one within it calls the hooks."""
        return None if self._fit is None or self._fit.nested else self._fit

    @property
    def _in_fit(self) -> bool:
        return self._fit is not None and self._training.running

    def _continue(self, fit: Fit) -> None:
        """Continue the earlier fit, so that their energy is added."""
        with self._training.guard():
            if fit.trial.trial_id is None and (segments := segments_of_model(fit.model)):
                self._training.tracker.continue_from(segments)
            elif fit.trial.trial_id is None or fit.trial.parent_id:
                self._training.continue_last(fit.trial.parent_id)

    def _exit(self, error: BaseException | None) -> None:
        self._fit = None
        self._training.exit(error)

    def _enter(self, phase: str) -> None:
        """Enter a phase, which is a run of its own outside fit."""
        if not self._in_fit:
            # The property `model` synchronises the state of one on JAX.
            self._training.tracker.note_model(self._model)
            self._training.begin(kind=phase)
        self._training.phase(phase)

    def _leave(self) -> None:
        if self._in_fit:
            self._training.phase("train")
        else:
            self._training.end()


class Fit:
    """A fit that is measured.

    Attributes:
        first_epoch: The epoch that it began with, once that is known.
        epoch: The current epoch.
        batches: How many batches of training have begun.
        nested: How many fits with the same callback are running within it.
        trial: As below.

    Args:
        model: Its model; None in a loop that has none.
        params: Its parameters from Keras; None or {} in a custom loop.
        trial: The trial of KerasTuner that it belongs to.
    """

    def __init__(self, model: Any, params: dict[str, Any] | None, trial: Trial) -> None:
        self.first_epoch: int | None = None
        self.epoch = 0
        self.batches = 0
        self._stopping: list[Any] = []
        self._bars: list[Any] = []
        self.nested = 0
        self.trial = trial
        self._epochs = (params or {}).get("epochs")
        self._steps = (params or {}).get("steps")
        # Other models may be evaluated with the same callback in the meantime.
        self._model = weakref.ref(model) if model is not None else lambda: None
        self._call = innermost()

    @property
    def is_outside(self) -> bool:
        """Whether this fit is running, and a call within it calls the hooks now."""
        return self._call is not None and self._call.running and innermost() is not self._call

    @property
    def model(self) -> Any:
        """Its model, while that lives."""
        return self._model()

    def fraction(self, epochs: int) -> float | None:
        """Return the part of the training (0 to 1) that is done after some epochs."""
        return epochs / self._epochs if self._epochs else None

    def fraction_at(self, batch: int) -> float | None:
        """Return the part of the training (0 to 1) that is done before a batch of the current epoch."""
        if not self._epochs or not self._steps:
            return None
        return (self.epoch + min(1.0, batch / self._steps)) / self._epochs  # type: ignore[no-any-return]

    def note_callbacks(self, callbacks: list[Any]) -> None:
        """Keep those that may stop the fit early, and those that print a line for each epoch."""
        self._stopping = [one for one in callbacks if patience_used([one]) is not None]
        self._bars = [one for one in callbacks if isinstance(one, ProgbarLogger)]

    @property
    def patience_used(self) -> float | None:
        """How near early stopping is (0 to 1); None without it."""
        return patience_used(self._stopping)

    def hide(self, names: set[str]) -> None:
        """Leave some metrics out of the line of this epoch."""
        for bar in self._bars:
            _not_shown[bar] = _not_shown.get(bar, set()) | names

    def stop(self) -> None:
        """Have Keras stop after this epoch."""
        if self.model is not None:
            self.model.stop_training = True
