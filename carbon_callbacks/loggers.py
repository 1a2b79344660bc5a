"""The metrics and the receipt of a tracker in experiment loggers, for loops without a framework.

The callbacks use the loggers of their frameworks; a custom loop calls `log_metrics` and `log_receipt`.
"""

from __future__ import annotations

from typing import Any

from carbon_callbacks._receipt_artifacts import SUFFIX, of_target
from carbon_callbacks._training.metrics import SLASH_PREFIX, with_prefix
from carbon_core import Tracker, receipt_text


def log_metrics(target: Any, tracker: Tracker, step: int | None = None) -> dict[str, float]:
    """Log a tracker's totals so far.

    Examples:
        >>> from carbon_callbacks import EmissionsTracker
        >>> class Mine:
        ...     def log_metrics(self, metrics, step=None):
        ...         print(sorted(metrics)[-1], step)
        >>> with EmissionsTracker(save_to_file=False, log_level="error") as tracker:
        ...     logged = log_metrics(Mine(), tracker, step=3)
        carbon/ram_energy_kwh 3

    Args:
        target: A ``SummaryWriter`` of TensorBoard; the module ``mlflow``, or an experiment of Comet
            (``log_metrics``); a run of W&B or Trackio, or one of these modules (``log``).
        tracker: A tracker that runs, or has run.
        step: The step that they belong to.

    Returns:
        What was logged, by name; nothing where nothing is measured.

    Raises:
        TypeError: The target is none of these.
    """
    report = tracker.report()
    metrics = with_prefix(report.metrics, SLASH_PREFIX) if report else {}
    if hasattr(target, "add_scalar"):
        for name, value in metrics.items():
            target.add_scalar(name, value, step)
    elif hasattr(target, "log_metrics"):
        target.log_metrics(metrics, step=step)
    elif hasattr(target, "log"):
        target.log(metrics, step=step)
    else:
        raise TypeError(
            f"cannot log to {target!r}: it has neither add_scalar, nor log_metrics, nor log"
        )
    return metrics


def log_receipt(target: Any, tracker: Tracker) -> str:
    """Add a tracker's receipt to a run of MLflow or W&B, as an artifact.

    Args:
        target: The module ``mlflow`` with an active run; a run of W&B, or the module ``wandb`` with one.
        tracker: A tracker that has run; of one that runs, the receipt has the totals so far.

    Returns:
        Name of the file; an empty string where nothing was measured.

    Raises:
        TypeError: The target is none of these.
    """
    report, upload = tracker.report(), of_target(target)
    if upload is None:
        raise TypeError(f"cannot add an artifact to {target!r}: it has no run of MLflow or W&B")
    if report is None:
        return ""
    name = report.run.run_id + SUFFIX
    upload.add(receipt_text(report), name)
    return name
