"""What a Trainer of Lightning knows of how far it has come."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from carbon_callbacks._training.metrics import Progress


def progress_of(trainer: Any, first_epoch: int) -> Progress:
    """Return how far a training has come at the end of an epoch.

    Args:
        trainer: Its Trainer.
        first_epoch: The epoch that this start began with.
    """
    epochs = trainer.current_epoch + 1
    samples = samples_of_epoch(trainer)
    if samples is not None:
        samples *= epochs - first_epoch
    return Progress(fraction_done(trainer, epochs), samples)


def fraction_done(trainer: Any, epochs: float) -> float | None:
    """Return the part of the training (0 to 1) that is done after some epochs, if it has an end."""
    parts = []
    if trainer.max_epochs and trainer.max_epochs > 0:
        parts.append(epochs / trainer.max_epochs)
    if trainer.max_steps > 0:
        parts.append(trainer.global_step / trainer.max_steps)
    return max(parts, default=None)


def samples_of_epoch(trainer: Any) -> float | None:
    """Return how many samples an epoch has, of all ranks together; None where nobody knows."""
    loader = trainer.train_dataloader
    batch_size = getattr(loader, "batch_size", None)
    if batch_size is None:
        return None
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed
    seen = float(batches * batch_size * trainer.world_size)
    dataset = getattr(loader, "dataset", None)
    return min(seen, float(len(dataset))) if isinstance(dataset, Sized) else seen
