"""Progress of a Hugging Face training: the finished fraction, samples, tokens and operations."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from carbon_callbacks._training.loaders import (
    batch_sampler_of,
    is_divided,
    samples_in,
    samples_of_data,
)

# What follows the last step, in steps, as far as it is known during the training.
_AFTER_LAST_STEP = 0.5


def fraction_done(state: Any) -> float | None:
    """Return the part of the training (0 to 1) that is done, if it has an end."""
    return state.global_step / state.max_steps if state.max_steps > 0 else None


def fraction_logged(state: Any) -> float | None:
    """Return the same at a log during the training: an evaluation may follow the last step."""
    done = fraction_done(state)
    return None if done is None else min(done, 1.0 - _AFTER_LAST_STEP / state.max_steps)


class SampleCount:
    """Training samples since a run began, of all ranks, from the Trainer's count of epochs.

    The length of the loader is read once, as late as possible: a data set may take long to return it.

    Args:
        first_epoch: The epoch that the run began with, a fraction of it included.
    """

    def __init__(self, first_epoch: float = 0.0) -> None:
        self._first_epoch = first_epoch
        self._epoch: _EpochSize | None = None

    def so_far(self, trainer: Any) -> float | None:
        """Return the samples so far; None where their number is not known."""
        if self._epoch is None:
            loader = trainer.callback_handler.train_dataloader
            self._epoch = _epoch_size(loader, trainer)
        now = trainer.state.epoch
        if self._epoch.samples is None or now is None:
            return None
        return self._epoch.samples_at(now) - self._epoch.samples_at(self._first_epoch)

    @property
    def of_data(self) -> int | None:
        """The samples of the training data, as `so_far` has read them."""
        return self._epoch.of_data if self._epoch is not None else None


class _EpochSize(NamedTuple):
    """Size of an epoch, and of the data.

    Attributes:
        samples: Samples of an epoch, as often as it trains them; None if unknown.
        batches: Batches of each rank.
        batch_size: Samples in a batch of all ranks.
        of_data: Samples of the data, as `samples_of_data` returns them.
    """

    samples: int | None = None
    batches: int = 0
    batch_size: int = 0
    of_data: int | None = None

    def samples_at(self, epoch: float) -> float:
        whole, part = divmod(epoch + 1e-6, 1.0)
        samples = self.samples or 0
        return whole * samples + min(samples, round(part * self.batches) * self.batch_size)


def _epoch_size(loader: Any, trainer: Any) -> _EpochSize:
    batches = batch_sampler_of(loader)
    if batches is None:
        return _EpochSize()
    size = _step_size(trainer, batches.batch_size)
    samples = samples_in(sys.maxsize, batches) * size // batches.batch_size
    ranks = trainer.args.world_size
    of_data = samples_of_data(batches, is_whole=ranks == 1 or is_divided(loader))
    return _EpochSize(samples, len(loader), size * ranks, of_data)


def _step_size(trainer: Any, loaded: int) -> int:
    """Return the samples of a step: of a loaded batch, TRL's trainers that generate take a part each.

    Args:
        trainer: The Trainer.
        loaded: Samples of a batch of its loader.
    """
    planned: int = trainer._train_batch_size
    takes_parts = type(trainer)._prepare_inputs.__module__ != "transformers.trainer"
    return planned if takes_parts and loaded % planned == 0 else loaded


class OperationCount:
    """Floating-point operations since a run began, of all ranks, as counted by the Trainer.

    Its counter continues over the runs of a Trainer. It is updated when the Trainer logs, and stays 0
    for models without a count.

    Args:
        state: The Trainer's state as the run begins; None where it is not known.
    """

    def __init__(self, state: Any = None) -> None:
        self._before: float = state.total_flos if state is not None else 0.0

    def so_far(self, state: Any) -> float | None:
        """Return the operations so far; None where they are not counted."""
        flops: float = state.total_flos - self._before
        return flops if flops > 0 else None


class TokenCount:
    """Tokens since a run began, as counted by the Trainer or by TRL's trainers.

    Both counters continue over the runs of a Trainer, so their values at the begin are subtracted.

    Args:
        trainer: The Trainer; None where it is not known.
        state: Its state as the run begins.
    """

    def __init__(self, trainer: Any = None, state: Any = None) -> None:
        self.value: float | None = None
        self._seen_before = state.num_input_tokens_seen if state is not None else 0
        resumed = bool(state is not None and state.global_step)
        self._logged_before = getattr(trainer, "_total_train_tokens", None if resumed else 0)

    def note(self, state: Any, logs: Mapping[str, Any]) -> None:
        """Update the number of tokens from the counters."""
        seen = state.num_input_tokens_seen - self._seen_before
        if seen > 0:
            self.value = seen
        elif "num_tokens" in logs and self._logged_before is not None:
            self.value = logs["num_tokens"] - self._logged_before
