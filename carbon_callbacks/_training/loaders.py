"""Samples of an epoch: from the batch sampler of torch's DataLoader, or from its batches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sized
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


def is_divided(loader: Any) -> bool:
    """Return whether accelerate deals out the batches of a loader's sampler to all ranks."""
    return hasattr(getattr(loader, "batch_sampler", None), "num_processes")


def samples_of_data(batch_sampler: Any, *, is_whole: bool) -> int | None:
    """Return the samples of the data that a sampler draws from, each counted once; None if unknown.

    What the end of an epoch drops counts; so does what a distributed sampler repeats, so that all ranks
    get the same number. Samplers may repeat any number of them, as weighted ones do, and those of TRL's
    trainers that generate: the number is known only of those that draw each sample once.

    Args:
        batch_sampler: As `batch_sampler_of` returns it.
        is_whole: Whether it is that of all ranks; if not, they may have the same samples, or others.
    """
    sampler, data = batch_sampler.sampler, sys.modules["torch"].utils.data
    kind = type(sampler)
    if kind is data.DistributedSampler:
        return int(sampler.total_size)
    # The Trainer of Hugging Face has accelerate's.
    if kind is data.RandomSampler or kind.__name__ == "SeedableRandomSampler":
        is_known = not sampler.replacement and getattr(sampler, "_num_samples", 0) is None
    else:
        is_known = kind in {data.SequentialSampler, data.SubsetRandomSampler}
    return len(sampler) if is_known and is_whole else None


class SampleCount:
    """Training samples since a run began, on one rank: counted from its batches.

    Batch sizes, the last one included, are those of torch's own sampler of batches; with other samplers
    each batch is inspected.
    """

    def __init__(self) -> None:
        self._finished: float | None = 0.0
        self._sampler: Any = None
        self._batches = 0
        self._seen: float | None = 0.0
        self._is_divided = False
        self._of_data: list[int | None] = []

    def begin_epoch(self, loader: Any) -> None:
        """Begin an epoch with its loader."""
        self._finished = self.value
        self._sampler = batch_sampler_of(loader)
        self._is_divided = is_divided(loader)
        self._of_data = []
        self._batches, self._seen = 0, 0.0

    def add(self, batch: Any) -> None:
        """Count a batch."""
        self._batches += 1
        if self._sampler is None and self._seen is not None:
            try:
                size = size_of(batch)
            except Exception:  # noqa: BLE001 - batches may be objects of any kind
                size = None
            self._seen = self._seen + size if size is not None else None

    @property
    def value(self) -> float | None:
        """The samples so far; None if the size of a batch was unknown."""
        if self._sampler is not None:
            seen: float | None = samples_in(self._batches, self._sampler)
        else:
            seen = self._seen
        return None if seen is None or self._finished is None else self._finished + seen

    def of_ranks(self, ranks: int) -> tuple[float | None, int | None]:
        """Return the samples so far of all ranks, and those of the training data.

        Args:
            ranks: Number of ranks.
        """
        value = self.value
        return value and value * ranks, self._samples_of_data(ranks)

    def _samples_of_data(self, ranks: int) -> int | None:
        """Return the samples of the training data; `value` reads the same length in each log."""
        if self._sampler is None:
            return None
        if not self._of_data:
            found, is_whole = None, ranks == 1 or self._is_divided
            with contextlib.suppress(Exception):  # data may have a length that raises
                found = samples_of_data(self._sampler, is_whole=is_whole)
            self._of_data = [found]
        return self._of_data[0]


def size_of(batch: Any) -> int | None:
    """Return the number of samples in a batch; None if its shape is ambiguous.

    A tensor, or a collection of tensors that agree on their first dimension. Tensors of one rank in a
    list could as well be its samples.
    """
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    parts = list(batch.values()) if isinstance(batch, Mapping) else batch
    if not isinstance(parts, (list, tuple)) or not parts:
        return None
    shapes = [getattr(part, "shape", None) for part in parts]
    if not all(shapes) or len({shape[0] for shape in shapes if shape}) != 1:
        return None
    alike = len({len(shape) for shape in shapes if shape}) == 1
    if alike and len(shapes) > 1 and not isinstance(batch, Mapping):
        return None
    return int(next(shape for shape in shapes if shape)[0])
