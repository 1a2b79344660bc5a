"""`EmissionsCallback` for Lightning Fabric: ``Fabric(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.calls import wrap_method
from carbon_callbacks._training.loop import LoopCallback
from carbon_callbacks._training.training import Training
from carbon_core import with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks._training.arguments import CallbackArguments

try:
    from lightning.fabric import Fabric
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]


def _log_dict(log: Any, fabric: Any, /, metrics: Any, *args: Any, **kwargs: Any) -> Any:
    """Log the energy together with what the loop logs."""
    for callback in _callbacks_of(fabric):
        metrics = callback.with_metrics(metrics)
    return log(fabric, metrics, *args, **kwargs)


def _save(save: Any, fabric: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Save a checkpoint in a phase of its own."""
    with contextlib.ExitStack() as phases:
        for callback in _callbacks_of(fabric):
            phases.enter_context(callback.checkpoint())
        return save(fabric, *args, **kwargs)


def _callbacks_of(fabric: Any) -> list[EmissionsCallback]:
    return [one for one in getattr(fabric, "_callbacks", ()) if isinstance(one, EmissionsCallback)]


wrap_method(Fabric, "_wrap_with_setup")  # around what `launch` and `run` call, on each rank
wrap_method(Fabric, "log_dict", _log_dict)
wrap_method(Fabric, "save", _save)


@with_settings(Training)
class EmissionsCallback(LoopCallback):
    """Measures a loop with Fabric, on one or several ranks.

    A run begins as `Fabric.setup` returns, and ends with the function that `Fabric.launch` calls, or
    with a ``with`` block around the loop. Each `log_dict` also has ``carbon/energy_kwh`` and the like.
    `epochs`, `batches` and `evaluation` around the parts of the loop add phases and a forecast, and a
    budget ends the loop; the hooks below mark phases, too, where the loop calls them.

    Args:
        **overrides: The arguments of `carbon_callbacks.training.Training`, settings among them.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Unpack[CallbackArguments]) -> None:
        super().__init__(**overrides)
        self._world_size = 1
        self._has_stepped = False

    def on_after_setup(self, fabric: Any, module: Any) -> None:
        """Begin a run, after Fabric has set up a module."""
        self._world_size = fabric.world_size
        self._begin_once()

    def on_after_optimizer_step(self, strategy: Any, optimizer: Any) -> None:
        """Enter the phase ``train`` with the first step, in a loop that marks no phases."""
        if not self._has_stepped:
            self._has_stepped = True
            self._training.phase("train")

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        """Begin an epoch."""
        if self._loop.epoch is None:
            self._begin_once()
            self._training.epoch_begin()

    def on_train_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """End an epoch."""
        if self._loop.epoch is None:
            self._training.epoch_end()

    def on_validation_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        """Begin an evaluation."""
        self._training.phase("validate")

    def on_validation_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """End an evaluation."""
        self._training.phase("train")

    def _begin_once(self) -> bool:
        begins = super()._begin_once()
        self._has_stepped = self._has_stepped and not begins
        return begins

    def _ranks(self) -> int:
        return self._world_size
