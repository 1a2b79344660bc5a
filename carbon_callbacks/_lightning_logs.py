"""Metrics in Lightning: for callbacks that monitor them, the progress bar and the loggers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Mapping
from typing import Any

from carbon_callbacks._lightning_trainer import logged_step
from carbon_callbacks._receipt_artifacts import send, uploads
from carbon_callbacks._training.metrics import PREFIX, SLASH_PREFIX, monitored_names, with_prefix
from carbon_callbacks._training.totals import Figures
from carbon_callbacks._training.training import Training
from carbon_core import emissions, energy, raise_if_of_program

# What the bar shows in place of a metric: its name and its text, with a unit that suits its size.
_IN_BAR: Mapping[str, tuple[str, Callable[[float], str]]] = {
    f"{SLASH_PREFIX}energy_kwh": (f"{SLASH_PREFIX}energy", energy),
    f"{SLASH_PREFIX}emissions_kg": (f"{SLASH_PREFIX}emissions", emissions),
}


class TrainerLogs:
    """Logs the metrics of a training.

    Args:
        training: The training.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._rejecting: list[Any] = []

    def epoch(self, trainer: Any, pl_module: Any, metrics: Figures) -> None:
        """Log the metrics of a finished epoch."""
        shown = self._training.selection.of(metrics)
        for name, value in shown.items():
            in_bar = name in self._training.selection.in_bar
            self._log(trainer, pl_module, SLASH_PREFIX + name, value, prog_bar=in_bar)
        self.monitor(trainer, pl_module, metrics, shown)
        self.send(trainer, SLASH_PREFIX, shown, {"epoch": trainer.current_epoch})

    def monitor(
        self, trainer: Any, pl_module: Any, metrics: Figures, logged: Container[str] = ()
    ) -> None:
        """Let callbacks monitor the energy: a monitor of an absent metric would end the training.

        Without measurements (no meter, or another rank measures) a monitor gets 0, loggers nothing.
        """
        # Also under names without a slash, which would make directories of the names of checkpoints.
        for name in monitored_names():
            value = metrics.get(name, 0.0)
            self._log(trainer, pl_module, PREFIX + name, value)
            if name not in logged:
                self._log(trainer, pl_module, SLASH_PREFIX + name, value)

    def send(
        self, trainer: Any, prefix: str, metrics: Figures, beside: Mapping[str, int] | None = None
    ) -> None:
        """Log metrics in a separate entry, so that a logger that rejects them rejects nothing else."""
        entry = {**with_prefix(metrics, prefix), **(beside or {})}
        for logger in trainer.loggers if metrics else ():
            if any(logger is one for one in self._rejecting):
                continue
            outer = sys.exc_info()[1]
            try:
                logger.log_metrics(metrics=entry, step=logged_step(trainer))
            except Exception as error:  # noqa: BLE001 - a logger's errors have no common class
                raise_if_of_program(error, outer)
                self._rejecting.append(logger)
                name = type(logger).__name__
                self._training.tracker.warn(f"{name} rejected the energy: {error!r}")

    def send_receipt(self, trainer: Any) -> None:
        """Add the receipt to the loggers' runs, on the rank that logs."""
        with self._training.guard():
            if trainer.is_global_zero:
                send(self._training, uploads(trainer.loggers))

    def forget_rejections(self) -> None:
        """Try all loggers again: a training has ended."""
        self._rejecting = []

    def __getstate__(self) -> dict[str, Any]:
        # Loggers belong to the Trainer.
        return {**self.__dict__, "_rejecting": []}

    def _log(self, trainer: Any, pl_module: Any, name: str, value: float, **options: Any) -> None:
        """Log a value for monitors and the progress bar."""
        # All ranks log the same. Lightning warns for each metric that it should be reduced; this pair
        # of arguments avoids both. The batch size is irrelevant, but Lightning would search the batch.
        alike = dict.fromkeys(("sync_dist", "rank_zero_only"), _is_distributed())
        if getattr(trainer, "barebones", False):
            return
        with self._training.guard():
            module_class = _framework_class(pl_module)
            module_class.log(pl_module, name, value, logger=False, batch_size=1, **options, **alike)


def bar_metrics(get_metrics: Callable[..., Any], bar: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a progress bar's metrics; those of energy as texts, for bars round to a few decimals."""
    metrics = get_metrics(bar, *args, **kwargs)
    if not isinstance(metrics, dict) or _IN_BAR.keys().isdisjoint(metrics):
        return metrics
    return dict(_shown(name, value) for name, value in metrics.items())


def _shown(name: str, value: Any) -> tuple[str, Any]:
    if name not in _IN_BAR or not isinstance(value, (int, float)):
        return name, value
    title, text = _IN_BAR[name]
    return title, text(value)


def _framework_class(module: Any) -> Any:
    """Return LightningModule of a module's package: the module may override `log`."""
    return next(cls for cls in type(module).__mro__ if cls.__name__ == "LightningModule")


def _is_distributed() -> bool:
    """Whether Lightning recommends to reduce what is logged, as it does for a single process, too."""
    distributed: Any = sys.modules["torch"].distributed
    return bool(distributed.is_available() and distributed.is_initialized())
