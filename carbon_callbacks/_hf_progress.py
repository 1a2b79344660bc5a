"""How far a training of the Hugging Face Trainer has come: its fraction, samples and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carbon_callbacks._training.loaders import batch_sampler_of, samples_in


def fraction_done(state: Any) -> float | None:
    """Return the part of the training (0 to 1) that is done, if it has an end."""
    return state.global_step / state.max_steps if state.max_steps > 0 else None


def samples_so_far(trainer: Any, first_epoch: float) -> float | None:
    """Return the samples since a training began, of all ranks; None where their number is not known.

    Args:
        trainer: The Trainer.
        first_epoch: The epoch that this run began with, a fraction of it included.
    """
    state, loader = trainer.state, trainer.callback_handler.train_dataloader
    if state.epoch is None:
        return None
    before = _samples_at(first_epoch, loader, trainer.args.world_size)
    now = _samples_at(state.epoch, loader, trainer.args.world_size)
    return None if before is None or now is None else now - before


def _samples_at(epoch: float, loader: Any, world_size: int) -> float | None:
    """Return the samples of some epochs, the last of them perhaps not finished."""
    batches = batch_sampler_of(loader)
    if batches is None:
        return None
    whole, part = divmod(epoch + 1e-6, 1.0)
    in_epoch = samples_in(len(batches) + world_size, batches)
    return whole * in_epoch + samples_in(round(part * len(loader)) * world_size, batches)


class TokenCount:
    """Tokens since a run began: as the Trainer counts them, or TRL's trainers.

    Both counters go on over the runs of a Trainer, so their values at the begin are subtracted.

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
        """Take the counters' present values."""
        seen = state.num_input_tokens_seen - self._seen_before
        if seen > 0:
            self.value = seen
        elif "num_tokens" in logs and self._logged_before is not None:
            self.value = logs["num_tokens"] - self._logged_before
