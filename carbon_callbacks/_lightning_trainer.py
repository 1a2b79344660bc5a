"""Progress of a Lightning training: the finished fraction, step and operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def fraction_done(trainer: Any, epochs: float) -> float | None:
    """Return the part of the training (0 to 1) that is done after some epochs, if it has an end."""
    parts = []
    if trainer.max_epochs and trainer.max_epochs > 0:
        parts.append(epochs / trainer.max_epochs)
    # Lightning does not count steps of optimizers that it does not manage.
    if trainer.max_steps > 0 and trainer.global_step:
        parts.append(trainer.global_step / trainer.max_steps)
    parts += [part for callback in trainer.callbacks if (part := _time_used(callback)) is not None]
    return max(parts, default=None)


_FLOPS = "flops_per_batch"
# A batch of validation needs a third of one of training: its backward pass takes twice the forward one.
_VALIDATION_BATCH = 1 / 3


def part_of_epoch(trainer: Any, batches: int) -> float:
    """Return the part of an epoch (0 to 1) that some batches of training are; 0 where that is unknown.

    Args:
        trainer: The trainer.
        batches: Batches of training that are done in this epoch.
    """
    of_epoch = trainer.num_training_batches
    if not 0 < of_epoch < math.inf:
        return 0.0
    # Validation within an epoch is spread over it; that at its end follows all batches.
    is_at_end = trainer.check_val_every_n_epoch == 1 and trainer.val_check_batch == of_epoch
    validation = sum(trainer.num_val_batches) * _VALIDATION_BATCH if is_at_end else 0.0
    part: float = batches / (of_epoch + (validation if validation < math.inf else 0.0))
    return min(1.0, part)


def _time_used(callback: Any) -> float | None:
    """Return the elapsed part of ``max_time``, if a callback limits the time."""
    if type(callback).__name__ != "Timer" or callback.time_remaining() is None:
        return None
    elapsed_s: float = callback.time_elapsed()
    total_s: float = elapsed_s + callback.time_remaining()
    return elapsed_s / total_s if total_s > 0 else None


def logged_step(trainer: Any) -> int:
    """Return the step that Lightning itself logs at last: batches that stepped, not optimizer steps."""
    loop = trainer.fit_loop.epoch_loop
    steps: int = getattr(loop, "_batches_that_stepped", trainer.global_step)
    # Epochs are logged at their last batch, evaluations after it.
    return max(0, steps - 1) if trainer.state.fn == "fit" else steps


def flops_of(trainer: Any, batches: int) -> float | None:
    """Return the floating-point operations of some batches of all ranks; None where they are unknown.

    They are those of ``flops_per_batch`` of the module, which Lightning's ``ThroughputMonitor`` reads
    after each batch. A property may compute anything: it is read only where that callback reads it, too.

    Args:
        trainer: The trainer.
        batches: Batches of training of this rank.
    """
    module = trainer.lightning_module
    is_property = hasattr(getattr(type(module), _FLOPS, None), "__get__")
    monitored = any(type(one).__name__ == "ThroughputMonitor" for one in trainer.callbacks)
    if is_property and not monitored:
        return None
    try:
        flops = float(getattr(module, _FLOPS, 0.0)) * batches * trainer.world_size
    except (TypeError, ValueError):  # a name that the module uses for something else
        return None
    return flops if 0.0 < flops < math.inf else None


class EvaluatedMetric:
    """The metric of ``improvement_of`` among those of a Trainer, which keeps old values.

    A metric that appears first in a validation is computed by each validation, any other one by each
    epoch of training.

    Args:
        name: Its name; None for none.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._was_there = True
        self._is_of_validation = False

    def validation_begins(self, metrics: Mapping[str, Any]) -> None:
        """Note the metrics before a validation."""
        self._was_there = self._name in metrics

    def of_validation(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metric if the validation that ends has computed it; {} otherwise."""
        name = self._name
        if name is None or name not in metrics:
            return {}
        self._is_of_validation |= not self._was_there
        return {name: metrics[name]} if self._is_of_validation else {}

    def of_epoch(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metrics of an epoch that ends, without one that a validation has computed."""
        left_out = self._name if self._is_of_validation else None
        return {name: value for name, value in metrics.items() if name != left_out}
