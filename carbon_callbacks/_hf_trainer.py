"""Events that the Hugging Face Trainer does not have, from its wrapped methods.

The methods are wrapped in their class, once; each call looks for this package's callbacks among those of
its own Trainer. So nothing refers to a Trainer, a copy trains its own model, and a removed callback is
no longer called.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_callbacks._receipt_artifacts import Upload, send, uploads
from carbon_callbacks._training.callback_base import CallbackBase
from carbon_callbacks._training.calls import called, wrap_method
from carbon_callbacks._training.metrics import PREFIX
from carbon_callbacks._training.totals import Figures

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_core import OpenWindow

_STATE_PREFIX = "carbon_callbacks:"
# Between a hook and the Trainer that calls it are only the handler's methods.
_MAX_DEPTH = 8

Method = Callable[..., Any]

# The metrics that the line of a log entry does not show, by the id of an entry that is being logged.
_not_shown: dict[int, set[str]] = {}


class TrainerHooks(CallbackBase):
    """Events that the Trainer does not have: exceptions, evaluations, logs, checkpoints, model cards.

    Args:
        return_metrics: Whether the energy is also in what `evaluate`, `predict` and `train` return.
        **arguments: As for `CallbackBase`.
    """

    def __init__(
        self, *, return_metrics: bool = False, **arguments: Unpack[CallbackArguments]
    ) -> None:
        super().__init__(**arguments)
        self.return_metrics = return_metrics
        self._evaluations: list[OpenWindow] = []
        self._pruning = False
        self._uploads: list[Upload] = []
        # Names of the metrics that were added to log entries.
        self.added: set[str] = set()

    def prepare(self) -> None:
        """Find the meters of a training that is about to begin."""
        self._training.prepare()

    def figures_for(self, trainer: Any, logs: dict[str, Any]) -> Figures:
        """Return what is added to a log entry."""
        raise NotImplementedError

    def shown(self, names: Iterable[str]) -> set[str]:
        """Return those of some names in log entries that the line of an entry shows."""
        in_bar = self._training.selection.in_bar
        return {name for name in names if name.rpartition(PREFIX)[2] in in_bar}

    def guard(self) -> contextlib.AbstractContextManager[None]:
        """Keep an error of this package out of the training."""
        return self._training.guard()

    @property
    def state_key(self) -> str:
        """The key in ``stateful_callbacks``.

        It is not the name of a class, or the Trainer would replace this callback by a new one.
        """
        return f"{_STATE_PREFIX}{self._training.name}"

    @contextlib.contextmanager
    def evaluating(self, trainer: Any, kind: str) -> Iterator[None]:
        """Measure an evaluation or prediction, which is a run of its own outside of a training."""
        with self._training.evaluation(kind, ranks=getattr(trainer.args, "world_size", 1)):
            self._evaluations.append(self._training.tracker.window(at_once=True))
            try:
                yield
            finally:
                self._evaluations.pop()

    @contextlib.contextmanager
    def checkpointing(self, trainer: Any) -> Iterator[None]:
        """Store the training so far in the state that the checkpoint saves."""
        with self._training.within("checkpoint"):
            with self._training.guard():
                if state := self._training.state():
                    trainer.state.stateful_callbacks[self.state_key] = state
            yield

    @contextlib.contextmanager
    def pruning(self) -> Iterator[None]:
        """Do not end a pruned trial in `on_train_end`: an exception follows, which gives its status."""
        before, self._pruning = self._pruning, True
        try:
            yield
        finally:
            self._pruning = before

    def find_uploads(self, trainer: Any) -> None:
        """Note where the receipt of the training goes: MLflow's callback ends the run before the end."""
        with self.guard():
            if trainer.is_world_process_zero():
                self._uploads = uploads(trainer.callback_handler.callbacks)

    def send_receipt(self) -> None:
        """Add the receipt of the training to the runs of MLflow and W&B that it was logged to."""
        found, self._uploads = self._uploads, []
        send(self._training, found)

    def write_model_card(self, path: str | os.PathLike[str], training_type: str = "") -> None:
        """Put the emissions of the training so far into a model card.

        The Trainer's own cards (`create_model_card`, `push_to_hub`) have them already.

        Args:
            path: A ``README.md``.
            training_type: ``pre-training`` or ``fine-tuning``.
        """
        with self._training.guard():
            report = self._training.report_of_training()
            if report is not None and report.is_known and Path(path).exists():
                from carbon_callbacks.model_card import write_entry
                from carbon_core import card_entry

                write_entry(Path(path), card_entry(report, training_type))

    def __getstate__(self) -> dict[str, Any]:
        # The windows of a copy's trainer are its own.
        return {**self.__dict__, "_evaluations": [], "_pruning": False, "_uploads": []}


def wrap_trainer(trainer_class: type) -> None:
    """Wrap the methods of `transformers.Trainer`.

    Args:
        trainer_class: The class, which is an argument because this module loads no framework.
    """
    for name, around in _AROUND.items():
        wrap_method(trainer_class, name, around)


def wrap_display(display_class: type) -> None:
    """Wrap the method of a callback that prints a log entry.

    Args:
        display_class: The class of the callback.
    """
    wrap_method(display_class, "on_log", _print_log)


def wrap_subclass(trainer: Any) -> None:
    """Wrap the overridden methods of a Trainer, which may not call those of `transformers.Trainer`.

    Args:
        trainer: The Trainer, or None.
    """
    for name, around in _AROUND.items() if trainer is not None else ():
        if name != "log":  # only the innermost one logs all that subclasses have added
            wrap_method(type(trainer), name, around)


def calling_trainer() -> Any:
    """Return the Trainer that is calling a hook; None if it cannot be found.

    Only for hooks of short calls: Python keeps the variables of an inspected frame until it returns.
    """
    frame = sys._getframe(1).f_back
    for _ in range(_MAX_DEPTH):
        if frame is None:
            return None
        caller = frame.f_locals.get("self")
        if hasattr(caller, "create_model_card"):
            return caller
        frame = frame.f_back
    return None


def _callbacks_of(trainer: Any) -> list[TrainerHooks]:
    handler = getattr(trainer, "callback_handler", None)
    callbacks = getattr(handler, "callbacks", ())
    return [callback for callback in callbacks if isinstance(callback, TrainerHooks)]


def _train(train: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Find the meters while the Trainer sets up the training; the call's end closes unused ones."""

    @functools.wraps(train)
    def prepared(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        for callback in _callbacks_of(trainer):
            callback.prepare()
        return train(trainer, *args, **kwargs)

    return called(prepared, trainer, *args, **kwargs)


def _evaluate(evaluate: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    with contextlib.ExitStack() as stack:
        for callback in _callbacks_of(trainer):
            stack.enter_context(callback.evaluating(trainer, evaluate.__name__))
        return evaluate(trainer, *args, **kwargs)


def _log(log: Method, trainer: Any, /, logs: Any, *args: Any, **kwargs: Any) -> Any:
    """Log the added metrics, and remove them from the caller's dictionary afterwards.

    `evaluate` and `train` return the dictionary that they log; search objectives add up its values.
    """
    added: Figures = {}
    kept: Figures = {}
    shown: set[str] = set()
    for callback in _callbacks_of(trainer) if isinstance(logs, dict) else ():
        figures: Figures = {}
        with callback.guard():
            figures = callback.figures_for(trainer, logs)
        added |= figures
        callback.added.update(figures)
        shown |= callback.shown(figures)
        if callback.return_metrics:
            kept |= figures
    added = {name: value for name, value in added.items() if name not in logs}
    if not added:
        return log(trainer, logs, *args, **kwargs)
    logs.update(added)
    _not_shown[id(logs)] = added.keys() - shown
    try:
        return log(trainer, logs, *args, **kwargs)
    finally:
        del _not_shown[id(logs)]
        for name in added:
            if name not in kept:
                logs.pop(name, None)


def _print_log(on_log: Method, display: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Print a log entry without those added metrics that it does not show."""
    logs = kwargs.get("logs")
    if not isinstance(logs, dict):
        return on_log(display, *args, **kwargs)
    # The callback may change the entry, which the caller gets back: not a copy of it.
    hidden = {name: logs.pop(name) for name in _not_shown.get(id(logs), ()) if name in logs}
    try:
        return on_log(display, *args, **kwargs)
    finally:
        logs.update(hidden)


def _save_checkpoint(save: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    with contextlib.ExitStack() as stack:
        for callback in _callbacks_of(trainer):
            stack.enter_context(callback.checkpointing(trainer))
        return save(trainer, *args, **kwargs)


def _load_callback_state(load: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Hide the state from the Trainer, which would warn that no callback's class has its name."""
    states = trainer.state.stateful_callbacks or {}
    hidden = {key: states.pop(key) for key in list(states) if key.startswith(_STATE_PREFIX)}
    try:
        return load(trainer, *args, **kwargs)
    finally:
        states.update(hidden)


def _report_to_hp_search(report: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    with contextlib.ExitStack() as stack:
        for callback in _callbacks_of(trainer):
            stack.enter_context(callback.pruning())
        return report(trainer, *args, **kwargs)


def _create_model_card(create: Method, trainer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Write a card without the added metrics in its tables, then add the emissions."""
    state, history = trainer.state, trainer.state.log_history
    added = {name for callback in _callbacks_of(trainer) for name in callback.added}
    state.log_history = [{k: v for k, v in one.items() if k not in added} for one in history]
    try:
        result = create(trainer, *args, **kwargs)
    finally:
        state.log_history = history
    for callback in _callbacks_of(trainer) if trainer.is_world_process_zero() else ():
        origin = getattr(getattr(trainer.model, "config", None), "_name_or_path", "")
        path = Path(trainer.args.output_dir) / "README.md"
        callback.write_model_card(path, "fine-tuning" if origin else "pre-training")
    return result


_AROUND = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _evaluate,
    "log": _log,
    "_save_checkpoint": _save_checkpoint,
    "_load_callback_state": _load_callback_state,
    "_report_to_hp_search": _report_to_hp_search,
    "create_model_card": _create_model_card,
}
