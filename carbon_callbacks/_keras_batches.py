"""Callbacks that count the batches of a Keras fit, without a batch hook that could cost it time."""

from __future__ import annotations

from typing import Any


class CountsBatches:
    """A callback whose `note_batch` is called where Keras would call batch hooks."""

    def note_batch(self, batch: int, listed: Any) -> None:
        """Note that a batch of training begins.

        Args:
            batch: Its number within the epoch.
            listed: The list of callbacks of the fit.
        """
