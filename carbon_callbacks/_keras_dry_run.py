"""A dry run with a copy of a Keras model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from carbon_callbacks._keras_batches import CountsBatches
from carbon_callbacks._training.dry_run import DryRun
from carbon_core import CarbonError

_VALIDATION = ("validation_data", "validation_split", "validation_steps", "validation_batch_size",
               "validation_freq")  # fmt: skip


class _EnoughError(Exception):
    """Ends a dry run."""


class KerasDryRun:
    """Trains some batches with a copy of a model, then validates some.

    Args:
        callback_class: `keras.callbacks.Callback`.
        model: The model, which is copied.
        x: As for `Model.fit`.
        y: As for `Model.fit`.
        arguments: Further arguments of `fit`.

    Raises:
        CarbonError: A dry run of this fit is not possible.
    """

    def __init__(
        self, callback_class: Any, model: Any, x: Any, y: Any, arguments: Mapping[str, Any]
    ) -> None:
        if isinstance(x, Iterator):
            raise CarbonError("a generator can be read only once: the dry run would take its data")
        self._callback_class, self._x, self._y = callback_class, _without_epochs(x), y
        left_out = {"callbacks", "verbose", *_VALIDATION}
        self._fit = {name: value for name, value in arguments.items() if name not in left_out}
        self._validation = {name: arguments[name] for name in _VALIDATION if name in arguments}
        self._model = model

    def run(self, dry: DryRun) -> None:
        """Train and validate.

        Args:
            dry: Measures it.
        """
        try:
            copied = copy.deepcopy(self._model)
        except Exception as error:
            raise CarbonError(
                f"the model cannot be copied ({error!r}): Keras must be able to save and load it"
            ) from error
        x, y, fit, validation = self._data()
        with dry.measure():
            with suppress(_EnoughError):
                copied.fit(x, y, verbose=0, callbacks=[self._steps(dry)], **fit)
            dry.end_steps()
            if validation is not None and (count := self._validations()) > 0:
                self._validate(copied, dry, validation, count)

    def _validations(self) -> int:
        """Return how often the fit validates."""
        epochs: int = self._fit.get("epochs", 1) - self._fit.get("initial_epoch", 0)
        every = self._validation.get("validation_freq") or 1
        return len(every) if isinstance(every, (list, tuple)) else epochs // every

    def _data(self) -> tuple[Any, Any, dict[str, Any], Sequence[Any] | None]:
        """Return the data of training and the arguments of `fit`, and the data of validation."""
        data = self._validation.get("validation_data")
        split = self._validation.get("validation_split") or 0.0
        if data is not None:
            parts = tuple(data) if isinstance(data, (tuple, list)) else (data,)
            return self._x, self._y, self._fit, parts
        if not split:
            return self._x, self._y, self._fit, None
        arrays = self._x, self._y
        if not all(hasattr(one, "shape") for one in arrays):
            raise CarbonError("validation_split is estimated for arrays only: use validation_data")
        at = int(arrays[0].shape[0] * (1.0 - split))
        weights = self._fit.get("sample_weight")
        fit = self._fit if weights is None else {**self._fit, "sample_weight": weights[:at]}
        return self._x[:at], self._y[:at], fit, (self._x[at:], self._y[at:])

    def _validate(self, copied: Any, dry: DryRun, data: Sequence[Any], count: int) -> None:
        """Validate as `fit` does.

        Args:
            copied: The copy, which has trained.
            dry: Measures it.
            data: Inputs, and where they are separate, targets and weights.
            count: Validations of the whole fit.
        """
        arguments = {
            "batch_size": self._validation.get("validation_batch_size")
            or self._fit.get("batch_size"),
            "steps": self._validation.get("validation_steps"),
            "sample_weight": data[2] if len(data) > 2 else None,
        }
        if isinstance(data[0], Iterator):
            return
        with suppress(_EnoughError):
            copied.evaluate(
                *data[:2], verbose=0, callbacks=[self._batches(dry, count)], **arguments
            )
        dry.end_validation()

    def _steps(self, dry: DryRun) -> Any:
        base: Any = self._callback_class
        first_epoch = self._fit.get("initial_epoch", 0)

        class Steps(CountsBatches, base):  # type: ignore[misc]
            """Counts batches as they begin: the one before has ended then."""

            begun = 0

            def note_batch(self, batch: int, listed: Any) -> None:
                if not self.begun:
                    dry.begin_steps(_steps_of(self.params, first_epoch))
                elif dry.step():
                    self.stop()
                self.begun += 1

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                if self.begun and epoch + 1 == self.params.get("epochs") and dry.step():
                    self.stop()

            def stop(self) -> None:
                dry.end_steps()
                raise _EnoughError

        return Steps()

    def _batches(self, dry: DryRun, count: int) -> Any:
        base: Any = self._callback_class

        class Batches(base):  # type: ignore[misc]
            def on_test_begin(self, logs: Any = None) -> None:
                batches = self.params.get("steps")
                if not batches:
                    raise _EnoughError
                dry.begin_validation(count * batches)

            def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
                if dry.validated():
                    dry.end_validation()
                    raise _EnoughError

        return Batches()


def _without_epochs(x: Any) -> Any:
    """Return data that does nothing at the end of an epoch, where the original changes its order."""
    if not hasattr(x, "on_epoch_end"):
        return x
    copied = copy.copy(x)
    copied.on_epoch_begin = copied.on_epoch_end = lambda: None
    return copied


def _steps_of(params: Mapping[str, Any], first_epoch: int) -> int:
    """Return the batches of a whole fit.

    Args:
        params: The parameters of the fit that its callbacks get.
        first_epoch: Its first epoch.

    Raises:
        CarbonError: It has no end that is known before.
    """
    steps, epochs = params.get("steps"), params.get("epochs")
    if not steps or not epochs or epochs <= first_epoch:
        raise CarbonError("the length of the fit is unknown: set steps_per_epoch")
    return int(steps * (epochs - first_epoch))
