"""Samples of an epoch, from the batch sampler of torch's DataLoader."""

from __future__ import annotations

import sys
from collections.abc import Sized
from typing import Any


def batch_sampler_of(loader: Any) -> Any:
    """Return torch's own sampler of batches, if a loader has one of known length; else None."""
    batches: Any = getattr(loader, "batch_sampler", None)
    # On several ranks, accelerate deals out the batches of the sampler within its own.
    batches = getattr(batches, "batch_sampler", batches)
    torch: Any = sys.modules.get("torch")
    known = torch is not None and type(batches) is torch.utils.data.BatchSampler
    return batches if known and isinstance(batches.sampler, Sized) else None


def samples_in(batches: int, batch_sampler: Any) -> int:
    """Return the samples in the first batches of an epoch, the last one perhaps a smaller one.

    Args:
        batches: Their number.
        batch_sampler: As `batch_sampler_of` returns it.
    """
    samples: int = len(batch_sampler.sampler)
    size: int = batch_sampler.batch_size
    if batch_sampler.drop_last:
        samples -= samples % size
    return min(batches * size, samples)
