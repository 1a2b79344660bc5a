"""The tracker of a training: an `EmissionsTracker` with the phases of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carbon_callbacks._training.devices import drain_devices
from carbon_core import EmissionsTracker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carbon_core import Parts, Work

_START_TIMEOUT_S = 0.05


class TrainingTracker(EmissionsTracker):
    """A tracker whose runs begin in the phase before the first batch.

    Attributes:
        sync: Whether to wait for the devices' queues where a phase ends.
        trial: The trial of a search that the next run belongs to.
        model_class: Class of the model of the next run; an empty string if unknown.
    """

    _first_phase = "setup"
    sync = True
    trial: str | None = None
    model_class = ""

    def make_parts(self, run_id: str) -> Parts:
        """Return the parts of a run, whose receipt names the trial."""
        from dataclasses import replace

        parts = super().make_parts(run_id)
        facts = replace(
            parts.facts, phases_synced=self.sync, trial=self.trial, model_class=self.model_class
        )
        return replace(parts, facts=facts, start_patience_s=_START_TIMEOUT_S)

    def note_model(self, model: object) -> None:
        """Set the model of the next run.

        Args:
            model: The model; None if unknown.
        """
        kind = type(model)
        self.model_class = "" if model is None else f"{kind.__module__}.{kind.__qualname__}"

    def note_training(
        self, metrics: Mapping[str, float], work: Work, dataset_samples: float | None
    ) -> None:
        """Set what the receipt of the running run has of the training.

        Args:
            metrics: The metrics that it logged last.
            work: Its amount of work.
            dataset_samples: Samples of its data, each counted once; None if unknown.
        """
        self.note_work(work, dataset_samples)
        run = self._run
        if run is not None:
            run.noted = {**run.noted, "logged_metrics": dict(metrics)}

    def note_work(self, work: Work, dataset_samples: float | None) -> None:
        """Set the work so far and the samples of the data, for outputs during the run."""
        run = self._run
        if run is not None:
            run.noted = {**run.noted, "work": work, "dataset_samples": dataset_samples}

    def drain_devices(self) -> None:
        """Wait for the work that the devices have queued, if `sync` is set."""
        if self.sync:
            drain_devices()
