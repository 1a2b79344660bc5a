"""What the callbacks share: a training's life, told by hooks and turned into marks and metrics.

    idle ──begin()──▶ running ──end(status)──▶ idle
                        │ phase(name)      cuts the run: setup, train, validate, checkpoint …
                        │ epoch_begin()    opens a window
                        │ epoch_end()      closes it and gives the metrics to log

No method raises, and none blocks the training thread for longer than the tracker does.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from carbon_core import EmissionsTracker, OpenWindow, Report, status_of

if TYPE_CHECKING:
    from typing_extensions import Self

EPOCH_PREFIX = "epoch_"


class _TrainingTracker(EmissionsTracker):
    """A tracker whose runs begin in the phase before the first batch."""

    _first_phase = "setup"


class Training:
    """One callback's view of the training that it watches.

    Attributes:
        tracker: What measures.
        may_stop: Whether the settings have a budget that ends the training.

    Args:
        **overrides: Settings of the tracker.

    Raises:
        ConfigError: An argument is wrong; before training starts.
    """

    def __init__(self, **overrides: Any) -> None:
        self.tracker = _TrainingTracker(**overrides)
        self._epoch: OpenWindow | None = None
        self._phase = ""
        settings = self.tracker.settings
        limits = settings.budget_kwh, settings.budget_kg_co2e
        self.may_stop = any(limits) and settings.on_budget == "stop"

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep a fault of ours, or of a logger that we call, out of the training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the guard of the training thread
            self.tracker.complain(f"a hook failed: {error!r}")

    @property
    def running(self) -> bool:
        """Whether a training is being measured."""
        return self.tracker.running

    @property
    def report(self) -> Report | None:
        """The totals of the training that ended last."""
        return self.tracker.final_report

    def begin(self) -> None:
        """A training begins; one that never ended (the framework told nobody) is closed first."""
        with self.guard():
            if self.running:
                self.end("interrupted")
            self._epoch, self._phase = None, "setup"
            self.tracker.start()

    def phase(self, name: str) -> None:
        """Another phase begins: what the devices still have queued belongs to the one before."""
        if name != self._phase and self.running:
            with self.guard():
                drain_devices()
                self.tracker.mark(name)
                self._phase = name

    def epoch_begin(self) -> None:
        """An epoch of training begins."""
        self.phase("train")
        with self.guard():
            self._epoch = self.tracker.window("epoch")

    def epoch_end(self) -> dict[str, float]:
        """An epoch ended; return the totals so far and the epoch's own, by metric name."""
        with self.guard():
            drain_devices()
            if self._epoch is None:
                return self.metrics()
            epoch, self._epoch = self._epoch, None
            end = epoch.close().end
            totals = metrics_of(self.tracker.report(end))
            own = metrics_of(epoch.report(), EPOCH_PREFIX)
            return {**totals, **{key: own[key] for key in _PER_EPOCH if key in own}}
        return {}

    def metrics(self) -> dict[str, float]:
        """Return the totals, so far or of the training that ended last, by metric name."""
        with self.guard():
            return metrics_of(self.tracker.report())
        return {}

    @property
    def should_stop(self) -> bool:
        """Whether the training has used up its budget and is to stop; cheap at every step."""
        return self.may_stop and self.tracker.over_budget

    def end(self, status: str = "completed") -> None:
        """The training ended; nothing happens when none was going on."""
        if self.running:
            with self.guard():
                if status == "completed":
                    drain_devices()
                self.tracker.stop(status)
        self._epoch = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epoch": None}


class Watching:
    """What every callback is made with and gives: settings in, a report out, an exact end on request.

    Only Lightning tells its callbacks about an exception. Elsewhere the run is closed by the next
    training or at exit; in a ``with callback:`` block, at once.

    Args:
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(self, **overrides: Any) -> None:
        super().__init__()
        self._training = Training(**overrides)

    @property
    def report(self) -> Report | None:
        """The totals of the run that ended last."""
        return self._training.report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._training.end(status_of(error))


_PER_EPOCH = (f"{EPOCH_PREFIX}energy_kwh", f"{EPOCH_PREFIX}emissions_kg")


def metrics_of(report: Report | None, prefix: str = "") -> dict[str, float]:
    """Return a report's figures under the names that all frameworks' loggers get.

    Only components of which anything is known have a figure: an unknown energy is not 0.

    Args:
        report: The report, or None for no figures.
        prefix: Put before each name.
    """
    if report is None or not report.components:
        return {}
    figures = {
        "energy_kwh": report.energy_kwh.value,
        "emissions_kg": report.emissions_kg.value,
        "power_w": report.power_w,
        "carbon_intensity_g_per_kwh": report.intensity_g_per_kwh,
        **{f"{name}_energy_kwh": report.component_kwh(name) for name in report.components},
    }
    return {prefix + name: value for name, value in figures.items()}


def drain_devices() -> None:
    """Wait for the work that a GPU has queued, so that its energy falls into the right phase.

    Does nothing unless the program itself has loaded torch and used CUDA.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
