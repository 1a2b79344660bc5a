"""`EmissionsCallback` for loops with Accelerate, also a tracker for ``Accelerator(log_with=...)``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from carbon_callbacks._receipt_artifacts import send_to_trackers
from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.loop import LoopCallback
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments
    from carbon_core import Tracker

try:
    from accelerate import Accelerator
    from accelerate.state import PartialState
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]


def _init_trackers(init: Any, accelerator: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Begin the runs on all ranks; older versions do not start trackers."""
    for callback in _callbacks_of(accelerator):
        callback.end_abandoned()
    result = init(accelerator, *args, **kwargs)
    for callback in _callbacks_of(accelerator):
        callback.start()
    return result


def _log(log: Any, accelerator: Any, /, values: Any, *args: Any, **kwargs: Any) -> Any:
    """Log the energy together with what the loop logs."""
    for callback in _callbacks_of(accelerator):
        values = callback.with_metrics(values)
    return log(accelerator, values, *args, **kwargs)


def _save_state(save: Any, accelerator: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Save a checkpoint in a phase of its own."""
    with contextlib.ExitStack() as phases:
        for callback in _callbacks_of(accelerator):
            phases.enter_context(callback.checkpoint())
        return save(accelerator, *args, **kwargs)


def _end_training(end: Any, accelerator: Any, /, *args: Any, **kwargs: Any) -> Any:
    """End the runs, and log their totals before the other trackers are closed."""
    for callback in _callbacks_of(accelerator):
        callback.finish_with(accelerator)
    return end(accelerator, *args, **kwargs)


def _callbacks_of(accelerator: Any) -> list[EmissionsCallback]:
    return [one for one in accelerator.log_with if isinstance(one, EmissionsCallback)]


wrap_method(Accelerator, "init_trackers", _init_trackers)
wrap_method(Accelerator, "log", _log)
wrap_method(Accelerator, "save_state", _save_state)
wrap_method(Accelerator, "end_training", _end_training)


@with_settings(Training)
class EmissionsCallback(LoopCallback, GeneralTracker):
    """Measures a loop with Accelerate, on one or several ranks.

    In ``Accelerator(log_with=[...])`` it measures from ``init_trackers`` to ``end_training``, and each
    ``log`` of the accelerator also has ``carbon/energy_kwh`` and the like, for all its trackers.
    `epochs`, `batches` and `evaluation` around the parts of the loop add phases and a forecast, and a
    budget ends the loop. ``register_for_checkpointing`` puts the energy so far into checkpoints.

    Args:
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    name = "carbon_callbacks"
    requires_logging_directory = False
    main_process_only = False

    def __init__(self, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)

    @property
    def tracker(self) -> Tracker:
        """The tracker that measures."""
        return self._training.tracker

    def start(self) -> None:
        """Begin a run: ``init_trackers`` calls this."""
        self._begin_once()

    def finish(self) -> None:
        """End the run: ``end_training`` calls this."""
        self.end()

    def finish_with(self, accelerator: Any) -> None:
        """End the run, and send its totals to the other trackers of an accelerator."""
        if not self._training.active:
            return
        self.end()
        with self._training.guard():
            accelerator.log(self.metrics())
            send_to_trackers(self._training, accelerator)

    def _ranks(self) -> int:
        return int(PartialState().num_processes)
